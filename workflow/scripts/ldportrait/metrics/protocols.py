"""Named protocols: how benchmarks' own code scores a matte, to match their published tables.

`definition` is this repository's own: the definitions of image.py, unscaled. The others follow what the code that made
a benchmark's tables does, faults included; docs/metrics.md lists the differences and what they amount to. All go with
`score`, for a picture or a frame; those for video, and `definition`, go with `score_video` too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ldportrait.metrics import errors, image, kernels, video
from ldportrait.trimaps import BACKGROUND, FOREGROUND, UNKNOWN

# what a table prints, and by what the values of image.py and video.py are multiplied for it
FACTORS = {
    "sum / 1000": 1,
    "sum / 10": 100,
    "mean": 1,
    "mean × 10²": 1e2,
    "mean × 10³": 1e3,
}


@dataclass(frozen=True)
class Protocol:
    """How a benchmark's own code scores.

    `regions` has the metrics of each region: `whole`; `unknown`, where the trimap is 128; `foreground` and
    `background`, where it is 255 and 0; `detail`, where the detail map is above 0. `units` says what each metric's
    value is, as the protocol's tables print it.
    """

    name: str
    source: str
    units: Mapping[str, str]
    regions: Mapping[str, tuple[str, ...]]
    temporal: tuple[str, ...] = ()  # the video metrics; the whole region's are then taken frame by frame
    colour: tuple[str, ...] = ()  # errors of the foreground's colour, frame by frame
    optional: bool = False  # whether without a trimap its regions are left out
    stretched: bool = False  # Grad: each alpha is brought to [0, 1] by its least and greatest value
    derivative: Callable[[], errors.Derivative] = errors.definition  # Grad's kernels
    background: int = kernels.NONE  # Conn: what counts as connected that is not foreground; see kernels.connect
    known_replaced: bool = False  # unknown region: elsewhere the prediction becomes the trimap, and its errors count
    empty: float = float("nan")  # a mean over no pixels
    first: bool = False  # the first frame counts as 0 in the video metrics


def truncated_at_four_sigma() -> errors.Derivative:
    """The derivative that scipy's gaussian_filter takes: 13 taps, the Gaussian's sum 1, borders mirrored."""
    x = np.arange(-int(4 * errors.SIGMA + 0.5), int(4 * errors.SIGMA + 0.5) + 1)
    gaussian = np.exp(-(x**2) / (2 * errors.SIGMA**2))
    gaussian /= gaussian.sum()
    return errors.Derivative(gaussian, x / errors.SIGMA**2 * gaussian, "symmetric")


STORED = {"sad": "sum / 1000", "mse": "mean", "mad": "mean", "grad": "sum / 1000", "conn": "sum / 1000"}
TEMPORAL = dict.fromkeys((*video.TEMPORAL_METRICS, *image.FOREGROUND_METRICS), "mean")
ADOBE = {"sad": "sum / 1000", "mse": "mean × 10³", "grad": "sum / 1000", "conn": "sum / 1000"}
RVM = {
    "mad": "mean × 10³",
    "mse": "mean × 10³",
    "grad": "sum / 1000",
    "conn": "sum / 1000",
    "dtssd": "mean × 10²",
    "fgr_mad": "mean × 10³",
    "fgr_mse": "mean × 10³",
}

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "definition",
            "Rhemann et al. (CVPR 2009) and Erofeev et al. (BMVC 2015), to the letter",
            units=STORED | TEMPORAL,
            regions={"whole": image.METRICS, "unknown": image.METRICS},
            temporal=video.TEMPORAL_METRICS,
            colour=image.FOREGROUND_METRICS,
            optional=True,
        ),
        Protocol(
            "composition-1k",
            "Adobe's MATLAB code for Deep Image Matting (DIM_evaluation_code/evaluate.m)",
            units=ADOBE,
            regions={"unknown": tuple(ADOBE)},
            stretched=True,
        ),
        Protocol(
            "whole",
            "Adobe's MATLAB code with all of the picture unknown, as for Distinctions-646",
            units=ADOBE | {"mad": "mean × 10³"},
            regions={"whole": ("sad", "mse", "mad", "grad", "conn")},
            stretched=True,
        ),
        Protocol(
            "gca",
            "the Python evaluation of GCA-Matting and MGMatting (utils/evaluate.py)",
            units=ADOBE,
            regions={"whole": tuple(ADOBE), "unknown": tuple(ADOBE)},
            optional=True,
            background=kernels.LARGEST,
            empty=0.0,
        ),
        Protocol(
            "p3m",
            "P3M-Net (core/metrics.py, core/eval.py)",
            units=STORED | {"grad": "sum / 10"},
            regions={
                "whole": image.METRICS,
                "unknown": ("sad", "mse", "mad"),
                "foreground": ("sad",),
                "background": ("sad",),
            },
            optional=True,
            derivative=truncated_at_four_sigma,
            background=kernels.EMPTY,
            known_replaced=True,
        ),
        Protocol(
            "rwp",
            "MGMatting (evaluation_RWP.py)",
            units={"mse": "mean × 10³", "sad": "sum / 1000"},
            regions={"whole": ("mse", "sad"), "detail": ("mse", "sad")},
            empty=0.0,
        ),
        Protocol(
            "rvm",
            "RobustVideoMatting at 512 × 288 (evaluation/evaluate_lr.py)",
            units=RVM,
            regions={"whole": ("mad", "mse", "grad", "conn")},
            temporal=("dtssd",),
            colour=("fgr_mad", "fgr_mse"),
            stretched=True,
            first=True,
        ),
        Protocol(
            "rvm-hd",
            "RobustVideoMatting at 1920 × 1080 (evaluation/evaluate_hr.py)",
            units={metric: unit for metric, unit in RVM.items() if metric not in ("conn", "fgr_mad")},
            regions={"whole": ("mad", "mse", "grad")},
            temporal=("dtssd",),
            colour=("fgr_mse",),
            first=True,
        ),
    )
}

NAMES = tuple(PROTOCOLS)


def get(name: str) -> Protocol:
    """Return a protocol by its name; ValueError for an unknown one."""
    if name not in PROTOCOLS:
        raise ValueError(f"There is no protocol {name}; there are {', '.join(NAMES)}.")
    return PROTOCOLS[name]


def score(
    name: str,
    pred: np.ndarray,
    true: np.ndarray,
    trimap: np.ndarray | None = None,
    detail: np.ndarray | None = None,
) -> list[dict[str, str | float]]:
    """Score a matte by a protocol: rows of region, metric and value, the value being in the protocol's unit.

    The alphas are (H, W), uint8 or floating point in [0, 1]. `trimap` is (H, W) uint8 of 0, 128 and 255; `detail` is
    (H, W), bool or uint8 above 0 in the region of details. Raises ValueError for what does not fit, for an unknown
    protocol, and where a protocol needs a trimap or a detail map that is not given. `definition`, `gca` and `p3m` leave
    out the regions that a trimap that is not given would name.
    """
    protocol = get(name)
    alphas = errors.pair(pred, true)
    masks = _masks(protocol, alphas.shape, trimap, detail)
    wanted = {metric for region in masks for metric in protocol.regions[region]}
    fields = {}
    if "grad" in wanted:
        fields["grad"] = errors.gradient(alphas, protocol.derivative(), protocol.stretched)
    if "conn" in wanted:
        fields["conn"] = errors.connectivity(alphas, protocol.background)
    rows = []
    for region, mask in masks.items():
        if region == "unknown" and protocol.known_replaced:
            rows += _rows(protocol, region, errors.pair(_replaced(pred, trimap), true), {}, None, _uncertain(trimap))
        else:
            rows += _rows(protocol, region, alphas, fields, mask, alphas.count(mask))
    return rows


def score_frames(
    name: str,
    pred: np.ndarray,
    true: np.ndarray,
    pred_rgb: np.ndarray | None = None,
    true_rgb: np.ndarray | None = None,
) -> list[dict[str, int | str | float]]:
    """Score a video matte by a protocol, frame by frame: rows of frame, region, metric and value in its unit.

    The alphas are (T, H, W), uint8 or floating point in [0, 1], with two frames at least; the foreground's colours, if
    both are given, (T, H, W, 3). ValueError as for `score`, and for a protocol that is not for video.
    """
    protocol = get(name)
    if not protocol.temporal:
        raise ValueError(f"The protocol {name} is for pictures, not for video.")
    if (pred_rgb is None) != (true_rgb is None):
        raise ValueError("The errors of the foreground's colour need both the predicted and the true colour.")
    video.check(pred, true)
    temporal = {metric: _temporal(metric, pred, true, protocol.first) for metric in protocol.temporal}
    rows = []
    for t in range(len(true)):
        found = {row["metric"]: row["value"] for row in score(name, pred[t], true[t])}
        more = {metric: values[t] for metric, values in temporal.items() if t in values}
        if pred_rgb is not None:
            colour = image.foreground(pred_rgb[t], true_rgb[t], true[t])
            more |= {metric: colour[metric] for metric in protocol.colour}
        found |= {metric: value * FACTORS[protocol.units[metric]] for metric, value in more.items()}
        rows += [{"frame": t, "region": "whole", "metric": metric, "value": value} for metric, value in found.items()]
    return rows


def score_video(
    name: str,
    pred: np.ndarray,
    true: np.ndarray,
    pred_rgb: np.ndarray | None = None,
    true_rgb: np.ndarray | None = None,
) -> list[dict[str, str | float]]:
    """Score a video matte by a protocol: the means over the frames of `score_frames`."""
    return video.average(score_frames(name, pred, true, pred_rgb, true_rgb))


def _masks(
    protocol: Protocol, shape: tuple[int, int], trimap: np.ndarray | None, detail: np.ndarray | None
) -> dict[str, np.ndarray | None]:
    """The masks of a protocol's regions, None being all of the picture."""
    for given, name, kinds in ((trimap, "trimap", ("uint8",)), (detail, "detail map", ("uint8", "bool"))):
        if given is not None and (given.shape != shape or given.dtype.name not in kinds):
            raise ValueError(
                f"A {name} is {shape} {' or '.join(kinds)} like the alphas, not {given.shape} {given.dtype}."
            )
    masks = {"whole": None}
    if detail is not None:
        masks["detail"] = detail > 0
    if trimap is not None:
        levels = {"unknown": UNKNOWN, "foreground": FOREGROUND, "background": BACKGROUND}
        masks |= {region: trimap == level for region, level in levels.items()}
    missing = [region for region in protocol.regions if region not in masks]
    if missing and not protocol.optional:
        needed = "detail map" if missing[0] == "detail" else "trimap"
        raise ValueError(f"The protocol {protocol.name} needs a {needed}, for its {missing[0]} region.")
    return {region: masks[region] for region in protocol.regions if region in masks}


def _rows(
    protocol: Protocol,
    region: str,
    alphas: errors.Pair,
    fields: Mapping[str, np.ndarray],
    mask: np.ndarray | None,
    count: int,
) -> list[dict[str, str | float]]:
    """A region's rows; `fields` has the errors of Grad and Conn, `count` is what the means are taken over."""
    absolute = alphas.absolute(mask)
    values = {metric: alphas.total(error, mask) / 1000 for metric, error in fields.items()}
    values["sad"] = absolute / 1000
    values["mad"] = absolute / count if count else protocol.empty
    values["mse"] = alphas.squared(mask) / count if count else protocol.empty
    return [
        {"region": region, "metric": metric, "value": values[metric] * FACTORS[protocol.units[metric]]}
        for metric in protocol.regions[region]
    ]


def _replaced(pred: np.ndarray, trimap: np.ndarray) -> np.ndarray:
    """A prediction that is what the trimap says where that knows it."""
    replaced = pred.copy()
    replaced[trimap == FOREGROUND] = 255 if pred.dtype == np.uint8 else 1
    replaced[trimap == BACKGROUND] = 0
    return replaced


def _uncertain(trimap: np.ndarray) -> int:
    """How many pixels are unknown; if none is 128, those that are neither 0 nor 255."""
    unknown, known = trimap == UNKNOWN, (trimap == FOREGROUND) | (trimap == BACKGROUND)
    return int(np.count_nonzero(unknown)) or int(np.count_nonzero(~known))


def _temporal(metric: str, pred: np.ndarray, true: np.ndarray, first: bool) -> dict[int, float]:
    """A temporal metric by frame."""
    frames = {"dtssd": video.dtssd_frames, "messddt": video.messddt_frames}[metric](pred, true)
    return ({0: 0.0} if first else {}) | dict(enumerate(frames.tolist(), 1))
