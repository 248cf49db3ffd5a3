"""The pieces of the losses, against closed forms."""

import pytest
import torch

from ldportrait.models import losses


def test_the_laplacian_sees_detail():
    true = torch.zeros(1, 1, 64, 64)
    checks = 0.1 * (torch.arange(64) % 2)[None, None, None].expand(1, 1, 64, 64)
    smooth = torch.full_like(true, 0.1)
    assert losses.laplacian(checks, true) > 10 * losses.laplacian(smooth, true)
    # level 0 holds +-0.05 of the checks; the frame adds a little to it, and the sum is over 4 levels
    assert 0.05 / 4 <= losses.laplacian(checks, true) < 0.08 / 4


def test_the_gradient_penalty_of_ramps():
    """Sobel's derivative of a ramp of s a pixel is 8 s: along x, along y, and 0.01 of it for the ramp itself."""
    x, y = torch.meshgrid(torch.arange(20.0), torch.arange(24.0), indexing="xy")
    alpha, true = 0.03 * x[None, None], 0.01 * y[None, None]
    inside = torch.zeros_like(alpha)
    inside[..., 1:-1, 1:-1] = 1
    expected = 8 * (0.03 + 0.01) + 0.01 * 8 * 0.03
    assert losses.gradient_penalty(alpha, true, inside).item() == pytest.approx(expected, rel=1e-5)
    assert losses.gradient_penalty(alpha, alpha, inside).item() == pytest.approx(0.01 * 8 * 0.03, rel=1e-5)
    assert losses.gradient_penalty(alpha, true, torch.zeros_like(inside)) == 0


def test_the_gradient_penalty_counts_by_the_masks_area():
    alpha = torch.zeros(1, 1, 16, 16)
    alpha[..., 8, 8] = 1
    mask = torch.zeros_like(alpha)
    mask[..., 8, 7:10] = 1
    # beside the point, dx is 2 and -2 and dy 0; at it, both are 0
    assert losses.gradient_penalty(alpha, alpha * 0, mask).item() == pytest.approx(1.01 * 4 / 3, rel=1e-6)


def test_the_composition_error_is_that_of_composing():
    generator = torch.Generator().manual_seed(0)
    foreground, background = torch.rand(2, 2, 3, 8, 8, generator=generator)
    true, alpha = 0.2 + 0.8 * torch.rand(2, 2, 1, 8, 8, generator=generator)
    image = true * foreground + (1 - true) * background
    error, mask = losses.composition_error(alpha, true, image, background)
    assert torch.allclose(error, (alpha * foreground + (1 - alpha) * background - image).abs(), atol=1e-6)
    assert mask.all()
    assert not losses.composition_error(alpha, 0 * true, image, background)[1].any()
