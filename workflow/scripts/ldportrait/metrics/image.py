"""SAD, MSE, MAD, Grad and Conn of a matte, by the definitions of Rhemann et al. (CVPR 2009), and its colour's errors.

The alphas are (H, W), uint8 in 0..255 or floating point in [0, 1]; both give the same answer for equal values, and
floats are not quantised. `sad`, `grad` and `conn` are sums divided by 1000, `mse` and `mad` means, as tables print them
(the means usually times 1000). A mask is (H, W) bool and selects pixels after Grad and Conn were taken on the whole
picture. A mean over a mask without pixels is NaN.

Where public implementations differ, this one keeps to the definitions: no min-max normalisation of the alphas; Conn by
4-connectivity, by the largest component of *foreground* (never that of background; of equally large ones the first in
reading order), and with an empty intersection leaving no pixel connected; thresholds met exactly by the 8-bit levels
that equal them. protocols.py has what benchmarks do instead.

All take a ValueError for alphas or masks that do not fit.
"""

from collections.abc import Mapping

import numpy as np

from ldportrait.metrics import errors

METRICS = ("sad", "mse", "mad", "grad", "conn")
FOREGROUND_METRICS = ("fgr_mse", "fgr_mad")


def sad(pred: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Sum of absolute differences / 1000."""
    return errors.pair(pred, true).absolute(mask) / 1000


def mse(pred: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean of squared differences."""
    alphas = errors.pair(pred, true)
    return errors.mean(alphas.squared(mask), alphas.count(mask))


def mad(pred: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean of absolute differences."""
    alphas = errors.pair(pred, true)
    return errors.mean(alphas.absolute(mask), alphas.count(mask))


def grad(pred: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Sum of squared differences of the gradients' amplitudes / 1000.

    Gradients are by the first derivative of a Gaussian of sigma 1.4 (9 x 9, L2-normalised), with replicated borders.
    """
    alphas = errors.pair(pred, true)
    return alphas.total(errors.gradient(alphas, errors.definition()), mask) / 1000


def conn(pred: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Sum of absolute differences of the connectivities / 1000.

    A pixel's connectivity is phi = 1 - (a - l) [a - l >= 0.15], where l is the threshold up to which it belongs to the
    largest 4-connected component that both alphas share.
    """
    alphas = errors.pair(pred, true)
    return alphas.total(errors.connectivity(alphas), mask) / 1000


def all_metrics(
    pred: np.ndarray, true: np.ndarray, masks: Mapping[str, np.ndarray | None]
) -> list[dict[str, str | float]]:
    """Return all five metrics in each region, as rows of region, metric and value.

    `masks` names the regions, None being the whole picture. The pictures of Grad and Conn are taken once.
    """
    alphas = errors.pair(pred, true)
    for mask in masks.values():
        alphas.selection(mask)  # before the work, since it refuses what does not fit
    gradient, connectivity = errors.gradient(alphas, errors.definition()), errors.connectivity(alphas)
    rows = []
    for region, mask in masks.items():
        absolute, count = alphas.absolute(mask), alphas.count(mask)
        values = {
            "sad": absolute / 1000,
            "mse": errors.mean(alphas.squared(mask), count),
            "mad": errors.mean(absolute, count),
            "grad": alphas.total(gradient, mask) / 1000,
            "conn": alphas.total(connectivity, mask) / 1000,
        }
        rows += [{"region": region, "metric": metric, "value": values[metric]} for metric in METRICS]
    return rows


def foreground(
    pred_rgb: np.ndarray, true_rgb: np.ndarray, true_alpha: np.ndarray, mask: np.ndarray | None = None
) -> dict[str, float]:
    """Errors of the foreground's colour where the true alpha is above 0, and a mask selects: fgr_mse and fgr_mad.

    The colours are straight, (H, W, 3) uint8 or floating point in [0, 1]; the means are over pixels and channels. NaN
    where there is no such pixel.
    """
    errors.check(true_alpha, "true")
    for colour, name in ((pred_rgb, "predicted"), (true_rgb, "true")):
        if colour.shape != (*true_alpha.shape, 3):
            raise ValueError(f"The {name} colour is {(*true_alpha.shape, 3)} like the true alpha, not {colour.shape}.")
        errors.check(colour, name, "(H, W, 3)", what="colour")
    selected = true_alpha > 0
    if mask is not None:
        errors.check_mask(mask, true_alpha.shape)
        selected = selected & mask
    difference = _colours(pred_rgb, selected) - _colours(true_rgb, selected)
    return {
        "fgr_mse": errors.mean(float(np.square(difference).sum()), difference.size),
        "fgr_mad": errors.mean(float(np.abs(difference).sum()), difference.size),
    }


def _colours(rgb: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """The selected pixels' colours, (N, 3) float64."""
    colours = rgb[selected]
    return errors.EIGHT_BIT[colours] if rgb.dtype == np.uint8 else colours.astype(np.float64)
