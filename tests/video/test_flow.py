"""Optical flow against known motion: moved textures, and squares that hide what is behind them."""

import numpy as np
import pytest
import scenes

from ldportrait.video import flow


@pytest.mark.parametrize(("right", "down"), [(0, 0), (5, 0), (-3, 4), (2.5, -1.25)])
def test_the_flow_of_a_moved_texture_is_its_motion(right, down):
    picture = scenes.texture((96, 128), 0)
    a, b = scenes.frame(0, picture), scenes.frame(1, scenes.shifted(picture, right, down))
    found = flow.Flows().between(a, b)
    assert (found.shape, found.dtype) == ((96, 128, 2), np.float32)
    assert np.abs(found[16:-16, 16:-16] - (right, down)).max() < 0.3


def test_a_large_picture_is_compared_small_and_its_flow_counts_in_its_own_pixels():
    picture = scenes.texture((240, 320), 0)
    a, b = scenes.frame(0, picture), scenes.frame(1, scenes.shifted(picture, 6, -4))
    flows = flow.Flows(side=160)
    assert np.abs(flows.between(a, b)[24:-24, 24:-24] - (6, -4)).max() < 0.6
    assert flows.trusted(a, b).shape == (240, 320)
    assert flows.trusted(a, b)[24:-24, 24:-24].mean() > 0.99


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (9, 40), (63, 64), (2, 1300)])
def test_tiny_and_long_pictures(shape):
    picture = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    flows = flow.Flows()
    a, b = scenes.frame(0, picture), scenes.frame(1, picture)
    assert np.abs(flows.between(a, b)).max() < 0.2
    assert flows.trusted(a, b).shape == shape


def test_warping_undoes_a_motion():
    picture = scenes.texture((40, 60), 0)
    moved = scenes.shifted(picture, 7, -3)
    forth = np.broadcast_to(np.float32([7, -3]), (40, 60, 2))
    assert (flow.warp(moved, forth)[3:, :53] == picture[3:, :53]).all()
    assert np.allclose(flow.warp(moved[..., 0] / np.float32(255), forth)[3:, :53], picture[3:, :53, 0] / 255)


def test_warping_between_pixels_is_bilinear():
    ramp = np.tile(np.float32([0, 10, 20, 30, 40]), (3, 1))
    assert np.allclose(flow.warp(ramp, np.full((3, 5, 2), (0.25, 0), np.float32))[:, :4], ramp[:, :4] + 2.5)


def test_trust_by_hand():
    """By the inequality: 0.94² ≤ 0.01 (4² + 4.94²) + 0.5 = 0.904, but 0.97² > 0.01 (4² + 4.97²) + 0.5 = 0.907."""
    forward, backward = np.zeros((1, 9, 2), np.float32), np.zeros((1, 9, 2), np.float32)
    forward[..., 0] = 4
    backward[..., 0] = -4
    assert flow.trusted(forward, backward).tolist() == [[True] * 5 + [False] * 4]  # 5 to 8 end outside
    backward[0, 6, 0], backward[0, 7, 0] = -4.94, -4.97
    assert flow.trusted(forward, backward).tolist() == [[True, True, True, False, True] + [False] * 4]


def test_what_becomes_hidden_is_not_trusted():
    frames, masks = scenes.person(2, step=6)
    sure = flow.Flows().trusted(*frames)
    hidden = masks[1] & ~masks[0]
    still = ~masks[0] & ~masks[1]
    assert sure[hidden].mean() < 0.35
    assert sure[still].mean() > 0.9
    assert sure[masks[0]].mean() > 0.9


def test_a_pair_is_computed_once_and_little_is_kept(monkeypatch):
    frames, _ = scenes.person(6)
    flows = flow.Flows(kept=4)
    computed = []

    class Search:
        def calc(self, a, b, _):
            computed.append((a, b))
            return np.zeros((*a.shape, 2), np.float32)

    monkeypatch.setattr(flows, "_search", Search())
    for _ in range(2):
        flows.between(frames[0], frames[1])
        flows.trusted(frames[0], frames[1])
    assert len(computed) == 2  # there and back
    for a, b in zip(frames, frames[1:], strict=False):
        flows.trusted(a, b)
    assert len(flows._flows) == len(flows._greys) == len(flows._trusted) == 4


def test_two_sizes_are_refused():
    a, b = scenes.frame(0, np.zeros((4, 5, 3), np.uint8)), scenes.frame(1, np.zeros((5, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="Frame 0"):
        flow.Flows().between(a, b)
