"""The networks: any size, the known region kept, and weights that come back or are refused."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ldportrait import inference, models
from ldportrait.models import unet

SIZES = [(64, 64), (33, 70), (1, 1), (100, 17)]


def build(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    network = models.get(name).build()
    for parameter in network.parameters():  # a fresh network's last layer is zero and would hide everything
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def inputs(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(2, 3, height, width, generator=generator)
    return image, torch.randint(0, 3, (2, 1, height, width), generator=generator) / 2


@pytest.mark.parametrize("name", models.NETWORKS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_alpha_has_the_pictures_size_and_lies_in_0_to_1(name, height, width):
    with torch.inference_mode():
        alpha = build(name)(*inputs(height, width))
    assert alpha.shape == (2, 1, height, width)
    assert alpha.isfinite().all()
    assert alpha.min() >= 0
    assert alpha.max() <= 1


def test_the_known_region_is_the_trimaps_and_the_unknown_one_is_not():
    image, trimap = inputs(48, 48)
    for training in (False, True):
        alpha = build("small-trimap").train(training)(image, trimap)
        assert torch.equal(alpha[trimap != 0.5], trimap[trimap != 0.5])
        assert alpha[trimap == 0.5].std() > 0.01


def test_colours_of_the_known_regions_tell_alpha():
    """One colour in front, one behind, a ramp of alpha between: the cues recover it, and the distances are exact."""
    true = torch.linspace(-0.5, 1.5, 96).clamp(0, 1).expand(1, 1, 40, 96)
    trimap = torch.where((true > 0) & (true < 1), 0.5, true)
    foreground, background = torch.tensor([0.9, 0.2, 0.1]), torch.tensor([0.1, 0.4, 0.8])
    image = true * foreground[None, :, None, None] + (1 - true) * background[None, :, None, None]
    cues = unet.colour_cues(image, trimap)
    assert (cues[:, 2:] - true).abs().max() < 0.03
    span = (foreground - background).abs().sum()
    assert (cues[:, :1] - (1 - true) * span).abs().max() < 0.05
    assert (cues[:, 1:2] - true * span).abs().max() < 0.05


def test_a_trimap_without_known_regions_is_no_trouble():
    image, _ = inputs(40, 40)
    for value in (0.0, 0.5, 1.0):
        assert build("small-trimap")(image, torch.full_like(image[:, :1], value)).isfinite().all()


@pytest.mark.parametrize("name", models.NETWORKS)
def test_every_parameter_learns(name):
    network = build(name).train()
    network(*inputs(64, 64)).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


def test_the_trimap_free_network_looks_at_the_picture_alone():
    network, (image, trimap) = build("small-free"), inputs(40, 40)
    assert not models.get("small-free").needs_trimap
    assert models.get("small-trimap").needs_trimap
    with torch.inference_mode():
        assert torch.equal(network(image, trimap), network(image, None))


def test_a_picture_is_matted_in_8_bit_rounded():
    class Half(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, image, trimap):
            return torch.full_like(trimap, 0.7) + 0 * self.weight

    trimap = np.array([[0, 128, 255]], np.uint8)
    assert inference.matte(Half(), np.zeros((1, 3, 3), np.uint8), trimap).tolist() == [[178, 178, 178]]  # 178.5 to even

    class Echo(Half):
        def forward(self, image, trimap):
            return trimap + 0 * self.weight

    assert inference.matte(Echo(), np.zeros((1, 3, 3), np.uint8), trimap).tolist() == [[0, 128, 255]]


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="small-trimap, small-free"):
        models.get("huge")


INFO = {"model": "small-trimap", "settings": {}, "seed": 3}


def test_a_model_comes_back(tmp_path):
    network = build("small-trimap").to(memory_format=torch.channels_last)
    models.save(network, tmp_path / "model", INFO)
    again, info = models.load(tmp_path / "model")
    assert info["seed"] == 3
    assert not again.training
    with torch.inference_mode():
        assert torch.allclose(again(*inputs(40, 40)), network(*inputs(40, 40)), atol=1e-6)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.safetensors"]
    assert load_file(tmp_path / "model" / "model.safetensors").keys() == network.state_dict().keys()


def test_settings_are_the_networks_own(tmp_path):
    settings = {"widths": [4, 8]}
    models.save(models.get("small-trimap").build(**settings), tmp_path, INFO | {"settings": settings})
    assert models.load(tmp_path)[0].unet.head.in_channels == 4


def damage_weights(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def another_network(folder):
    import hashlib

    path = folder / "model.safetensors"
    save_file({"nothing": torch.zeros(1)}, path)
    info = json.loads((folder / "model.json").read_text())
    info["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(info))


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (damage_weights, ValueError, "model.safetensors.*SHA-256"),
        (another_network, ValueError, "does not fit the network small-trimap"),
        (lambda folder: (folder / "model.safetensors").unlink(), FileNotFoundError, "model.safetensors"),
        (lambda folder: (folder / "model.json").unlink(), FileNotFoundError, "model.json"),
        (lambda folder: (folder / "model.json").write_text("{"), ValueError, "model.json"),
        (lambda folder: (folder / "model.json").write_text("{}"), ValueError, "model.json"),
    ],
)
def test_a_broken_model_is_refused(tmp_path, harm, error, words):
    models.save(models.get("small-trimap").build(), tmp_path, INFO)
    harm(tmp_path)
    with pytest.raises(error, match=words):
        models.load(tmp_path)
