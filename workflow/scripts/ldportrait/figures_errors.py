"""Figures of errors: of a data set's variants, of the networks trained on each, and of parts of the data set."""

import itertools
from collections.abc import Sequence

import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ldportrait import scores
from ldportrait.figures import (
    COLOURS,
    COLUMN,
    GREY,
    INK,
    MARKERS,
    MODEL_STYLES,
    TEXT,
    each_panel,
    message,
    name_axis,
    panel_grid,
    styled,
)


@styled
def variants(table: pd.DataFrame, metrics: Sequence[str], region: str = "whole", note: str = "") -> Figure:
    """Error of a data set's mattes against the exact alpha, one panel a metric, with 95 % intervals over portraits."""
    table = table[(table.region == region) & (table.variant != "truth")]
    if table.empty:
        return message("No exact alpha is known for this data set, so that its mattes have no error to show.")
    names = scores.in_order(table.variant)
    columns = 2
    rows = -(-len(metrics) // columns)
    count = table.item.nunique()
    caption = f"Lines: {scores.spread(count, 0, 'accepted portraits')}; {scores.REGIONS[region]}."
    figure, panels = panel_grid(COLUMN, rows * (0.42 + 0.24 * len(names)), rows, columns, f"{caption} {note}".strip())
    for number, axes, metric in each_panel(panels, metrics):
        found = {name: scores.estimate(scores.cells(table, metric, region, variant=name).to_numpy()) for name in names}
        for place, name in zip(range(len(names))[::-1], names, strict=True):
            _interval(axes, place, found[name], name, _number(found[name].mean))
        name_axis(axes, names, labelled=number % columns == 0)
        _limits(axes, list(found.values()), zero=True)
        axes.set_title(scores.METRICS[metric].title)
    return figure


def _spread(table: pd.DataFrame) -> str:
    """What the intervals of trained networks are over; the number of seeds may differ between them."""
    counts = table.groupby(["model", "variant", "fraction"]).seed.nunique()
    sentence = scores.spread(table.item.nunique(), counts.max())
    fewer = [model for model, seeds in counts.groupby("model").min().items() if seeds < counts.max()]
    return sentence + (f" (over fewer seeds for {', '.join(fewer)})" if fewer else "")


def _markers(table: pd.DataFrame) -> str:
    """What the small open markers are, where there are any."""
    return " Small open markers: single seeds." if table.seed.nunique() > 1 else ""


@styled
def models(
    table: pd.DataFrame, metrics: Sequence[str], region: str, reference: str = "truth", note: str = ""
) -> Figure:
    """Error of the networks trained on each variant; below, the paired difference to the `reference` variant.

    A small open marker is a seed's mean over the pictures; the full one is the mean over seeds and pictures.
    """
    table = table[table.region == region]
    if table.empty:
        return message("No scores of trained models are there.", TEXT)
    blocks = []  # (model, variants, whether differences)
    for model in dict.fromkeys(table.model):
        names = scores.in_order(table.variant[table.model == model])
        blocks.append((model, names, False))
        if reference in names and len(names) > 1:
            blocks.append((model, [name for name in names if name != reference], True))
    sizes = [0.42 + 0.3 * len(names) for _, names, _ in blocks]
    caption = f"Lines: {_spread(table)}.{_markers(table)} "
    caption += f"{scores.REGIONS[region][0].upper()}{scores.REGIONS[region][1:]}."
    if any(paired for *_, paired in blocks):
        caption += f" Differences pair the same seed and picture; left of the line is better than {reference}."
    figure, panels = panel_grid(
        TEXT, sum(sizes), len(blocks), len(metrics), f"{caption} {note}".strip(), height_ratios=sizes
    )
    for (model, names, paired), row in zip(blocks, panels, strict=True):
        rows = table[table.model == model]
        for column, (axes, metric) in enumerate(zip(row, metrics, strict=True)):
            _model_panel(axes, rows, metric, region, names, reference if paired else "")
            name_axis(axes, names, labelled=column == 0)
            axes.set_title(f"Δ {scores.METRICS[metric].title}" if paired else scores.METRICS[metric].title)
        row[0].set_ylabel(f"{model}\nminus {reference}" if paired else f"{model}\ntrained on", color=GREY)
    return figure


def _model_panel(
    axes: Axes, rows: pd.DataFrame, metric: str, region: str, names: Sequence[str], reference: str
) -> None:
    """One panel of `models`: the error of each variant, or its paired difference to `reference` where one is given."""
    values = {name: scores.cells(rows, metric, region, variant=name) for name in names}
    if reference:
        other = scores.cells(rows, metric, region, variant=reference)
        values = {name: scores.difference(own, other) for name, own in values.items()}
        axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    found = {name: scores.estimate(own.to_numpy()) for name, own in values.items() if not own.empty}
    if not found:
        return
    points = [0.0] if reference else []
    digits = _digits(max(abs(estimate.mean) for estimate in found.values()))
    for name, estimate in found.items():
        place = len(names) - 1 - names.index(name)
        text = f"{estimate.mean:+.{digits}f}".replace("-", "−") if reference else _number(estimate.mean)
        _interval(axes, place, estimate, name, text)
        seeds = values[name].mean(axis="columns")
        points += list(seeds)
        if len(seeds) > 1:
            _seeds(axes, seeds, [place - 0.2] * len(seeds), name)
    _limits(axes, list(found.values()), zero=not reference, points=points)


@styled
def capacity(table: pd.DataFrame, metrics: Sequence[str], region: str, note: str = "") -> Figure:
    """Error against the share of the data set that was trained on, a line per model and variant."""
    table = table[table.region == region]
    if table.empty:
        return message("No scores of models trained on parts of the data set are there.")
    series = [
        (model, variant)
        for model, rows in table.groupby("model", sort=False)
        for variant in scores.in_order(rows.variant)
    ]
    names = _told_apart(series)
    fractions = sorted(table.fraction.unique())
    columns = min(2, len(metrics))
    rows = -(-len(metrics) // columns)
    caption = f"Bands: {_spread(table)}.{_markers(table)} "
    caption += f"{scores.REGIONS[region][0].upper()}{scores.REGIONS[region][1:]}."
    if len(series) == 1:
        caption = f"{series[0][0]} trained on {series[0][1]} mattes. {caption}"
    if len(fractions) >= 3:
        caption += f" Dotted: power law, where one fits (its exponent above 0, R² at least {scores.LAW_EXPLAINS:g})."
    figure, panels = panel_grid(COLUMN, rows * 1.2 + 0.2, rows, columns, f"{caption} {note}".strip())
    for number, axes, metric in each_panel(panels, metrics):
        for (model, variant), name, linestyle in zip(series, names, itertools.cycle(MODEL_STYLES), strict=False):
            own = table[(table.model == model) & (table.variant == variant)]
            _capacity_line(axes, own, metric, region, variant, name, linestyle)
        _capacity_legend(axes, len(series))
        axes.set_title(scores.METRICS[metric].title)
        if number + columns >= len(metrics):
            axes.set_xlabel("share of the data set, %")
        axes.set_xscale("log", base=2)
        axes.set_xticks(fractions, [f"{fraction}" for fraction in fractions])
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.set_xlim(fractions[0] / 1.15, fractions[-1] * 1.15)
        axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
        axes.grid(axis="y")
    return figure


def _capacity_line(
    axes: Axes, own: pd.DataFrame, metric: str, region: str, variant: str, name: str, linestyle: object
) -> None:
    """One line of `capacity`, of one model and variant, whose scores are `own`: means, band, seeds, and the law."""
    colour, found = COLOURS.get(variant, INK), {}
    fractions = sorted(own.fraction.unique())
    for fraction in fractions:
        values = scores.cells(own, metric, region, fraction=fraction)
        if values.empty:
            continue
        found[fraction] = scores.estimate(values.to_numpy())
        if len(values) > 1:
            seeds = values.mean(axis="columns")
            _seeds(axes, [fraction * (0.94 if fraction == fractions[-1] else 1.06)] * len(seeds), seeds, variant)
    x = list(found)
    axes.fill_between(
        x, [e.low for e in found.values()], [e.high for e in found.values()], color=colour, alpha=0.15, linewidth=0
    )
    law = scores.capacity_law(own, metric, region)
    fits = law is not None and law.fits
    axes.plot(
        x,
        [e.mean for e in found.values()],
        color=colour,
        linestyle=linestyle,
        marker=MARKERS.get(variant, "o"),
        markersize=3.5,
        label=f"{name} ∝ n$^{{−{law.exponent:.2f}}}$".strip() if fits else name,
    )
    if fits:
        shares = np.geomspace(x[0], x[-1], 32)
        axes.plot(shares, law.scale * (shares / 100) ** -law.exponent, ":", color=GREY, linewidth=0.9, zorder=1)


def _told_apart(series: Sequence[tuple[str, str]]) -> list[str]:
    """Names of (model, variant) pairs by what differs between them; empty for a single one."""
    differ = [len(set(words)) > 1 for words in zip(*series, strict=True)]
    return [", ".join(word for word, named in zip(pair, differ, strict=True) if named) for pair in series]


def _capacity_legend(axes: Axes, lines: int) -> None:
    """The lines' names and laws at the top right, where falling curves leave room, and a line's height more of it."""
    handles, labels = axes.get_legend_handles_labels()
    kept = [(handle, label) for handle, label in zip(handles, labels, strict=True) if label]
    if not kept:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.1 * lines * (high - low))
    style = {"fontsize": 6, "handlelength": 2.4 if lines > 1 else 0, "borderpad": 0, "labelspacing": 0.2}
    axes.legend(*zip(*kept, strict=True), loc="upper right", markerscale=0.8 if lines > 1 else 0, **style)


def _digits(value: float) -> int:
    """How many decimals show three digits of a number."""
    return 0 if value == 0 or abs(value) >= 100 else max(0, 2 - int(np.floor(np.log10(abs(value)))))


def _number(value: float) -> str:
    """Three digits, never in exponents: 0.0123, 1.23, 12.3, 123, 1234."""
    return f"{value:.{_digits(value)}f}"


def _interval(axes: Axes, place: float, found: scores.Estimate, variant: str, text: str) -> None:
    """A variant's mean and interval on a horizontal axis, with the mean written above it."""
    colour = COLOURS.get(variant, INK)
    axes.plot([found.low, found.high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
    axes.plot([found.mean], [place], MARKERS.get(variant, "o"), color=colour, markersize=4, zorder=3)
    where = {"xytext": (0, 3.5), "textcoords": "offset points", "ha": "center", "va": "bottom"}
    axes.annotate(text, (found.mean, place), fontsize=6.5, color=colour, **where)


def _seeds(axes: Axes, x: Sequence[float], y: Sequence[float], variant: str) -> None:
    """Single seeds as small open markers."""
    style = {"markersize": 2.2, "fillstyle": "none", "markeredgewidth": 0.6, "linestyle": "none", "zorder": 4}
    axes.plot(x, y, marker=MARKERS.get(variant, "o"), color=COLOURS.get(variant, INK), **style)


def _limits(axes: Axes, estimates: Sequence[scores.Estimate], zero: bool, points: Sequence[float] = ()) -> None:
    """Limits with room for the labels: logarithmic where means differ thirtyfold, else from zero if `zero`."""
    low = min([*(found.low for found in estimates), *points])
    high = max([*(found.high for found in estimates), *points])
    means = [found.mean for found in estimates]
    if zero and min(means) > 0 and max(means) > 30 * min(means) and low > 0:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.5, high * 1.5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        return
    room = 0.12 * (high - min(low, 0) if zero else high - low) or 1.0
    axes.set_xlim(0 if zero and low >= 0 else low - room, high + room)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
