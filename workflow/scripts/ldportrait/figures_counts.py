"""Figures that count: attributes among the prompts, and verdicts among the portraits with their reasons."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ldportrait import verdicts
from ldportrait.columns import ATTRIBUTES
from ldportrait.figures import COLOURS, COLUMN, FAINT, GREY, TEXT, message, styled


def shares(values: pd.Series, most: int = 24) -> pd.Series:
    """Shares of a column's values, from largest to smallest; years are counted by decades, the rarest together.

    Empty values are "not said". Values beyond the `most` most frequent ones are one last row, "k others".
    """
    values = values.fillna("").astype(str).str.strip()
    years = pd.to_numeric(values, errors="coerce")
    if years.notna().all() and years.nunique() > 12:
        decades = (years // 10 * 10).astype(int)
        found = decades.value_counts(normalize=True).sort_index()
        youngest = int(years.min())  # adults are 18–19, not 10–19
        return found.set_axis([f"{max(decade, youngest)}–{decade + 9}" for decade in found.index])
    found = values.replace("", "not said").value_counts(normalize=True)
    found = found.sort_index().sort_values(ascending=False, kind="stable")
    if years.notna().all():
        return found.loc[sorted(found.index, key=float)]
    if len(found) > most + 1:
        others = len(found) - most
        found = pd.concat([found.head(most), pd.Series({f"{others} others": found.iloc[most:].sum()})])
    return found


@styled
def attributes(prompts: pd.DataFrame, names: Sequence[str] = ATTRIBUTES) -> Figure:
    """Shares of each attribute's values among the prompts, one panel an attribute."""
    known = [name for name in names if name in prompts and prompts[name].fillna("").astype(str).str.strip().any()]
    if prompts.empty or not known:
        return message("No attributes are known for these prompts.")
    panels = {name: shares(prompts[name]) for name in known}
    columns = min(4, len(panels))
    stacks: list[list[str]] = [[] for _ in range(columns)]
    bar, head = 0.125, 0.36  # inches a bar, and of a panel's title with the space around it
    heights = [0.0] * columns
    for name in sorted(panels, key=lambda name: -len(panels[name])):  # the longest first, each to the shortest stack
        shortest = int(np.argmin(heights))
        stacks[shortest].append(name)
        heights[shortest] += bar * len(panels[name]) + head
    height = max(heights)
    figure = Figure((TEXT, height))
    column, label = TEXT / columns, 1.1
    for number, stack in enumerate(stacks):
        top = height
        for name in stack:
            found = panels[name]
            tall = bar * len(found)
            box = (number * column + label, top - head + 0.12 - tall, column - label - 0.3, tall)
            _share_bars(figure.add_axes([v / s for v, s in zip(box, (TEXT, height) * 2, strict=True)]), name, found)
            top -= tall + head
    return figure


def _share_bars(axes: Axes, name: str, found: pd.Series) -> None:
    places = np.arange(len(found))[::-1]
    muted = [label == "not said" or label.endswith(" others") for label in found.index]
    axes.barh(places, found, height=0.72, color=[FAINT if grey else "#7a9cc0" for grey in muted])
    for place, share in zip(places, found, strict=True):
        axes.text(share + 0.02 * found.max(), place, _percent(share), va="center", fontsize=6, color=GREY)
    axes.set(yticks=places, xticks=[], xlim=(0, found.max()), ylim=(-0.6, len(found) - 0.4))
    axes.set_yticklabels([textwrap.shorten(label, 22, placeholder="…") for label in found.index], fontsize=6)
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)
    axes.annotate(
        name.replace("_", " "), (0, 1), (-76, 3), xycoords="axes fraction", textcoords="offset points", weight="bold"
    )


def _percent(share: float) -> str:
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


@styled
def acceptance(screened: pd.DataFrame) -> Figure:
    """Accepted and rejected portraits as one bar, and below it the rejections by reason."""
    if screened.empty:
        return message("No portraits were screened.")
    accepted, total = int(screened.accepted.sum()), len(screened)
    found = verdicts.reasons(screened)
    most = 12
    if len(found) > most:
        found = pd.concat(
            [found.head(most - 1), pd.Series({f"{len(found) - most + 1} others": found[most - 1 :].sum()})]
        )
    bar = 0.17
    top, gap = 0.52, 0.42 if len(found) else 0.1
    height = top + gap + bar * len(found) + 0.05
    figure = Figure((COLUMN, height))
    axes = figure.add_axes((0.02, 1 - top / height, 0.96, 0.2 / height))
    axes.barh([0, 0], [accepted, total - accepted], left=[0, accepted], height=1, color=[COLOURS["refined"], FAINT])
    axes.set(xlim=(0, total), ylim=(-0.5, 0.5))
    axes.axis("off")
    figure.text(0.02, 1 - 0.2 / height, f"{accepted} accepted ({_percent(accepted / total)})", weight="bold",
                color=COLOURS["refined"])  # fmt: skip
    rejected = f"{total - accepted} rejected ({_percent(1 - accepted / total)})"
    figure.text(0.98, 1 - 0.2 / height, rejected, ha="right", color=GREY)
    reviewed = int(screened.reviewed.sum()) if "reviewed" in screened else 0
    if reviewed:
        figure.text(
            0.98, 1 - (top + 0.11) / height, f"{reviewed} decided by review", ha="right", fontsize=6, color=GREY
        )
    if len(found):
        several = " (a portrait may have several)" if found.sum() > total - accepted else ""
        figure.text(0.02, 1 - (top + gap - 0.09) / height, f"Rejections by reason{several}")
        axes = figure.add_axes((0.36, 0.05 / height, 0.36, bar * len(found) / height))
        places = np.arange(len(found))[::-1]
        axes.barh(places, found, height=0.7, color="#9a9a9a")
        for place, count in zip(places, found, strict=True):
            label = f"{count}  ({_percent(count / total)} of all)"
            axes.annotate(
                label, (count, place), (3, 0), textcoords="offset points", va="center", fontsize=6.5, color=GREY
            )
        axes.set(yticks=places, xticks=[], ylim=(-0.5, len(found) - 0.5), xlim=(0, found.max()))
        axes.set_yticklabels([name.replace("_", " ") for name in found.index])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure
