"""RGBA cut-outs before pictures of backgrounds: sets that come without composites."""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import bank, pairs


def items(
    root: Path,
    cutouts: pairs.Names,
    backgrounds: pairs.Names,
    split: str,
    title: str,
    counts: Mapping[str, int],
) -> list[bank.Sample]:
    """List cut-out i before background i mod n, both in order of name; read them with bank.load.

    Raises FileNotFoundError for a folder that is missing or empty, ValueError for another split than test and for
    another number of cut-outs than counts[split].
    """
    pairs.require_split(split, {"test": cutouts}, title)
    pairs.require_root(root, title)
    home, scenes = (pairs.folder(Path(root), names, title) for names in (cutouts, backgrounds))
    found, behind = pairs.pictures(home), list(pairs.pictures(scenes).values())
    pairs.verify_count(len(found), split, counts, title, home)
    if not found or not behind:
        raise FileNotFoundError(f"There are no pictures in {home if not found else scenes}.")
    return [bank.Sample(stem, path, behind[index % len(behind)]) for index, (stem, path) in enumerate(found.items())]
