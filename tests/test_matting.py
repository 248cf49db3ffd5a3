"""Pictures of any size: what is known of a predictor's alpha holds after shrinking, refining and tiling."""

import cv2
import numpy as np
import pytest
import torch
from test_augment import portrait

from ldportrait import images, inference, matting

SLOPE, OFFSET = np.array([0.5, -0.2, 0.3], np.float32), 0.3


def linear(image: np.ndarray, trimap: np.ndarray | None = None) -> np.ndarray:
    """An alpha that is known for any picture: a linear function of colour."""
    return np.clip(image / np.float32(255) @ SLOPE + np.float32(OFFSET), 0, 1)


def textured(height: int, width: int) -> np.ndarray:
    """Colour at every scale, fine detail too."""
    rng = np.random.default_rng(3)
    coarse = cv2.resize(rng.random((height // 8 + 1, width // 8 + 1, 3)), (width, height)) * 200
    return np.clip(coarse + rng.integers(0, 56, (height, width, 3)), 0, 255).astype(np.uint8)


def test_a_small_picture_is_shown_as_it_is():
    picture = textured(40, 60)
    assert np.array_equal(matting.matte_whole(linear, picture, 60), np.rint(255 * linear(picture)).astype(np.uint8))


def test_a_large_picture_is_shown_small_and_gets_its_detail_back():
    picture = textured(210, 300)
    shown = []

    def predict(image, trimap):
        shown.append(image.shape)
        return linear(image)

    alpha = matting.matte_whole(predict, picture, 100)
    truth = 255 * linear(picture)
    assert shown == [(70, 100, 3)]
    plain = cv2.resize(linear(cv2.resize(picture, (100, 70), interpolation=cv2.INTER_AREA)), (300, 210)) * 255
    assert np.abs(alpha - truth).mean() < 0.7
    assert np.abs(plain - truth).mean() > 4


def test_refining_in_tiles_is_refining(monkeypatch):
    picture = textured(210, 300)
    whole = matting.matte_whole(linear, picture, 100)
    monkeypatch.setattr(matting, "SIDE", 64)
    assert np.array_equal(matting.matte_whole(linear, picture, 100), whole)


@pytest.mark.parametrize("value", [0, 1])
def test_an_even_alpha_stays_even(value):
    picture = textured(90, 70)
    alpha = matting.matte_whole(lambda image, _: np.full(image.shape[:2], value, np.float32), picture, 30)
    assert (alpha == 255 * value).all()


class Local(torch.nn.Module):
    """Three convolutions, which see 9 pixels around, at most, and a stride that tiles must keep to."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.second = torch.nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, image, trimap):
        height, width = image.shape[-2:]
        x = torch.nn.functional.pad(torch.cat([image, trimap], 1), (0, width % 2, 0, height % 2), mode="replicate")
        x = torch.nn.functional.interpolate(self.second(torch.relu(self.first(x))), scale_factor=2.0)
        alpha = torch.sigmoid(8 * x[..., :height, :width])
        return torch.where(trimap == 0.5, alpha, trimap)


def striped_trimap(height: int, width: int) -> np.ndarray:
    """Known on the left, an unknown stripe, known on the right."""
    trimap = np.zeros((height, width), np.uint8)
    trimap[:, width // 3 :] = 128
    trimap[:, width // 2 :] = 255
    return trimap


def test_tiles_are_the_whole_where_a_network_sees_no_further_than_the_margin():
    picture, trimap = textured(701, 1303), striped_trimap(701, 1303)
    predict = inference.predictor(Local())
    whole = np.rint(255 * predict(picture, trimap)).astype(int)
    seen = []

    def counted(image, known):
        seen.append(image.shape[:2])
        return predict(image, known)

    alpha = matting.matte_tiles(counted, picture, trimap, matting.SMALLEST)
    assert np.abs(alpha - whole).max() <= 1
    assert (alpha[trimap == 0] == 0).all()
    assert (alpha[trimap == 255] == 255).all()
    assert alpha[trimap == 128].std() > 5
    assert max(max(shape) for shape in seen) <= matting.SMALLEST
    tiles = len(list(matting.tiling.windows(trimap.shape, matting.SMALLEST, matting.OVERLAP, matting.MARGIN)))
    assert 0 < len(seen) < tiles  # the known parts are not looked at


def test_a_trimap_is_predicted_around_what_is_uncertain():
    """The predictor sees a disc with a soft rim of 8 pixels, from 36 to 44; the band is 2 pixels of 200."""
    y, x = np.mgrid[:200, :200] - 99.5
    distance = np.hypot(y, x)
    picture = np.repeat(np.clip(255 * (44 - distance) / 8, 0, 255).astype(np.uint8)[..., None], 3, -1)
    trimap = matting.predict_trimap(lambda image, _: image[..., 0] / np.float32(255), picture, 200)
    assert (trimap[distance < 33] == 255).all()
    assert (trimap[distance > 47] == 0).all()
    assert (trimap[(distance > 35) & (distance < 45)] == 128).all()
    large = matting.predict_trimap(
        lambda image, _: image[..., 0] / np.float32(255), np.kron(picture, np.ones((3, 3, 1), np.uint8)), 200
    )
    assert np.array_equal(large[1::3, 1::3], trimap)
    assert set(np.unique(large)) == {0, 128, 255}


def test_the_foreground_has_no_halo():
    """A person of one colour before another: the colour comes back where they mix, across tiles too."""
    alpha = np.tile(np.clip(np.linspace(-80, 335, 160), 0, 255), (1300, 1)).astype(np.uint8)
    colour = np.array([200, 60, 40], np.uint8)
    rgba = np.dstack([np.broadcast_to(colour, (*alpha.shape, 3)), alpha])
    image = images.composite(rgba, np.array([20, 200, 90], np.uint8))
    clean = matting.foreground(image, alpha)
    seen = alpha > 40
    assert np.abs(clean[seen].astype(int) - colour).max() <= 12
    assert np.abs(image[seen].astype(int) - colour).max() > 100
    assert np.array_equal(clean[alpha == 255], image[alpha == 255])
    assert np.array_equal(clean[alpha == 0], image[alpha == 0])
    assert np.array_equal(matting.foreground(image, np.full_like(alpha, 255)), image)


def test_nobody_glows_in_a_blurred_background():
    rgba = portrait(120, colour=(255, 0, 0))
    ground = np.zeros((120, 120, 3), np.uint8)
    ground[:, 60:] = (0, 0, 255)
    soft = matting.blurred(images.composite(rgba, ground), np.ascontiguousarray(rgba[..., 3]))
    assert soft.shape == (120, 120, 3)
    assert soft[..., 0].max() <= 10  # of the red person, nothing
    assert soft[:20, :20].max() <= 3
    assert soft[:20, -20:, 2].min() >= 250
    assert 50 < soft[10, 60, 2] < 205  # the edge is out of focus


def test_a_model_says_what_it_is_best_shown():
    assert matting.shown_side({"settings": {}}) == matting.SIDE
    assert matting.shown_side({"settings": {"side": 64}}) == 64
    assert matting.shown_side({"settings": {"side": 192, "fine": 512}}) == 512
    assert matting.shown_side({"settings": {"side": 192}, "side": 700}) == 700
