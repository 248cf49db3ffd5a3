"""Optical flow between the frames of a clip, and what it brings from one frame to another.

A flow (H, W, 2) float32 from frame a to frame b says, in pixels, how far right and how far down what is at a pixel of a
has moved in b. `warp` with it brings values of b to where their pixels are in a.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable

import cv2
import numpy as np

from ldportrait.video.files import Frame

SIDE = 640  # longer side of the pictures that are compared; of 1280 it takes 5 times as long, for 0.05 pixels at most
SMALLEST = 64  # sides below this are padded: OpenCV's search reads past the end of tiny or very long pictures
KEPT = 64  # flows in memory
# Sundaram et al. (ECCV 2010), eq. 5: how far there and back may miss, of the squared lengths, and in square pixels
RELATIVE, ABSOLUTE = 0.01, 0.5
COLOUR = 20  # levels, of 255: pixels that differ by so much hardly show the same


class Flows:
    """Flow between any two frames of a clip by dense inverse search (Kroeger et al. 2016), each pair computed once.

    Grey pictures of no more than `side` pixels are compared, and the latest `kept` flows are remembered at that size,
    with where they are trusted. Frames are told apart by their index, so that each clip needs its own.
    """

    def __init__(self, side: int = SIDE, kept: int = KEPT) -> None:
        """Take the longer side to compare at, and how many flows to keep."""
        self.side, self.kept = side, kept
        self._search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._greys: OrderedDict[int, np.ndarray] = OrderedDict()
        self._flows: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._trusted: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    def between(self, a: Frame, b: Frame) -> np.ndarray:
        """The flow (H, W, 2) float32 from a to b. ValueError for frames of two sizes."""
        return enlarge(self._small(a, b), a.rgb.shape[:2])

    def trusted(self, a: Frame, b: Frame) -> np.ndarray:
        """Where in a, (H, W) bool, the flow to b is right as far as can be told: it comes back from there."""
        both = (a.index, b.index)
        sure = self._once(self._trusted, both, lambda: trusted(self._small(a, b), self._small(b, a)))
        if sure.shape == a.rgb.shape[:2]:
            return sure
        return cv2.resize(sure.view(np.uint8), a.rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT).view(bool)

    def _small(self, a: Frame, b: Frame) -> np.ndarray:
        """The flow at the size at which it is computed."""
        if a.rgb.shape != b.rgb.shape:
            raise ValueError(f"Frame {a.index} is {a.rgb.shape[:2]}, but frame {b.index} is {b.rgb.shape[:2]}.")
        height, width = self._size(a)

        def search() -> np.ndarray:
            return self._search.calc(self._grey(a), self._grey(b), None)[:height, :width]

        return self._once(self._flows, (a.index, b.index), search)

    def _size(self, frame: Frame) -> tuple[int, int]:
        """Height and width at which a frame is compared."""
        shape = frame.rgb.shape[:2]
        scale = min(1, self.side / max(shape))
        return tuple(max(1, round(scale * side)) for side in shape)

    def _grey(self, frame: Frame) -> np.ndarray:
        """A frame's grey values at the size that is compared, uint8, and padded where that is too small."""

        def grey() -> np.ndarray:
            height, width = self._size(frame)
            grey = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
            if grey.shape != (height, width):
                grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
            below, beside = (max(0, SMALLEST - side) for side in grey.shape)
            return cv2.copyMakeBorder(grey, 0, below, 0, beside, cv2.BORDER_REPLICATE)

        return self._once(self._greys, frame.index, grey)

    def _once(self, kept: OrderedDict, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """What is kept under a key, made if it is not; what was not asked for the longest time is dropped."""
        if key not in kept:
            kept[key] = make()
            while len(kept) > self.kept:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]


def enlarge(flow: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring a flow (h, w, 2) to pictures of another size (H, W): its field, and the pixels in which it counts."""
    height, width = flow.shape[:2]
    if (height, width) == tuple(shape):
        return flow
    scale = np.array([shape[1] / width, shape[0] / height], np.float32)
    return cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_LINEAR) * scale


def warp(values: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Bring values of frame b, (H, W) or (H, W, C) uint8 or float32, to frame a by the flow from a to b; bilinear.

    What would come from outside the picture is the value at its border.
    """
    at = targets(flow)
    return cv2.remap(values, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def targets(flow: np.ndarray) -> np.ndarray:
    """Where the pixels of frame a are in frame b: (H, W, 2) float32, column and row."""
    height, width = flow.shape[:2]
    at = flow.astype(np.float32, copy=True)
    at[..., 0] += np.arange(width, dtype=np.float32)
    at[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    return at


def trusted(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Where the flow from a to b holds, (H, W) bool in a: it ends inside the picture, and b's flow leads back.

    |f(p) + b(p + f(p))|² ≤ 0.01 (|f(p)|² + |b(p + f(p))|²) + 0.5 (Sundaram et al. 2010, eq. 5). What is hidden in b
    fails, and so does what was matched wrongly.
    """
    back = warp(backward, forward)
    missed = np.square(forward + back).sum(-1)
    return inside(forward) & (missed <= RELATIVE * (np.square(forward).sum(-1) + np.square(back).sum(-1)) + ABSOLUTE)


def inside(flow: np.ndarray) -> np.ndarray:
    """Where a flow ends inside the picture, (H, W) bool."""
    at = targets(flow)
    return (at >= 0).all(-1) & (at[..., 0] <= flow.shape[1] - 1) & (at[..., 1] <= flow.shape[0] - 1)


def agreement(picture: np.ndarray, warped: np.ndarray) -> np.ndarray:
    """How far a picture and what was warped to it show the same, (H, W) float32 in [0, 1], both (H, W, 3) uint8.

    exp(-(d / COLOUR)²), d being the largest difference of a channel.
    """
    difference = cv2.absdiff(picture, warped).max(axis=2).astype(np.float32)
    return np.exp(-np.square(difference / COLOUR))
