"""The portrait network's parts, against plain computation; what all networks have in common is in test_models.py."""

import cv2
import numpy as np
import pytest
import torch

from ldportrait import models
from ldportrait.models import portrait

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = {"widths": [8, 8, 8], "blocks": [1, 0], "detail": 8, "side": 32, "fine": 64}


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.astype(np.float32).reshape(1, *picture.shape[:2], -1)).permute(0, 3, 1, 2)


def scene(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture (size, size) of bright hairs on dark, and their alpha, which is linear in it."""
    y, x = np.mgrid[:size, :size] / size
    hairs = 0.5 + 0.5 * np.sin(2 * np.pi * (20 * x + 3 * np.sin(6 * y)))
    fade = np.clip(3 * (0.7 - y), 0, 1)
    alpha = hairs * fade
    return 0.1 + 0.7 * alpha, alpha


def test_it_is_small():
    network = models.get("portrait").build()
    assert sum(parameter.numel() for parameter in network.parameters()) < 1.4e6
    assert sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values()) < 6e6


@pytest.mark.parametrize("setting", [{"side": 100}, {"side": 0}, {"fine": 63}])
def test_an_inner_size_that_cannot_be_halved_is_refused(setting):
    with pytest.raises(ValueError, match="multiple"):
        models.get("portrait").build(**setting)


def test_the_whole_picture_is_shown_as_means_over_areas():
    network = models.get("portrait").build(**TINY)
    pixels = np.random.default_rng(0).random((128, 128, 3), dtype=np.float32)
    blocks = pixels.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert torch.allclose(network.shrink(tensor(pixels)), tensor(blocks), atol=1e-6)
    smooth = cv2.GaussianBlur(np.random.default_rng(1).random((200, 150, 3), dtype=np.float32), (0, 0), 4)
    shown = network.shrink(tensor(smooth))
    assert torch.allclose(shown, tensor(cv2.resize(smooth, (32, 32), interpolation=cv2.INTER_AREA)), atol=0.01)


def test_a_fresh_head_hands_on_what_the_coarse_network_found():
    torch.manual_seed(0)
    network = models.get("portrait").build(**TINY).eval()
    torch.nn.init.normal_(network.coarse.head.weight, std=0.5)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        logits, _ = network.coarse(network.shrink(image))
        expected = torch.sigmoid(portrait.resize(logits, (64, 64)))
        assert expected.std() > 0.01
        assert torch.equal(network(image), expected)


def test_nothing_is_added_at_the_fine_size():
    alpha, image = torch.rand(1, 1, 40, 40), torch.rand(1, 3, 40, 40)
    assert torch.equal(portrait.enlarge(alpha, image, image), alpha)


def test_detail_beyond_the_fine_size_comes_from_the_picture():
    """Alpha that is linear in grey comes back at four times the size, much nearer than by plain enlargement."""
    grey, true = scene(256)
    small_grey, small = (cv2.resize(p, (64, 64), interpolation=cv2.INTER_AREA) for p in (grey, true))
    image, fine = (tensor(np.repeat(p[..., None], 3, axis=2)) for p in (grey, small_grey))
    found = portrait.enlarge(tensor(small), fine, image)
    plain = portrait.resize(tensor(small), (256, 256))
    error, before = ((a - tensor(true)).abs().mean() for a in (found, plain))
    assert before > 0.01
    assert error < before / 5


def test_where_alpha_is_even_the_picture_changes_nothing():
    """A wall's pattern must not show through."""
    image = torch.rand(1, 3, 90, 70)
    for value in (0.0, 1.0):
        alpha = torch.full((1, 1, 32, 32), value)
        found = portrait.enlarge(alpha, portrait.resize(image, (32, 32)), image)
        assert (found - value).abs().max() < 1e-3


def test_the_context_reaches_everywhere():
    """What is in one corner changes alpha in the other: the whole picture is looked at."""
    torch.manual_seed(0)
    network = models.get("portrait").build(side=64, fine=64).eval()
    torch.nn.init.normal_(network.coarse.head.weight, std=0.5)
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    network(image)[0, 0, 60, 60].backward()
    assert image.grad[0, :, :4, :4].abs().sum() > 0
