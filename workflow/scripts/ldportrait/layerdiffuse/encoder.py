"""The transparent encoder: RGBA to latents that hide the alpha (Zhang and Agrawala 2024, section 3.1).

It says by how much to move the VAE's latents of the picture on grey so that the transparent decoder finds the alpha in
them. Round trips are measured with it, and cut-outs taken into image-to-image generation.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from ldportrait.layerdiffuse.decoder import check_sizes
from ldportrait.weights import load_strictly

# (channels in, channels out, stride)
CONVOLUTIONS = (
    (4, 32, 1),
    (32, 32, 1),
    (32, 64, 2),
    (64, 64, 1),
    (64, 128, 2),
    (128, 128, 1),
    (128, 256, 2),
    (256, 256, 1),
    (256, 4, 1),
)
# what the output of the published files is multiplied by
GAINS = {"vae_transparent_encoder": 1.0, "ld_diffusers_sdxl_vae_transparent_encoder": 300.0}
SHRINK = 1.2  # from one layer of the colours' pyramid to the next


class TransparentEncoder(nn.Module):
    """Published as 18 tensors with 1,181,764 numbers, in two files that want another gain."""

    def __init__(self, gain: float) -> None:
        """`gain` multiplies the output: 300 for the file made for diffusers, 1 for the one of layerdiffusion-v1."""
        super().__init__()
        self.gain = gain
        layers = []
        for channels, width, stride in CONVOLUTIONS:
            layers += [nn.Conv2d(channels, width, 3, stride, padding=1), nn.SiLU()]
        self.blocks = nn.Sequential(*layers[:-1])

    @classmethod
    def load(cls, path: Path | str, sha256: str | None = None, gain: float | None = None) -> "TransparentEncoder":
        """Load a published file, in its precision (float16) and in eval mode.

        The gain follows from the published name of the file; ValueError for another name unless it is given. Other
        errors as in `load_strictly`.
        """
        if gain is None and (gain := GAINS.get(Path(path).stem)) is None:
            raise ValueError(f"The gain of {path} does not follow from its name; give it (known: {', '.join(GAINS)}).")
        with torch.device("meta"):
            encoder = cls(gain)
        return load_strictly(encoder, path, sha256)

    def forward(self, argb: torch.Tensor) -> torch.Tensor:
        """Map alpha and padded colours (B, 4, H, W) in [0, 1], alpha first, to the offset (B, 4, H/8, W/8)."""
        return self.blocks(argb.to(self.blocks[0].weight.dtype)) * self.gain


def pad_colours(rgba: np.ndarray) -> np.ndarray:
    """Spread a picture's colours to where it is transparent: (H, W, 4) float32 straight RGBA to (H, W, 3).

    A pyramid of premultiplied colours and alpha, each layer smaller by 1.2, is composed from the coarsest to the
    finest, c + (1 - a) × what lies below, over the mean colour: opaque pixels keep theirs, and colour under alpha 0
    does not matter. A picture that is transparent everywhere becomes black.
    """
    layers = [np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], axis=-1, dtype=np.float32)]
    while min(layers[-1].shape[:2]) > 1:
        height, width = (int(side / SHRINK) for side in layers[-1].shape[:2])
        layers.append(cv2.resize(layers[-1], (width, height), interpolation=cv2.INTER_AREA))
    total = layers[0].sum((0, 1), keepdims=True, dtype=np.float64)
    below = (total[..., :3] / max(total.item(3), 1e-8)).astype(np.float32)
    for layer in reversed(layers):
        height, width = layer.shape[:2]
        below = layer[..., :3] + (1 - layer[..., 3:]) * cv2.resize(below, (width, height))
    return below


@torch.no_grad()
def encode(vae: nn.Module, encoder: TransparentEncoder, rgba: torch.Tensor) -> torch.Tensor:
    """Encode straight RGBA (B, 4, H, W) float in [0, 1] to latents (B, 4, H/8, W/8) float32 as the U-Net takes them.

    With the mean and deviation that the VAE, diffusers' AutoencoderKL, gives for the picture on grey, the latents are
    (mean + deviation × offset) × scaling factor: the offset takes the place of the noise. ValueError for sides that
    are not multiples of 64, which could not be decoded.
    """
    check_sizes(rgba)
    colours, alpha = rgba[:, :3], rgba[:, 3:]
    padded = [pad_colours(picture.permute(1, 2, 0).float().cpu().numpy()) for picture in rgba]
    padded = torch.from_numpy(np.stack(padded)).permute(0, 3, 1, 2).to(rgba.device)
    offset = encoder(torch.cat([alpha, padded], dim=1)).float()
    on_grey = (colours * 2 - 1) * alpha
    latents = []
    for i in range(len(rgba)):
        found = vae.encode(on_grey[i : i + 1].to(vae.dtype)).latent_dist
        latents.append(found.mean.float() + found.std.float() * offset[i : i + 1])
    return torch.cat(latents) * vae.config.scaling_factor
