"""The bank's clips as a benchmark: those of a split over its still backgrounds, with exact alpha.

Clip i stands before background i mod n. A clip is one WebP of 24 frames, stacked top to bottom; the test split has 6.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ldportrait import images
from ldportrait.benchmarks import bank

TITLE = "Bank clips"
KIND = "video"
LICENCE = bank.LICENCE
SOURCE = bank.SOURCE
COUNTS = {}  # a bank may have any number of clips
PROTOCOL = "definition"
NOTES = ("Rendered, 24 frames each, before backgrounds that do not move.",)


@dataclass(frozen=True)
class Sample:
    """A clip before a background; `item` is the clip's id and `length` its number of frames."""

    item: str
    clip: Path
    length: int
    background: Path


def items(root: Path, split: str = "test") -> list[Sample]:
    """List the clips of a split in order of id. ValueError if the bank has none."""
    return [
        Sample(row["id"], Path(root, row["path"]), int(row["frames"]), behind)
        for row, behind in bank.before(root, "clip", split)
    ]


def frames(sample: Sample) -> int:
    """How many frames a clip has."""
    return sample.length


def load_clip(sample: Sample) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each frame's composite (H, W, 3) and alpha (H, W), both uint8.

    The clip is one picture, so that its frames are decoded together: 10 MB for 24 of 320 x 320.
    """
    clip = images.read_clip(sample.clip, sample.length)
    background = bank.cover(images.read_rgb(sample.background), clip.shape[1:3])
    for rgba in clip:
        yield images.composite(rgba, background), np.ascontiguousarray(rgba[..., 3])
