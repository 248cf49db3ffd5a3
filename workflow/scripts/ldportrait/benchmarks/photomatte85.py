"""PhotoMatte85: 85 studio portraits cut out of a green screen, before backgrounds of yours.

    PhotoMatte85/    85 RGBA pictures, PNG
    Backgrounds/     pictures without people; BGMv2's site has a set

Portrait i stands before background i mod n, the background scaled to cover it, as in the bank.
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import bank, cutouts

TITLE = "PhotoMatte85"
KIND = "image"
LICENCE = "not stated where we could read it; see the site"
SOURCE = "grail.cs.washington.edu/projects/background-matting-v2, Datasets; the backgrounds are there as well."
COUNTS = {"test": 85}
PROTOCOL = "whole"
NOTES = (
    "Which backgrounds BGMv2 used for which portrait is not published: our composites are not theirs.",
    "BGMv2's table is of the unknown region of trimaps that are not distributed, so that no score of ours compares.",
    "The mattes were keyed from a green screen: their truth is a keyer's.",
)

load = bank.load


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[bank.Sample]:
    """List the samples; `root` has PhotoMatte85/ and Backgrounds/. Trimaps are made from the mattes."""
    return cutouts.items(root, ("PhotoMatte85",), ("Backgrounds",), split, TITLE, counts)
