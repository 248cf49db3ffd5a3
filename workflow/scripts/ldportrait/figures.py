"""The figures: one style, and one function per figure from tables and pictures to a matplotlib Figure.

Widths are those of a two-column paper: COLUMN for one column, TEXT for both. Nothing here reads a file.
"""

import functools
import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ldportrait import images, pictures, scores, shards

COLUMN, TEXT = 3.4, 7.0  # inches
DPI = 300
INK, GREY, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
# Okabe and Ito's colours, told apart by the colour-blind; the marker tells them apart on a black-and-white print.
COLOURS = {"raw": "#d55e00", "keyed": "#009e73", "refined": "#0072b2", "truth": "#3a3a3a"}
MARKERS = {"raw": "o", "keyed": "D", "refined": "s", "truth": "^"}
MODEL_STYLES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "image.interpolation": "none",
    "pdf.fonttype": 42,  # text stays text, and editable
}


def styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw a figure in the one style, whatever the caller's matplotlib is set to."""

    @functools.wraps(function)
    def drawn(*arguments: object, **options: object) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            return function(*arguments, **options)

    return drawn


def save(figure: Figure, stem: Path | str) -> None:
    """Write `stem`.pdf and `stem`.png, each whole or not at all; equal figures give equal bytes."""
    metadata = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}
    with matplotlib.rc_context(STYLE):
        for suffix, values in metadata.items():
            stream = io.BytesIO()  # matplotlib and Pillow do not say that a disk is full when they write to one
            figure.savefig(stream, format=suffix, metadata=values, dpi=DPI)
            with shards.replacing(Path(f"{stem}.{suffix}")) as temporary:
                temporary.write_bytes(stream.getvalue())


@styled
def message(sentence: str, width: float = COLUMN) -> Figure:
    """A figure that says why there is none."""
    figure = Figure((width, 0.8))
    text = "\n".join(textwrap.wrap(sentence, int(width * 15)))
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure


def _panels(
    width: float, height: float, rows: int, columns: int, note: str = "", **options: object
) -> tuple[Figure, np.ndarray]:
    """A figure of `rows` x `columns` axes with a note in small print below; returns it and the array of axes."""
    lines = textwrap.wrap(note, int(width * 22))
    below = 0.115 * len(lines) + (0.06 if lines else 0)
    figure = Figure((width, height + below), layout="constrained")
    figure.get_layout_engine().set(rect=(0, below / (height + below), 1, height / (height + below)), w_pad=0.04)
    if lines:
        figure.text(
            0.01, 0.04 / (height + below), "\n".join(lines), fontsize=6, color=GREY, va="bottom", linespacing=1.2
        )
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


# Pictures


@styled
def mosaic(portraits: Sequence[np.ndarray], mattes: Sequence[np.ndarray], columns: int) -> Figure:
    """Portraits over calm grounds, and their mattes in a second block below.

    Both are equal (S, S, 3) uint8 pictures; shown pixel by pixel where S x columns = 2100.
    """
    gap = 6
    blocks = [pictures.grid(list(cells), columns, gap) for cells in (portraits, mattes)]
    between = np.full((5 * gap, blocks[0].shape[1], 3), 255, np.uint8)
    return _sheet(np.vstack([blocks[0], between, blocks[1]]))


def _sheet(sheet: np.ndarray) -> Figure:
    """One picture as a figure of text width."""
    height, width = sheet.shape[:2]
    figure = Figure((TEXT, TEXT * height / width))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(sheet, aspect="auto")
    axes.axis("off")
    return figure


@styled
def matrix(
    rows: Sequence[Sequence[np.ndarray]],
    headings: Sequence[str],
    labels: Sequence[str],
    colours: Sequence[str] | None = None,
    breaks: Mapping[str, Sequence[int]] | None = None,
    note: str = "",
) -> Figure:
    """Pictures in rows and columns with a heading over each column and a label beside each row.

    `rows` holds equal (S, S, 3) uint8 pictures. `breaks` says before which rows and columns a wider gap lies
    ({"rows": [3], "columns": [4]}). `colours` are those of the labels.
    """
    breaks = {"rows": (), "columns": (), **(breaks or {})}
    left, gap, wide = 0.17 if any(labels) else 0.0, 0.025, 0.1
    top = 0.05 + 0.12 * max(heading.count("\n") + 1 for heading in headings)
    lines = textwrap.wrap(note, int(TEXT * 22))
    below = 0.115 * len(lines) + (0.08 if lines else 0)
    columns = len(headings)
    side = (TEXT - left - gap * (columns - 1) - (wide - gap) * len(breaks["columns"])) / columns
    height = top + side * len(rows) + gap * (len(rows) - 1) + (wide - gap) * len(breaks["rows"]) + below
    figure = Figure((TEXT, height))
    y = height - top
    for number, cells in enumerate(rows):
        y -= side + (0 if number == 0 else wide if number in breaks["rows"] else gap)
        x = left
        for column, cell in enumerate(cells):
            x += 0 if column == 0 else wide if column in breaks["columns"] else gap
            axes = figure.add_axes((x / TEXT, y / height, side / TEXT, side / height))
            axes.imshow(cell, aspect="auto", interpolation="antialiased")
            axes.axis("off")
            if number == 0:
                figure.text((x + side / 2) / TEXT, (height - top + 0.045) / height, headings[column], ha="center")
            x += side
        colour = colours[number] if colours else INK
        where = (left / 2 - 0.005) / TEXT, (y + side / 2) / height
        figure.text(*where, labels[number], rotation=90, ha="center", va="center", color=colour, weight="bold")
    if lines:
        figure.text(0, 0.03 / height, "\n".join(lines), fontsize=6, color=GREY, va="bottom", linespacing=1.2)
    return figure


REFINEMENT_VIEWS = ("alpha", f"×{pictures.GAIN} near 0", f"×{pictures.GAIN} near 1", "on green")


def refinement_views(rgba: np.ndarray, side: int) -> list[np.ndarray]:
    """The views of REFINEMENT_VIEWS of one (H, W, 4) uint8 picture, each (side, side, 3)."""
    rgba = pictures.square(rgba)
    alpha = rgba[..., 3]
    views = [pictures.grey(view) for view in (alpha, pictures.near_zero(alpha), pictures.near_one(alpha))]
    views.append(images.composite(rgba, np.array(pictures.GREEN, np.uint8)))
    return [pictures.shrink(view, side, side) for view in views]


def refinement(portraits: Sequence[Mapping[str, np.ndarray]], side: int = 256, note: str = "") -> Figure:
    """Mattes before and after refinement, two portraits beside each other, a row per variant.

    `portraits` maps raw, refined and, where known, truth to (H, W, 4) uint8 pictures.
    """
    variants = [name for name in ("raw", "refined", "truth") if any(name in portrait for portrait in portraits)]
    blank = [np.full((side, side, 3), 255, np.uint8)] * len(REFINEMENT_VIEWS)
    rows = []
    pairs = [portraits[start : start + 2] for start in range(0, len(portraits), 2)]
    across = max(map(len, pairs))
    for pair in pairs:
        for variant in variants:
            views = [refinement_views(portrait[variant], side) if variant in portrait else blank for portrait in pair]
            rows.append([view for group in views + [blank] * (across - len(pair)) for view in group])
    return matrix(
        rows,
        REFINEMENT_VIEWS * across,
        variants * len(pairs),
        [COLOURS[variant] for variant in variants] * len(pairs),
        {
            "rows": range(len(variants), len(rows), len(variants)),
            "columns": range(len(REFINEMENT_VIEWS), len(REFINEMENT_VIEWS) * across, len(REFINEMENT_VIEWS)),
        },
        note,
    )


# Counts

ATTRIBUTES = (
    "gender age ancestry hair_style hair_length hair_colour facial_hair garment garment_colour accessory pose "
    "expression framing light"
).split()


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


def reasons(screened: pd.DataFrame) -> pd.Series:
    """How many portraits were rejected for each reason, most frequent first; one portrait may have several."""
    names = screened.reasons[~screened.accepted].str.split(",").explode().str.strip()
    return names[names.fillna("") != ""].value_counts().sort_index().sort_values(ascending=False, kind="stable")


@styled
def acceptance(screened: pd.DataFrame) -> Figure:
    """Accepted and rejected portraits as one bar, and below it the rejections by reason."""
    if screened.empty:
        return message("No portraits were screened.")
    accepted, total = int(screened.accepted.sum()), len(screened)
    found = reasons(screened)
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


# Errors


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


def _variant_axis(axes: Axes, variants: Sequence[str], labelled: bool) -> None:
    axes.set_ylim(-0.5, len(variants) - 0.3)
    axes.set_yticks(np.arange(len(variants))[::-1], variants if labelled else [""] * len(variants))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


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
    figure, panels = _panels(COLUMN, rows * (0.42 + 0.24 * len(names)), rows, columns, f"{caption} {note}".strip())
    for number, axes in enumerate(panels.flat):
        if number >= len(metrics):
            axes.axis("off")
            continue
        metric = metrics[number]
        found = {name: scores.estimate(scores.cells(table, metric, region, variant=name).to_numpy()) for name in names}
        for place, name in zip(range(len(names))[::-1], names, strict=True):
            _interval(axes, place, found[name], name, _number(found[name].mean))
        _variant_axis(axes, names, labelled=number % columns == 0)
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
    figure, panels = _panels(
        TEXT, sum(sizes), len(blocks), len(metrics), f"{caption} {note}".strip(), height_ratios=sizes
    )
    for (model, names, paired), row in zip(blocks, panels, strict=True):
        rows = table[table.model == model]
        for column, (axes, metric) in enumerate(zip(row, metrics, strict=True)):
            _model_panel(axes, rows, metric, region, names, reference if paired else "")
            _variant_axis(axes, names, labelled=column == 0)
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
    figure, panels = _panels(COLUMN, rows * 1.2 + 0.2, rows, columns, f"{caption} {note}".strip())
    for number, axes in enumerate(panels.flat):
        if number >= len(metrics):
            axes.axis("off")
            continue
        for index, (model, variant) in enumerate(series):
            _capacity_line(axes, table, model, variant, metrics[number], region, fractions, index, names)
        _capacity_legend(axes, len(series))
        axes.set_title(scores.METRICS[metrics[number]].title)
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
    axes: Axes,
    table: pd.DataFrame,
    model: str,
    variant: str,
    metric: str,
    region: str,
    fractions: Sequence[int],
    index: int,
    names: Sequence[str],
) -> None:
    colour = COLOURS.get(variant, INK)
    found = {}
    for fraction in fractions:
        values = scores.cells(table, metric, region, model=model, variant=variant, fraction=fraction)
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
    law = scores.capacity_law(table, metric, region, model=model, variant=variant)
    fits = law is not None and law.fits
    axes.plot(
        x,
        [e.mean for e in found.values()],
        color=colour,
        linestyle=MODEL_STYLES[index % len(MODEL_STYLES)],
        marker=MARKERS.get(variant, "o"),
        markersize=3.5,
        label=f"{names[index]} ∝ n$^{{−{law.exponent:.2f}}}$".strip() if fits else names[index],
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
    figure, panels = _panels(TEXT, 0.45 + 0.2 * len(names), 1, len(regions), f"{caption} {note}".strip())
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
        _variant_axis(axes, names, labelled=column == 0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        axes.set_title(f"{scores.METRICS['sad'].title}, {region}")
    return figure


MARKER_NAMES = ("circle", "diamond", "square", "triangle")  # those of MARKERS


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
    figure, panels = _panels(TEXT, 1.15 * rows, rows, columns, f"{caption} {note}".strip(), sharey=True)
    for number, axes in enumerate(panels.flat):
        if number >= len(names):
            axes.axis("off")
            continue
        part = table[table.parameter == names[number]]
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
        axes.set_title(names[number].replace("_", " "))
        axes.grid(axis="y")
        if number % columns == 0:
            axes.set_ylabel(scores.METRICS["sad"].title)
    panels[0, 0].set_ylim(bottom=0)  # they share it
    return figure


def most_detailed(alpha: np.ndarray, share: float = 0.5) -> tuple[int, int, int]:
    """The square window (top, left, side) with the most fractional alpha in it; its side is `share` of the picture's.

    `alpha` is (H, W) uint8. The first such window in reading order, on a grid of sixteenths of its side.
    """
    side = max(1, round(share * min(alpha.shape)))
    fractional = ((alpha > 0) & (alpha < 255)).astype(np.int64)
    table = np.pad(fractional.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    step = max(1, side // 16)
    tops, lefts = (np.arange(0, length - side + 1, step) for length in alpha.shape)
    top, left = tops[:, None], lefts[None, :]
    counts = table[top + side, left + side] - table[top, left + side] - table[top + side, left] + table[top, left]
    best = np.unravel_index(np.argmax(counts), counts.shape)
    return int(tops[best[0]]), int(lefts[best[1]]), side


def qualitative(
    samples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, Mapping[str, np.ndarray]]],
    names: Sequence[str],
    side: int = 300,
    note: str = "",
) -> Figure:
    """Benchmark pictures and what the networks trained on each variant make of them.

    A sample is (image (H, W, 3), alpha (H, W), trimap (H, W), {variant: prediction (H, W)}), all uint8; `names` are
    the variants to show. The first column is the whole picture with a box; the others show what is in the box.
    """
    rows = []
    for image, alpha, trimap, predictions in samples:
        top, left, length = most_detailed(alpha)
        window = (slice(top, top + length), slice(left, left + length))
        boxed = image.copy()
        thick = max(1, length // 80)
        boxed[top : top + length, left : left + length] = (255, 213, 0)
        inner = (slice(top + thick, top + length - thick), slice(left + thick, left + length - thick))
        boxed[inner] = image[inner]
        greys = [trimap, *(predictions[name] for name in names), alpha]
        rows.append([boxed, image[window], *(pictures.grey(view[window]) for view in greys)])
    rows = [[pictures.shrink(pictures.square(cell), side, side) for cell in row] for row in rows]
    headings = ["picture", "in the box", "trimap", *(f"trained on\n{name}" for name in names), "exact alpha"]
    return matrix(rows, headings, [""] * len(rows), note=note, breaks={"columns": [3, 3 + len(names)]})
