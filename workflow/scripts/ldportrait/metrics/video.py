"""dtSSD and MESSDdt of a video matte, by Erofeev et al. (BMVC 2015), and the image metrics frame by frame.

The alphas are (T, H, W), uint8 in 0..255 or floating point in [0, 1]; both give the same answer for equal values. Sums
over pixels are taken as means, so that the numbers do not grow with the picture, and nothing is scaled: tables print
dtSSD times 100 and MESSDdt times 10,000.

All take a ValueError for alphas that do not fit, or that have one frame alone.
"""

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from ldportrait.metrics import errors, image

FRAME_METRICS = ("mad", "mse", "grad", "conn")
TEMPORAL_METRICS = ("dtssd", "messddt")
METRICS = FRAME_METRICS + TEMPORAL_METRICS

# Farneback's flow: half the size at each of 5 levels, windows of 10, 2 iterations, neighbourhoods of 7 smoothed by 1.5
FLOW = {
    "pyr_scale": 0.5,
    "levels": 5,
    "winsize": 10,
    "iterations": 2,
    "poly_n": 7,
    "poly_sigma": 1.5,
    "flags": cv2.OPTFLOW_FARNEBACK_GAUSSIAN,
}


def dtssd(pred: np.ndarray, true: np.ndarray, first: bool = False) -> float:
    """Mean over frames of the root of the mean of ((a_t - a_t-1) - (a*_t - a*_t-1))^2 over pixels.

    The first frame has no other before it and does not count; with `first` it counts as 0.
    """
    return _mean(dtssd_frames(pred, true), first)


def messddt(pred: np.ndarray, true: np.ndarray, first: bool = False) -> float:
    """Mean over frames and pixels p of |(a_t - a*_t)^2(p) - (a_t+1 - a*_t+1)^2(p + v)|, v being the motion at p.

    The motion is that of the true alpha from t to t + 1, by Farneback's optical flow on 8 bit, rounded to pixels and
    kept within the picture. With `first` a frame without error is counted besides, as in `dtssd`.
    """
    return _mean(messddt_frames(pred, true), first)


def dtssd_frames(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The dtSSD of each frame but the first; (T - 1,) float64."""
    check(pred, true)
    values, before = np.empty(len(true) - 1), _difference(pred[0], true[0])
    for t in range(1, len(true)):
        here = _difference(pred[t], true[t])
        values[t - 1] = np.sqrt(cv2.norm(here, before, cv2.NORM_L2SQR) / here.size)
        before = here
    return values / 255 if pred.dtype == true.dtype == np.uint8 else values


def messddt_frames(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The MESSDdt of each frame but the first, from the one before it; (T - 1,) float64."""
    check(pred, true)
    values, before = np.empty(len(true) - 1), np.square(_error(pred[0], true[0]))
    for t in range(1, len(true)):
        here = np.square(_error(pred[t], true[t]))
        values[t - 1] = cv2.norm(before, here[_targets(true[t - 1], true[t])], cv2.NORM_L1) / here.size
        before = here
    return values


def score(
    pred: np.ndarray, true: np.ndarray, metrics: Sequence[str] = METRICS, first: bool = False
) -> list[dict[str, int | str | float]]:
    """Return the metrics of each frame on the whole picture, as rows of frame, region, metric and value.

    The temporal ones begin with frame 1; with `first` frame 0 has a 0. ValueError for an unknown metric.
    """
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise ValueError(f"There is no video metric {unknown[0]}; there are {', '.join(METRICS)}.")
    check(pred, true)
    values = {metric: {} for metric in metrics}
    for t in range(len(true)):
        for metric, value in _frame(pred[t], true[t], metrics).items():
            values[metric][t] = value
    for metric, frames in (("dtssd", dtssd_frames), ("messddt", messddt_frames)):
        if metric in metrics:
            values[metric] = ({0: 0.0} if first else {}) | dict(enumerate(frames(pred, true).tolist(), 1))
    return [
        {"frame": t, "region": "whole", "metric": metric, "value": values[metric][t]}
        for t in range(len(true))
        for metric in metrics
        if t in values[metric]
    ]


def average(rows: Iterable[Mapping[str, object]]) -> list[dict[str, str | float]]:
    """Average rows of frames to one of region, metric and value for each region and metric."""
    found = {}
    for row in rows:
        found.setdefault((row["region"], row["metric"]), []).append(row["value"])
    return [
        {"region": region, "metric": metric, "value": float(np.mean(values))}
        for (region, metric), values in found.items()
    ]


def check(pred: np.ndarray, true: np.ndarray) -> None:
    """Refuse with a ValueError what is not two alphas (T, H, W) of one shape and at least two frames."""
    if pred.shape != true.shape:
        raise ValueError(f"The predicted alpha is {pred.shape}, but the true one is {true.shape}.")
    errors.check(pred, "predicted", "(T, H, W)")
    errors.check(true, "true", "(T, H, W)")
    if len(true) < 2:
        raise ValueError("A video metric needs two frames at least, not one.")


def _mean(values: np.ndarray, first: bool) -> float:
    return float(values.sum() / (values.size + first))


def _frame(pred: np.ndarray, true: np.ndarray, metrics: Sequence[str]) -> dict[str, float]:
    """The image metrics among `metrics` of one frame."""
    wanted = [metric for metric in metrics if metric in FRAME_METRICS]
    if set(wanted) <= {"mad", "mse"}:
        return {metric: getattr(image, metric)(pred, true) for metric in wanted}
    found = {row["metric"]: row["value"] for row in image.all_metrics(pred, true, {"whole": None})}
    return {metric: found[metric] for metric in wanted}


def _difference(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """a - a* of a frame; in 255ths and exact for 8 bit."""
    if pred.dtype == true.dtype == np.uint8:
        return cv2.subtract(pred, true, dtype=cv2.CV_16S)
    return _error(pred, true)


def _error(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """a - a* of a frame; (H, W) float64."""
    return errors.double(pred) - errors.double(true)


def _targets(true: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of a frame are in the following one: rows and columns, each (H, W)."""
    flow = cv2.calcOpticalFlowFarneback(_eight_bit(true), _eight_bit(following), None, **FLOW)
    moved = np.rint(flow).astype(np.int64)
    height, width = true.shape
    rows = np.clip(np.arange(height)[:, None] + moved[..., 1], 0, height - 1)
    return rows, np.clip(np.arange(width) + moved[..., 0], 0, width - 1)


def _eight_bit(alpha: np.ndarray) -> np.ndarray:
    return alpha if alpha.dtype == np.uint8 else np.rint(alpha * 255).astype(np.uint8)
