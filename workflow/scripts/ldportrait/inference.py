"""Run a matting network on one picture."""

import numpy as np
import torch


@torch.inference_mode()
def matte(network: torch.nn.Module, image: np.ndarray, trimap: np.ndarray | None = None) -> np.ndarray:
    """Return the alpha (H, W) of a picture (H, W, 3) with a trimap (H, W) of {0, 128, 255}, or none; all are uint8."""
    device = next(network.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float() / 255
    known = None
    if trimap is not None:
        known = (torch.from_numpy(np.ascontiguousarray(trimap)).to(device) / 127.5).round()[None, None] / 2
    alpha = network(pixels.contiguous(memory_format=torch.channels_last), known)
    return (255 * alpha[0, 0].float().clamp(0, 1)).round().byte().cpu().numpy()
