"""AIM-500: 500 natural pictures of seven kinds, 100 of them portraits.

    original/    {stem}.jpg            below validation/ in the authors' code
    mask/        {stem}.png
    trimap/      {stem}.png
    usr/                               user scribbles, not read
    aim_category_type.json             {stem: {"category": "portrait", "type": "SO"}}

(JizhiziLi/AIM, core/config.py and core/test.py.) There is no training split.
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import pairs

TITLE = "AIM-500"
KIND = "image"
LICENCE = "AIM-500 release agreement (titled MIT), to be accepted"
SOURCE = "github.com/JizhiziLi/AIM: the link in its README."
COUNTS = {"test": 500}
PROTOCOL = "p3m"
NOTES = (
    "Only 100 of the 500 pictures are portraits (aim-500-portrait); 200 are animals and 34 are transparent things.",
    "BiRefNet's matting weights and SAM2Matting were trained on it: check before you compare.",
    "Numbers with a trimap (MEMatte) and without one (AimNet, SDMatte) are in circulation under one name.",
)
LAYOUT = {
    "test": (
        pairs.Folders(
            image=("original", "validation/original"),
            alpha=("mask", "validation/mask"),
            trimap=("trimap", "validation/trimap"),
        ),
    )
}

load = pairs.load


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[pairs.Sample]:
    """List the samples; `root` has original/, mask/ and trimap/, or validation/ with them."""
    return pairs.items(root, LAYOUT, split, TITLE, counts)
