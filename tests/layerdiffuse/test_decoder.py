"""The transparent decoder against an implementation of its own, written from the published tensors' names alone."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from ldportrait.layerdiffuse.decoder import TransparentDecoder, decode
from ldportrait.weights import load_strictly

PUBLISHED = {
    name: tuple(shape)
    for name, shape in json.loads(Path(__file__).with_name("transparent_decoder_tensors.json").read_text()).items()
}
HALF = (16, 16, 32, 64, 128, 256, 256)
TINY = (8, 8, 8, 16, 16, 16, 16)


def random_tensors(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights that keep the size of what goes through, none of them zero, one or alike."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        if name.endswith(".bias"):
            tensors[name] = 0.1 * noise
        elif len(shape) == 1:
            tensors[name] = 1 + 0.2 * noise
        else:
            tensors[name] = noise / np.sqrt(np.prod(shape[1:]))
    return tensors


def small_decoder(folder: Path, widths: tuple[int, ...] = TINY) -> tuple[TransparentDecoder, dict[str, torch.Tensor]]:
    with torch.device("meta"):
        decoder = TransparentDecoder(widths)
    tensors = random_tensors({name: tuple(tensor.shape) for name, tensor in decoder.state_dict().items()})
    save_file(tensors, folder / "decoder.safetensors")
    return load_strictly(decoder, folder / "decoder.safetensors"), tensors


def pictures(count: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count * height + width)
    latents = 7 * torch.randn(count, 4, height // 8, width // 8, generator=generator)
    return torch.rand(count, 3, height, width, generator=generator), latents


def oracle(tensors: dict[str, torch.Tensor], pixels: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    """The published architecture in float64: 4 groups and eps 1e-5 in all norms, heads of 8 channels."""
    t = {name: tensor.double() for name, tensor in tensors.items()}

    def convolve(x, name, stride=1):
        weight = t[f"{name}.weight"]
        return functional.conv2d(x, weight, t[f"{name}.bias"], stride, weight.shape[-1] // 2)

    def normalise(x, name):
        grouped = x.reshape(len(x), 4, -1)
        centred = grouped - grouped.mean(2, keepdim=True)
        grouped = centred / (centred.square().mean(2, keepdim=True) + 1e-5).sqrt()
        return grouped.reshape(x.shape) * t[f"{name}.weight"][:, None, None] + t[f"{name}.bias"][:, None, None]

    def swish(x):
        return x / (1 + torch.exp(-x))

    def residual(x, name):
        hidden = convolve(swish(normalise(x, f"{name}.norm1")), f"{name}.conv1")
        hidden = convolve(swish(normalise(hidden, f"{name}.norm2")), f"{name}.conv2")
        return hidden + (convolve(x, f"{name}.conv_shortcut") if f"{name}.conv_shortcut.weight" in t else x)

    def attend(x, name):
        if f"{name}.to_q.weight" not in t:
            return x
        tokens = normalise(x, f"{name}.group_norm").flatten(2).mT
        query, key, value = (
            (tokens @ t[f"{name}.to_{part}.weight"].T + t[f"{name}.to_{part}.bias"]).unflatten(2, (-1, 8))
            for part in "qkv"
        )
        weights = torch.einsum("bqhc,bkhc->bhqk", query, key).div(8**0.5).softmax(-1)
        mixed = torch.einsum("bhqk,bkhc->bqhc", weights, value).flatten(2)
        mixed = mixed @ t[f"{name}.to_out.0.weight"].T + t[f"{name}.to_out.0.bias"]
        return x + mixed.mT.reshape(x.shape)

    x = convolve(pixels.double(), "conv_in")
    skips = [x]
    for level in range(7):
        if level == 3:
            x = x + convolve(latents.double(), "latent_conv_in")
        for layer in range(2):
            x = residual(x, f"down_blocks.{level}.resnets.{layer}")
            x = attend(x, f"down_blocks.{level}.attentions.{layer}")
            skips.append(x)
        if level < 6:
            x = convolve(x, f"down_blocks.{level}.downsamplers.0.conv", stride=2)
            skips.append(x)
    x = residual(x, "mid_block.resnets.0")
    x = attend(x, "mid_block.attentions.0")
    x = residual(x, "mid_block.resnets.1")
    for level in range(7):
        for layer in range(3):
            x = residual(torch.cat([x, skips.pop()], 1), f"up_blocks.{level}.resnets.{layer}")
            x = attend(x, f"up_blocks.{level}.attentions.{layer}")
        if level < 6:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = convolve(x, f"up_blocks.{level}.upsamplers.0.conv")
    assert not skips
    return convolve(swish(normalise(x, "conv_norm_out")), "conv_out")


def test_names_and_shapes_are_the_published_ones():
    with torch.device("meta"):
        decoder = TransparentDecoder()
    assert {name: tuple(tensor.shape) for name, tensor in decoder.state_dict().items()} == PUBLISHED
    assert len(PUBLISHED) == 538
    assert sum(tensor.numel() for tensor in decoder.parameters()) == 104_104_804


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 128), (128, 64)])
def test_outputs_are_those_of_the_published_architecture(tmp_path, height, width):
    decoder, tensors = small_decoder(tmp_path, HALF)
    pixels, latents = pictures(2, height, width)
    with torch.no_grad():
        found = decoder(pixels, latents)
    expected = oracle(tensors, pixels, latents)
    assert expected.std() > 0.3
    assert (found - expected).abs().max() < 1e-4


def test_latents_change_the_output(tmp_path):
    decoder, _ = small_decoder(tmp_path)
    pixels, latents = pictures(1, 64, 64)
    with torch.no_grad():
        assert (decoder(pixels, latents) - decoder(pixels, 0.13025 * latents)).abs().max() > 0.01


ORIENTATIONS = [  # as index arithmetic: (transposed, rows reversed, columns reversed)
    (transposed, rows, columns) for transposed in (0, 1) for rows in (1, -1) for columns in (1, -1)
]


def brute_force(tensors: dict[str, torch.Tensor], pixels: torch.Tensor, latents: torch.Tensor) -> np.ndarray:
    """The eight clipped estimates, sorted: (8, B, 4, H, W)."""
    estimates = []
    for transposed, rows, columns in ORIENTATIONS:
        inputs = []
        for x in (pixels, latents):
            x = x.numpy()[..., ::rows, ::columns]
            inputs.append(torch.from_numpy((np.swapaxes(x, -1, -2) if transposed else x).copy()))
        y = oracle(tensors, *inputs).numpy()
        y = np.swapaxes(y, -1, -2) if transposed else y
        estimates.append(np.clip(y[..., ::rows, ::columns], 0, 1))
    return np.sort(estimates, axis=0)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 128)])
def test_eight_passes_give_the_median_of_the_orientations(tmp_path, height, width):
    decoder, tensors = small_decoder(tmp_path)
    pixels, latents = pictures(2, height, width)
    ranked = brute_force(tensors, pixels, latents)
    assert ((ranked[3] > 0) & (ranked[4] < 1) & (ranked[4] > ranked[3])).mean() > 0.2
    lower = decoder.estimate(pixels, latents)
    true = decoder.estimate(pixels, latents, median="true")
    assert lower.dtype == torch.float32
    assert np.abs(lower.numpy() - ranked[3]).max() < 1e-4
    assert np.abs(true.numpy() - (ranked[3] + ranked[4]) / 2).max() < 1e-4


def test_one_pass_gives_the_clipped_output(tmp_path):
    decoder, tensors = small_decoder(tmp_path)
    pixels, latents = pictures(3, 64, 128)
    expected = oracle(tensors, pixels, latents)
    assert expected.min() < 0
    assert expected.max() > 1
    assert (decoder.estimate(pixels, latents, passes=1) - expected.clamp(0, 1)).abs().max() < 1e-4


def test_a_turned_picture_gives_the_turned_estimate(tmp_path):
    decoder, _ = small_decoder(tmp_path)
    pixels, latents = pictures(1, 64, 128)
    upright = decoder.estimate(pixels, latents)
    turned = decoder.estimate(pixels.mT, latents.mT)
    assert (turned.mT - upright).abs().max() < 1e-5
    assert (decoder.estimate(pixels.mT, latents.mT, passes=1).mT - upright).abs().max() > 0.01


@pytest.mark.parametrize(
    ("width", "passes", "batch"), [(64, 8, 1), (64, 8, 20), (128, 8, 3), (128, 8, 20), (128, 1, 2)]
)
def test_the_batch_bounds_what_the_network_sees_and_changes_nothing(tmp_path, monkeypatch, width, passes, batch):
    decoder, _ = small_decoder(tmp_path)
    pixels, latents = pictures(3, 64, width)
    alone = torch.cat([decoder.estimate(pixels[i : i + 1], latents[i : i + 1], passes) for i in range(3)])
    seen = []
    forward = decoder.forward
    monkeypatch.setattr(decoder, "forward", lambda *inputs: seen.append(len(inputs[0])) or forward(*inputs))
    found = decoder.estimate(pixels, latents, passes, batch)
    assert sum(seen) == 3 * passes
    assert max(seen) <= batch
    assert (found - alone).abs().max() < 1e-5


def test_a_decoder_in_low_precision_gives_float32(tmp_path):
    decoder, tensors = small_decoder(tmp_path)
    pixels, latents = pictures(1, 64, 64)
    found = decoder.to(torch.bfloat16).estimate(pixels, latents, passes=1)
    assert found.dtype == torch.float32
    assert (found - oracle(tensors, pixels, latents).clamp(0, 1)).abs().mean() < 0.05


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    decoder, _ = small_decoder(tmp_path)
    pixels, latents = pictures(1, 64, 64)
    latents[0, 0, 0, 0] = torch.inf
    with pytest.raises(ValueError, match="not finite in float32"):
        decoder.estimate(pixels, latents)


@pytest.mark.parametrize(("height", "width"), [(264, 288), (320, 40), (1080, 1920)])
def test_sides_that_are_not_multiples_of_64_are_refused(height, width):
    decoder = TransparentDecoder(TINY)
    for call in (decoder, decoder.estimate):
        with pytest.raises(ValueError, match=f"multiples of 64, not {width} × {height}"):
            call(*pictures(1, height, width))


def test_latents_of_another_picture_are_refused():
    decoder = TransparentDecoder(TINY)
    pixels, _ = pictures(1, 64, 128)
    for latents in (torch.zeros(1, 4, 16, 8), torch.zeros(2, 4, 8, 16), torch.zeros(1, 3, 8, 16)):
        with pytest.raises(ValueError, match="do not belong"):
            decoder(pixels, latents)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"passes": 4}, "1 or 8 passes, not 4"), ({"batch": 0}, "at least 1, not 0"), ({"median": "mean"}, "not mean")],
)
def test_unknown_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        TransparentDecoder(TINY).estimate(*pictures(1, 64, 64), **options)


def test_decode_takes_the_latents_of_the_sampler_to_rgba(tmp_path):
    """The VAE gets unscaled latents and gives [-1, 1] and beyond; the decoder sees the same latents, and [0, 1]."""
    decoder, tensors = small_decoder(tmp_path)
    generator = torch.Generator().manual_seed(1)
    latents, paint = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(3, 4, generator=generator)

    def decode_latents(z):
        colours = torch.einsum("kc,bchw->bkhw", paint, z)
        return SimpleNamespace(sample=functional.interpolate(colours, scale_factor=8, mode="nearest"))

    vae = SimpleNamespace(config=SimpleNamespace(scaling_factor=0.13025), dtype=torch.float32, decode=decode_latents)
    found = decode(vae, decoder, latents, passes=1)
    z = latents / 0.13025
    expected = oracle(tensors, (decode_latents(z).sample / 2 + 0.5).clamp(0, 1), z).clamp(0, 1)
    assert (found - expected[:, [1, 2, 3, 0]]).abs().max() < 1e-4


def test_the_whole_decoder_loads_from_half_precision(tmp_path):
    path = tmp_path / "vae_transparent_decoder.safetensors"
    save_file({name: torch.full(shape, 0.5, dtype=torch.float16) for name, shape in PUBLISHED.items()}, path)
    decoder = TransparentDecoder.load(path)
    assert not decoder.training
    assert {(tensor.dtype, tensor.device.type) for tensor in decoder.state_dict().values()} == {(torch.float16, "cpu")}
    assert path.stat().st_size == pytest.approx(208.2e6, rel=0.001)
    assert all((tensor == 0.5).all() for tensor in decoder.parameters())
