"""Glance and focus (GFM, Li et al. 2022; P3M-Net, Ma et al. 2023): trimap-free matting over a ResNet-34.

Written from the papers: a glance decoder tells background, transition and foreground apart, a focus decoder finds alpha
in the transition, and alpha is put together from both. As in GFM, the glance sees pooled context at every level; as in
P3M-Net, the focus sees the encoder's and the glance's features at every level. The backbone is that of transformers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import ResNetConfig, ResNetModel

from ldportrait.models import losses as terms
from ldportrait.models import pretrained, sizes

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEP = 32
BINS = (1, 3, 5)  # sides of the grids over which context is pooled
WEIGHTS = {
    "glance": 1.0,
    "focus": 1.0,
    "focus_laplacian": 1.0,
    "matte": 1.0,
    "matte_laplacian": 1.0,
    "composition": 1.0,
}


class GFM(nn.Module):
    """`gfm`; other settings make smaller ones, for tests."""

    INITS = ("imagenet",)
    TIES = 0.005  # share of pixels in which rounding may settle the likeliest class, at which alpha jumps

    def __init__(
        self, widths: Sequence[int] = (64, 128, 256, 512), depths: Sequence[int] = (3, 4, 6, 3), side: int = 800
    ) -> None:
        """Take the ResNet's channels and blocks per stage, and the longest side that the network is shown.

        The network sees portraits whole: larger pictures are shrunk, and their alpha is enlarged.
        """
        super().__init__()
        self.side = side
        self.backbone = ResNetModel(
            ResNetConfig(embedding_size=widths[0], hidden_sizes=list(widths), depths=list(depths), layer_type="basic")
        )
        deep = widths[-1]
        # channels before and after each enlargement: 1/32 to 1/16, 1/8, 1/4, 1/2, 1
        levels = list(zip([*reversed(widths), widths[0]], [*reversed(widths[:-1]), widths[0], widths[0]], strict=True))
        self.context = Context(deep)
        self.spread = nn.ModuleList(nn.Conv2d(deep, after, 1) for _, after in levels[:-1])
        self.glance = nn.ModuleList(_block(*level) for level in levels)
        self.focus = nn.ModuleList(_block(*level) for level in levels)
        self.merge = nn.ModuleList(_convolution(3 * after, after, 1) for _, after in levels[:-1])
        self.classes = nn.Conv2d(widths[0], 3, 3, padding=1)
        self.alpha = nn.Conv2d(widths[0] + 3, 1, 3, padding=1)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def forward(self, image: torch.Tensor, trimap: torch.Tensor | None = None) -> torch.Tensor:
        """Alpha (B, 1, H, W) from image (B, 3, H, W); a trimap is not looked at."""
        return self.predict_all(image, trimap)["alpha"]

    def predict_all(self, image: torch.Tensor, trimap: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """`alpha` and `focus` (B, 1, H, W), and `glance`, logits of background, transition, foreground (B, 3, H, W).

        Where the glance's likeliest class is the transition, alpha is the focus, else 0 or 1.
        """
        shown = sizes.shrunk(image, self.side)
        height, width = shown.shape[-2:]
        pixels = sizes.padded((shown - self.mean) / self.deviation, STEP)
        glance, focus = (part[..., :height, :width] for part in self._decode(pixels))
        likeliest = glance.argmax(1, keepdim=True)
        alpha = torch.where(likeliest == 1, focus, likeliest.to(focus.dtype) / 2)
        parts = {"alpha": alpha, "focus": focus, "glance": glance}
        return {name: sizes.enlarged(part, image.shape[-2:]) for name, part in parts.items()}

    def initialise(self, init: str, path: Path | str, sha256: str) -> pretrained.Report:
        """Start the backbone from ImageNet weights with transformers' names, as microsoft/resnet-34 has them.

        Raises as `pretrained.read` and `pretrained.fill` do.
        """
        tensors = pretrained.strip(pretrained.read(path, sha256), "resnet.")
        return pretrained.fill(self.backbone, tensors, set(self.backbone.state_dict()), path, "ResNet-34")

    def _decode(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The glance's logits (B, 3, H, W) and the focus's alpha (B, 1, H, W)."""
        skips = [self.backbone.embedder.embedder(pixels)]
        x = self.backbone.embedder.pooler(skips[0])
        for stage in self.backbone.encoder.stages:
            x = stage(x)
            skips.append(x)
        context = self.context(skips.pop())
        glance, focus = context, x
        for level, (look, refine) in enumerate(zip(self.glance, self.focus, strict=True)):
            glance, focus = _twice(look(glance)), _twice(refine(focus))
            if skips:
                skip = skips.pop()
                around = sizes.enlarged(self.spread[level](context), skip.shape[-2:])
                glance = glance + around
                focus = self.merge[level](torch.cat([focus, skip, glance], 1))
        return self.classes(glance), torch.sigmoid(self.alpha(torch.cat([focus, pixels], 1)))


class Context(nn.Module):
    """Features with what surrounds them: means over coarse grids, enlarged and mixed in (Zhao et al. 2017, PSPNet)."""

    def __init__(self, channels: int) -> None:
        """Take the channels, which stay."""
        super().__init__()
        self.pooled = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in BINS)
        self.mix = nn.Conv2d((len(BINS) + 1) * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same shape."""
        grids = [layer(sizes.pooled(x, side)) for side, layer in zip(BINS, self.pooled, strict=True)]
        around = [
            functional.interpolate(grid, size=x.shape[-2:], mode="bilinear", align_corners=False) for grid in grids
        ]
        return functional.relu(self.mix(torch.cat([x, *around], 1)))


def losses(parts: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Losses of glance, focus and what is put together, all of weight 1 (Li et al. 2022).

    `glance`: cross-entropy of the trimap's three classes. `focus`, `focus_laplacian`: L1 and Laplacian (5 levels) in
    the unknown region. `matte`, `matte_laplacian`, `composition`: the same and the composition of alpha, everywhere.
    """
    alpha, focus, true = parts["alpha"], parts["focus"], batch["alpha"]
    unknown = terms.unknown_region(batch["trimap"])
    inside = torch.where(unknown, focus, true)
    classes = (2 * batch["trimap"][:, 0]).round().long()
    return {
        "glance": functional.cross_entropy(parts["glance"], classes),
        "focus": terms.masked_mean((focus - true).abs(), unknown.to(focus.dtype)),
        "focus_laplacian": terms.laplacian(inside, true, levels=5),
        "matte": (alpha - true).abs().mean(),
        "matte_laplacian": terms.laplacian(alpha, true, levels=5),
        "composition": terms.masked_mean(*terms.composition_error(alpha, true, batch["image"], batch["background"])),
    }


def _block(channels: int, width: int) -> nn.Sequential:
    """Three convolutions, the last of which changes the channels."""
    return nn.Sequential(
        _convolution(channels, channels, 3), _convolution(channels, channels, 3), _convolution(channels, width, 3)
    )


def _convolution(channels: int, width: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


def _twice(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
