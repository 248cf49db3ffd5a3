"""The image metrics against hand-computed values, a plain textbook version, and the known traps."""

import numpy as np
import pytest
import textbook
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pairs import constructed, drawn, portrait, predicted, unit

from ldportrait.metrics import image

METRICS = [getattr(image, name) for name in image.METRICS]


# By hand


def test_sums_and_means():
    true = np.array([[0, 51], [255, 255]], np.uint8)
    pred = np.array([[51, 51], [0, 204]], np.uint8)
    assert image.sad(pred, true) == pytest.approx((0.2 + 1 + 0.2) / 1000)
    assert image.mad(pred, true) == pytest.approx(1.4 / 4)
    assert image.mse(pred, true) == pytest.approx((0.04 + 1 + 0.04) / 4)


def test_a_mask_selects_pixels():
    true = np.array([[0, 51], [255, 255]], np.uint8)
    pred = np.array([[51, 51], [0, 204]], np.uint8)
    mask = np.array([[True, True], [False, True]])
    assert image.sad(pred, true, mask) == pytest.approx(0.4 / 1000)
    assert image.mad(pred, true, mask) == pytest.approx(0.4 / 3)
    assert image.mse(pred, true, mask) == pytest.approx(0.08 / 3)


def test_a_mean_over_nothing_is_no_number():
    alpha, nothing = np.zeros((3, 3), np.uint8), np.zeros((3, 3), bool)
    assert np.isnan(image.mse(alpha, alpha, nothing))
    assert np.isnan(image.mad(alpha, alpha, nothing))
    assert image.sad(alpha, alpha, nothing) == 0


def test_gradient_of_a_step_by_hand():
    """A vertical step: the derivative kernel's tail sums stand in the eight columns at the step, in every row."""
    x = np.arange(-4, 5)
    gaussian = np.exp(-(x**2) / (2 * 1.4**2))
    derivative = x * gaussian
    gaussian, derivative = gaussian / np.sqrt((gaussian**2).sum()), derivative / np.sqrt((derivative**2).sum())
    amplitudes = [gaussian.sum() * derivative[-k:].sum() for k in (1, 2, 3, 4, 4, 3, 2, 1)]
    step = np.zeros((20, 30), np.uint8)
    step[:, 15:] = 255
    flat = np.zeros_like(step)
    # nine taps: the centre's weight is 0, so that four columns each side see the step
    assert image.grad(flat, step) == pytest.approx(20 * np.square(amplitudes).sum() / 1000, rel=1e-5)


def test_the_gradient_sees_the_picture_beyond_the_mask():
    step = np.zeros((20, 30), np.uint8)
    step[:, 15:] = 255
    mask = np.zeros(step.shape, bool)
    mask[:, 13:15] = True  # flat in both alphas, yet within the kernel's reach of the step
    assert image.grad(np.zeros_like(step), step, mask) > 0.01


def test_connectivity_of_a_floater_by_hand():
    """A piece of 0.9 that hangs by nothing: l = 0 there in both; the true alpha has phi = 1, the other 1 - 0.9."""
    true = np.zeros((20, 20), np.float32)
    true[5:15, 5:15] = 1
    pred = true.copy()
    pred[0:2, 0:3] = 0.9
    assert image.conn(pred, true) == pytest.approx(6 * 0.9 / 1000)


def test_connectivity_of_a_weakly_tied_piece_by_hand():
    """A bridge of 0.5 ties a piece of 1 to the body up to 0.5 in both alphas: l = 0.5; differences by phi."""
    true = np.zeros((12, 30), np.float32)
    true[:, :12] = 1
    true[6, 12:16] = 0.5
    true[4:9, 16:20] = 1
    pred = true.copy()
    pred[4:9, 16:20] = 0.6  # 0.6 - 0.5 is below 0.15: phi = 1, against 1 - 0.5 for the truth
    assert image.conn(pred, true) == pytest.approx(20 * 0.5 / 1000)


# Traps of public implementations


def small_on_empty() -> tuple[np.ndarray, np.ndarray]:
    """A small foreground: background is the largest region, and it must not be taken for the component."""
    true = np.zeros((60, 60), np.float32)
    true[25:35, 25:35] = 1
    pred = true.copy()
    pred[25:35, 25:30] = 0.5
    return pred, true


def test_background_is_never_the_largest_component():
    pred, true = small_on_empty()
    # the half at 0.5 leaves the component after 0.5: l = 0.5 there, phi = 1 for pred and 1 - 0.5 for truth
    assert image.conn(pred, true) == pytest.approx(50 * 0.5 / 1000)


def test_an_empty_prediction_is_unconnected():
    """No pixel is in the empty set: l = 0 everywhere and Conn is all of the truth from 0.15 up, neither 0 nor more."""
    true = portrait()
    levels = true / 255
    expected = levels[levels >= 0.15].sum() / 1000
    assert image.conn(np.zeros_like(true), true) == pytest.approx(expected, rel=1e-6)
    assert expected > 5


@pytest.mark.parametrize("level", [51, 102, 153, 204, 255])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_a_level_that_equals_a_threshold_meets_it(level, kind):
    """153 / 255 is 0.6: a piece tied at 153 is tied up to 0.6, so that only what is 0.15 above that differs."""
    true = np.zeros((10, 24), np.uint8)
    true[:, :8] = 255
    true[5, 8:12] = level
    true[3:8, 12:16] = 255
    pred = true.copy()
    pred[3:8, 12:16] = min(255, level + 37)  # 0.145 above the tie: counts as connected if the tie holds at `level`
    apart = np.array(1 - level / 255)
    expected = 20 * (apart * (apart >= 0.15)) / 1000
    alphas = [alpha if kind is np.uint8 else (alpha / 255).astype(kind) for alpha in (pred, true)]
    assert image.conn(*alphas) == pytest.approx(expected, abs=1e-9)


def test_corners_do_not_connect():
    """Two squares that touch at a corner are two components by 4-connectivity."""
    true = np.zeros((20, 20), np.float32)
    true[:10, :10] = 1
    true[10:15, 10:15] = 1
    pred = true.copy()
    pred[10:15, 10:15] = 0.8
    assert image.conn(pred, true) == pytest.approx(25 * 0.2 / 1000)  # 0 by 8-connectivity up to 0.8


def test_no_normalisation():
    """A matte at half contrast is half wrong; min-max normalisation would hide that."""
    true = portrait()
    half = (true / 255 / 2).astype(np.float32)
    assert image.grad(half, true) == pytest.approx(image.grad(np.zeros_like(true), true) / 4, rel=1e-4)


# Against the textbook version


@pytest.mark.parametrize("name", ["portrait-003", "portrait-040", "portrait-100"])
@pytest.mark.parametrize("metric", image.METRICS)
@pytest.mark.parametrize("region", ["whole", "unknown"])
def test_textbook_on_portraits(metric, name, region):
    true = portrait(name)
    pred = predicted(true)
    mask = None if region == "whole" else (true > 0) & (true < 255)
    everywhere = np.ones(true.shape, bool) if mask is None else mask
    expected = getattr(textbook, metric)(pred / 255, true / 255, everywhere)
    assert getattr(image, metric)(pred, true, mask) == pytest.approx(expected, rel=1e-6)
    assert expected > 0


@pytest.mark.parametrize("name", constructed())
@pytest.mark.parametrize("metric", image.METRICS)
def test_textbook_on_constructed_pairs(metric, name):
    pred, true = constructed()[name]
    expected = getattr(textbook, metric)(unit(pred), unit(true), np.ones(true.shape, bool))
    assert getattr(image, metric)(pred, true) == pytest.approx(expected, rel=1e-6, abs=1e-12)


SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 14))
SPARSE = st.sampled_from([0, 0, 0, 25, 51, 64, 102, 128, 153, 180, 204, 230, 255, 255])


@st.composite
def pairs(draw):
    shape = draw(SHAPES)
    return tuple(draw(hnp.arrays(np.uint8, shape, elements=SPARSE)) for _ in range(2))


@settings(deadline=None, max_examples=150)
@given(pairs())
def test_textbook_on_anything(pair):
    pred, true = pair
    everywhere = np.ones(true.shape, bool)
    for name in image.METRICS:
        expected = getattr(textbook, name)(pred / 255, true / 255, everywhere)
        assert getattr(image, name)(pred, true) == pytest.approx(expected, rel=1e-6, abs=1e-12), name


@settings(deadline=None, max_examples=60)
@given(pairs())
def test_floats_give_what_bytes_give(pair):
    for kind in (np.float32, np.float64):
        floats = [(alpha / 255).astype(kind) for alpha in pair]
        assert [metric(*floats) for metric in METRICS] == [metric(*pair) for metric in METRICS]


def test_floats_are_not_quantised():
    true = np.full((4, 4), 0.5, np.float32)
    assert image.mad(true + np.float32(0.0005), true) == pytest.approx(0.0005, rel=1e-3)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("level", range(1, 11))
def test_a_float_that_equals_a_threshold_meets_it(level, kind):
    """The float32 next to 0.7 lies below 0.7, that next to 0.1 above; a piece tied there is tied up to there."""
    true = np.zeros((10, 24), kind)
    true[:, :8] = 1
    true[5, 8:12] = level / 10
    true[3:8, 12:16] = 1
    pred = true.copy()
    pred[3:8, 12:16] = min(1, level / 10 + 0.145)
    apart = 1 - level / 10
    expected = 20 * apart * (apart > 0.149) / 1000
    assert image.conn(pred, true) == pytest.approx(expected, rel=1e-6, abs=1e-12)


# What must not change a value


def test_turning_the_pair_changes_nothing():
    pred, true, _ = drawn()
    for metric in METRICS:
        expected = metric(pred, true)
        for turned in ((pred[::-1], true[::-1]), (pred[:, ::-1], true[:, ::-1]), (pred.T, true.T)):
            assert metric(*turned) == pytest.approx(expected, rel=1e-8)


def test_exchanging_the_pair_changes_nothing():
    pred, true, _ = drawn()
    for metric in METRICS:
        assert metric(true, pred) == pytest.approx(metric(pred, true), rel=1e-8)


def test_empty_surroundings_add_nothing():
    pred, true, _ = drawn()
    wide = [np.pad(alpha, ((20, 3), (0, 31))) for alpha in (pred, true)]
    for name in image.METRICS:
        share = true.size / wide[1].size if name in ("mse", "mad") else 1
        assert getattr(image, name)(*wide) == pytest.approx(share * getattr(image, name)(pred, true), rel=1e-8)


def test_sums_over_parts_make_the_whole():
    pred, true, trimap = drawn()
    for metric in (image.sad, image.grad, image.conn):
        parts = [metric(pred, true, trimap == level) for level in (0, 128, 255)]
        assert sum(parts) == pytest.approx(metric(pred, true), rel=1e-8)


def test_half_the_contrast_has_a_quarter_of_the_gradient_error():
    pred, true, _ = drawn()
    assert image.grad(pred / 510, true / 510) == pytest.approx(image.grad(pred, true) / 4, rel=1e-8)


# The foreground's colour


def test_colour_errors_by_hand():
    """Two pixels count, of which one is wrong by 0.2 in red and 0.4 in blue."""
    true = np.full((2, 2, 3), 102, np.uint8)
    pred = true.copy()
    pred[0, 0] = (153, 102, 0)
    pred[1, 1] = 255  # where alpha is 0
    alpha = np.array([[255, 1], [0, 0]], np.uint8)
    expected = {"fgr_mse": (0.2**2 + 0.4**2) / 6, "fgr_mad": (0.2 + 0.4) / 6}
    assert image.foreground(pred, true, alpha) == pytest.approx(expected)


def test_colour_errors_under_a_mask_by_hand():
    true, pred = np.zeros((1, 2, 3)), np.zeros((1, 2, 3))
    pred[0, 1, 0] = 0.3
    found = image.foreground(pred, true, np.ones((1, 2)), np.array([[False, True]]))
    assert found == pytest.approx({"fgr_mse": 0.03, "fgr_mad": 0.1})


def test_colour_errors_of_no_foreground_are_no_number():
    colour = np.zeros((2, 3, 3), np.uint8)
    assert np.isnan(list(image.foreground(colour, colour, np.zeros((2, 3), np.uint8)).values())).all()


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_textbook_on_colours(kind):
    generator = np.random.default_rng(3)
    pred, true = generator.integers(0, 256, (2, 17, 23, 3), dtype=np.uint8)
    alpha = generator.choice(np.array([0, 0, 90, 255], np.uint8), (17, 23))
    if kind is not np.uint8:
        pred, true, alpha = (values.astype(kind) / 255 for values in (pred, true, alpha))
    found = image.foreground(pred, true, alpha)
    assert list(found.values()) == pytest.approx(textbook.foreground(unit(pred), unit(true), alpha), rel=1e-6)


@pytest.mark.parametrize(
    ("pred", "word"),
    [
        (np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
        (np.zeros((4, 5, 3), np.uint8), r"\(4, 5, 3\)"),
        (np.full((4, 4, 3), 2.0), "colour goes from 2"),
        (np.zeros((4, 4, 3), np.int16), "colour is uint8"),
    ],
)
def test_a_colour_that_does_not_fit_is_refused(pred, word):
    with pytest.raises(ValueError, match=word):
        image.foreground(pred, np.zeros((4, 4, 3), np.uint8), np.ones((4, 4)))


# All at once


def test_all_metrics_are_the_single_ones():
    true = portrait()
    pred = predicted(true)
    masks = {"whole": None, "unknown": (true > 0) & (true < 255)}
    rows = image.all_metrics(pred, true, masks)
    assert [(row["region"], row["metric"]) for row in rows] == [(r, m) for r in masks for m in image.METRICS]
    for row in rows:
        assert row["value"] == getattr(image, row["metric"])(pred, true, masks[row["region"]])


@pytest.mark.parametrize("metric", METRICS)
def test_equal_alphas_have_no_error(metric):
    assert metric(portrait(), portrait()) == 0
    assert metric(np.zeros((5, 5), np.uint8), np.zeros((5, 5), np.uint8)) == 0


# What does not fit


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("pred", "word"),
    [
        (np.zeros((4, 5), np.uint8), r"\(4, 5\)"),
        (np.zeros((4, 4), np.uint16), "uint16"),
        (np.full((4, 4), 255.0), "255"),
        (np.full((4, 4), np.nan), "nan"),
    ],
)
def test_an_alpha_that_does_not_fit_is_refused(metric, pred, word):
    with pytest.raises(ValueError, match=word):
        metric(pred, np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("mask", [np.ones((4, 5), bool), np.ones((4, 4), np.uint8)])
def test_a_mask_that_does_not_fit_is_refused(metric, mask):
    with pytest.raises(ValueError, match="mask"):
        metric(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), mask)


def test_three_channels_are_refused():
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        image.sad(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8))
