"""The keying study's table: the errors of each method on each set, and by what is known of the subjects."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ldportrait import scores
from ldportrait.tables import Table, decimals, plus_minus

REFERENCE = "refined"  # paired differences are to it
ATTRIBUTES = ("hair_style", "hair_colour", "clothes")
BY_ATTRIBUTE = ("sad", "colour")  # metrics of the breakdown, in the whole picture


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """The numbers: a row per set, attribute, value, region, method and metric, in the metric's printed unit.

    `table` has scores.KEYING. Columns mean, low and high are the mean and its 95 % bootstrap interval over `items`;
    difference, difference_low and difference_high the paired difference to REFERENCE on the same pictures. The
    attribute is "all", or one of ATTRIBUTES with BY_ATTRIBUTE in the whole picture alone.
    """
    rows = []
    for name, group in table.groupby("set", sort=False):
        rows += _rows(group, {"set": name, "attribute": "all", "value": ""})
        few = group[(group.region == "whole") & group.metric.isin(BY_ATTRIBUTE)]
        for attribute in ATTRIBUTES:
            for value, part in few.groupby(attribute):
                rows += _rows(part, {"set": name, "attribute": attribute, "value": value})
    return pd.DataFrame(rows)


def _rows(table: pd.DataFrame, known: dict[str, str]) -> list[dict[str, object]]:
    rows = []
    for (region, metric), group in table.groupby(["region", "metric"], sort=False):
        wide = by_item(group, metric)
        for method in wide:
            found = scores.estimate(wide[method].to_numpy()[None])
            row = known | {"region": region, "method": method, "metric": metric}
            row |= {"unit": scores.KEYING_METRICS[metric].unit, "mean": found.mean, "low": found.low}
            row |= {"high": found.high, "items": found.items}
            if REFERENCE in wide and method != REFERENCE:
                gap = scores.estimate((wide[method] - wide[REFERENCE]).to_numpy()[None])
                row |= {"difference": gap.mean, "difference_low": gap.low, "difference_high": gap.high}
            rows.append(row)
    return rows


def by_item(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The values of one metric in one region as items by methods, in its printed unit, methods in the table's order.

    Every method of a set sees every picture of it. ValueError names a method that does not, or an item that occurs
    twice.
    """
    twice = table.duplicated(["item", "method"])
    if twice.any():
        row = table[twice].iloc[0]
        raise ValueError(f"The scores hold {metric} of {row['method']} on {row['item']} more than once.")
    wide = table.pivot(index="item", columns="method", values="value")[list(dict.fromkeys(table.method))]
    lacking = wide.columns[wide.isna().any()]
    if len(lacking):
        raise ValueError(f"The scores lack {metric} of {lacking[0]} on {wide.index[wide[lacking[0]].isna()][0]}.")
    return wide * scores.KEYING_METRICS[metric].factor


def winner(wide: pd.DataFrame) -> str | None:
    """The method that is clearly the best, see scores.clear_best; `wide` is that of `by_item`.

    Triangulation is no rival, since it has a second shot and knows both walls.
    """
    rivals = wide.drop(columns=scores.TRIANGULATION, errors="ignore")
    return scores.clear_best({name: pd.DataFrame([rivals[name]], index=[0]) for name in rivals})


def of_keying(table: pd.DataFrame, note: str = "") -> tuple[pd.DataFrame, Table]:
    """The numbers of `summary`, and the table of all subjects by set, region and method."""
    numbers = summary(table)
    shown = numbers[numbers.attribute == "all"]
    metrics = list(dict.fromkeys(table.metric))
    digits = {name: decimals((part.high - part.low) / 2) for name, part in shown.groupby("metric")}
    rows, bold, rules = [], set(), set()
    for (name, region), group in shown.groupby(["set", "region"], sort=False):
        part = table[(table["set"] == name) & (table.region == region)]
        best = {metric: winner(by_item(part[part.metric == metric], metric)) for metric in metrics}
        rules.add(len(rows))
        for method, line in group.groupby("method", sort=False):
            bold |= {(len(rows), 3 + place) for place, metric in enumerate(metrics) if best[metric] == method}
            rows.append([name, region, method, *_cells(line, metrics, digits)])
    heads = [scores.KEYING_METRICS[metric].title for metric in metrics]
    headings = ["set", "region", "method", *heads, f"Δ {scores.METRICS['sad'].label} to {REFERENCE}"]
    sentences = [_words(table), note]
    return numbers, Table(headings, rows, 3, frozenset(bold), frozenset(rules - {0}), " ".join(filter(None, sentences)))


def _cells(line: pd.DataFrame, metrics: Sequence[str], digits: dict[str, int]) -> Iterable[str]:
    by_metric = line.set_index("metric")
    for metric in metrics:
        row = by_metric.loc[metric]
        yield plus_minus(row["mean"], (row.high - row.low) / 2, digits[metric])
    row = by_metric.loc["sad"]
    if "difference" not in row or np.isnan(row.difference):
        yield "–"
    else:
        half = (row.difference_high - row.difference_low) / 2
        yield plus_minus(row.difference, half, digits["sad"], signed=True)


def _words(table: pd.DataFrame) -> str:
    counts = table.groupby("set", sort=False).item.nunique()
    pictures = " and ".join(f"{count} {name}" for name, count in counts.items())
    return (
        f"Mean ± half the 95 % bootstrap interval over {pictures}. Unknown: the fractional true alpha, widened by 1 % "
        "of the picture's side. Colour: mean |F − F*| in levels of 255, weighted by the true alpha; that of a green "
        "shot has the wall's light in it. Plain: the key clipped to 0 and 1, without core matte. Triangulation has a "
        "second shot before a blue wall and knows both walls, and is no rival. Bold: better than each other method, "
        "by a paired 95 % interval without 0. Δ: paired difference to refined; above 0 is worse. "
        "Keyed mattes come from rendered or composed shots, raw ones from the exact matte, damaged in imitation of "
        "LayerDiffuse."
    )
