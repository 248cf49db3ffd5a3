"""P3M-500-P: 500 portraits with blurred faces, the privacy-preserving test set of P3M-10k.

    train/{blurred_image,mask}                               9421 pictures
    validation/P3M-500-P/{blurred_image,mask,trimap}          500
    validation/P3M-500-NP/{original_image,mask,trimap}        500

The test sets may also lie in the root, as a part of the authors' code has them; what else is in their folders
(facemask/) is not read. Pictures are JPEG, mattes and trimaps PNG, all with equal stems. (JizhiziLi/P3M, core/README.md
and core/config.py.)
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import pairs

TITLE = "P3M-500-P"
KIND = "image"
LICENCE = "P3M-10k release agreement (titled MIT), to be accepted; the repository calls the project academic"
SOURCE = "github.com/JizhiziLi/P3M: the links to P3M-10k in its README, after the agreement."
COUNTS = {"test": 500, "train": 9421}
PROTOCOL = "p3m"
NOTES = (
    "Trimap-free and trimap-based results are in circulation under one name; the latter are of the unknown region.",
    "Matting by Generation's tables leave out 20 of the 500 pictures as ambiguous.",
    "The training pictures are of the same source: methods trained on them are in their own domain here.",
    "The authors predict at half the resolution, at most 1600 pixels, and score floating-point mattes.",
    "Neither foreground nor background colours are distributed; the authors estimate them in closed form.",
)
TRAIN = pairs.Folders(image=("train/blurred_image",), alpha=("train/mask",))
LAYOUT = {
    "test": (
        pairs.Folders(
            image=("validation/P3M-500-P/blurred_image", "P3M-500-P/blurred_image"),
            alpha=("validation/P3M-500-P/mask", "P3M-500-P/mask"),
            trimap=("validation/P3M-500-P/trimap", "P3M-500-P/trimap"),
        ),
    ),
    "train": (TRAIN,),
}

load = pairs.load


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[pairs.Sample]:
    """List a split's samples, those to train on without trimaps; `root` has train/ and validation/, or test sets."""
    return pairs.items(root, LAYOUT, split, TITLE, counts)
