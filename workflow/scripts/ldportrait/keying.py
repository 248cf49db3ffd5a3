"""The keying study: chroma keys beside generated mattes, on pictures with exact colour and alpha.

Two sets: the bank's green shots, rendered before a green wall that lights the subject; and the bank's portraits laid
over an uneven green wall as `chroma.shoot` does. The generated mattes are the exact pictures of the same subjects,
damaged as LayerDiffuse damages, as they are and refined. Everything free in the keyers was chosen on the val split.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ldportrait import chroma, images, scores, shards, trimaps
from ldportrait.benchmarks import bank
from ldportrait.connectivity import refine_picture
from ldportrait.generators import artifacts
from ldportrait.metrics import image

KINDS = {"green": "green shots", "portrait": "composites"}  # what the bank calls the two sets, and we
STAGE = chroma.Stage()
STREAM = 0x6B6579  # keeps the random numbers of shots apart from those of the damage
GREENISH = ("forest green", "olive", "teal")  # garments that a green wall goes badly with
BEST = chroma.KeyParams().keyer  # of the three on the val split


@dataclass(frozen=True)
class Pair:
    """Two shots of a subject before a green and a blue wall, and those walls: all (H, W, 3), shots uint8."""

    shots: tuple[np.ndarray, np.ndarray]
    walls: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A subject: what is known of it, its exact picture (H, W, 4), its shot (H, W, 3) and its generated picture.

    `row` has the columns of scores.KEYING from `set` to `clothes` but for `method`. `pair` is None where there is no
    second wall. Pictures are uint8.
    """

    row: dict[str, str]
    exact: np.ndarray
    shot: np.ndarray
    generated: np.ndarray
    pair: Pair | None


def cases(path: Path, split: str, severity: float, seed: int, limit: int = 0) -> Iterator[Case]:
    """Yield the green shots and then the portraits of a split of the bank, each in order of id; 0 is no limit of a set.

    A case depends on the seed, its set and its place in the order alone. ValueError if the bank has none of a set.
    """
    table = shards.read_table(path)
    for kind in KINDS:
        found = table[(table.kind == kind) & (table.split == split)].sort_values("id")
        if found.empty:
            raise ValueError(f"{path} has no item of kind {kind!r} in the split {split!r}.")
        for place, row in enumerate(found.head(limit or None).itertuples()):
            yield _case(path.parent, row, severity, seed, place)


def _case(root: Path, row: object, severity: float, seed: int, place: int) -> Case:
    exact = images.read_rgba(root / row.path)
    generated, _ = artifacts.damage(exact, np.random.default_rng([seed, place]), severity, gross=0)
    known = {"set": KINDS[row.kind], "item": row.id, "hair_style": row.hair_style, "hair_colour": row.hair_colour}
    known["clothes"] = "green-ish" if row.garment_colour in GREENISH else "other"
    if row.kind == "green":
        return Case(known, exact, images.read_rgb(root / row.shot_path), generated, None)
    generator = np.random.default_rng([seed, place, STREAM])
    green = chroma.wall(exact.shape[:2], STAGE, generator)
    shot = chroma.shoot_before(exact, green, STAGE, generator)
    return Case(known, exact, shot, generated, _pair(exact, green, generator))


def _pair(exact: np.ndarray, green: np.ndarray, generator: np.random.Generator) -> Pair:
    """Shots with the usual noise and known walls, without spill, which differs with the wall: what keying can reach."""
    walls = green, np.ascontiguousarray(green[..., [0, 2, 1]])
    stage = chroma.Stage(spill=0)
    return Pair(tuple(chroma.shoot_before(exact, screen, stage, generator) for screen in walls), walls)


def tuning_shots(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield what the keyers' levels were tuned on: shots (H, W, 3) of the val split and their exact alpha (H, W)."""
    for case in cases(path, "val", severity=0, seed=0):
        yield case.shot, np.ascontiguousarray(case.exact[..., 3])


Method = Callable[[Case], np.ndarray]


def methods() -> dict[str, Method]:
    """All methods by name in the order of the table: from a case to a picture (H, W, 4) uint8.

    Each keyer is there with its tuned levels, and with plain ones to show what tuning gives.
    """
    plain = chroma.PLAIN
    found = {}
    for name in chroma.KEYERS:
        found[f"{name}, plain"] = _keyed(chroma.KeyParams(name, plain.black, plain.white, plain.core))
        found[name] = _keyed(chroma.KeyParams(name))
    return found | {
        scores.TRIANGULATION: lambda case: chroma.triangulate(*case.pair.shots, *case.pair.walls),
        "raw": lambda case: case.generated,
        "refined": lambda case: refine_picture(case.generated)[0],
    }


def _keyed(params: chroma.KeyParams) -> Method:
    return lambda case: chroma.key(case.shot, params)


def made(case: Case) -> dict[str, np.ndarray]:
    """What each method makes of a case; triangulation is left out where there is no second wall."""
    return {
        name: method(case)
        for name, method in methods().items()
        if name != scores.TRIANGULATION or case.pair is not None
    }


def scores_of(case: Case, rgba: np.ndarray) -> list[dict[str, object]]:
    """The errors of a picture (H, W, 4) in the whole picture and in the unknown region: rows of scores.KEYING."""
    truth = np.ascontiguousarray(case.exact[..., 3])
    masks = {"whole": None, "unknown": bank.trimap(truth) == trimaps.UNKNOWN}
    rows = image.all_metrics(np.ascontiguousarray(rgba[..., 3]), truth, masks)
    rows += [
        {"region": region, "metric": "colour", "value": colour_error(rgba, case.exact, mask)}
        for region, mask in masks.items()
    ]
    return [case.row | row for row in rows]


def colour_error(rgba: np.ndarray, exact: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean of |F - F*| over channels and pixels weighted by the exact alpha, in [0, 1]; NaN where that is 0 throughout.

    Both are (H, W, 4) uint8, straight colour; `mask` is (H, W) bool. The colour is judged by itself, whatever alpha a
    method found.
    """
    weight = exact[..., 3].astype(np.float64) if mask is None else exact[..., 3] * mask.astype(np.float64)
    total = weight.sum()
    wrong = np.abs(rgba[..., :3].astype(np.float64) - exact[..., :3]).mean(axis=-1) / 255
    return float((wrong * weight).sum() / total) if total else float("nan")


def telling(table: pd.DataFrame) -> list[str]:
    """Items to show, three of each set: where BEST gains most over refined mattes in SAD, the median, and loses most.

    `table` has scores.KEYING. Of an even number of items the median is the lower one of two.
    """
    sad = table[(table.metric == "sad") & (table.region == "whole")]
    items = []
    for name in dict.fromkeys(sad["set"]):
        wide = sad[sad["set"] == name].pivot(index="item", columns="method", values="value")
        order = (wide[BEST] - wide["refined"]).sort_values(kind="stable").index
        items += [order[0], order[(len(order) - 1) // 2], order[-1]]
    return list(dict.fromkeys(items))
