"""VideoMatte240K as in videomatte-240k, in 1920 x 1080: videomatte_1920x1080, the same clips, JPEG."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import clips, videomatte_240k

TITLE = "VideoMatte240K 1920x1080"
KIND = "video"
LICENCE = videomatte_240k.LICENCE
SOURCE = "videomatte_1920x1080.tar, linked from documentation/training.md of github.com/PeterL1n/RobustVideoMatting."
COUNTS = {"test": 50}
PROTOCOL = "rvm-hd"
NOTES = (
    *videomatte_240k.NOTES,
    "The true mattes are JPEG here, so that 0 and 255 are not exact.",
    "Conn is not in RVM's high-resolution script.",
)
LAYOUT = dataclasses.replace(videomatte_240k.LAYOUT, base="videomatte_1920x1080", size=(1080, 1920))

frames = clips.frames
load_clip = clips.load_clip


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[clips.Clip]:
    """List the clips; `root` is videomatte_1920x1080 or the folder that it is in."""
    return clips.items(root, LAYOUT, split, TITLE, counts)
