import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from ldportrait import trimaps


def edge(width: int = 60, start: int = 20, stop: int = 30) -> np.ndarray:
    """Columns of 0 up to `start`, a ramp, and 255 from `stop` on; (40, width) uint8."""
    ramp = np.interp(np.arange(width), [start, stop], [0, 255])
    return np.tile(np.rint(ramp), (40, 1)).astype(np.uint8)


def test_unknown_are_the_fractional_pixels():
    alpha = edge()
    trimap = trimaps.from_alpha(alpha, 0, 0)
    assert np.array_equal(trimap == 128, (alpha > 0) & (alpha < 255))
    assert np.array_equal(trimap == 255, alpha == 255)
    assert np.array_equal(trimap == 0, alpha == 0)


def test_each_side_is_eroded_by_its_own_radius_and_not_from_the_frame():
    row = trimaps.from_alpha(edge(), 7, 4)[20]
    assert np.flatnonzero(row == 0).tolist() == list(range(21 - 4))
    assert np.flatnonzero(row == 255).tolist() == list(range(30 + 7, 60))


def test_the_erosion_is_round():
    alpha = np.zeros((81, 81), np.uint8)
    alpha[40, 40] = 128
    away = ndimage.distance_transform_edt(alpha == 0)
    unknown = trimaps.from_alpha(alpha, 0, 12) == 128
    assert unknown[away <= 11].all()
    assert not unknown[away > 13].any()


@given(seed=st.integers(0, 2**32 - 1), low=st.integers(0, 5), more=st.integers(0, 5))
def test_random_trimaps_lie_between_the_narrowest_and_the_widest(seed, low, more):
    alpha = edge()
    unknown = trimaps.random(alpha, np.random.default_rng(seed), low, low + more) == 128
    assert unknown[trimaps.from_alpha(alpha, low, low) == 128].all()
    assert not unknown[trimaps.from_alpha(alpha, low + more, low + more) != 128].any()


def test_random_trimaps_reach_both_ends_and_vary_on_their_own():
    generator = np.random.default_rng(0)
    rows = [trimaps.random(edge(), generator, 1, 3)[0] for _ in range(60)]
    widths = {(int((row == 0).sum()), int((row == 255).sum())) for row in rows}
    assert widths == {(21 - b, 30 - f) for b in (1, 2, 3) for f in (1, 2, 3)}


@pytest.mark.parametrize("alpha", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 1), np.uint8)])
def test_another_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match="uint8"):
        trimaps.from_alpha(alpha, 0, 0)


def test_wrong_radii_are_refused():
    with pytest.raises(ValueError, match="-1"):
        trimaps.from_alpha(edge(), -1, 0)
    with pytest.raises(ValueError, match="3 and 2"):
        trimaps.random(edge(), np.random.default_rng(0), 3, 2)
