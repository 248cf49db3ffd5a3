"""What all figures share: the one style, saving, and the layouts that several use. Nothing here reads a file.

Widths are those of a two-column paper: COLUMN for one column, TEXT for both. The figures themselves are in
`figures_portraits` (pictures), `figures_counts` (prompts and verdicts), `figures_errors` (variants and models),
`figures_study` (the refinement study), `figures_keying`, `figures_training` and `figures_video`; each is one function
from tables or pictures to a matplotlib Figure.
"""

import functools
import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ldportrait import shards

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


def panel_grid(
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


def each_panel(panels: np.ndarray, names: Sequence[str]) -> Iterator[tuple[int, Axes, str]]:
    """Yield (number, axes, name) row by row, a panel a name; the panels that are left over stay blank."""
    for number, axes in enumerate(panels.flat):
        if number < len(names):
            yield number, axes, names[number]
        else:
            axes.axis("off")


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


def name_axis(axes: Axes, names: Sequence[str], labelled: bool) -> None:
    """Rows of a panel, one a name, the first on top at len(names) - 1; their names are written if `labelled`."""
    axes.set_ylim(-0.5, len(names) - 0.3)
    axes.set_yticks(np.arange(len(names))[::-1], names if labelled else [""] * len(names))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
