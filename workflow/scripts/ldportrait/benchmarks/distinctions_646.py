"""Distinctions-646: 646 foregrounds of all kinds; the test is 50 of them before 20 backgrounds each.

    Train/{FG,GT}               596 foregrounds and their mattes, as distributed
    Test/{Image,GT}             1000 composites, made by the authors' utils/gen_dataset.py
    Test/Trimap                 if you made trimaps

As distributed Test/ has 50 foregrounds in FG and GT and no composites: the script pairs them with VOC 2012, by the list
bg_test.txt beside it. It reads Test_ori/{Fg_images,Alpha_matte}: move the distributed FG and GT there first, or
Test/GT will have the 50 mattes besides the 1000. (yuhaoliu7456/CVPR2020-HAttMatting, utils.)
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import pairs

TITLE = "Distinctions-646"
KIND = "image"
LICENCE = "non-commercial, on request"
SOURCE = "github.com/yuhaoliu7456/CVPR2020-HAttMatting: by e-mail to the authors; then their gen_dataset.py."
COUNTS = {"test": 1000, "train": 596}
PROTOCOL = "whole"
NOTES = (
    "The authors distribute neither composites nor trimaps of the test: copies of different make are in circulation.",
    "Their script cuts the background at the top left and truncates to 8 bits; do not make composites another way.",
    "Scores are of the whole picture, also of methods that get a trimap.",
    "The authors list 50 test foregrounds; the survey that says 60 contradicts them.",
    "RVM's D646 test is 11 of the test foregrounds, with motion added: another set.",
)
LAYOUT = {
    "test": (
        pairs.Folders(
            image=("Test/Image",),
            alpha=("Test/GT",),
            trimap=("Test/Trimap",),
            optional=("trimap",),
        ),
    ),
    "train": (pairs.Folders(image=("Train/FG",), alpha=("Train/GT",), foreground=("Train/FG",)),),
}

load = pairs.load


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[pairs.Sample]:
    """List the samples of a split; `root` has Train/ and Test/.

    The training split is of cut-outs: its picture is the foreground's own. Where there is no Trimap/, trimaps are made
    from the mattes.
    """
    return pairs.items(root, LAYOUT, split, TITLE, counts)
