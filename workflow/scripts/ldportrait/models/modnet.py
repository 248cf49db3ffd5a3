"""MODNet (Ke et al. 2022): trimap-free portrait matting by three branches over a MobileNetV2.

Written from the paper: semantics at 1/16 of the size from re-weighted deep features, details at full size from shallow
features and the picture, and their fusion. The backbone is that of transformers.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import MobileNetV2Config, MobileNetV2Model

from ldportrait.models import losses as terms
from ldportrait.models import pretrained, sizes

STEP = 32
BOUNDARY = 4.0  # how much more an error counts in the unknown region, for the matte
WEIGHTS = {"semantic": 10.0, "detail": 10.0, "matte": 1.0, "composition": 1.0}
TAPS = (1 / 4, 1 / 2, 1 / 4)  # of the blur of the semantic truth


class MODNet(nn.Module):
    """`modnet`; other settings make smaller ones, for tests."""

    INITS = ("imagenet",)

    def __init__(self, width: float = 1.0, channels: int = 32, side: int = 512) -> None:
        """Take the backbone's width multiplier, the details' channels, and the longest side that the network is shown.

        The network sees portraits whole: larger pictures are shrunk, and their alpha is enlarged.
        """
        super().__init__()
        self.side = side
        config = MobileNetV2Config(depth_multiplier=width, finegrained_output=False)
        self.backbone = MobileNetV2Model(config, add_pooling_layer=False)
        for layer in self.backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 0.1  # transformers has 0.997, TensorFlow's decay: only the last batch would count
        half, quarter, eighth, sixteenth, deep = self._widths()
        self.recalibrate = Recalibration(deep)
        self.deep = nn.ModuleList([Layer(deep, sixteenth, 5), Layer(sixteenth, eighth, 5)])
        self.semantic = nn.Conv2d(eighth, 1, 3, stride=2, padding=1)
        self.shallow = nn.ModuleList([Layer(half, channels, 1), Layer(quarter, channels, 1)])
        self.halve = Layer(channels + 3, channels, 3, stride=2)
        self.join = Layer(2 * channels, 2 * channels, 3)
        self.at_quarter = nn.Sequential(
            Layer(2 * channels + eighth + 3, 2 * channels, 3),
            Layer(2 * channels, 2 * channels, 3),
            Layer(2 * channels, channels, 3),
        )
        self.at_half = nn.Sequential(
            Layer(2 * channels, 2 * channels, 3),
            Layer(2 * channels, channels, 3),
            Layer(channels, channels, 3),
            Layer(channels, channels, 3),
        )
        self.detail = nn.Sequential(Layer(channels + 3, channels, 3), nn.Conv2d(channels, 1, 1))
        self.meaning = Layer(eighth, channels, 5)
        self.fuse = Layer(2 * channels, channels, 3)
        self.matte = nn.Sequential(Layer(channels + 3, channels // 2, 3), nn.Conv2d(channels // 2, 1, 1))

    def forward(self, image: torch.Tensor, trimap: torch.Tensor | None = None) -> torch.Tensor:
        """Alpha (B, 1, H, W) from image (B, 3, H, W); a trimap is not looked at."""
        return self.predict_all(image, trimap)["alpha"]

    def predict_all(self, image: torch.Tensor, trimap: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """`alpha` and `detail` (B, 1, H, W), and `semantic` at a sixteenth of the size that the network is shown."""
        shown = sizes.shrunk(image, self.side)
        height, width = shown.shape[-2:]
        pixels = sizes.padded(2 * shown - 1, STEP)
        half, quarter, deep = self._features(pixels)
        eighth = self.recalibrate(deep)
        for layer in self.deep:
            eighth = layer(_twice(eighth))
        fine = self._details(pixels, half, quarter, eighth)
        meaning = _twice(self.meaning(_twice(eighth)))
        fused = _twice(self.fuse(torch.cat([meaning, fine], 1)))
        parts = {
            "alpha": self.matte(torch.cat([fused, pixels], 1))[..., :height, :width],
            "detail": self.detail(torch.cat([_twice(fine), pixels], 1))[..., :height, :width],
            "semantic": self.semantic(eighth)[..., : math.ceil(height / 16), : math.ceil(width / 16)],
        }
        parts = {name: torch.sigmoid(part) for name, part in parts.items()}
        return parts | {name: sizes.enlarged(parts[name], image.shape[-2:]) for name in ("alpha", "detail")}

    def initialise(self, init: str, path: Path | str, sha256: str) -> pretrained.Report:
        """Start the backbone from ImageNet weights with transformers' names, as google/mobilenet_v2_1.0_224 has them.

        Raises as `pretrained.read` and `pretrained.fill` do.
        """
        tensors = pretrained.strip(pretrained.read(path, sha256), "mobilenet_v2.")
        return pretrained.fill(self.backbone, tensors, set(self.backbone.state_dict()), path, "MobileNetV2")

    def _features(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The backbone's features at 1/2, 1/4 and 1/32 of the size; transformers gives out none at 1/2."""
        half = self.backbone.conv_stem(pixels)
        quarter = nn.Sequential(*self.backbone.layer[:2])(half)
        return half, quarter, self.backbone.conv_1x1(nn.Sequential(*self.backbone.layer[2:])(quarter))

    def _widths(self) -> list[int]:
        """Channels of the backbone where its features are 1/2, 1/4, 1/8, 1/16 and 1/32 of the size."""
        last = [self.backbone.conv_stem, *(self.backbone.layer[index] for index in (1, 4, 11))]
        found = [layer.reduce_1x1.convolution.out_channels for layer in last]
        return found + [self.backbone.conv_1x1.convolution.out_channels]

    def _details(
        self, pixels: torch.Tensor, half: torch.Tensor, quarter: torch.Tensor, eighth: torch.Tensor
    ) -> torch.Tensor:
        """The detail branch's features at half the size, from the picture, shallow features and the semantics."""
        halved, quartered = (functional.avg_pool2d(pixels, step) for step in (2, 4))
        half, quarter = (layer(x) for layer, x in zip(self.shallow, (half, quarter), strict=True))
        x = self.join(torch.cat([self.halve(torch.cat([halved, half], 1)), quarter], 1))
        x = self.at_quarter(torch.cat([x, _twice(eighth), quartered], 1))
        return self.at_half(torch.cat([_twice(x), half], 1))


class Layer(nn.Module):
    """Convolution, batch normalisation of half of the channels and instance normalisation of the rest, ReLU.

    The mixed normalisation is that of Pan et al. 2018 (IBN-Net), without scales in the instance part.
    """

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1) -> None:
        """Take the channels in and out."""
        super().__init__()
        self.convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2)
        self.batch = nn.BatchNorm2d(width // 2)
        self.instance = nn.InstanceNorm2d(width - width // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) to (B, width, H / stride, W / stride)."""
        first, second = self.convolution(x).tensor_split([self.batch.num_features], dim=1)
        return functional.relu(torch.cat([self.batch(first), self.instance(second)], 1))


class Recalibration(nn.Module):
    """Weights of channels, found from their means (squeeze and excitation, Hu et al. 2018, to a quarter)."""

    def __init__(self, channels: int) -> None:
        """Take the channels."""
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // 4, bias=False)
        self.excite = nn.Linear(channels // 4, channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W), each channel times a number in (0, 1)."""
        weights = torch.sigmoid(self.excite(functional.relu(self.squeeze(x.mean((2, 3))))))
        return x * weights[..., None, None]


def losses(parts: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Losses of the three branches, to be weighted 10 (semantic), 10 (detail) and 1 (matte, composition).

    Ke et al. 2022: mean square against the truth at 1/16, blurred; L1 in the unknown region, as a mean over the whole
    picture; and L1 of alpha and of the composition, with errors in the unknown region counted `BOUNDARY` times more.
    The semantics and their truth lie over each other if the sides are multiples of 32.
    """
    alpha, true = parts["alpha"], batch["alpha"]
    unknown = terms.unknown_region(batch["trimap"]).to(alpha.dtype)
    emphasis = 1 + BOUNDARY * unknown
    coarse = _blurred(functional.adaptive_avg_pool2d(true, parts["semantic"].shape[-2:]))
    composed, valued = terms.composition_error(alpha, true, batch["image"], batch["background"])
    return {
        "semantic": functional.mse_loss(parts["semantic"], coarse),
        "detail": ((parts["detail"] - true).abs() * unknown).mean(),
        "matte": ((alpha - true).abs() * emphasis).mean(),
        "composition": (composed * valued * emphasis).mean(),
    }


def _blurred(alpha: torch.Tensor) -> torch.Tensor:
    """Blur (B, 1, H, W) over 3 × 3 pixels; it goes on beyond its border as it ends."""
    taps = torch.tensor(TAPS, device=alpha.device, dtype=alpha.dtype)
    kernel = torch.outer(taps, taps)[None, None]
    return functional.conv2d(functional.pad(alpha, (1, 1, 1, 1), mode="replicate"), kernel)


def _twice(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
