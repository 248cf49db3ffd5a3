"""Regions agree with scipy's labels, and reconstruction with its definition, level by level."""

import numpy as np
import pytest
from scipy import ndimage

from ldportrait.regions import Regions, connected_level, joined, largest

NEIGHBOURS = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3))}
MASKS = [np.random.default_rng(seed).random((37, 53)) < share for seed, share in enumerate((0.1, 0.3, 0.4, 0.6, 0.9))]


@pytest.mark.parametrize("connectivity", [4, 8])
def test_regions_have_the_areas_and_seeds_of_scipys_labels(connectivity):
    for mask in MASKS:
        labels, count = ndimage.label(mask, NEIGHBOURS[connectivity])
        regions = Regions.of(mask, connectivity)
        assert regions.count == count
        assert sorted(regions.areas()[1:]) == sorted(np.bincount(labels.ravel())[1:])
        seeds = np.random.default_rng(9).random(mask.shape) < 0.02
        held = np.isin(labels, labels[seeds & mask]) & mask
        assert np.array_equal(regions.mask(regions.holding(seeds)), held)


def test_joined_keeps_what_hangs_together_with_a_seed_even_at_corners():
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]], bool)
    seeds = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)  # the second lies outside the mask
    assert joined(mask, seeds).astype(int).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_of_equally_large_regions_all_are_the_largest():
    mask = np.array([[1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]], bool)
    assert largest(mask).astype(int).tolist() == [[1, 1, 0, 1, 1], [0] * 5, [0] * 5]
    assert not largest(np.zeros((3, 3), bool)).any()
    assert largest(np.ones((3, 3), bool)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_connected_level_is_the_highest_at_which_a_pixel_hangs_together_with_the_core(dtype):
    for mask in MASKS:
        smooth = ndimage.gaussian_filter(np.random.default_rng(4).random(mask.shape), 2)
        alpha = np.rint(15 * (smooth - smooth.min()) / np.ptp(smooth)).astype(dtype)
        core = mask & (alpha > 10)
        expected = np.zeros_like(alpha)
        for level in range(1, 16):
            labels, _ = ndimage.label(alpha >= level, NEIGHBOURS[8])
            expected[np.isin(labels, labels[core & (alpha >= level)]) & (labels > 0)] = level
        assert np.ptp(alpha - expected) > 0
        assert np.array_equal(connected_level(alpha, core), expected)
