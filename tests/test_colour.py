"""The foreground's colour, on pictures laid over a haze by the formula of `over`, and on the bank's portraits."""

import cv2
import numpy as np
import pytest
from test_connectivity import levels, person, portraits

from ldportrait.connectivity import clean_foreground, refine
from ldportrait.generators import artifacts


def textured(size: int = 256) -> np.ndarray:
    """A colour that varies from place to place, float32 (size, size, 3) in [20, 120]."""
    noise = np.random.default_rng(3).uniform(0, 1, (size // 16, size // 16, 3)).astype(np.float32)
    return 20 + 100 * cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR)


def over_haze(density: float = 0.15) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The straight colour of a person over a light haze, the person's own, the alpha of both, and the person's."""
    alpha, own, haze = cv2.GaussianBlur(person(), (0, 0), 4), textured(), np.array([225, 220, 210], np.float32)
    veil = density * (1 - alpha) * (cv2.GaussianBlur(person(), (0, 0), 12) > 0.02)
    seen = (alpha[..., None] * own + veil[..., None] * haze) / np.maximum(alpha + veil, 1e-6)[..., None]
    return np.rint(seen).astype(np.uint8), own, levels(alpha + veil), levels(alpha)


def fringe_error(colour: np.ndarray, truth: np.ndarray, alpha: np.ndarray) -> float:
    """Mean absolute difference of colours in levels, weighted with alpha (1 - alpha), which is 0 off the edge."""
    share = alpha / 255
    weight = share * (1 - share)
    return float((np.abs(colour.astype(float) - truth).mean(axis=-1) * weight).sum() / weight.sum())


def test_clean_foreground_keeps_opaque_colour_and_takes_the_halo_off():
    alpha = person()
    colour = np.zeros((256, 256, 3), np.uint8)
    colour[:] = 40, 90, 160
    colour[levels(alpha) < 128] = 255  # a white fringe where the person is soft, and white under alpha 0
    clean = clean_foreground(colour, levels(alpha))
    opaque = levels(alpha) == 255
    assert np.array_equal(clean[opaque], colour[opaque])
    fringe = (alpha > 0) & (levels(alpha) < 128)
    before, after = (np.abs(picture[fringe].astype(int) - [40, 90, 160]).mean() for picture in (colour, clean))
    assert after < 0.8 * before
    assert np.abs(clean[0, 0].astype(int) - [40, 90, 160]).max() < 20


def test_clean_foreground_leaves_a_clean_colour():
    for picture in portraits(4):
        colour, alpha = picture[..., :3], picture[..., 3]
        clean = clean_foreground(colour, alpha)
        seen = alpha[..., None] / 255
        change = np.abs((clean.astype(float) - colour) * seen)[alpha > 0]
        assert change.mean() < 1


@pytest.mark.parametrize("value", [0, 255])
def test_clean_foreground_of_constant_alphas(value):
    colour = np.random.default_rng(0).integers(0, 256, (40, 31, 3), dtype=np.uint8)
    clean = clean_foreground(colour, np.full((40, 31), value, np.uint8))
    assert np.array_equal(clean, colour)


def test_the_haze_is_taken_out_of_the_colour():
    seen, own, raw, alpha = over_haze()
    before = fringe_error(seen, own, alpha)
    assert before > 20
    assert fringe_error(clean_foreground(seen, alpha, raw), own, alpha) < 0.15 * before


def test_where_no_haze_was_the_colour_stays():
    for picture in portraits(4):
        colour, alpha = picture[..., :3], picture[..., 3]
        clean = clean_foreground(colour, alpha, alpha)
        visible = alpha > 0.1 * 255
        assert np.abs(clean.astype(int) - colour)[visible].max() <= 8
        assert np.abs(clean.astype(float) - colour)[visible].mean() < 0.02


def test_the_colour_of_damaged_portraits_comes_near_the_true_one():
    before, after = [], []
    for seed, picture in enumerate(portraits(8)):
        damaged, _ = artifacts.damage(picture, seed, gross=0)
        alpha = refine(damaged[..., 3]).alpha
        clean = clean_foreground(damaged[..., :3], alpha, damaged[..., 3])
        before.append(fringe_error(damaged[..., :3], picture[..., :3], picture[..., 3]))
        after.append(fringe_error(clean, picture[..., :3], picture[..., 3]))
    assert np.mean(after) < 0.6 * np.mean(before)


@pytest.mark.parametrize(("kind", "most"), [("exact", 1), ("not given", 1), ("a haze that the edge does not show", 20)])
def test_no_other_colour_is_left_under_alpha_0(kind, most):
    alpha = levels(person())
    colour = np.full((256, 256, 3), 255, np.uint8)
    colour[alpha > 0] = 40, 90, 160
    raw = {"exact": alpha, "not given": None}.get(kind, np.maximum(alpha, 30))
    clean = clean_foreground(colour, alpha, raw)
    assert np.abs(clean[alpha == 0].astype(int) - [40, 90, 160]).max() <= most


def test_beyond_the_persons_box_the_outermost_colours_go_on():
    alpha = np.zeros((200, 300), np.uint8)
    alpha[80:120, 130:170] = 255
    colour = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    clean = clean_foreground(colour, alpha)
    assert (clean[:70, 150] == clean[70, 150]).all()
    assert (clean[130:, 150] == clean[130, 150]).all()
    assert (clean[100, :120] == clean[100, 120]).all()
    assert (clean[100, 185:] == clean[100, 185]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 3), (61, 47), (255, 130)])
def test_any_size_is_cleaned(shape):
    generator = np.random.default_rng(1)
    colour = generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
    alpha = generator.integers(0, 256, shape, dtype=np.uint8)
    alpha[0, 0] = 255
    clean = clean_foreground(colour, alpha, np.maximum(alpha, 9))
    assert (clean.shape, clean.dtype) == (colour.shape, np.uint8)
    assert np.array_equal(clean[alpha == 255], colour[alpha == 255])


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_the_alphas_type_makes_no_difference(dtype):
    seen, _, raw, alpha = over_haze()
    factor = 257 if dtype == np.uint16 else 1 / 255
    others = [(plane.astype(np.float64) * factor).astype(dtype) for plane in (alpha, raw)]
    expected = clean_foreground(seen, alpha, raw).astype(int)
    assert np.abs(clean_foreground(seen, *others) - expected).max() <= 1


def test_planes_that_do_not_belong_together_are_refused():
    alpha, colour = np.full((8, 8), 200, np.uint8), np.zeros((8, 8, 3), np.uint8)
    for wrong in (colour[:4], colour.astype(np.float32), colour[..., :2]):
        with pytest.raises(ValueError, match="colour"):
            clean_foreground(wrong, alpha)
    for raw in (alpha[:4], alpha.astype(np.float32)):
        with pytest.raises(ValueError, match="raw alpha"):
            clean_foreground(colour, alpha, raw)
    with pytest.raises(ValueError, match="alpha"):
        clean_foreground(colour, np.full((8, 8), np.nan, np.float32))
