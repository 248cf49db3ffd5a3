"""The keying study's table: the errors of each method on each set, and by what is known of the subjects."""

import numpy as np
import pandas as pd

from ldportrait import scores
from ldportrait.tables import Table, three_digits

REFERENCE = "refined"  # paired differences are to it
ATTRIBUTES = ("hair_style", "hair_colour", "clothes")
BY_ATTRIBUTE = ("sad", "colour")  # metrics of the breakdown, in the whole picture
SHOWN = ("sad", "mse", "grad", "conn", "colour")  # metrics of the table
MARKS = {"whole": "", "unknown": ", u"}  # what a heading has for the region


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
    """The numbers of `summary`, and the table of all subjects by set and method: a column a metric and region."""
    numbers = summary(table)
    shown = numbers[numbers.attribute == "all"]
    columns = [
        (region, metric)
        for region in MARKS
        for metric in SHOWN
        if ((shown.region == region) & (shown.metric == metric)).any()
    ]
    rows, bold, rules = [], set(), set()
    for name, group in shown.groupby("set", sort=False):
        best = [_best(table, name, *column) for column in columns]
        rules.add(len(rows))
        for method, lines in group.groupby("method", sort=False):
            found = lines.set_index(["region", "metric"])
            bold |= {(len(rows), 2 + place) for place, winning in enumerate(best) if winning == method}
            means = [three_digits(found.at[column, "mean"]) for column in columns]
            rows.append([name, method, *means, _gap(found.loc[("whole", "sad")])])
    heads = [scores.KEYING_METRICS[metric].label + MARKS[region] for region, metric in columns]
    headings = ["set", "method", *heads, f"Δ {scores.METRICS['sad'].label}"]
    sentences = [_words(table), note]
    return numbers, Table(headings, rows, 2, frozenset(bold), frozenset(rules - {0}), " ".join(filter(None, sentences)))


def _best(table: pd.DataFrame, name: str, region: str, metric: str) -> str | None:
    """The `winner` on a set."""
    return winner(by_item(table[(table["set"] == name) & (table.region == region) & (table.metric == metric)], metric))


def _gap(row: pd.Series) -> str:
    """The interval of the paired difference to REFERENCE; empty for that itself."""
    if "difference" not in row or np.isnan(row.difference):
        return ""
    return f"{row.difference_low:+.2f} to {row.difference_high:+.2f}".replace("-", "−")


def _words(table: pd.DataFrame) -> str:
    counts = table.groupby("set", sort=False).item.nunique()
    pictures = " and ".join(f"{count} {name}" for name, count in counts.items())
    return (
        f"Means over {pictures}. SAD, Grad and Conn in thousands, MSE in thousandths; u: the unknown region, which is "
        "the fractional true alpha, widened by 1 % of the picture's side. "
        "Colour: mean |F − F*| in levels of 255, weighted by the true alpha; that of a green "
        "shot has the wall's light in it. Plain: the key clipped to 0 and 1, without core matte. Triangulation has a "
        "second shot before a blue wall and knows both walls, and is no rival. Bold: better than each other method, "
        "by a paired 95 % bootstrap interval without 0. Δ: that interval of SAD less that of refined, above 0 worse. "
        "Keyed mattes come from rendered or composed shots, raw ones from the exact matte, damaged in imitation of "
        "LayerDiffuse."
    )
