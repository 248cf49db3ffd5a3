"""A whole clip by way of `cutouts.mattes`: what its steps share changes nothing."""

import cv2
import numpy as np
import pytest
import scenes

from ldportrait.video import cutouts, flow, matting, segmenters, trimaps

SIDE = 64


class Searching:
    """The search for optical flow, which notes the pictures that it is shown."""

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._own, self._pairs = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM), pairs

    def calc(self, a: np.ndarray, b: np.ndarray, start: None) -> np.ndarray:
        self._pairs.append((a.tobytes(), b.tobytes()))
        return self._own.calc(a, b, start)


def free(rgb: np.ndarray, trimap: None) -> np.ndarray:
    """A trimap-free network's stand-in, which is unsure almost everywhere and flickers with the colour."""
    return rgb[..., 0] / np.float32(255)


def based(images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A trimap-based network's stand-in."""
    return images[..., 1] / np.float32(255)


@pytest.mark.parametrize("batch", [1, 4])
def test_segmentation_and_smoothing_share_their_flow(monkeypatch, batch):
    """No pair of frames is searched twice, and the mattes are those of steps that share nothing, to the last bit."""
    frames, _ = scenes.person(24, shape=(64, 64), step=1)
    segments = segmenters.frames(frames, free, SIDE)
    known = ((found.frame, trimaps.evidence(found.mask, found.doubt)) for found in segments)
    apart = list(matting.smooth(matting.matte(known, based, batch)))

    pairs, make = [], flow.Flows.__init__

    def noting(self: flow.Flows, *arguments: int, **options: int) -> None:
        make(self, *arguments, **options)
        self._search = Searching(pairs)

    monkeypatch.setattr(flow.Flows, "__init__", noting)
    segment, matte = cutouts.found(free, SIDE), cutouts.by_trimaps(based, batch)
    made = list(cutouts.mattes(iter(frames), "clip", segment, matte, {}))
    assert len(pairs) == len(set(pairs)) > 0
    assert [found.frame.index for found in made] == list(range(24))
    for one, other in zip(made, apart, strict=True):
        assert np.array_equal(one.alpha, other.alpha)
        assert np.array_equal(one.trimap, other.trimap)
