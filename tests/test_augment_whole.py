"""Composites of whole portraits: right by the compositing equation, the same at any size, and colours by hand."""

import colorsys
import io
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image
from test_augment import grounds, portrait

from ldportrait import augment
from ldportrait import augment_whole as whole

FULL = np.dstack([np.full((128, 128, 3), 120), np.full((128, 128), 255)]).astype(np.uint8)
NOBODY = np.dstack([np.full((128, 128, 3), 120), np.zeros((128, 128))]).astype(np.uint8)
STAYS = np.array([[1.0, 0, 0], [0, 1, 0]])  # a placement that changes nothing


def sources(*people: np.ndarray) -> whole.Sources:
    return whole.Sources.of(people or [portrait(), portrait(colour=(30, 60, 220))], grounds(), least=32)


def stream(index: int = 0) -> np.random.Generator:
    return np.random.default_rng(index)


def test_a_composite_is_a_function_of_seed_and_index():
    made = sources()
    one, again = whole.composite(5, made, 48, 1), whole.composite(5, made, 48, 1)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], whole.composite(6, made, 48, 1)[0])
    assert not np.array_equal(one[0], whole.composite(5, made, 48, 2)[0])


def test_composites_are_pictures():
    made, covered = sources(), []
    for index in range(60):
        image, alpha = whole.composite(index, made, 32, 0)
        assert image.shape == (32, 32, 3)
        assert alpha.shape == (32, 32)
        for values in (image, alpha):
            assert values.dtype == np.float32
            assert np.isfinite(values).all()
            assert values.min() >= 0
            assert values.max() <= 1
        covered.append(alpha.mean())
    assert 0.2 < np.mean(covered) < 0.7
    assert np.std(covered) > 0.1  # persons come in all sizes


def test_the_geometry_does_not_depend_on_the_side():
    made = sources()
    for index in range(12):
        large, small = (whole.composite(index, made, side, 0)[1] for side in (128, 64))
        assert np.abs(cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA) - small).mean() < 0.01


def test_alpha_is_the_persons():
    """Nobody gives 0 everywhere; one who fills the frame 1, also beyond the portrait's borders, and hides the rest."""
    for index in range(20):
        assert whole.composite(index, sources(NOBODY), 32, 0)[1].max() == 0
        alpha = whole.composite(index, sources(FULL), 32, 0)[1]
        assert np.ptp(alpha) < 1e-5
        assert round(float(alpha.max()), 4) in (0, 1)  # a few composites are empty on purpose


def test_one_portrait_over_a_background_obeys_the_compositing_equation(monkeypatch):
    monkeypatch.setattr(whole, "EMPTY", 0)
    monkeypatch.setattr(whole, "SECOND", 0)
    monkeypatch.setattr(whole, "camera", lambda image, _: image)
    made = sources(portrait())
    image, alpha = whole.composite(3, made, 64, 0)
    ground = whole.ground(made, 64, augment.generator(0, 3, 12))
    front, cover = whole.person(made.portraits[0], 64, made, augment.generator(0, 3, 13))
    assert 0.05 < cover.mean() < 0.95
    assert np.array_equal(alpha, cover.clip(0, 1).astype(np.float32))
    assert np.allclose(image, front + (1 - cover[..., None]) * ground, atol=1e-6)
    assert (front <= cover[..., None] + 1e-6).all()  # premultiplied


def test_premultiplied():
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 51, 128], [9, 9, 9, 0]]], np.uint8)
    expected = [[[200, 100, 50, 255], [100, 50, 26, 128], [0, 0, 0, 0]]]
    assert np.array_equal(whole.premultiplied(rgba), expected)


def test_a_portrait_that_stays_is_as_it_was():
    rgba = portrait(64)
    assert np.abs(whole.warped([rgba], 64, STAYS) - rgba).max() == 0
    levels = whole.pyramid(portrait(256), 32)
    assert [len(level) for level in levels] == [256, 128, 64, 32]
    shrunk = cv2.resize(portrait(256), (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(whole.warped(levels, 64, STAYS) - shrunk).max() <= 2


def test_a_moved_portrait_goes_on_beyond_its_border():
    """Moved up by a quarter, the lower quarter repeats the last row: nobody ends at the waist."""
    rgba = portrait(64)
    found = whole.warped([rgba], 64, STAYS + [[0, 0, 0], [0, 0, 0.25]])
    assert np.array_equal(found[:48], rgba[16:])
    assert np.array_equal(found[48:], np.repeat(rgba[-1:], 16, axis=0))


@pytest.mark.parametrize(("angle", "saturation"), [(0.7, 1.0), (-2.0, 0.4), (0.0, 1.6)])
def test_hue_and_saturation_keep_luma_and_grey(angle, saturation):
    matrix = whole.hue_matrix(angle, saturation)
    colours = stream().random((50, 3))
    luma = colours @ [0.299, 0.587, 0.114]
    assert np.allclose((colours @ matrix) @ [0.299, 0.587, 0.114], luma, atol=1e-5)
    greys = np.repeat(stream(1).random((9, 1)), 3, axis=1)
    assert np.allclose(greys @ matrix, greys, atol=1e-6)


def test_hue_turns_as_on_the_colour_wheel():
    """A third of a turn brings red to green, as colorsys has it; no turn at all changes nothing."""
    assert np.allclose(whole.hue_matrix(0, 1), np.eye(3), atol=1e-6)
    red = np.array([0.8, 0.2, 0.2])
    turned = red @ whole.hue_matrix(2 * np.pi / 3, 1)
    assert colorsys.rgb_to_hsv(*turned)[0] == pytest.approx(1 / 3, abs=0.01)
    assert np.allclose(red @ whole.hue_matrix(2 * np.pi, 1), red, atol=1e-6)
    assert np.ptp(red @ whole.hue_matrix(0, 0)) < 1e-6


def test_the_camera_and_colours_stay_in_range():
    bright = np.ones((24, 24, 3), np.float32)
    for index in range(40):
        for values in (whole.camera(bright, stream(index)), whole.recoloured(bright, stream(index), 1)):
            assert np.isfinite(values).all()
            assert values.min() >= 0
            assert values.max() <= 1


def test_the_cameras_compression_is_that_of_a_jpeg_file():
    """Pillow, which writes RGB, says what a JPEG of a picture is; with red and blue exchanged it would be another."""
    picture = stream().integers(0, 256, (24, 24, 3), dtype=np.uint8)
    picture[..., 2] = 10  # red noise is kept better than blue
    draws = iter([1, 1, 1, 1, 0])  # of what a camera does, only the last
    found = whole.camera(picture / np.float32(255), SimpleNamespace(random=lambda: next(draws), integers=lambda *_: 40))
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=40)
    assert np.abs(255 * found - np.array(Image.open(buffer)).astype(int)).max() < 2
