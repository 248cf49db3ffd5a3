"""Composites: right by the compositing equation, and the same for every variant of a data set."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ldportrait import augment

PARAMS = augment.Params(crop=48)
PLAIN = replace(PARAMS, two_foregrounds=0, jitter=0, degrade=0)


def portrait(size: int = 160, colour: tuple[int, int, int] = (200, 120, 40)) -> np.ndarray:
    """A head and shoulders with soft rims."""
    y, x = np.mgrid[:size, :size] / size
    head = (0.22 - np.hypot(y - 0.35, x - 0.5)) * 30
    body = (0.38 - np.hypot((y - 1.0), x - 0.5)) * 30
    alpha = np.clip(np.maximum(head, body) + 0.5, 0, 1)
    texture = 20 * np.sin(40 * x[..., None] + 30 * y[..., None])
    return np.dstack([np.clip(np.array(colour) + texture, 0, 255), 255 * alpha]).round().astype(np.uint8)


def damaged(rgba: np.ndarray) -> np.ndarray:
    """The same portrait as a generator would give it: a hazy body, a halo, crumbs."""
    rng = np.random.default_rng(5)
    alpha = rgba[..., 3].astype(float)
    noise = cv2.GaussianBlur(rng.standard_normal(alpha.shape), (0, 0), 3)
    alpha = np.where(alpha > 250, 247 + 8 * np.tanh(noise), alpha)
    alpha = np.maximum(alpha, 12 * (cv2.GaussianBlur(alpha, (0, 0), 6) > 20))
    alpha[rng.random(alpha.shape) > 0.999] = 90
    return np.dstack([rgba[..., :3], alpha.round().astype(np.uint8)])


def grounds(count: int = 3) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(0, 256, (90 + i, 130, 3), dtype=np.uint8) for i in range(count)]


def make(index: int, rgba: np.ndarray, params: augment.Params = PARAMS, seed: int = 0) -> augment.Sample:
    return augment.sample(index, rgba, portrait(colour=(30, 60, 220)), grounds(), params, seed)


def arrays(sample: augment.Sample) -> list[np.ndarray]:
    return [sample.image, sample.alpha, sample.trimap, sample.background]


def test_a_sample_is_a_function_of_seed_and_index():
    one, again = make(7, portrait()), make(7, portrait())
    assert all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(again), strict=True))
    assert not np.array_equal(one.image, make(8, portrait()).image)
    assert not np.array_equal(one.image, make(7, portrait(), seed=1).image)


def test_shapes_and_trimap():
    params = replace(PARAMS, two_foregrounds=0.5, degrade=0.5)
    for index in range(20):
        sample = make(index, portrait(), params)
        assert [array.shape for array in arrays(sample)] == [(48, 48, 3), (48, 48), (48, 48), (48, 48, 3)]
        assert {array.dtype for array in arrays(sample)} == {np.dtype(np.uint8)}
        assert (sample.alpha[sample.trimap == 0] == 0).all()
        assert (sample.alpha[sample.trimap == 255] == 255).all()
        assert set(np.unique(sample.trimap)) <= {0, 128, 255}


def test_the_composite_obeys_its_equation():
    """A portrait of one colour and no jitter: I = a F + (1 - a) B for the alpha and background that come along."""
    rgba = portrait()
    rgba[..., :3] = (200, 120, 40)
    for index in range(10):
        sample = make(index, rgba, PLAIN)
        alpha = sample.alpha[..., None] / 255
        expected = alpha * np.array([200, 120, 40]) + (1 - alpha) * sample.background
        assert np.abs(expected - sample.image).max() < 2  # each of three is rounded to 8 bit


def test_colour_under_alpha_0_does_not_bleed_in():
    """Wild colour where alpha is 0 changes nothing, however the picture is scaled."""
    calm, wild = portrait(), portrait()
    wild[wild[..., 3] == 0, :3] = np.random.default_rng(0).integers(0, 256, ((wild[..., 3] == 0).sum(), 3))
    for index in range(5):
        assert np.array_equal(make(index, calm, PLAIN).image, make(index, wild, PLAIN).image)


def test_variants_share_crops_backgrounds_and_jitter():
    """Only alpha may differ between the same portrait and a damaged copy, and where it does not, the image is equal."""
    exact, broken = portrait(), damaged(portrait())
    assert np.abs(exact[..., 3].astype(int) - broken[..., 3]).mean() > 1
    params = replace(PARAMS, degrade=0)
    for index in range(60):
        one, other = make(index, exact, params), make(index, broken, params)
        assert np.array_equal(one.background, other.background)
        assert np.abs(one.alpha.astype(int) - other.alpha).mean() < 30  # another crop would differ by half the range
        same = one.alpha == other.alpha
        assert np.abs(one.image.astype(int) - other.image)[same].max(initial=0) <= 1


def test_two_foregrounds_are_laid_over_one_another():
    """Porter and Duff: the alpha of both is 1 - (1 - a)(1 - b), and opaque in front hides what is behind."""
    behind = (np.full((1, 2, 3), 50.0), np.full((1, 2), 0.5))
    front = (np.array([[[100.0] * 3, [20.0] * 3]]), np.array([[1.0, 0.2]]))
    colour, alpha = augment.over(behind, front)
    assert np.allclose(alpha, [[1.0, 0.6]])
    assert np.allclose(colour[0, :, 0], [100, 20 + 0.8 * 50])
    always, never = replace(PLAIN, two_foregrounds=1), PLAIN
    more = [make(i, portrait(), always).alpha.mean() - make(i, portrait(), never).alpha.mean() for i in range(10)]
    assert min(more) >= 0
    assert max(more) > 10


def test_crops_seek_the_rim():
    """More of the picture is unknown in a crop than in windows taken anywhere."""
    rgba = portrait(256)
    sought = np.mean([(make(i, rgba, PLAIN).trimap == 128).mean() for i in range(80)])
    rim = (rgba[..., 3] > 0) & (rgba[..., 3] < 255)
    anywhere = make_anywhere(rim, 80)
    assert np.mean([((make(i, rgba, PLAIN).trimap == 128).any()) for i in range(80)]) > 0.9
    assert sought > 2 * anywhere


def make_anywhere(rim: np.ndarray, count: int) -> float:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, rim.shape[0] - 48, (count, 2))
    return float(np.mean([rim[row : row + 48, column : column + 48].mean() for row, column in corners]))


def test_windows_stay_inside_small_and_oblong_pictures():
    for shape in [(40, 40), (48, 200), (300, 50)]:
        rgba = cv2.resize(portrait(), shape[::-1])
        for index in range(10):
            assert make(index, rgba).image.shape == (48, 48, 3)


def test_without_jitter_the_curve_is_the_identity_and_with_it_bounded():
    level = np.arange(256)
    assert np.array_equal(augment.tone_curve(0, np.zeros(2), np.zeros(3))[0], np.dstack([level] * 3)[0])
    bright = augment.tone_curve(0.2, np.array([0.999, 0.5]), np.full(3, 0.5))[0, :, 0].astype(int)
    assert (np.diff(bright) >= 0).all()
    assert np.abs(bright - level).max() <= 0.2 * 255 + 1


def test_a_camera_changes_little():
    image = cv2.GaussianBlur(grounds()[0], (0, 0), 4).astype(np.float32)
    for index in range(10):
        changed = augment.degraded(image, augment.generator(0, index))
        assert 0 < np.abs(changed - image).mean() < 12
        assert np.abs(changed.mean((0, 1)) - image.mean((0, 1))).max() < 3  # channels keep their places


@pytest.mark.parametrize(
    ("setting", "value"),
    [("crop", 4), ("scale_low", 0), ("scale_low", 9), ("erosion_low", 99), ("degrade", 1.5), ("jitter", -0.1)],
)
def test_a_setting_out_of_range_is_named(setting, value):
    with pytest.raises(ValueError, match=setting):
        replace(PARAMS, **{setting: value})
