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


# Of the published recipes


def bent_by(rgba: np.ndarray, angle: float, zoom: float, side: int = 120, crop: int = 120) -> tuple:
    radians = np.deg2rad(angle)
    matrix = zoom * np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    plain = augment.tone_curve(0, np.zeros(2), np.zeros(3)), None
    corner = ((rgba.shape[0] - side) // 2, (rgba.shape[1] - side) // 2)
    return augment.warped(rgba, corner, side, crop, matrix, plain)


def test_an_affine_change_of_nothing_is_a_crop():
    colour, alpha = bent_by(portrait(), 0, 1)
    part = portrait()[20:140, 20:140].astype(np.float32)
    assert np.abs(alpha - part[..., 3] / 255).max() < 1e-5
    assert np.abs(colour - part[..., :3] * part[..., 3:] / 255).max() < 1e-2


def test_a_quarter_turn_is_that_of_numpy():
    """By 90 degrees, x to y: what was at the right is then at the bottom."""
    colour, alpha = bent_by(portrait(), 90, 1)
    plain, expected = bent_by(portrait(), 0, 1)
    assert np.abs(alpha - np.rot90(expected, -1)).max() < 1e-3
    assert np.abs(colour - np.rot90(plain, -1)).max() < 0.5


@pytest.mark.parametrize("zoom", [0.5, 0.8, 1.25])
def test_zoom_changes_the_area_by_its_square(zoom):
    """Of a disc in the middle; and what lies beyond the frame is clear."""
    y, x = np.mgrid[:160, :160] - 79.5
    disc = np.dstack([np.full((160, 160, 3), 200), 255 * np.clip(30.5 - np.hypot(x, y), 0, 1)]).astype(np.uint8)
    colour, alpha = bent_by(disc, 17, zoom)
    assert alpha.sum() == pytest.approx(zoom**2 * (disc[..., 3] / 255).sum(), rel=0.01)
    rows, columns = np.mgrid[:120, :120]
    assert (alpha * rows).sum() / alpha.sum() == pytest.approx(59.5, abs=0.02)  # it stays in the middle
    assert (alpha * columns).sum() / alpha.sum() == pytest.approx(59.5, abs=0.02)
    assert np.abs(colour - 200 * alpha[..., None]).max() < 0.5
    full = np.full((160, 160, 4), 255, np.uint8)
    corner = bent_by(full, 0, 0.5, side=120)[1][:5, :5]
    assert corner.max() == 0


def test_the_window_of_a_bent_portrait_is_scaled_as_a_plain_one():
    """Windows of 80 pixels shown on 40, of an alpha so smooth that the filters do not matter: a shift would show."""
    y, x = np.mgrid[:160, :160]
    wave = 127.5 + 60 * np.sin(2 * np.pi * x / 40) + 60 * np.cos(2 * np.pi * y / 50)
    smooth = np.dstack([np.full((160, 160, 3), 90), np.rint(wave)]).astype(np.uint8)
    plain = cv2.resize(smooth[40:120, 40:120, 3].astype(np.float32), (40, 40), interpolation=cv2.INTER_AREA)
    _, alpha = bent_by(smooth, 0, 1, side=80, crop=40)
    assert np.abs(255 * alpha - plain).max() < 2  # half a pixel of the portrait would make 4


def test_bent_composites_obey_their_equation_and_are_shared_by_variants():
    params = replace(PLAIN, affine=1, hue=40, saturation=0.2)
    rgba = portrait()
    rgba[..., :3] = (200, 120, 40)
    for index in range(8):
        sample, other = make(index, rgba, params), make(index, damaged(rgba), params)
        assert np.array_equal(sample.background, other.background)
        alpha = sample.alpha[..., None] / 255
        inside = sample.image[sample.alpha == 255]
        colour = np.median(inside, 0) if len(inside) else None
        if colour is not None:
            assert np.abs(alpha * colour + (1 - alpha) * sample.background - sample.image).max() < 3
    assert not np.array_equal(make(0, rgba, params).image, make(0, rgba, PLAIN).image)


def test_a_turn_of_the_hue_keeps_luma_and_grey():
    luma = np.array([0.299, 0.587, 0.114])
    for draws in (np.array([0.0, 0.5]), np.array([0.9, 0.1]), np.array([0.5, 0.99])):
        turn = augment.chroma_turn(40, 0.3, draws)
        assert np.allclose(luma @ turn, luma, atol=2e-3)
        assert np.allclose(turn @ np.ones(3), 1, atol=2e-3)
    red = augment.chroma_turn(180, 0, np.array([5 / 6, 0.5])) @ [1, 0, 0]  # by 120 degrees: from red to green or blue
    assert np.argmax(red) != 0
    assert np.allclose(augment.chroma_turn(0, 0.5, np.array([0.5, 0])) @ [1, 0, 0], [0.65, 0.15, 0.15], atol=2e-3)
    assert augment.chroma_turn(0, 0, np.zeros(2)) is None


def test_a_shrunk_portrait_s_window_shows_more():
    """Of a portrait of 160 pixels shrunk to 80, a crop of 48 shows 96."""
    params = replace(PLAIN, scale_low=1, scale_high=1, resize=1, resize_to=80)
    opaque = portrait()
    seen = [augment.foreground(opaque, params, augment.generator(0, index, 1)) for index in range(4)]
    plain = replace(params, resize=0, scale_low=2, scale_high=2)
    for index, (colour, alpha) in enumerate(seen):
        expected = augment.foreground(opaque, plain, augment.generator(0, index, 1))
        assert np.array_equal(alpha, expected[1])
        assert np.array_equal(colour, expected[0])


@pytest.mark.parametrize(
    ("setting", "value"),
    [("affine", 2), ("rotation", 200), ("zoom", 0.5), ("shear", 60), ("hue", -1), ("saturation", 2), ("resize", -1)],
)
def test_a_setting_of_the_recipes_out_of_range_is_named(setting, value):
    with pytest.raises(ValueError, match=setting):
        replace(PARAMS, **{setting: value})
    with pytest.raises(ValueError, match="resize_to"):
        replace(PARAMS, resize=0.5, resize_to=PARAMS.crop - 1)
