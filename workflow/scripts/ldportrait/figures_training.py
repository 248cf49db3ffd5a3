"""The learning curves: a figure from the logs of trainings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ldportrait import scores
from ldportrait.figures import COLOURS, GREY, MODEL_STYLES, TEXT, message, panel_grid, styled

SPANS, LEAST = 40, 20  # a loss differs from batch to batch: it is averaged over this part of the steps, or so many


@dataclass(frozen=True)
class Run:
    """A training: its network, the variant and the percent of it that it saw, its seed, and its log, a row a step."""

    model: str
    variant: str
    fraction: float
    seed: int
    log: pd.DataFrame

    @property
    def name(self) -> str:
        """What tells it from others but for the seed."""
        return f"{self.model}, {self.variant}" + (f" {self.fraction:g} %" if self.fraction != 100 else "")


def smoothed(values: np.ndarray, span: int) -> np.ndarray:
    """Mean over the last `span` values, or over as many as there are, at each place; what is not finite is left out."""
    known = np.isfinite(values)
    sums, counts = (np.concatenate([[0.0], np.cumsum(part)]) for part in (np.where(known, values, 0), known))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - span)
    found = counts[ends] - counts[starts]
    return np.divide(sums[ends] - sums[starts], found, out=np.full(len(values), np.nan), where=found > 0)


@styled
def learning_curves(runs: Sequence[Run], note: str = "") -> Figure:
    """Loss, validation error and learning rate against the step, a line a run; runs of other seeds look alike.

    The panel of the validation error is left out where no run was validated on the way.
    """
    runs = [run for run in runs if len(run.log)]
    if not runs:
        return message("There is no training log to show.")
    validated = any("val_mad" in run.log for run in runs)
    counts = Counter(run.model for run in runs)
    models = sorted(counts, key=lambda model: -counts[model])  # that with the most runs has solid lines
    variants = scores.in_order(run.variant for run in runs)
    runs = sorted(runs, key=lambda run: (models.index(run.model), variants.index(run.variant), run.fraction))
    caption = f"The loss is a mean over the last {100 / SPANS:g} % of the steps, or {LEAST} steps if that is more; the "
    caption += "losses of different networks or mattes are not comparable."
    skipped = sum(int(run.log.skipped.iloc[-1]) for run in runs if "skipped" in run.log)
    caption += f" {skipped} steps without a finite loss were skipped." if skipped else ""
    figure, panels = panel_grid(TEXT, 2.2, 1, 3 if validated else 2, f"{caption} {note}".strip())
    named = set()
    for run in runs:
        style = {
            "color": COLOURS.get(run.variant, GREY),
            "linestyle": MODEL_STYLES[models.index(run.model) % len(MODEL_STYLES)],
            "linewidth": 0.4 + 0.8 * run.fraction / 100,
            "label": None if run.name in named else run.name,
        }
        named.add(run.name)
        _curves(panels[0], run.log, style, validated)
    titles = ["loss", "validation MAD", "learning rate"] if validated else ["loss", "learning rate"]
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(axis="y")
        if title != "learning rate":
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=5.5)
    return figure


def _curves(panels: np.ndarray, log: pd.DataFrame, style: dict[str, object], validated: bool) -> None:
    loss = smoothed(log.loss.to_numpy(float), max(LEAST, len(log) // SPANS))
    panels[0].plot(log.step, loss, **style)
    if "val_mad" in log:
        _measured(panels[1], log[log.val_mad.notna()], style)
    panels[-1].plot(log.step, log.learning_rate, **style)


def _measured(axes: Axes, log: pd.DataFrame, style: dict[str, object]) -> None:
    axes.plot(log.step, log.val_mad, marker=".", markersize=3, **style)
