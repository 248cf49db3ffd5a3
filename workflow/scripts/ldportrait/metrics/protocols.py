"""Named protocols: how benchmarks' own code scores a matte, to match their published tables.

`definition` is this repository's own: the definitions of image.py, unscaled. The others follow what the code that made
a benchmark's tables does, faults included; docs/metrics.md lists the differences and what they amount to. A protocol
for pictures goes with `score`, one for video with `score_video`; `definition` goes with both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import cv2
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
    "mean × 10⁴": 1e4,
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
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    temporal: tuple[str, ...] = ()  # the video metrics; the whole region's are then taken frame by frame
    colour: tuple[str, ...] = ()  # errors of the foreground's colour, frame by frame
    pictures: bool = True  # whether it scores pictures
    optional: bool = False  # whether without a trimap its regions are left out
    stretched: bool = False  # Grad: each alpha is brought to [0, 1] by its least and greatest value
    derivative: Callable[[], errors.Derivative] = errors.definition  # Grad's kernels
    background: int = kernels.NONE  # Conn: what counts as connected that is not foreground; see kernels.connect
    known_replaced: bool = False  # in the unknown region, the prediction is the trimap elsewhere, and errors there count
    empty: float = float("nan")  # a mean over no pixels
    first: bool = False  # the first frame counts as 0 in the video metrics


def truncated_at_four_sigma() -> errors.Derivative:
    """The derivative that scipy's gaussian_filter takes: 13 taps, the Gaussian's sum 1, borders mirrored."""
    x = np.arange(-int(4 * errors.SIGMA + 0.5), int(4 * errors.SIGMA + 0.5) + 1)
    gaussian = np.exp(-(x**2) / (2 * errors.SIGMA**2))
    gaussian /= gaussian.sum()
    return errors.Derivative(gaussian, x / errors.SIGMA**2 * gaussian, cv2.BORDER_REFLECT)


STORED = {
    "sad": "sum / 1000",
    "mse": "mean",
    "mad": "mean",
    "grad": "sum / 1000",
    "conn": "sum / 1000",
    "dtssd": "mean",
    "messddt": "mean",
    "fgr_mse": "mean",
    "fgr_mad": "mean",
}
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
            units=STORED,
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
            pictures=False,
            stretched=True,
            first=True,
        ),
        Protocol(
            "rvm-hd",
            "RobustVideoMatting at 1920 × 1080 (evaluation/evaluate_hr.py)",
            units=RVM,
            regions={"whole": ("mad", "mse", "grad")},
            temporal=("dtssd",),
            colour=("fgr_mse",),
            pictures=False,
            first=True,
        ),
    )
}
