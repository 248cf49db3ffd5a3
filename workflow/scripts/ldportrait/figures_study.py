"""The refinement study's figures: errors of all ways to mend a matte, and of ours as its parameters change."""

import matplotlib.ticker
import pandas as pd
from matplotlib.figure import Figure

from ldportrait import scores
from ldportrait.figures import COLOURS, GREY, MARKERS, TEXT, each_panel, name_axis, panel_grid, styled

MARKER_NAMES = ("circle", "diamond", "square", "triangle")  # those of MARKERS


@styled
def study(table: pd.DataFrame, note: str = "") -> Figure:
    """SAD of ways to mend a matte, a panel a region and a row a method, with 95 % intervals; a marker a severity.

    `table` has severity, method, item, region, metric and value.
    """
    table = table[table.metric == "sad"]
    names, severities = list(dict.fromkeys(table.method)), sorted(table.severity.unique())
    regions = list(dict.fromkeys(table.region))
    caption = f"Lines: {scores.spread(table.item.nunique(), 0, 'portraits')}; severity of the damage: "
    caption += ", ".join(f"{MARKER_NAMES[index % 4]} {value:g}" for index, value in enumerate(severities)) + "."
    figure, panels = panel_grid(TEXT, 0.45 + 0.2 * len(names), 1, len(regions), f"{caption} {note}".strip())
    for column, (axes, region) in enumerate(zip(panels[0], regions, strict=True)):
        for index, severity in enumerate(severities):
            part = table[(table.severity == severity) & (table.region == region)]
            for place, name in zip(range(len(names))[::-1], names, strict=True):
                values = part.value[part.method == name].to_numpy()
                if not values.size:
                    continue
                found = scores.estimate(values[None])
                height = place + 0.22 * ((len(severities) - 1) / 2 - index)
                colour = COLOURS["refined"] if name == "ours" else COLOURS["raw"] if name == "raw" else GREY
                axes.plot([found.low, found.high], [height, height], color=colour, linewidth=1, zorder=2)
                style = {"color": colour, "markersize": 3, "fillstyle": "full" if index % 2 == 0 else "none"}
                axes.plot([found.mean], [height], list(MARKERS.values())[index % 4], **style, zorder=3)
        axes.set_xscale("log")
        name_axis(axes, names, labelled=column == 0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        axes.set_title(f"{scores.METRICS['sad'].title}, {region}")
    return figure


@styled
def sensitivity(table: pd.DataFrame, note: str = "") -> Figure:
    """SAD in the whole picture as each parameter is scaled, a panel a parameter, with 95 % bands over portraits.

    `table` has parameter, factor, setting, item, region and value.
    """
    table = table[table.region == "whole"]
    names = list(dict.fromkeys(table.parameter))
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    caption = f"Bands: {scores.spread(table.item.nunique(), 0, 'portraits')}. The axis has the parameter's values; the "
    caption += "full marker is the one in use. Of an alpha near 1 the distance to 1 is scaled."
    figure, panels = panel_grid(TEXT, 1.15 * rows, rows, columns, f"{caption} {note}".strip(), sharey=True)
    for number, axes, name in each_panel(panels, names):
        part = table[table.parameter == name]
        factors = sorted(part.factor.unique())
        found = [scores.estimate(part.value[part.factor == factor].to_numpy()[None]) for factor in factors]
        settings = [part.setting[part.factor == factor].iloc[0] for factor in factors]
        colour = COLOURS["refined"]
        axes.fill_between(
            factors, [e.low for e in found], [e.high for e in found], color=colour, alpha=0.15, linewidth=0
        )
        axes.plot(factors, [e.mean for e in found], color=colour)
        for factor, estimate in zip(factors, found, strict=True):
            fill = "full" if factor == 1 else "none"
            axes.plot([factor], [estimate.mean], MARKERS["refined"], color=colour, markersize=3, fillstyle=fill)
        axes.set_xscale("log", base=2)
        axes.set_xticks(factors, [f"{setting:g}" for setting in settings], fontsize=6)
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.set_title(name.replace("_", " "))
        axes.grid(axis="y")
        if number % columns == 0:
            axes.set_ylabel(scores.METRICS["sad"].title)
    panels[0, 0].set_ylim(bottom=0)  # they share it
    return figure
