"""Pictures of any size for networks that want a multiple of their stride, or see a portrait whole and small."""

import torch
from torch.nn import functional


def padded(x: torch.Tensor, step: int) -> torch.Tensor:
    """Pad (B, C, H, W) below and to the right to multiples of `step`, going on as the picture ends; crop what results.

    Reflection would need a picture larger than the padding.
    """
    height, width = x.shape[-2:]
    return functional.pad(x, (0, -width % step, 0, -height % step), mode="replicate")


def shrunk(image: torch.Tensor, side: int) -> torch.Tensor:
    """Shrink (B, C, H, W) so that its longer side is `side`; a picture that is no larger stays as it is."""
    size = image.shape[-2:]
    if max(size) <= side:
        return image
    small = [max(1, round(side / max(size) * length)) for length in size]
    return functional.interpolate(image, size=small, mode="bilinear", antialias=True, align_corners=False)


def enlarged(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Bring (B, C, h, w) to `size` (H, W), bilinearly, if it has another."""
    if x.shape[-2:] == size:
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
