"""The errors pixel by pixel, of which the metrics of image.py and the protocols of protocols.py are sums.

All is taken in double precision, and kept in single, within the box around what is not 0 in either alpha, since nothing
outside it adds to any error.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ldportrait.metrics import kernels

SIGMA = 1.4  # of the Gaussian derivative in Grad, in pixels
CUT = 0.01  # the kernel ends where the Gaussian falls below this
STEP = 0.15  # in Conn, a smaller distance from the connected level counts as connected
MARGIN = 8  # pixels around the box, at least the reach of any kernel

EIGHT_BIT = np.arange(256) / 255  # what the 8-bit levels stand for
THRESHOLDS = (np.arange(1, kernels.LEVELS + 1) / kernels.LEVELS).astype(np.float32)


@dataclass(frozen=True)
class Pair:
    """Two alphas within a box of the picture: (h, w) float64 in [0, 1], both 0 outside the box."""

    pred: np.ndarray
    true: np.ndarray
    box: tuple[slice, slice]
    shape: tuple[int, int]  # of the picture

    def selection(self, mask: np.ndarray | None) -> np.ndarray | None:
        """A mask of the picture, (H, W) bool, within the box, as cv2 wants it. ValueError if it does not fit."""
        if mask is None:
            return None
        check_mask(mask, self.shape)
        return np.ascontiguousarray(mask[self.box]).view(np.uint8)

    def count(self, mask: np.ndarray | None) -> int:
        """How many pixels of the picture a mask selects."""
        return self.shape[0] * self.shape[1] if mask is None else int(np.count_nonzero(mask))

    def absolute(self, mask: np.ndarray | None = None) -> float:
        """Sum of absolute differences."""
        return cv2.norm(self.pred, self.true, cv2.NORM_L1, self.selection(mask))

    def squared(self, mask: np.ndarray | None = None) -> float:
        """Sum of squared differences."""
        return cv2.norm(self.pred, self.true, cv2.NORM_L2SQR, self.selection(mask))

    def total(self, error: np.ndarray, mask: np.ndarray | None = None) -> float:
        """Sum of an error that is (h, w) like the box and nowhere negative."""
        return cv2.norm(error, cv2.NORM_L1, self.selection(mask))


@dataclass(frozen=True)
class Derivative:
    """A Gaussian and its derivative, each 1-D with as many taps, an odd number."""

    gaussian: np.ndarray
    derivative: np.ndarray
    border: str  # how the picture goes on beyond its frame, in the words of np.pad


def pair(pred: np.ndarray, true: np.ndarray) -> Pair:
    """Take two alphas, (H, W) uint8 or floating point in [0, 1]; ValueError for others."""
    if pred.shape != true.shape:
        raise ValueError(f"The predicted alpha is {pred.shape}, but the true one is {true.shape}.")
    check(pred, "predicted")
    check(true, "true")
    box = _box(pred, true)
    return Pair(double(pred[box]), double(true[box]), box, true.shape)


def check(values: np.ndarray, name: str, axes: str = "(H, W)", what: str = "alpha") -> None:
    """Refuse with a ValueError what has other axes, or is neither uint8 nor floating point in [0, 1]."""
    if values.ndim != len(axes.split()) or not values.size:
        raise ValueError(f"The {name} {what} is {axes}, not {values.shape}.")
    if values.dtype == np.uint8:
        return
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"The {name} {what} is uint8 or floating point, not {values.dtype}.")
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"The {name} {what} goes from {values.min():g} to {values.max():g}, which leaves [0, 1].")


def check_mask(mask: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse with a ValueError what is not bool of this shape."""
    if mask.shape != shape or mask.dtype != bool:
        raise ValueError(f"A mask is {shape} bool like the alphas, not {mask.shape} {mask.dtype}.")


def mean(total: float, count: int) -> float:
    """A sum's mean; NaN of nothing."""
    return total / count if count else float("nan")


def double(alpha: np.ndarray) -> np.ndarray:
    """An alpha in double precision, such that equal values give equal results whatever type they came in."""
    if alpha.dtype == np.uint8:
        return cv2.LUT(alpha, EIGHT_BIT)
    if alpha.dtype == np.float32:
        return kernels.from_single(np.ascontiguousarray(alpha), EIGHT_BIT)
    return np.ascontiguousarray(alpha, dtype=np.float64)


def definition() -> Derivative:
    """The derivative of Grad: nine taps, each kernel of L2 norm 1, so that so is their product; replicated borders."""
    half = int(np.ceil(SIGMA * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * SIGMA * CUT))))
    x = np.arange(-half, half + 1)
    gaussian = np.exp(-(x**2) / (2 * SIGMA**2))
    derivative = x * gaussian
    return Derivative(gaussian / np.linalg.norm(gaussian), derivative / np.linalg.norm(derivative), "edge")


def gradient(alphas: Pair, derivative: Derivative, stretched: bool = False) -> np.ndarray:
    """Squared differences of the gradients' amplitudes; (h, w) float32.

    `stretched` takes the gradients of alphas that were brought to [0, 1] by their least and greatest value. Gradients
    are linear and those of a constant 0, so that this multiplies them.
    """
    half = derivative.gaussian.size // 2
    rows, columns = (np.pad(np.arange(size), half, mode=derivative.border) for size in alphas.true.shape)
    scales = [_stretch(alpha, alphas) if stretched else 1.0 for alpha in (alphas.pred, alphas.true)]
    taps = derivative.gaussian[half:].copy(), derivative.derivative[half:].copy()
    return kernels.gradient_error(alphas.pred, alphas.true, rows, columns, *taps, *scales)


def connectivity(alphas: Pair, background: int = kernels.NONE) -> np.ndarray:
    """Absolute differences of the connectivities; (h, w) float32. For `background` see `kernels.connect`."""
    levels = kernels.quantise(alphas.pred, alphas.true, THRESHOLDS)
    connected = kernels.connect(levels, alphas.count(None), background)
    return kernels.connectivity_error(alphas.pred, alphas.true, connected, STEP)


def _stretch(alpha: np.ndarray, alphas: Pair) -> float:
    """The factor by which an alpha's range is smaller than 1, outside the box included; 1 for a constant one."""
    least = 0.0 if alpha.shape != alphas.shape else alpha.min()
    span = alpha.max() - least
    return 1 / span if span else 1.0


def _box(pred: np.ndarray, true: np.ndarray) -> tuple[slice, slice]:
    """The smallest box that holds all of both alphas that is not 0, widened by MARGIN within the picture."""
    height, width = true.shape
    left, top, columns, rows = cv2.boundingRect(((pred > 0) | (true > 0)).view(np.uint8))
    return (
        slice(max(0, top - MARGIN), min(height, top + max(rows, 1) + MARGIN)),
        slice(max(0, left - MARGIN), min(width, left + max(columns, 1) + MARGIN)),
    )
