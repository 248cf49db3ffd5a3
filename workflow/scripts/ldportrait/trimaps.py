"""Trimaps made from an alpha: 0 is background, 255 foreground, 128 the unknown region between them."""

import cv2
import numpy as np

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255


def from_alpha(alpha: np.ndarray, foreground_erosion: int, background_erosion: int) -> np.ndarray:
    """Make a trimap: unknown are the fractional pixels, and what erosion takes from foreground and background.

    `alpha` is (H, W) uint8; the erosions are radii in pixels (an ellipse 2 r + 1 across; 0 takes nothing), and the
    picture's frame erodes nothing. Returns (H, W) uint8 of {0, 128, 255}. Raises ValueError for another alpha or a
    negative radius.
    """
    if alpha.dtype != np.uint8 or alpha.ndim != 2:
        raise ValueError(f"An alpha is (H, W) uint8, not {alpha.shape} {alpha.dtype}.")
    trimap = np.full_like(alpha, UNKNOWN)
    trimap[_eroded(alpha == 255, foreground_erosion)] = FOREGROUND
    trimap[_eroded(alpha == 0, background_erosion)] = BACKGROUND
    return trimap


def random(alpha: np.ndarray, generator: np.random.Generator, low: int, high: int) -> np.ndarray:
    """Make a training trimap: `from_alpha` with both erosions drawn on their own from low to high, inclusive."""
    if not 0 <= low <= high:
        raise ValueError(f"The erosions must be 0 <= low <= high, not {low} and {high}.")
    foreground_erosion, background_erosion = generator.integers(low, high, size=2, endpoint=True)
    return from_alpha(alpha, int(foreground_erosion), int(background_erosion))


def _eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    if radius < 0:
        raise ValueError(f"An erosion must be at least 0 pixels, not {radius}.")
    if radius == 0:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.erode(mask.astype(np.uint8), kernel).astype(bool)
