"""AM-2k: 2000 photographs of animals; fur is to hair what animals are to portraits.

    train/{original,mask}                  1800 pictures
    validation/{original,mask,trimap}       200

Pictures are JPEG, mattes and trimaps PNG. (JizhiziLi/GFM, core/README.md; its fg/, bg/ and *_denoise/ are made by you.)
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import pairs

TITLE = "AM-2k"
KIND = "image"
LICENCE = "AM-2k release agreement (titled MIT), to be accepted"
SOURCE = "github.com/JizhiziLi/GFM: the links in core/README.md, after the agreement."
COUNTS = {"test": 200, "train": 1800}
PROTOCOL = "p3m"
NOTES = (
    "Animals, not people: it says how far a portrait network carries.",
    "BiRefNet's matting weights were trained on it: check before you compare.",
    "Neither foreground nor background colours are distributed; the authors estimate them in closed form.",
)
LAYOUT = {
    "test": (pairs.Folders(image=("validation/original",), alpha=("validation/mask",), trimap=("validation/trimap",)),),
    "train": (pairs.Folders(image=("train/original",), alpha=("train/mask",)),),
}

load = pairs.load


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[pairs.Sample]:
    """List the samples of a split; `root` has train/ and validation/. The training split has no trimaps."""
    return pairs.items(root, LAYOUT, split, TITLE, counts)
