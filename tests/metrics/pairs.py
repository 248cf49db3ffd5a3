"""Pairs of alphas, predicted and true, that the tests of the metrics share."""

import cv2
import numpy as np
from conftest import ROOT

from ldportrait import images


def portrait(name: str = "portrait-003", size: int = 256) -> np.ndarray:
    alpha = images.read_rgba(ROOT / "resources" / "bank" / "portraits" / f"{name}.webp")[..., 3]
    return cv2.resize(alpha, (size, size), interpolation=cv2.INTER_AREA)


def predicted(alpha: np.ndarray, seed: int = 0) -> np.ndarray:
    """A plausible mistaken matte: soft, noisy, with a hole and a floater."""
    noise = np.random.default_rng(seed).integers(-30, 30, alpha.shape)
    pred = np.clip(cv2.GaussianBlur(alpha, (0, 0), 1.5).astype(int) + noise * (alpha > 0), 0, 255)
    size = len(alpha)
    pred[size // 2 : size // 2 + 9, size // 2 : size // 2 + 14] = 40
    pred[5:17, 5:15] = 200
    return pred.astype(np.uint8)


def drawn(size: int = 96) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A pair and its trimap that any program can draw to the last bit, in whole numbers: no library, no noise.

    A soft disc; a prediction that is off to the side, has a dip and a floater, and is shallower.
    """
    y, x = np.mgrid[:size, :size].astype(np.int64)
    true = np.clip(8 * (30**2 - (x - 48) ** 2 - (y - 50) ** 2) // 10 + 128, 0, 255)
    pred = np.clip(7 * (30**2 - (x - 50) ** 2 - (y - 49) ** 2) // 10 + 120, 0, 250)
    pred[60:64, 40:52] = 77
    pred[4:9, 4:12] = 200
    trimap = np.where(true == 0, 0, np.where(true == 255, 255, 128))
    trimap[56:68, 36:56] = 128
    return pred.astype(np.uint8), true.astype(np.uint8), trimap.astype(np.uint8)


def constructed() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs that are extreme in one way each."""
    generator = np.random.default_rng(7)
    noise = generator.integers(0, 256, (2, 41, 67), dtype=np.uint8)
    zeros, ones = np.zeros((30, 40), np.uint8), np.full((30, 40), 255, np.uint8)
    ramp = np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1))
    islands = np.zeros((50, 50), np.uint8)
    for i, level in enumerate((255, 230, 180, 130, 90, 60)):
        islands[8 * i : 8 * i + 6, 3 * i : 3 * i + 9] = level
    shifted = np.roll(islands, 2, axis=1)
    smooth = cv2.GaussianBlur(generator.random((45, 45)), (0, 0), 3)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return {
        "noise": (noise[0], noise[1]),
        "one level apart": (np.full((9, 9), 200, np.uint8), np.full((9, 9), 199, np.uint8)),
        "nothing predicted": (zeros, ramp),
        "all predicted": (ones, ramp),
        "nothing true": (ramp, zeros),
        "nothing at all": (zeros, zeros),
        "all": (ones, ones),
        "opposites": (ones, zeros),
        "islands": (shifted, islands),
        "shallow": ((ramp // 2).astype(np.uint8), ramp),
        "floats": (smooth, np.clip(smooth * 1.1 - 0.03, 0, 1)),
        "single floats": (smooth.astype(np.float32), np.clip(smooth * 1.1 - 0.03, 0, 1).astype(np.float32)),
        "slight": (np.clip(smooth + 1e-4 * generator.standard_normal(smooth.shape), 0, 1), smooth),
        "one row": (noise[0][:1], noise[1][:1]),
        "one column": (noise[0][:, :1], noise[1][:, :1]),
        "one pixel": (noise[0][:1, :1], noise[1][:1, :1]),
    }


def unit(alpha: np.ndarray) -> np.ndarray:
    """An alpha as the textbook takes it."""
    return alpha / 255 if alpha.dtype == np.uint8 else alpha.astype(np.float64)
