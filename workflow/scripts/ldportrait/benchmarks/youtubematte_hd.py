"""YouTubeMatte as in youtubematte, in 1920 x 1080: youtubematte_1920x1080, the same clips, mattes as JPEG."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import clips, youtubematte

TITLE = "YouTubeMatte 1920x1080"
KIND = "video"
LICENCE = youtubematte.LICENCE
SOURCE = youtubematte.SOURCE
COUNTS = {"test": 64}
PROTOCOL = "rvm-hd"
NOTES = (*youtubematte.NOTES, "The true mattes are JPEG here, so that 0 and 255 are not exact.")
LAYOUT = dataclasses.replace(youtubematte.LAYOUT, base="youtubematte_1920x1080", size=(1080, 1920))

frames = clips.frames
load_clip = clips.load_clip


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[clips.Clip]:
    """List the clips; `root` is youtubematte_1920x1080 or the folder that it is in."""
    return clips.items(root, LAYOUT, split, TITLE, counts)
