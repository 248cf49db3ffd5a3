"""SAD, MSE, MAD, Grad and Conn of a matte, by the definitions of Rhemann et al. (CVPR 2009).

The alphas are (H, W), uint8 in 0..255 or floating point in [0, 1]; both give the same answer for equal values, and
floats are not quantised. `sad`, `grad` and `conn` are sums divided by 1000, `mse` and `mad` means, as tables print them
(the means usually times 1000). A mask is (H, W) bool and selects pixels after Grad and Conn were taken on the whole
picture. A mean over a mask without pixels is NaN.

Where public implementations differ, this one keeps to the definitions: no min-max normalisation of the alphas; Conn by
4-connectivity, by the largest component of *foreground* (never that of background), and with an empty intersection
leaving no pixel connected; thresholds met exactly by the 8-bit levels that equal them.

All take a ValueError for alphas or masks that do not fit.
"""

from collections.abc import Mapping

import cc3d
import cv2
import numpy as np

METRICS = ("sad", "mse", "mad", "grad", "conn")

SIGMA = 1.4  # of the Gaussian derivative in Grad, in pixels
CUT = 0.01  # the kernel ends where the Gaussian falls below this
LEVELS = 10  # Conn's thresholds are 1/10, 2/10 ... 1
STEP = 0.15  # a smaller distance from the connected level counts as connected


def sad(pred: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Sum of absolute differences / 1000."""
    return cv2.norm(*_pair(pred, true), cv2.NORM_L1, _selection(mask, true)) / 1000


def mse(pred: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean of squared differences."""
    return _mean(cv2.norm(*_pair(pred, true), cv2.NORM_L2SQR, _selection(mask, true)), mask, true)


def mad(pred: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean of absolute differences."""
    return _mean(cv2.norm(*_pair(pred, true), cv2.NORM_L1, _selection(mask, true)), mask, true)


def grad(pred: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Sum of squared differences of the gradients' amplitudes / 1000.

    Gradients are by the first derivative of a Gaussian of sigma 1.4 (9 x 9, L2-normalised), with replicated borders.
    """
    p, t = _pair(pred, true)
    box = _box(p, t, margin=_kernels()[0].size // 2)
    return cv2.norm(_amplitude(p[box]), _amplitude(t[box]), cv2.NORM_L2SQR, _selection(mask, true, box)) / 1000


def conn(pred: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Sum of absolute differences of the connectivities / 1000.

    A pixel's connectivity is phi = 1 - (a - l) [a - l >= 0.15], where l is the threshold up to which it belongs to the
    largest 4-connected component that both alphas share.
    """
    p, t = _pair(pred, true)
    box = _box(p, t)
    return cv2.norm(*_connectivities(p[box], t[box]), cv2.NORM_L1, _selection(mask, true, box)) / 1000


def all_metrics(
    pred: np.ndarray, true: np.ndarray, masks: Mapping[str, np.ndarray | None]
) -> list[dict[str, str | float]]:
    """Return all five metrics in each region, as rows of region, metric and value.

    `masks` names the regions, None being the whole picture. The pictures of Grad and Conn are taken once.
    """
    p, t = _pair(pred, true)
    for mask in masks.values():
        _selection(mask, true)
    gradient_box, box = _box(p, t, margin=_kernels()[0].size // 2), _box(p, t)
    amplitudes = _amplitude(p[gradient_box]), _amplitude(t[gradient_box])
    connectivities = _connectivities(p[box], t[box])
    rows = []
    for region, mask in masks.items():
        selected = _selection(mask, true)
        absolute = cv2.norm(p, t, cv2.NORM_L1, selected)
        values = {
            "sad": absolute / 1000,
            "mse": _mean(cv2.norm(p, t, cv2.NORM_L2SQR, selected), mask, true),
            "mad": _mean(absolute, mask, true),
            "grad": cv2.norm(*amplitudes, cv2.NORM_L2SQR, _selection(mask, true, gradient_box)) / 1000,
            "conn": cv2.norm(*connectivities, cv2.NORM_L1, _selection(mask, true, box)) / 1000,
        }
        rows += [{"region": region, "metric": metric, "value": values[metric]} for metric in METRICS]
    return rows


def _pair(pred: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both alphas as float32 in [0, 1]; single precision meets i / 10 exactly at 51 / 255, 102 / 255 ..."""
    if pred.shape != true.shape:
        raise ValueError(f"The predicted alpha is {pred.shape}, but the true one is {true.shape}.")
    return _unit(pred, "predicted"), _unit(true, "true")


def _unit(alpha: np.ndarray, name: str) -> np.ndarray:
    if alpha.ndim != 2 or not alpha.size:
        raise ValueError(f"The {name} alpha is (H, W), not {alpha.shape}.")
    if alpha.dtype == np.uint8:
        return alpha.astype(np.float32) / np.float32(255)
    if not np.issubdtype(alpha.dtype, np.floating):
        raise ValueError(f"The {name} alpha is uint8 or floating point, not {alpha.dtype}.")
    if not (alpha.min() >= 0 and alpha.max() <= 1):
        raise ValueError(f"The {name} alpha goes from {alpha.min():g} to {alpha.max():g}, which leaves [0, 1].")
    return np.ascontiguousarray(alpha, dtype=np.float32)


def _selection(
    mask: np.ndarray | None, true: np.ndarray, box: tuple[slice, slice] = (slice(None), slice(None))
) -> np.ndarray | None:
    """A mask within a box, as cv2 wants it."""
    if mask is None:
        return None
    if mask.shape != true.shape or mask.dtype != bool:
        raise ValueError(f"A mask is {true.shape} bool like the alphas, not {mask.shape} {mask.dtype}.")
    return np.ascontiguousarray(mask[box]).view(np.uint8)


def _mean(total: float, mask: np.ndarray | None, true: np.ndarray) -> float:
    count = true.size if mask is None else np.count_nonzero(mask)
    return total / count if count else float("nan")


def _box(p: np.ndarray, t: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """The smallest box that holds all of both alphas that is not 0, widened by `margin` within the picture.

    What lies outside adds nothing to Grad (with a margin of the kernel's reach) or Conn. At least one pixel wide.
    """
    height, width = t.shape
    left, top, columns, rows = cv2.boundingRect(((p > 0) | (t > 0)).view(np.uint8))
    return (
        slice(max(0, top - margin), min(height, top + max(rows, 1) + margin)),
        slice(max(0, left - margin), min(width, left + max(columns, 1) + margin)),
    )


def _kernels() -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian and its derivative, each of L2 norm 1, so that so is the 2-D kernel that is their product."""
    half = int(np.ceil(SIGMA * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * SIGMA * CUT))))
    x = np.arange(-half, half + 1)
    gaussian = np.exp(-(x**2) / (2 * SIGMA**2))
    derivative = x * gaussian
    return gaussian / np.linalg.norm(gaussian), derivative / np.linalg.norm(derivative)


def _amplitude(alpha: np.ndarray) -> np.ndarray:
    gaussian, derivative = _kernels()
    across, down = (
        cv2.sepFilter2D(alpha, cv2.CV_32F, *kernels, borderType=cv2.BORDER_REPLICATE)
        for kernels in ((derivative, gaussian), (gaussian, derivative))
    )
    # not cv2.magnitude, whose last digit depends on where the array lies in memory
    return np.sqrt(across * across + down * down)


def _connectivities(p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Conn's phi of both alphas."""
    connected = _connected_level(np.minimum(p, t))
    return _connectivity(p, connected), _connectivity(t, connected)


def _connectivity(alpha: np.ndarray, connected: np.ndarray) -> np.ndarray:
    distance = alpha - connected
    distance[distance < np.float32(STEP)] = 0
    return 1 - distance


def _connected_level(shared: np.ndarray) -> np.ndarray:
    """The threshold up to which a pixel is in the largest 4-connected component of `shared` >= threshold.

    From the highest threshold down, since a component only grows on the way: a pixel of one that was largest names the
    one that probably is so again, and it is surely if it has more than half of the pixels. Of components equally large
    the first in reading order counts as the largest.
    """
    connected = np.full(shared.shape, LEVELS, np.uint8)
    seed = None
    for level in range(LEVELS, 0, -1):
        above = shared >= np.float32(level / LEVELS)
        labels = cc3d.connected_components(above.view(np.uint8), connectivity=4)
        pixels = np.count_nonzero(above)
        largest = np.zeros_like(above) if seed is None else labels == labels[seed]
        if 2 * np.count_nonzero(largest) <= pixels and pixels:
            sizes = np.bincount(labels.ravel())
            sizes[0] = 0
            largest = labels == np.argmax(sizes)
            seed = np.unravel_index(np.argmax(largest), largest.shape)
        connected[~largest] = level - 1
    return connected.astype(np.float32) / np.float32(LEVELS)
