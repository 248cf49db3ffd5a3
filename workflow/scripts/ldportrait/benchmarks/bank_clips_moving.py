"""The bank's clips as a benchmark, before backgrounds that a hand-held camera seems to film: with exact alpha.

Clip i stands before background i mod n, as in `bank-clips`. The background pans and zooms along a smooth path with a
slight shake, that the clip's id draws; the person and the alpha are those of `bank-clips`. The test split has 6 clips.
"""

import zlib
from collections.abc import Iterator

import cv2
import numpy as np

from ldportrait import images
from ldportrait.benchmarks import bank, bank_clips
from ldportrait.benchmarks.bank_clips import Sample, frames, items

__all__ = ["Sample", "frames", "items", "load_clip"]

TITLE = "Bank clips, moving"
KIND = "video"
LICENCE = bank.LICENCE
SOURCE = bank.SOURCE
COUNTS = bank_clips.COUNTS
PROTOCOL = "definition"
NOTES = (
    "The background moves as a flat picture would: there is no parallax in it, and the person's light does not change.",
)

ROOM = 1.3  # the background is that much larger than the frame, for the camera to move in
ZOOM = 1.12  # the camera zooms in by up to this
PERIODS = 60.0, 120.0  # frames that a pan or a zoom takes to and fro
SHAKE = 0.4  # pixels of a frame of 320, standard deviation; along each axis
EDGE = 2.0  # pixels of the enlarged background that the interpolation may see beyond the window


def load_clip(sample: Sample) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each frame's composite (H, W, 3) and alpha (H, W), both uint8."""
    clip = images.read_clip(sample.clip, sample.length)
    height, width = clip.shape[1:3]
    large = bank.cover(images.read_rgb(sample.background), (round(ROOM * height), round(ROOM * width)))
    for rgba, window in zip(clip, path(sample.item, sample.length, (height, width), large.shape[:2]), strict=True):
        background = cv2.warpAffine(large, window, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        yield images.composite(rgba, background), np.ascontiguousarray(rgba[..., 3])


def path(item: str, length: int, shape: tuple[int, int], large: tuple[int, int]) -> np.ndarray:
    """The camera's path: for each of `length` frames the map (2, 3) from a frame's (x, y) to the background's.

    `shape` is (H, W) of the frame and `large` that of the background. Pan and zoom are sines of a period and a phase
    that the item draws, the shake is noise, averaged over three frames; the window never leaves the background.
    """
    generator = np.random.default_rng(zlib.crc32(item.encode()))
    frame = np.arange(length)
    periods, phases = generator.uniform(*PERIODS, 3), generator.uniform(0, 2 * np.pi, 3)
    x, y, zoom = np.sin(2 * np.pi * frame / periods[:, None] + phases[:, None])
    scale = ZOOM ** (-(zoom + 1) / 2)  # pixels of the background per pixel of the frame
    noise = generator.normal(0, SHAKE * max(shape) / 320 * np.sqrt(3), (2, length + 2))
    shake = (noise[:, :-2] + noise[:, 1:-1] + noise[:, 2:]) / 3
    maps = np.zeros((length, 2, 3))
    for axis, (pan, side, room) in enumerate([(x, shape[1], large[1]), (y, shape[0], large[0])]):
        most = room - 1 - scale * (side - 1)  # where the window's first pixel may lie, at the most
        start = most / 2 * (1 + pan) + shake[axis]
        maps[:, axis, axis] = scale
        maps[:, axis, 2] = np.clip(start, EDGE, most - EDGE)
    return maps
