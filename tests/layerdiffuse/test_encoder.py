"""The transparent encoder against plain convolutions, and the padding of colours against its definition."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch.nn import functional

from ldportrait.layerdiffuse.decoder import TransparentDecoder, decode
from ldportrait.layerdiffuse.encoder import TransparentEncoder, encode, pad_colours

# layer of the published file -> channels in, channels out, stride
LAYERS = {
    0: (4, 32, 1),
    2: (32, 32, 1),
    4: (32, 64, 2),
    6: (64, 64, 1),
    8: (64, 128, 2),
    10: (128, 128, 1),
    12: (128, 256, 2),
    14: (256, 256, 1),
    16: (256, 4, 1),
}


def random_tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer, (channels, width, _) in LAYERS.items():
        weight = torch.randn(width, channels, 3, 3, generator=generator) * (2 / (9 * channels)) ** 0.5
        bias = 0.1 * torch.randn(width, generator=generator)
        tensors |= {f"blocks.{layer}.weight": weight, f"blocks.{layer}.bias": bias}
    return tensors


def oracle(tensors: dict[str, torch.Tensor], argb: torch.Tensor) -> torch.Tensor:
    x = argb.double()
    for layer, (_, _, stride) in LAYERS.items():
        x = x / (1 + torch.exp(-x)) if layer else x
        weight, bias = (tensors[f"blocks.{layer}.{part}"].double() for part in ("weight", "bias"))
        x = functional.conv2d(x, weight, bias, stride, padding=1)
    return x


def encoder_file(folder, name: str = "vae_transparent_encoder"):
    tensors = random_tensors()
    save_file(tensors, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors", tensors


def portrait(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random straight RGBA (H, W, 4) float32 with opaque, soft and clear parts."""
    rng = np.random.default_rng(seed)
    rgba = rng.random((height, width, 4), dtype=np.float32)
    rgba[..., 3] = np.clip(3 * rgba[..., 3] - 1, 0, 1)
    rgba[: height // 3, :, 3] = 0
    return rgba


def test_names_and_numbers_are_the_published_ones():
    encoder = TransparentEncoder(gain=1)
    names = {f"blocks.{layer}.{part}" for layer in LAYERS for part in ("weight", "bias")}
    assert encoder.state_dict().keys() == names
    assert sum(tensor.numel() for tensor in encoder.parameters()) == 1_181_764


@pytest.mark.parametrize(
    ("name", "gain"), [("vae_transparent_encoder", 1), ("ld_diffusers_sdxl_vae_transparent_encoder", 300)]
)
def test_the_gain_follows_from_the_published_name(tmp_path, name, gain):
    path, tensors = encoder_file(tmp_path, name)
    argb = torch.rand(2, 4, 64, 128, generator=torch.Generator().manual_seed(0))
    expected = gain * oracle(tensors, argb)
    with torch.no_grad():
        found = TransparentEncoder.load(path)(argb)
    assert found.shape == (2, 4, 8, 16)
    assert (found - expected).abs().max() < 1e-5 * gain
    assert expected.std() > 0.05 * gain


def test_the_gain_of_another_name_must_be_given(tmp_path):
    path, _ = encoder_file(tmp_path, "encoder")
    with pytest.raises(ValueError, match=r"gain of .*encoder.safetensors does not follow"):
        TransparentEncoder.load(path)
    assert TransparentEncoder.load(path, gain=300).gain == 300


def test_a_given_gain_goes_over_the_name(tmp_path):
    path, _ = encoder_file(tmp_path)
    assert TransparentEncoder.load(path, gain=2).gain == 2


def area_weights(size: int, target: int) -> np.ndarray:
    """(target, size): how much of each old pixel lies in each new one, by the overlap of intervals."""
    edges = np.arange(target + 1) * size / target
    low, high = edges[:-1, None], edges[1:, None]
    pixels = np.arange(size)
    overlap = np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, None)
    return overlap / overlap.sum(1, keepdims=True)


def bilinear_weights(size: int, target: int) -> np.ndarray:
    """(target, size): linear interpolation between the pixels' centres, constant beyond the outer ones."""
    centres = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(size)))


def resize(array: np.ndarray, height: int, width: int, weights) -> np.ndarray:
    rows, columns = weights(array.shape[0], height), weights(array.shape[1], width)
    return np.einsum("ij,kl,jlc->ikc", rows, columns, array, optimize=True)


def slow_padding(rgba: np.ndarray) -> np.ndarray:
    colour, alpha = rgba[..., :3].astype(float), rgba[..., 3:].astype(float)
    layers = [(colour * alpha, alpha)]
    height, width = alpha.shape[:2]
    while min(height, width) > 1:
        height, width = int(height / 1.2), int(width / 1.2)
        layers.append(tuple(resize(x, height, width, area_weights) for x in layers[-1]))
    fill = (layers[0][0].sum((0, 1)) / layers[0][1].sum((0, 1)))[None, None]
    for colour, alpha in layers[::-1]:
        fill = colour + resize(fill, *alpha.shape[:2], bilinear_weights) * (1 - alpha)
    return fill


@pytest.mark.parametrize(("height", "width"), [(48, 48), (64, 40), (37, 90)])
def test_padding_follows_its_definition(height, width):
    rgba = portrait(height, width)
    assert np.abs(pad_colours(rgba) - slow_padding(rgba)).max() < 1e-5


def test_padding_keeps_opaque_colours_and_asks_nothing_of_clear_ones():
    rgba = portrait(64, 64)
    padded = pad_colours(rgba)
    opaque, clear = rgba[..., 3] == 1, rgba[..., 3] == 0
    assert np.array_equal(padded[opaque], rgba[opaque, :3])
    rgba[clear, :3] = 1 - rgba[clear, :3]
    assert np.array_equal(pad_colours(rgba), padded)


def test_padding_takes_the_nearer_colour():
    rgba = np.zeros((64, 128, 4), np.float32)
    rgba[28:36, 40:48] = [1, 0, 0, 1]
    rgba[28:36, 80:88] = [0, 0, 1, 1]
    padded = pad_colours(rgba)
    assert (padded[:, :32, 0] > padded[:, :32, 2]).all()
    assert (padded[:, 96:, 2] > padded[:, 96:, 0]).all()
    assert np.abs(padded.sum(-1) - 1).max() < 1e-5  # nothing but mixtures of the two


def test_a_clear_picture_is_padded_with_black():
    assert not pad_colours(np.zeros((16, 16, 4), np.float32)).any()


def tiny_vae() -> AutoencoderKL:
    torch.manual_seed(3)
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[4, 4, 4, 4],
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=4,
        scaling_factor=0.13025,
    )
    return vae.eval()


def test_the_offset_takes_the_place_of_the_noise(tmp_path):
    path, tensors = encoder_file(tmp_path)
    vae = tiny_vae()
    arrays = np.stack([portrait(64, 128, seed) for seed in range(2)])
    found = encode(vae, TransparentEncoder.load(path), torch.from_numpy(arrays).permute(0, 3, 1, 2))

    argb = np.stack([np.dstack([rgba[..., 3], slow_padding(rgba)]) for rgba in arrays])
    offset = oracle(tensors, torch.from_numpy(argb).permute(0, 3, 1, 2))
    grey = 0.5 + (arrays[..., :3] - 0.5) * arrays[..., 3:]
    with torch.no_grad():
        moments = vae.encode(torch.from_numpy(2 * grey - 1).permute(0, 3, 1, 2)).latent_dist
    assert found.shape == (2, 4, 8, 16)
    assert (found - 0.13025 * (moments.mean + moments.std * offset)).abs().max() < 1e-5
    assert (moments.std * offset).abs().mean() > 0.01


def test_alpha_hidden_in_the_latents_comes_back():
    """A VAE and networks that are linear show that both ways agree on scale, order and range: RGBA returns."""
    blocks = functional.avg_pool2d

    def spread(x):
        return functional.interpolate(x, scale_factor=8, mode="nearest")

    def vae_encode(picture):
        mean = torch.cat([blocks(picture, 8), torch.zeros_like(blocks(picture[:, :1], 8))], 1)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean, std=torch.full_like(mean, 0.5)))

    vae = SimpleNamespace(
        config=SimpleNamespace(scaling_factor=0.13025),
        dtype=torch.float32,
        encode=vae_encode,
        decode=lambda z: SimpleNamespace(sample=spread(z[:, :3])),
    )

    def hide(argb):  # alpha in the fourth channel
        alpha = blocks(argb[:, :1], 8)
        return torch.cat([torch.zeros_like(alpha).expand(-1, 3, -1, -1), 2 * alpha], 1)

    class Finder(TransparentDecoder):
        def forward(self, pixels, latents):
            alpha = spread(latents[:, 3:])
            return torch.cat([alpha, (pixels - 0.5) / alpha.clamp(min=1e-6) + 0.5], 1)

    flat = torch.rand(2, 4, 8, 16, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
    rgba = spread(flat)
    found = decode(vae, Finder((4,) * 7, head=4), encode(vae, hide, rgba))
    assert (found - rgba).abs().max() < 1e-5


def test_pictures_that_could_not_be_decoded_are_refused(tmp_path):
    path, _ = encoder_file(tmp_path)
    with pytest.raises(ValueError, match="multiples of 64, not 72 × 64"):
        encode(tiny_vae(), TransparentEncoder.load(path), torch.zeros(1, 4, 64, 72))
