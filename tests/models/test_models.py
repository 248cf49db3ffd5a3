"""The networks: any size, the known region kept, and weights that come back or are refused."""

import json
import re

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file

from ldportrait import inference, models
from ldportrait.models import unet

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [(64, 64), (33, 70), (1, 1), (100, 17)]
VIT = {
    "width": 32,
    "heads": 2,
    "depth": 3,
    "window": 2,
    "picture": 64,
    "convstream": [8, 8, 8],
    "fusion": [16, 8, 8, 8],
}
SHRUNK = {
    "small-trimap": {},
    "small-free": {},
    "vitmatte-s": VIT,
    "vitmatte-b": VIT | {"heads": 4},
    "modnet": {"width": 0.25, "channels": 8},
    "gfm": {"widths": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
}
LARGE = [name for name, network in models.NETWORKS.items() if network.own_losses]
FREE = [name for name, network in models.NETWORKS.items() if not network.needs_trimap]


def build(name: str, **settings: object) -> torch.nn.Module:
    torch.manual_seed(0)
    network = models.get(name).build(**SHRUNK[name] | settings)
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


@pytest.mark.parametrize("name", ["small-trimap", "vitmatte-s"])
def test_the_known_region_is_the_trimaps_and_the_unknown_one_is_not(name):
    image, trimap = inputs(48, 48)
    for training in (False, True):
        alpha = build(name).train(training)(image, trimap)
        assert torch.equal(alpha[trimap != 0.5], trimap[trimap != 0.5])
        assert alpha[trimap == 0.5].std() > 0.01


def batch(size: int = 64) -> dict[str, torch.Tensor]:
    """Two composites of a soft-edged disc, with a trimap of all three values."""
    generator = torch.Generator().manual_seed(2)
    across = torch.linspace(-1, 1, size)
    radius = (across[:, None] ** 2 + across**2).sqrt()
    alpha = (3 * (0.8 - radius)).clamp(0, 1).expand(2, 1, size, size)
    background = torch.rand(2, 3, size, size, generator=generator)
    image = alpha * torch.rand(2, 3, 1, 1, generator=generator) + (1 - alpha) * background
    trimap = torch.where((alpha > 0) & (alpha < 1), 0.5, alpha)
    return {"image": image, "trimap": trimap, "alpha": alpha, "background": background}


def total(name: str, network: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    if name not in LARGE:
        return (network(batch["image"], batch["trimap"]) - batch["alpha"]).square().mean()
    losses, weights = models.get(name).losses()
    parts = losses(network.predict_all(batch["image"], batch["trimap"]), batch)
    assert parts.keys() == weights.keys()
    return sum(weights[key] * part for key, part in parts.items())


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
    total(name, network, batch()).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", FREE)
def test_a_trimap_free_network_looks_at_the_picture_alone(name):
    network, (image, trimap) = build(name), inputs(40, 40)
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


@pytest.mark.parametrize("name", models.NETWORKS)
def test_a_model_comes_back(name, tmp_path):
    network = build(name).to(memory_format=torch.channels_last)
    models.save(network, tmp_path / "model", INFO | {"model": name, "settings": SHRUNK[name]})
    again, info = models.load(tmp_path / "model")
    assert info["seed"] == 3
    assert info["settings"] == SHRUNK[name]
    assert not again.training
    with torch.inference_mode():
        assert torch.allclose(again(*inputs(40, 40)), network(*inputs(40, 40)), atol=1e-4)
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


# The large networks ---------------------------------------------------------------------------------------------------

# published, in millions: ViTMatte's and MODNet's papers; P3M-Net on a ResNet-34, with the classifier of ImageNet
PUBLISHED = {"vitmatte-s": (25.8, 0.002), "vitmatte-b": (96.7, 0.002), "modnet": (6.49, 0.002), "gfm": (39.48, 0.02)}


@pytest.mark.parametrize("name", LARGE)
def test_parameters_are_as_many_as_published(name):
    millions, tolerance = PUBLISHED[name]
    assert models.parameters(name) / 1e6 == pytest.approx(millions, rel=tolerance)


def test_parameters_are_counted():
    """Stem, and per level: a convolution down, one across and one up, each with a normalisation but the one across."""
    widths, convolution = unet.WIDTHS, lambda low, high: 9 * low * high + 2 * high
    count = convolution(7, widths[0]) + 9 * widths[0] + 1
    for low, high in zip(widths, widths[1:], strict=False):
        count += convolution(low, high) + high * low + low + convolution(low, low)
    assert models.parameters("small-trimap") == count


def test_the_documented_counts_are_right():
    rows = re.findall(
        r"^\| `([\w-]+)` \| image[^|]*\| ([\d,]+) \|", (ROOT / "docs" / "models.md").read_text(), re.MULTILINE
    )
    assert {name: int(count.replace(",", "")) for name, count in rows} == {
        name: models.parameters(name) for name in models.NETWORKS
    }


@pytest.mark.parametrize("name", LARGE)
def test_one_step_lowers_the_loss(name):
    torch.manual_seed(1)
    network, data = models.get(name).build(**SHRUNK[name]).train(), batch()
    optimiser = torch.optim.SGD(network.parameters(), 1e-3)
    before = total(name, network, data)
    before.backward()
    optimiser.step()
    with torch.no_grad():
        assert total(name, network, data) < before


@pytest.mark.parametrize("name", LARGE)
def test_the_seed_makes_the_network_and_training_mode_matters(name):
    data = batch()
    one, other = build(name), build(name)
    with torch.inference_mode():
        alpha = one(data["image"], data["trimap"])
        assert torch.equal(alpha, other(data["image"], data["trimap"]))
        assert torch.equal(alpha, one(data["image"], data["trimap"]))
        one.train()(data["image"], data["trimap"])  # running means move
        assert not torch.equal(alpha, one.eval()(data["image"], data["trimap"]))


@pytest.mark.parametrize("name", LARGE)
def test_losses_are_finite_in_half_precision(name):
    with torch.autocast("cpu", torch.bfloat16):
        assert total(name, build(name).train(), batch()).isfinite()


@pytest.mark.parametrize("name", LARGE)
def test_truth_costs_nothing(name):
    data = batch()
    losses, _ = models.get(name).losses()
    true, classes = data["alpha"], (2 * data["trimap"][:, 0]).long()
    parts = {"alpha": true, "raw": true, "detail": true, "focus": true}
    parts["glance"] = 50 * torch.nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2).float()
    parts["semantic"] = torch.nn.functional.avg_pool2d(true, 16)
    costs = losses(parts, data)
    # the blur of the semantics, and the penalty on gradients that are right, leave a little
    assert all(cost < (0.05 if key in ("semantic", "gradient") else 1e-6) for key, cost in costs.items()), costs


def test_the_small_networks_have_no_losses_of_their_own():
    with pytest.raises(ValueError, match="TrimapUNet has no losses of its own"):
        models.get("small-trimap").losses()


@pytest.mark.parametrize("name", LARGE)
def test_a_picture_goes_on_beyond_its_border_as_it_ends(name):
    """What is cropped is what a larger picture with repeated borders gives."""
    network, (image, trimap) = build(name), inputs(40, 70)
    grown = [torch.nn.functional.pad(x, (0, 96 - 70, 0, 64 - 40), mode="replicate") for x in (image, trimap)]
    with torch.inference_mode():
        assert torch.allclose(network(image, trimap), network(*grown)[..., :40, :70], atol=1e-4)


@pytest.mark.parametrize("name", ["modnet", "gfm"])
def test_a_portrait_is_shown_whole_and_small(name):
    network, (image, _) = build(name, side=64), inputs(200, 130)
    seen = []
    first = network.backbone.conv_stem if name == "modnet" else network.backbone.embedder.embedder
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2:]))
    with torch.inference_mode():
        parts = network.predict_all(image)
    assert seen == [(64, 64)]  # 64 × 42, padded
    assert all(part.shape[-2:] == (200, 130) for key, part in parts.items() if key != "semantic")
    if name == "modnet":
        assert parts["semantic"].shape[-2:] == (4, 3)


# ViTMatte -------------------------------------------------------------------------------------------------------------


def test_vitmatte_has_the_tensors_of_the_published_file():
    """Names and shapes as hustvl distributes them for transformers."""
    with torch.device("meta"):
        small = models.get("vitmatte-s").build().network.state_dict()
        base = models.get("vitmatte-b").build().network.state_dict()
    shapes = {
        "backbone.embeddings.position_embeddings": (1, 197, 384),
        "backbone.embeddings.projection.weight": (384, 4, 16, 16),
        "backbone.encoder.layer.0.attention.rel_pos_h": (27, 64),  # windows of 14
        "backbone.encoder.layer.2.attention.rel_pos_h": (63, 64),  # 512 pixels
        "backbone.encoder.layer.11.residual.conv2.weight": (192, 192, 3, 3),
        "decoder.convstream.convs.2.conv.weight": (192, 96, 3, 3),
        "decoder.fusion_blocks.3.conv.conv.weight": (32, 68, 3, 3),
        "decoder.matting_head.matting_convs.3.weight": (1, 16, 1, 1),
    }
    assert {key: tuple(small[key].shape) for key in shapes} == shapes
    assert small.keys() == base.keys()
    assert base["backbone.embeddings.projection.weight"].shape == (768, 4, 16, 16)
    residual = {key.split(".")[3] for key in small if ".residual." in key}
    assert residual == {"2", "5", "8", "11"}


def test_vitmatte_sees_normalised_colours_and_the_trimap_as_it_is():
    seen = []
    network, (image, trimap) = build("vitmatte-s"), inputs(32, 64)
    network.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network(image, trimap)
    assert torch.equal(seen[0][:, 3:], trimap)
    assert set(seen[0][:, 3].unique().tolist()) == {0.0, 0.5, 1.0}
    imagenet = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]
    for channel, (mean, deviation) in enumerate(imagenet):
        assert torch.allclose(seen[0][:, channel], (image[:, channel] - mean) / deviation, atol=1e-5)


def test_vitmatte_may_answer_in_the_known_region_too():
    image, trimap = inputs(32, 32)
    with torch.inference_mode():
        kept = build("vitmatte-s").predict_all(image, trimap)
        free = build("vitmatte-s", keep_known=False).predict_all(image, trimap)
    assert torch.equal(free["alpha"], kept["raw"])
    assert not torch.equal(free["alpha"], kept["alpha"])


def test_vitmattes_normalisation_starts_from_one():
    for layer in models.get("vitmatte-s").build(**VIT).modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert torch.equal(layer.weight, torch.ones_like(layer.weight))


def test_vitmatte_is_trained_on_its_answer_in_the_known_region():
    data = batch()
    losses, _ = models.get("vitmatte-s").losses()
    wrong = torch.where(data["trimap"] == 0.5, data["alpha"], (data["alpha"] - 0.25).abs())
    costs = losses({"alpha": data["alpha"], "raw": wrong}, data)
    assert costs["known"].item() == pytest.approx(0.25, abs=1e-6)
    assert costs["unknown"] == 0


# MODNet and GFM -------------------------------------------------------------------------------------------------------


def flat(alpha: float, share: float) -> dict[str, torch.Tensor]:
    """One colour in front, one behind, one alpha; a share of the trimap's columns is unknown."""
    true = torch.full((2, 1, 32, 64), alpha)
    background = torch.full((2, 3, 32, 64), 0.2)
    trimap = torch.ones_like(true)
    trimap[..., : round(64 * share)] = 0.5
    image = true * 0.9 + (1 - true) * background
    return {"image": image, "trimap": trimap, "alpha": true, "background": background}


def test_modnets_losses_of_constant_errors():
    """Errors of 0.1, 0.2 and 0.3; a quarter of the picture, unknown, counts 1 + 4 times; |F - B| is 0.7."""
    data = flat(0.5, 0.25)
    true = data["alpha"]
    parts = {"alpha": true + 0.1, "detail": true - 0.2, "semantic": torch.full((2, 1, 2, 4), 0.8)}
    costs, weights = models.get("modnet").losses()[0](parts, data), models.get("modnet").losses()[1]
    assert costs["semantic"].item() == pytest.approx(0.3**2, abs=1e-6)
    assert costs["detail"].item() == pytest.approx(0.2 / 4, abs=1e-6)
    assert costs["matte"].item() == pytest.approx(0.1 * 2, abs=1e-6)
    assert costs["composition"].item() == pytest.approx(0.1 * 0.7 * 2, abs=1e-6)
    assert weights == {"semantic": 10, "detail": 10, "matte": 1, "composition": 1}


def test_modnets_semantic_truth_is_blurred_at_a_sixteenth():
    """One foreground cell of 16 pixels among background: the blur leaves it a quarter, its neighbours an eighth."""
    alpha = torch.zeros(1, 1, 80, 80)
    alpha[..., 32:48, 32:48] = 1
    data = {
        "alpha": alpha,
        "trimap": alpha,
        "image": alpha.expand(1, 3, 80, 80),
        "background": torch.zeros(1, 3, 80, 80),
    }
    semantic = torch.zeros(1, 1, 5, 5)
    semantic[..., 2, 2] = 1 / 4
    for row, column in ((1, 2), (2, 1), (2, 3), (3, 2)):
        semantic[..., row, column] = 1 / 8
    for row, column in ((1, 1), (1, 3), (3, 1), (3, 3)):
        semantic[..., row, column] = 1 / 16
    parts = {"alpha": alpha, "detail": alpha, "semantic": semantic}
    assert models.get("modnet").losses()[0](parts, data)["semantic"] < 1e-12


def test_modnets_running_means_remember_more_than_the_last_batch():
    layers = [layer for layer in build("modnet").modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert {layer.momentum for layer in layers} == {0.1}


def test_gfms_losses_of_constant_errors():
    data = flat(0.5, 0.25)
    true = data["alpha"]
    parts = {"alpha": true + 0.1, "focus": true - 0.2, "glance": torch.zeros(2, 3, 32, 64)}
    costs = models.get("gfm").losses()[0](parts, data)
    assert costs["glance"].item() == pytest.approx(np.log(3), abs=1e-6)
    assert costs["focus"].item() == pytest.approx(0.2, abs=1e-6)
    assert costs["matte"].item() == pytest.approx(0.1, abs=1e-6)
    assert costs["composition"].item() == pytest.approx(0.07, abs=1e-6)
    assert costs["matte_laplacian"].item() == pytest.approx(0, abs=1e-6)
    assert costs["focus_laplacian"] > 0.001  # the error ends where the unknown region does


def test_gfm_takes_alpha_from_the_focus_in_the_transition_alone():
    network, (image, _) = build("gfm"), inputs(64, 96)
    with torch.inference_mode():
        glance = network.predict_all(image)["glance"]
        network.classes.bias -= glance.mean((0, 2, 3))  # each class is likeliest somewhere
        parts = network.predict_all(image)
    likeliest = parts["glance"].argmax(1, keepdim=True)
    assert likeliest.unique().tolist() == [0, 1, 2]
    assert torch.equal(parts["alpha"][likeliest == 1], parts["focus"][likeliest == 1])
    assert parts["alpha"][likeliest == 0].unique().tolist() == [0]
    assert parts["alpha"][likeliest == 2].unique().tolist() == [1]
