"""What a network is shown and what its answer becomes, whichever engine runs it."""

import numpy as np
import torch

from ldportrait import inference


class Shown(torch.nn.Module):
    """Keeps what it is shown, and answers beyond [0, 1]."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.given = None

    def forward(self, image, trimap):
        self.given = image, trimap
        return image[:, :1] * 3 - 1 + self.weight


def test_a_network_is_shown_colour_by_channel_in_0_to_1():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    network = Shown()
    alpha = inference.predictor(network)(picture, None)
    image, trimap = network.given
    assert trimap is None
    assert image.shape == (1, 3, 5, 7)
    assert np.allclose(image[0].permute(1, 2, 0).numpy() * 255, picture, atol=1e-4)
    assert np.allclose(alpha, np.clip(picture[..., 0] / 85 - 1, 0, 1), atol=1e-6)
    assert alpha.dtype == np.float32


def test_an_unknown_pixel_is_exactly_a_half():
    assert inference.thirds(np.array([[0, 128, 255]], np.uint8)).tolist() == [[0, 0.5, 1]]
    assert inference.thirds(np.array([[0, 127, 255]], np.uint8)).tolist() == [[0, 0.5, 1]]


def test_levels_are_rounded():
    assert inference.levels(np.array([0, 0.4999 / 255, 0.5001 / 255, 1])).tolist() == [0, 0, 1, 255]
