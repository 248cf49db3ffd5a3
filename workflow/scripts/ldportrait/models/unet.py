"""Small U-Nets that learn to matte in a minute on one CPU core.

Ronneberger et al. 2015 with strided convolutions down, nearest-neighbour enlargement up, and skips that are added
(Chaurasia and Culurciello 2017, LinkNet): half the work of concatenation at the resolution where the work is.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from ldportrait.models import sizes
from ldportrait.models.losses import unknown_region

WIDTHS = (16, 32, 64, 96, 128)
LEVELS = 13  # of the pyramid of colours in an ONNX file: enough for pictures of 16,384 pixels a side
TRUST = 0.02  # weight of the surroundings' colour against a level's own


class UNet(nn.Module):
    """Map (B, channels, H, W) to (B, 1, H, W), any H and W; the map is zero before training."""

    def __init__(self, channels: int, widths: Sequence[int] = WIDTHS, depth: int = 1) -> None:
        """`widths` are the channels per level, each half as large; `depth` the convolutions of a level going down."""
        super().__init__()
        levels = list(zip(widths, widths[1:], strict=False))
        self.stem = _convolutions(channels, widths[0])
        self.down = nn.ModuleList(_convolutions(low, high, stride=2, depth=depth) for low, high in levels)
        self.across = nn.ModuleList(nn.Conv2d(high, low, 1) for low, high in levels)
        self.up = nn.ModuleList(_convolutions(low, low) for low, _ in levels)
        self.head = nn.Conv2d(widths[0], 1, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad to a multiple of the coarsest level's stride, run, and crop again."""
        height, width = x.shape[-2:]
        step = 2 ** len(self.down)
        features = [self.stem(sizes.padded(x, step))]
        for layer in self.down:
            features.append(layer(features[-1]))
        x = features.pop()
        for across, layer in zip(reversed(self.across), reversed(self.up), strict=True):
            x = layer(features.pop() + functional.interpolate(across(x), scale_factor=2.0, mode="nearest"))
        return self.head(x)[..., :height, :width]


class TrimapUNet(nn.Module):
    """`small-trimap`: alpha is the trimap where that is known; elsewhere a U-Net corrects a guess made from colours."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        """Take the channels per level."""
        super().__init__()
        self.unet = UNet(7, widths)

    def forward(self, image: torch.Tensor, trimap: torch.Tensor) -> torch.Tensor:
        """Alpha (B, 1, H, W) from image (B, 3, H, W) and trimap (B, 1, H, W)."""
        cues = colour_cues(image, trimap)
        guess = torch.logit(cues[:, 2:], eps=0.01)
        alpha = torch.sigmoid(guess + 4 * self.unet(torch.cat([image, trimap, cues], 1) - 0.5))
        return torch.where(unknown_region(trimap), alpha, trimap)


def colour_cues(image: torch.Tensor, trimap: torch.Tensor) -> torch.Tensor:
    """What the colours of the known regions say of a pixel: (B, 3, H, W).

    With F and B the foreground's and the background's colour nearby: |I - F|, |I - B| (L1), and the alpha that brings
    aF + (1 - a)B nearest to I, (I - B)·(F - B) / |F - B|² (Smith and Blinn 1996, for known F and B).
    """
    foreground, background = (_nearby(image, (trimap == known).to(image.dtype)) for known in (1, 0))
    span = foreground - background
    alpha = ((image - background) * span).sum(1, keepdim=True) / (span.square().sum(1, keepdim=True) + 0.01)
    alpha = torch.where(unknown_region(trimap), alpha.clamp(0, 1), trimap)
    distances = [(image - colour).abs().sum(1, keepdim=True) for colour in (foreground, background)]
    return torch.cat([*distances, alpha], 1)


def _nearby(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Spread the colours under a mask (B, 1, H, W) over the picture, by pull and push (Gortler et al. 1996).

    Means weighted by the mask from fine to coarse; back from coarse to fine, what a level knows stands, and the coarser
    fills in. Done at a quarter of the size; grey where the mask is empty.
    """
    pool = partial(functional.avg_pool2d, ceil_mode=True, count_include_pad=False)
    levels = [(pool(image * mask, 4), pool(mask, 4))]
    while _more(len(levels), levels[-1][1]):
        colour, weight = levels[-1]
        levels.append((pool(colour, 2), pool(weight, 2)))
    colour, weight = levels.pop()
    spread = torch.where(weight > 0, colour / weight.clamp(min=1e-6), 0.5)
    for colour, weight in reversed(levels):
        around = functional.interpolate(spread, size=weight.shape[-2:], mode="bilinear", align_corners=False)
        spread = (colour + TRUST * around) / (weight + TRUST)
    return functional.interpolate(spread, size=image.shape[-2:], mode="bilinear", align_corners=False)


def _more(count: int, weight: torch.Tensor) -> bool:
    """Whether another level follows: down to 1 × 1, which in an ONNX file comes after LEVELS, whatever the size.

    Levels of 1 × 1 beyond the first change nothing.
    """
    return count < LEVELS if torch.onnx.is_in_onnx_export() else max(weight.shape[-2:]) > 1


class FreeUNet(nn.Module):
    """`small-free`: alpha from the image alone, found on a picture of `side` pixels on its longer side."""

    def __init__(self, widths: Sequence[int] = WIDTHS, depth: int = 2, side: int = 64) -> None:
        """Take the channels per level, the convolutions per level, and the longest side that the network is shown."""
        super().__init__()
        self.side = side
        self.unet = UNet(5, widths, depth)

    def forward(self, image: torch.Tensor, trimap: torch.Tensor | None = None) -> torch.Tensor:
        """Alpha (B, 1, H, W) from image (B, 3, H, W); a trimap is not looked at."""
        shown = sizes.shrunk(image, self.side)
        alpha = torch.sigmoid(4 * self.unet(torch.cat([shown - 0.5, _places(shown)], 1)))
        return sizes.enlarged(alpha, image.shape[-2:])


def _convolutions(channels: int, width: int, stride: int = 1, depth: int = 1) -> nn.Sequential:
    layers = []
    for step in range(depth):
        layers += [
            nn.Conv2d(channels if step == 0 else width, width, 3, stride if step == 0 else 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _places(image: torch.Tensor) -> torch.Tensor:
    """Each pixel's row and column in [-0.5, 0.5], (B, 2, H, W): a portrait is mostly low and in the middle."""
    count, _, height, width = image.shape
    rows, columns = (_places_along(length, image) for length in (height, width))
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(count, -1, -1, -1)


def _places_along(length: int, image: torch.Tensor) -> torch.Tensor:
    """`length` numbers from -0.5 to 0.5, or -0.5 alone; in an ONNX file, torch's linspace of one number is none."""
    if torch.onnx.is_in_onnx_export():
        return torch.arange(length, dtype=image.dtype) / (torch.as_tensor(length) - 1).clamp(min=1) - 0.5
    return torch.linspace(-0.5, 0.5, length, device=image.device, dtype=image.dtype)
