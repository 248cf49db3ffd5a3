"""The refinement study: what else might mend a generated matte, on portraits with exact alpha damaged on purpose.

A method maps a damaged picture to an alpha. The guided filter and the closed form look at colour as well: at the
picture over plain green, which flatters them, since no real background is as easy. The free numbers of the rivals were
chosen on the bank's val portraits, for the least SAD at severity 1.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from ldportrait import images, pictures, shards, trimaps
from ldportrait.connectivity import RefineParams, refine
from ldportrait.generators import artifacts
from ldportrait.metrics import image

METRICS = ("sad", "mse", "grad", "conn")
REGIONS = ("whole", "band", "absolute")
REFERENCE = 1024  # lengths below are in pixels of a 1024 x 1024 picture
WIDENED = 4.0  # by how much the band reaches beyond the fractional true alpha

LOW, HIGH = 0.15, 0.95  # of the thresholds; what lies between is kept as it is
FLOOR = 0.1  # of the largest component
GUIDED_RADIUS = 2.0
GUIDED_EPSILON = 1e-5  # of a guide in [0, 1]
OPENING_RADIUS = 2.0  # of the disc that opens and closes the binarised matte
RIM = 16.0  # how far around its outline the morphological clean-up keeps the generated alpha

Method = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """A damaged portrait: its id, the picture (H, W, 4) and the true alpha (H, W), both uint8."""

    item: str
    rgba: np.ndarray
    truth: np.ndarray


def cases(bank: Path, split: str, severity: float, seed: int, limit: int = 0) -> Iterator[Case]:
    """Yield the bank's portraits of a split in order of id, damaged without gross faults; at most `limit`, 0 for all.

    A portrait's damage depends on the seed and its place in the order alone. ValueError if the bank has none.
    """
    table = shards.read_table(bank)
    table = table[(table.kind == "portrait") & (table.split == split)].sort_values("id")
    if table.empty:
        raise ValueError(f"{bank} has no portrait of the split {split!r}.")
    for place, row in enumerate(table.head(limit or None).itertuples()):
        exact = images.read_rgba(bank.parent / row.path)
        damaged, _ = artifacts.damage(exact, np.random.default_rng([seed, place]), severity, gross=0)
        yield Case(row.id, damaged, np.ascontiguousarray(exact[..., 3]))


def regions(truth: np.ndarray) -> dict[str, np.ndarray | None]:
    """The masks of REGIONS: all, the fractional true alpha (H, W) uint8 widened by WIDENED, and the rest."""
    reach = _pixels(WIDENED, truth.shape)
    band = trimaps.from_alpha(truth, reach, reach) == trimaps.UNKNOWN
    return {"whole": None, "band": band, "absolute": ~band}


def _pixels(length: float, shape: tuple[int, ...]) -> int:
    """A length of the reference picture in pixels of a picture of this shape, at least 1."""
    return max(1, round(length * float(np.sqrt(shape[0] * shape[1])) / REFERENCE))


# The rivals: (H, W, 4) uint8 -> alpha (H, W) uint8 --------------------------------------------------------------------


def raw(rgba: np.ndarray) -> np.ndarray:
    """Leave alpha as it is."""
    return rgba[..., 3]


def thresholds(rgba: np.ndarray) -> np.ndarray:
    """Alpha below LOW becomes 0, above HIGH 1."""
    alpha = rgba[..., 3]
    return np.where(alpha < LOW * 255, 0, np.where(alpha > HIGH * 255, 255, alpha)).astype(np.uint8)


def largest_component(rgba: np.ndarray) -> np.ndarray:
    """Keep the largest 8-connected region of alpha above FLOOR, and nothing else."""
    alpha = rgba[..., 3]
    _, labels, statistics, _ = cv2.connectedComponentsWithStats((alpha > FLOOR * 255).view(np.uint8), connectivity=8)
    if len(statistics) == 1:
        return np.zeros_like(alpha)
    return np.where(labels == 1 + np.argmax(statistics[1:, cv2.CC_STAT_AREA]), alpha, 0).astype(np.uint8)


def guided_filter(rgba: np.ndarray) -> np.ndarray:
    """He, Sun and Tang's guided filter (TPAMI 2013) of alpha, guided by the grey of the picture over green."""
    guide = cv2.cvtColor(_over_green(rgba), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    alpha = rgba[..., 3].astype(np.float32) / 255
    side = 2 * _pixels(GUIDED_RADIUS, alpha.shape) + 1

    def mean(array: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(array, -1, (side, side), borderType=cv2.BORDER_REFLECT)

    guide_mean, alpha_mean = mean(guide), mean(alpha)
    covariance = mean(guide * alpha) - guide_mean * alpha_mean
    variance = np.maximum(mean(guide * guide) - guide_mean**2, 0)
    slope = covariance / (variance + GUIDED_EPSILON)
    filtered = mean(slope) * guide + mean(alpha_mean - slope * guide_mean)
    return np.rint(np.clip(filtered, 0, 1) * 255).astype(np.uint8)


def morphology(rgba: np.ndarray) -> np.ndarray:
    """Binarise, open and close by reconstruction, and keep the generated alpha around the outline of the result.

    The opening removes regions into which the disc does not fit, the closing fills holes likewise.
    """
    alpha = rgba[..., 3]
    body = _opened(alpha > 127, OPENING_RADIUS)
    body = ~_opened(~body, OPENING_RADIUS)
    rim = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _pixels(RIM, alpha.shape) + 1,) * 2)
    inside = cv2.erode(body.view(np.uint8), rim) > 0
    outside = cv2.dilate(body.view(np.uint8), rim) == 0
    return np.where(inside, 255, np.where(outside, 0, alpha)).astype(np.uint8)


def _opened(mask: np.ndarray, radius: float) -> np.ndarray:
    """Opening by reconstruction: the 8-connected regions of a mask that hold a disc, whole. The frame erodes none."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _pixels(radius, mask.shape) + 1,) * 2)
    seeds = cv2.erode(mask.view(np.uint8), disc) > 0
    _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    return mask & np.isin(labels, np.unique(labels[seeds]))


def closed_form(rgba: np.ndarray, params: RefineParams) -> np.ndarray:
    """Solve the refined matte's band anew by closed-form matting (Levin et al., TPAMI 2008) of the picture over green.

    Only the box of the band is solved, with a margin.
    """
    from pymatting import estimate_alpha_cf  # slow to import, and needed by this method alone

    alpha = refine(np.ascontiguousarray(rgba[..., 3]), params=params).alpha
    left, top, width, height = cv2.boundingRect(((alpha > 0) & (alpha < 255)).view(np.uint8))
    margin = 8
    box = (slice(max(0, top - margin), top + height + margin), slice(max(0, left - margin), left + width + margin))
    known = trimaps.from_alpha(alpha[box], 0, 0).astype(np.float64)
    known[known == trimaps.UNKNOWN] = 127.5
    solved = alpha.copy()
    solved[box] = np.rint(255 * np.clip(estimate_alpha_cf(_over_green(rgba)[box] / 255, known / 255), 0, 1))
    return solved


def _over_green(rgba: np.ndarray) -> np.ndarray:
    return images.composite(rgba, np.array(pictures.GREEN, np.uint8))


def refined(params: RefineParams) -> Method:
    """Our own method with some parameters."""
    return lambda rgba: refine(np.ascontiguousarray(rgba[..., 3]), params=params).alpha


OURS = "ours"
CLOSED_FORM = "closed form, our band"


def methods(params: RefineParams) -> dict[str, Method]:
    """All methods by name, in the order of the table: the rivals, ours, and ours less each step that is on."""
    rivals = {
        "raw": raw,
        "thresholds": thresholds,
        "largest component": largest_component,
        "guided filter": guided_filter,
        "morphology": morphology,
        CLOSED_FORM: lambda rgba: closed_form(rgba, params),
    }
    less = {
        f"less {step.replace('_', ' ')}": refined(dataclasses.replace(params, **{step: False}))
        for step in steps()
        if getattr(params, step)
    }
    return rivals | {OURS: refined(params)} | less


def steps() -> list[str]:
    """The names of the steps that can be switched off."""
    return [field.name for field in dataclasses.fields(RefineParams) if field.type in (bool, "bool")]


def parameters() -> list[str]:
    """The names of the parameters that are numbers."""
    return [field.name for field in dataclasses.fields(RefineParams) if field.name not in steps()]


def params_of(texts: Iterable[str]) -> RefineParams:
    """Read parameters written as NAME=VALUE, as in depth=100 or level=False. ValueError names the wrong one."""
    types = {field.name: type(field.default) for field in dataclasses.fields(RefineParams)}
    values = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in types:
            raise ValueError(f"The refinement has no parameter {name!r}; it has {', '.join(types)}.")
        try:
            values[name] = {"true": True, "false": False}[value.lower()] if types[name] is bool else types[name](value)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{text} does not set {name} to a {types[name].__name__}.") from error
    return RefineParams(**values)


def scores_of(case: Case, alpha: np.ndarray) -> list[dict[str, object]]:
    """The errors of an alpha in all regions: rows of item, region, metric and value."""
    rows = image.all_metrics(alpha, case.truth, regions(case.truth))
    return [{"item": case.item} | row for row in rows if row["metric"] in METRICS]


def varied(params: RefineParams, name: str, factor: float) -> tuple[float, RefineParams | None]:
    """A parameter times a factor: its new value, and the parameters with it; None where the others forbid it.

    Of an alpha near 1 (from 0.5 on, below 1) the distance to 1 is scaled, since there that is what it sets.
    """
    value = getattr(params, name)
    near_one = 0.5 <= value < 1
    setting = 1 - (1 - value) * factor if near_one else value * factor
    setting = type(value)(round(setting)) if isinstance(value, int) else setting
    try:
        return float(setting), dataclasses.replace(params, **{name: setting})
    except ValueError:
        return float(setting), None
