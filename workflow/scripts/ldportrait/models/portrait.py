"""The portrait network that comes with the workflow: alpha from the picture alone, in a fraction of a CPU second.

Three steps, from coarse to fine. A residual U-Net sees the whole picture as `side` × `side` pixels and finds the
person. A light head sees it as `fine` × `fine` pixels, together with what the first found, and draws the rim. A picture
of another size than that gets its last detail from a local linear model of alpha (He et al. 2013, guided filter).

Both inner pictures are square whatever the picture's shape, so that every size within the network is a constant:
training shows it stretched portraits.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

WIDTHS = (24, 40, 64, 96, 128)
BLOCKS = (2, 2, 2, 0)
SMOOTH = 1e-4  # the guided filter's epsilon: the variance of grey below which alpha does not follow it
REACH = 4  # the guided filter's radius, pixels of the fine picture


class PortraitNet(nn.Module):
    """`portrait`: a coarse network, a detail head, and a guided enlargement."""

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        blocks: Sequence[int] = BLOCKS,
        detail: int = 24,
        side: int = 192,
        fine: int = 512,
    ) -> None:
        """Take the coarse network's channels and blocks per level, the head's channels, and the two inner sizes.

        Raises ValueError for an inner size that cannot be halved often enough.
        """
        super().__init__()
        if side % 2 ** len(widths) or side < 2 ** len(widths) or fine % 2:
            raise ValueError(f"side must be a multiple of {2 ** len(widths)} and fine of 2, not {side} and {fine}.")
        self.side, self.fine = side, fine
        self.coarse = CoarseNet(widths, blocks)
        self.detail = DetailHead(widths[0], detail)

    def forward(self, image: torch.Tensor, trimap: torch.Tensor | None = None) -> torch.Tensor:
        """Alpha (B, 1, H, W) from image (B, 3, H, W); a trimap is not looked at."""
        logits, features = self.coarse(self.shrink(image))
        fine = resize(image, (self.fine, self.fine))
        alpha = torch.sigmoid(self.detail(fine, logits, features))
        return enlarge(alpha, fine, image)

    def shrink(self, image: torch.Tensor) -> torch.Tensor:
        """Show the whole picture (B, 3, H, W) as (B, 3, side, side).

        By way of four times that size and means of 4 × 4: like area averages for pictures of up to eight times `side`.
        """
        return functional.avg_pool2d(resize(image, (4 * self.side, 4 * self.side)), 4)


class CoarseNet(nn.Module):
    """Find the person: image (B, 3, S, S) to logits of alpha (B, 1, S / 2, S / 2) and features of the same size."""

    def __init__(self, widths: Sequence[int], blocks: Sequence[int]) -> None:
        """`widths` are the channels per level, the first at half the size and each next one at half of the last.

        `blocks` are the residual blocks of each level but the first, going down.
        """
        super().__init__()
        levels = list(zip(widths, widths[1:], strict=False))
        self.stem = convolution(3, widths[0], stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(convolution(low, high, stride=2), *(Residual(high) for _ in range(count)))
            for (low, high), count in zip(levels, blocks, strict=True)
        )
        self.context = Context(widths[-1])
        self.across = nn.ModuleList(nn.Conv2d(high, low, 1) for low, high in levels)
        self.up = nn.ModuleList(Residual(low) for low, _ in levels)
        self.head = nn.Conv2d(widths[0], 1, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Down, a look at the whole, and up again with the skips added."""
        features = [self.stem(image - 0.5)]
        for layer in self.down:
            features.append(layer(features[-1]))
        x = self.context(features.pop())
        for across, layer in zip(reversed(self.across), reversed(self.up), strict=True):
            wide = functional.interpolate(across(x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = layer(features.pop() + wide)
        return self.head(x), x


class Context(nn.Module):
    """Tell every place what the whole picture shows: features (B, C, h, w) plus a function of their mean."""

    def __init__(self, width: int) -> None:
        """Take the channels."""
        super().__init__()
        self.whole = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(inplace=True), nn.Conv2d(width, width, 1))
        self.mix = Residual(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add, then mix."""
        return self.mix(x + self.whole(x.mean((2, 3), keepdim=True)))


class DetailHead(nn.Module):
    """Draw the rim: logits (B, 1, F, F) from the picture (B, 3, F, F) and the coarse network's logits and features.

    The work is done at half the size, each pixel holding a square of four (Shi et al. 2016, sub-pixel convolution).
    """

    def __init__(self, features: int, width: int) -> None:
        """Take the channels of the coarse network's features and of the head."""
        super().__init__()
        self.stem = convolution(12 + 1 + features, width)
        self.body = nn.Sequential(Residual(width), Residual(width))
        self.head = nn.Conv2d(width, 4, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: torch.Tensor, logits: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Correct the enlarged logits."""
        squares = functional.pixel_unshuffle(image - 0.5, 2)
        known = resize(torch.cat([logits, features], 1), squares.shape[-2:])
        change = self.head(self.body(self.stem(torch.cat([squares, torch.sigmoid(known[:, :1]), known[:, 1:]], 1))))
        return resize(logits, image.shape[-2:]) + functional.pixel_shuffle(change, 2)


class Residual(nn.Module):
    """Two 3 × 3 convolutions whose result is added (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        """Take the channels."""
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add."""
        return functional.relu(x + self.second(self.first(x)))


def convolution(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    """3 × 3 convolution, normalisation over the batch, rectifier."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


def resize(picture: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Scale (B, C, H, W) to a size (h, w), bilinear; nothing is averaged, so shrink by more than two elsewhere."""
    return functional.interpolate(picture, size=tuple(size), mode="bilinear", align_corners=False)


def enlarge(alpha: torch.Tensor, fine: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Bring alpha (B, 1, F, F) of the picture `fine` (B, 3, F, F) to the size of `image` (B, 3, H, W).

    Near each pixel alpha is about slope · grey + offset (He et al. 2013), slope = cov(grey, alpha) / (var(grey) + eps).
    What the large picture's grey has beyond the enlarged small one's is worth that slope. At equal size it has nothing.
    """
    grey, size = fine.mean(1, keepdim=True), image.shape[-2:]
    mean, mean_alpha = box(grey), box(alpha)
    slope = (box(grey * alpha) - mean * mean_alpha) / (box(grey * grey) - mean * mean + SMOOTH)
    beyond = image.mean(1, keepdim=True) - resize(grey, size)
    return (resize(alpha, size) + resize(slope, size) * beyond).clamp(0, 1)


def box(values: torch.Tensor) -> torch.Tensor:
    """Mean over squares of 2 REACH + 1 pixels."""
    return functional.avg_pool2d(values, 2 * REACH + 1, 1, REACH, count_include_pad=False)
