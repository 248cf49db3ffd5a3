"""Composition-1k, the test of the Deep Image Matting data set: 50 foregrounds before 20 VOC backgrounds each.

    merged/, alpha_copy/, trimaps/                           1000 each, {fg}_{0..19}; in Test_set/ or in
                                                             Test_set/Adobe-licensed images/, each by itself
    Training_set/{Adobe-licensed images,Other}/{fg,alpha}     431 foregrounds in both; or in Training_set/{fg,alpha}

trimaps/ is distributed, in Test_set/Adobe-licensed images/. merged/ is made by the Composition_code.py that comes with
the data, and alpha_copy/, each matte once for each of its composites, by GCA-Matting's copy_testing_alpha.sh (its
README and MGM's configuration). Combined_Dataset/ may be above all of it.
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import pairs

TITLE = "Composition-1k"
KIND = "image"
LICENCE = "Adobe's licence agreement, non-commercial, no passing on"
SOURCE = "On request from Brian Price at Adobe (sites.google.com/view/deepimagematting); then two scripts."
COUNTS = {"test": 1000, "train": 431}
PROTOCOL = "composition-1k"
NOTES = (
    "Scores are of the unknown region of the distributed trimaps, with Adobe's MATLAB code.",
    "Published numbers of ViTMatte are MATLAB's, not those of its evaluation.py.",
    "Conn of GCA's and MGM's Python code takes the background for a component where it is the largest.",
    "RVM's AIM test is 11 of the human test foregrounds, with motion added: another set.",
)
HOMES = tuple(
    f"{home}{part}"
    for home in ("", "Test_set/", "Combined_Dataset/Test_set/")
    for part in ("", "Adobe-licensed images/")
)
TRAINING = ("Training_set/", "Combined_Dataset/Training_set/")


def _training(part: str) -> pairs.Folders:
    colours, mattes = (tuple(f"{home}{part}{name}" for home in TRAINING) for name in ("fg", "alpha"))
    return pairs.Folders(image=colours, alpha=mattes, foreground=colours)


LAYOUT = {
    "test": (
        pairs.Folders(
            image=tuple(f"{home}merged" for home in HOMES),
            alpha=tuple(f"{home}alpha_copy" for home in HOMES),
            trimap=tuple(f"{home}trimaps" for home in HOMES),
        ),
    ),
    "train": (_training("Adobe-licensed images/"), _training("Other/")),
}
MERGED_LAYOUT = {"train": (_training(""),)}

load = pairs.load


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[pairs.Sample]:
    """List the samples of a split; `root` has merged/ or Test_set/, and Training_set/.

    The training split is of cut-outs: its picture is the foreground's own. Its two parts may have been put into one.
    """
    merged = split == "train" and any(Path(root, home, "fg").is_dir() for home in TRAINING)
    return pairs.items(root, MERGED_LAYOUT if merged else LAYOUT, split, TITLE, counts)
