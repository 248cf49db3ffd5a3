"""Trimaps of evidence: bounded below and above, wide where there is doubt, alike at every size."""

import cv2
import numpy as np
import pytest

from ldportrait.video import trimaps


def disc(size: int = 200, radius: float = 60) -> tuple[np.ndarray, np.ndarray]:
    """A mask (H, W) of 0 and 255, and each pixel's distance from its edge, known from the circle's equation."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    away = np.abs(np.hypot(y, x) - radius)
    return np.where(np.hypot(y, x) < radius, 255, 0).astype(np.uint8), away


def test_a_sure_segmentation_has_the_least_band_alone():
    """1 % of 200 pixels: 2 pixels to either side of the edge, and the mask elsewhere."""
    mask, away = disc()
    trimap = trimaps.evidence(mask, np.zeros_like(mask), thin=0.01)
    assert (trimap[away < 1.5] == 128).all()
    known = away > 3
    assert np.array_equal(trimap[known], mask[known])
    assert set(np.unique(trimap)) == {0, 128, 255}


def test_the_band_is_never_thinner_than_a_pixel_and_a_half():
    mask = np.zeros((20, 20), np.uint8)
    mask[:, 10:] = 255
    trimap = trimaps.evidence(mask, np.zeros_like(mask), thin=0)
    assert [tuple(row) for row in trimap] == [(0,) * 9 + (128,) * 2 + (255,) * 9] * 20


def test_even_doubt_below_strong_reaches_as_far_as_the_threshold_says():
    """An even doubt averages to itself: of 0.1, between 0.05 at 0.01 and 0.15 at 0.11, it reaches 0.06: 12 of 200."""
    mask, away = disc(radius=50)
    doubt = np.full_like(mask, round(0.1 * 255))
    trimap = trimaps.evidence(mask, doubt, thin=0.01, wide=0.11, weak=0.05, strong=0.15)
    assert (trimap[away < 11] == 128).all()
    assert (trimap[away > 14] != 128).all()
    everywhere = trimaps.evidence(mask, np.full_like(mask, 255))
    assert (everywhere == 128).all()


@pytest.mark.parametrize("level", [5, 12, 75, 113])
def test_weak_doubt_never_reaches_beyond_wide(level):
    """Whatever its pattern, doubt below STRONG (114 of 255) ends at WIDE."""
    mask, away = disc()
    doubt = np.random.default_rng(level).integers(0, level + 1, mask.shape, dtype=np.uint8)
    trimap = trimaps.evidence(mask, doubt)
    assert (trimap[away > trimaps.WIDE * 200 + 2] != 128).all()
    if level < 255 * trimaps.WEAK:
        assert (trimap[away > 3] != 128).all()


def test_the_band_is_wide_where_doubt_is_broad_and_thin_elsewhere():
    """Hair on the left: doubt over 16 pixels around the edge. On the right a seam of 2 pixels."""
    mask, away = disc()
    left = np.arange(200) < 100
    doubt = np.where((away < 8) & left, 200, np.where(away < 1, 200, 0)).astype(np.uint8)
    unknown = trimaps.evidence(mask, doubt) == 128
    assert unknown[(away < 8) & left & (np.arange(200)[:, None] > 60)].all()
    widths = [unknown[100, :100].sum(), unknown[100, 100:].sum()]
    assert widths[0] >= 18
    assert widths[1] <= 14


def test_islands_of_doubt_stay_only_where_they_are_strong():
    """In the person's middle, 60 pixels from the edge: a speck, a faint spot, and what may be a hole."""
    mask, _ = disc(radius=80)
    y, x = np.mgrid[:200, :200] - 99.5
    middle = np.hypot(y, x)

    def unknown_middle(radius: float, level: int) -> bool:
        trimap = trimaps.evidence(mask, np.where(middle < radius, level, 0).astype(np.uint8))
        return bool((trimap[middle < 5] == 128).any())

    assert not unknown_middle(1.5, 255)
    assert not unknown_middle(12, 30)
    assert unknown_middle(12, 255)


def test_a_trimap_is_the_same_at_every_size():
    mask, away = disc(150, 45)
    doubt = cv2.GaussianBlur((255 * (away < 6)).astype(np.uint8), (0, 0), 2)
    small = trimaps.evidence(mask, doubt)
    for scale in (2, 5):
        size = (150 * scale, 150 * scale)
        large = trimaps.evidence(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), cv2.resize(doubt, size))
        again = large[scale // 2 :: scale, scale // 2 :: scale]
        assert (again != small).mean() < 0.02
        assert ((large == 128).mean() / (small == 128).mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("value", [0, 255])
def test_nobody_or_nothing_but_somebody(value):
    """Without an edge and without doubt nothing is unknown."""
    mask = np.full((30, 40), value, np.uint8)
    assert np.array_equal(trimaps.evidence(mask, np.zeros_like(mask)), mask)


def test_what_is_no_segmentation_is_refused():
    mask = np.zeros((8, 9), np.uint8)
    with pytest.raises(ValueError, match="doubt"):
        trimaps.evidence(mask, np.zeros((9, 8), np.uint8))
    with pytest.raises(ValueError, match="mask"):
        trimaps.evidence(mask.astype(float), mask)
    with pytest.raises(ValueError, match="thin < wide"):
        trimaps.evidence(mask, mask, thin=0.2)
    with pytest.raises(ValueError, match="weak <= strong"):
        trimaps.evidence(mask, mask, weak=0.5, strong=0.2)
