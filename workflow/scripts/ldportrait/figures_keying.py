"""The keying study's figures: errors by method, and pictures side by side, in the style of `figures`."""

from collections.abc import Mapping, Sequence

import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ldportrait import images, pictures, scores, tables_keying
from ldportrait.figures import COLOURS, GREY, INK, MARKERS, TEXT, matrix, name_axis, panel_grid, styled

SHOWN = (("whole", "sad"), ("unknown", "sad"), ("unknown", "grad"), ("whole", "colour"))
WHITE, BLACK = np.uint8([255, 255, 255]), np.uint8([0, 0, 0])
ERROR_GAIN = 4
VIEWS = ("keyed", "refined", "exact")
BOX = (255, 0, 200)  # yellow hardly shows on green


@styled
def errors(table: pd.DataFrame, note: str = "") -> Figure:
    """Means and 95 % intervals by method: a row of panels per set, a column per metric of SHOWN, a line per method.

    `table` has scores.KEYING.
    """
    sets, names = list(dict.fromkeys(table["set"])), _in_order(table.method)
    counts = [f"{part.item.nunique()} {name}" for name, part in table.groupby("set", sort=False)]
    caption = (
        f"Lines: 95 % bootstrap intervals over {' and '.join(counts)}. Squares: generated mattes, refined; circles: "
    )
    caption += (
        "raw. Diamonds: keyed, with tuned levels (full) and plain ones (open). Triangles: two shots, known walls."
    )
    height = (0.5 + 0.17 * len(names)) * len(sets)
    figure, panels = panel_grid(TEXT, height, len(sets), len(SHOWN), f"{caption} {note}".strip(), sharex="col")
    for row, name in enumerate(sets):
        for column, (region, metric) in enumerate(SHOWN):
            part = table[(table["set"] == name) & (table.region == region) & (table.metric == metric)]
            axes = panels[row, column]
            _points(axes, tables_keying.by_item(part, metric), names)
            name_axis(axes, names, labelled=column == 0)
            title = f"{scores.KEYING_METRICS[metric].title}, {region}"
            axes.set_title(f"{name}\n{title}" if column == 0 else title)
    return figure


def _in_order(methods: Sequence[str]) -> list[str]:
    """The methods of a table in the order in which any set has them, triangulation after the keyers."""
    names = list(dict.fromkeys(methods))
    if scores.TRIANGULATION in names:  # the first set may not have it
        names.remove(scores.TRIANGULATION)
        names.insert(names.index("raw") if "raw" in names else len(names), scores.TRIANGULATION)
    return names


def _points(axes: Axes, wide: pd.DataFrame, names: Sequence[str]) -> None:
    for place, name in zip(range(len(names))[::-1], names, strict=True):
        if name not in wide:
            continue
        found = scores.estimate(wide[name].to_numpy()[None])
        kind = {"raw": "raw", "refined": "refined", scores.TRIANGULATION: "truth"}.get(name, "keyed")
        colour = GREY if kind == "truth" else COLOURS[kind]
        axes.plot([found.low, found.high], [place, place], color=colour, linewidth=1, zorder=2)
        fill = "none" if name.endswith("plain") else "full"
        axes.plot([found.mean], [place], MARKERS[kind], color=colour, markersize=3.5, fillstyle=fill, zorder=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def strip(examples: Mapping[str, Mapping[str, np.ndarray]], side: int = 260, note: str = "") -> Figure:
    """Shots and what comes of them, a row per item: the shot, mattes on white and on black, and errors of alpha.

    `examples` maps an item to shot (H, W, 3), keyed, refined and exact (H, W, 4), uint8. All but the shot show its box,
    where alpha has most detail.
    """
    rows = [[pictures.shrink(view, side, side) for view in _views(views)] for views in examples.values()]
    names = ("keyed", "refined", "exact")
    headings = ["shot", *(f"{name}\non white" for name in names), *(f"{name}\non black" for name in names)]
    headings += [f"keyed,\nerror ×{ERROR_GAIN}", f"refined,\nerror ×{ERROR_GAIN}"]
    labels = [item.removeprefix("portrait-") for item in examples]  # the whole id is longer than a picture is high
    return matrix(rows, headings, labels, [INK] * len(rows), {"columns": [1, 4, 7]}, note)


def _views(views: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    alpha = views["exact"][..., 3]
    window = pictures.most_detailed(alpha)
    cells = [pictures.square(pictures.boxed(views["shot"], window, BOX, 60))]
    for ground in (WHITE, BLACK):
        cells += [images.composite(views[name][window], ground) for name in VIEWS]
    for name in ("keyed", "refined"):
        wrong = np.abs(views[name][window][..., 3].astype(int) - alpha[window])
        cells.append(pictures.grey(np.minimum(wrong * ERROR_GAIN, 255).astype(np.uint8)))
    return cells
