"""RWP-636 (RealWorldPortrait-636): 636 portraits from the web, with the region of fine detail marked.

    image/        {stem}.jpg                   images/ in some copies
    alpha/        {stem}.png
    detailmap/    {stem}_cloud_trimap.jpg      above 0 where there is detail

(yucornetto/MGMatting, code-base/evaluation_RWP.py.) There are no trimaps.
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import pairs

TITLE = "RWP-636"
KIND = "image"
LICENCE = "CC BY-NC 2.0, research only"
SOURCE = "github.com/yucornetto/MGMatting: the link in its README."
COUNTS = {"test": 636}
PROTOCOL = "rwp"
NOTES = (
    "Two regions are reported, the whole picture and the detail map; a table that says neither means the whole.",
    "MGM's own code scores predictions saved as JPEG.",
    "The detail maps are JPEG, so that a little noise around 0 counts as detail, as in MGM's code.",
    "Published code of interactive methods lists it among their training sets: check before you compare.",
)
LAYOUT = {
    "test": (
        pairs.Folders(
            image=("image", "images"), alpha=("alpha",), detail=("detailmap",), detail_ending="_cloud_trimap"
        ),
    )
}

load = pairs.load


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[pairs.Sample]:
    """List the samples; `root` is RealWorldPortrait-636. Trimaps are made from the mattes."""
    return pairs.items(root, LAYOUT, split, TITLE, counts)
