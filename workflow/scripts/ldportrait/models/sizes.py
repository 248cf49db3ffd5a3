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
    if torch.onnx.is_in_onnx_export():
        return _shrunk_by_matrices(image, side)
    size = image.shape[-2:]
    if max(size) <= side:
        return image
    small = [max(1, round(side / max(size) * length)) for length in size]
    way = {"mode": "bilinear", "antialias": True, "align_corners": False}
    if small[1] == 1:  # torch 2.13 would fill a result of one column with its first value
        return functional.interpolate(image.transpose(2, 3), size=small[::-1], **way).transpose(2, 3)
    return functional.interpolate(image, size=small, **way)


def _shrunk_by_matrices(image: torch.Tensor, side: int) -> torch.Tensor:
    """`shrunk` in operations that ONNX has: a matrix across, one down; a smaller picture is left by the identity.

    Row i holds a triangle around the centre of pixel i of the result, as wide as two pixels of the result, with sum 1.
    Sizes are tensors, so that they are no constants of the trace.
    """
    lengths = [torch.as_tensor(length).double() for length in image.shape[-2:]]
    scale = (side / torch.maximum(*lengths)).clamp(max=1)
    down, across = (_triangles(length, (scale * length).round().clamp(min=1)).to(image.dtype) for length in lengths)
    return down @ image @ across.transpose(0, 1)


def _triangles(length: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    step = length / count
    centres = (torch.arange(count, dtype=torch.float64) + 0.5) * step
    places = torch.arange(length, dtype=torch.float64) + 0.5
    weights = (1 - ((places[None] - centres[:, None]) / step).abs()).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def pooled(x: torch.Tensor, count: int) -> torch.Tensor:
    """Means of (B, C, H, W) over count × count cells, which share pixels where they must: (B, C, count, count)."""
    if not torch.onnx.is_in_onnx_export():
        return functional.adaptive_avg_pool2d(x, count)
    down, across = (_cells(torch.as_tensor(length).double(), count).to(x.dtype) for length in x.shape[-2:])
    return down @ x @ across.transpose(0, 1)


def _cells(length: torch.Tensor, count: int) -> torch.Tensor:
    """Row i of (count, length) averages the pixels that cell i touches, as torch's adaptive pooling does."""
    edges = torch.arange(count + 1, dtype=torch.float64) * length / count
    places = torch.arange(length, dtype=torch.float64)[None]
    inside = (places >= edges[:-1, None].floor()) & (places < edges[1:, None].ceil())
    return inside / inside.sum(1, keepdim=True)


def enlarged(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Bring (B, C, h, w) to `size` (H, W), bilinearly, if it has another."""
    if x.shape[-2:] == size and not torch.onnx.is_in_onnx_export():  # there they may differ next time
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
