"""Tiles cover a picture once, and a network of bounded reach sees no seam."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldportrait import tiling


@given(st.integers(1, 3000), st.integers(0, 60), st.integers(32, 500))
def test_spans_cover_all_with_their_overlap(length, overlap, more):
    side = 3 * overlap + more
    cuts = tiling.spans(length, side, overlap)
    assert cuts[0][0] == 0
    assert cuts[-1][1] == length
    assert all(start % tiling.ALIGN == 0 and end - start <= side for start, end in cuts)
    assert all(before[1] - after[0] == overlap for before, after in zip(cuts, cuts[1:], strict=False))
    assert all(after[0] >= before[1] for before, after in zip(cuts, cuts[2:], strict=False))


def test_spans_are_about_equal():
    assert tiling.spans(1000, 1024, 128) == [(0, 1000)]
    assert tiling.spans(2000, 1024, 128) == [(0, 768), (640, 1408), (1280, 2000)]


def test_a_tile_too_small_for_its_overlap_is_refused():
    with pytest.raises(ValueError, match="at least 128"):
        tiling.spans(1000, 127, 32)


@given(st.integers(1, 900), st.integers(0, 60), st.integers(0, 40))
def test_weights_sum_to_one_and_leave_out_the_margin(length, overlap, margin):
    cuts = tiling.spans(length, 3 * overlap + 64, overlap)
    total = np.zeros(length)
    for (start, end), weight in zip(cuts, tiling.weights(cuts, margin), strict=True):
        total[start:end] += weight
        if start > 0 and 2 * margin < overlap:
            assert not weight[:margin].any()
    assert np.allclose(total, 1, atol=1e-6)


def blurred(picture: np.ndarray, reach: int) -> np.ndarray:
    return cv2.blur(picture, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_CONSTANT)


@pytest.mark.parametrize("shape", [(150, 333), (150, 333, 3)])
def test_a_filter_made_in_tiles_is_the_filter(shape):
    """Beyond a tile's edge the filter sees black: without the margin the seams would show it."""
    picture = np.random.default_rng(0).random(shape, dtype=np.float32)
    result = picture.copy()
    tiling.blend(result, 128, 32, 8, lambda window: blurred(picture[window], 8) - picture[window])
    assert np.allclose(result, blurred(picture, 8), atol=1e-5)
    shown = picture.copy()
    tiling.blend(shown, 128, 32, 0, lambda window: blurred(picture[window], 8) - picture[window])
    assert np.abs(shown - blurred(picture, 8)).max() > 0.02


def test_a_tile_without_change_keeps_the_base():
    base = np.zeros((64, 300), np.float32)
    tiling.blend(base, 128, 32, 0, lambda window: np.float32(1) if window[1].start == 0 else None)
    assert (base[:, :64] == 1).all()
    assert (base[:, 128:] == 0).all()
    assert (np.diff(base[0]) <= 0).all()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 90), st.integers(1, 90))
def test_a_window_of_an_enlargement_is_that_part_of_it(height, width, rows, columns):
    small = np.random.default_rng(height).random((height, width, 2), dtype=np.float32)
    shape = (max(height, rows), max(width, columns))
    expected = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_LINEAR)
    window = (slice(shape[0] // 3, shape[0]), slice(0, shape[1] // 2 + 1))
    assert np.allclose(tiling.enlarge(small, shape, window), expected[window], atol=1e-3)
