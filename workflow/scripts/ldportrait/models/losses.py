"""What the networks' losses are made of, on alphas (B, 1, H, W) in [0, 1]."""

import torch
from torch.nn import functional


def unknown_region(trimap: torch.Tensor) -> torch.Tensor:
    """Where a trimap of 0, 0.5 and 1 is unknown, as a boolean mask of its shape."""
    return (trimap - 0.5).abs() < 0.25


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of (B, C, H, W) values over the pixels of a (B, 1, H, W) mask of 0 and 1; 0 where the mask is empty."""
    return (values * mask).sum() / (mask.sum() * values.shape[1]).clamp(min=1)


def laplacian(alpha: torch.Tensor, true: torch.Tensor, levels: int = 4) -> torch.Tensor:
    """L1 between Laplacian pyramids, sum over levels of 2^l |L_l(a) - L_l(a*)|, over the count of levels.

    Niklaus and Liu 2018 and Hou and Liu 2019, with means in place of sums. The pyramid is linear, so that of the
    difference is built.
    """
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=alpha.device, dtype=alpha.dtype) / 16
    kernel = torch.outer(taps, taps)[None, None]
    difference, total = alpha - true, 0.0
    for level in range(levels):
        padded = functional.pad(difference, (2, 2, 2, 2), mode="replicate")
        coarse = functional.conv2d(padded, kernel, stride=2)
        fine = functional.interpolate(coarse, size=difference.shape[-2:], mode="bilinear", align_corners=False)
        total = total + 2**level * (difference - fine).abs().mean()
        difference = coarse
    return total / levels


def gradient_penalty(alpha: torch.Tensor, true: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """|grad a - grad a*| + 0.01 |grad a|, L1 of Sobel's two derivatives, each a mean over a mask (B, 1, H, W).

    Dai et al. 2022, in the form of ViTMatte (Yao et al. 2023). Sobel's kernels are not divided by 8, as there, so that
    a ramp of 1 a pixel has a gradient of 8; the picture goes on beyond its border as it ends.
    """
    rise = torch.tensor([-1.0, 0.0, 1.0], device=alpha.device, dtype=alpha.dtype)
    across = torch.outer(torch.tensor([1.0, 2.0, 1.0], device=alpha.device, dtype=alpha.dtype), rise)
    kernels = torch.stack([across, across.T])[:, None]

    def gradient(values: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(functional.pad(values, (1, 1, 1, 1), mode="replicate"), kernels)

    slope = gradient(alpha)
    size = (slope - gradient(true)).abs() + 0.01 * slope.abs()
    return 2 * masked_mean(size, mask)  # the mean over both derivatives, twice, is the sum of their means


def composition_error(
    alpha: torch.Tensor, true: torch.Tensor, image: torch.Tensor, background: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """|a F + (1 - a) B - I| (B, 3, H, W) without knowing F, and the mask (B, 1, H, W) of where it has a value.

    Xu et al. 2017. With I = a* F + (1 - a*) B this is |a - a*| |I - B| / a*, which has no value where a* is 0 and is
    noise where it is small: those pixels are outside the mask.
    """
    contrast = (image - background).abs() / true.clamp(min=0.1)
    return (alpha - true).abs() * contrast, (true > 0.1).to(alpha.dtype)
