"""Figures of video matting: frames side by side, dtSSD over time, and a preview that moves, styled as in `figures`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ldportrait import images, pictures, scores, shards
from ldportrait.figures import GREY, INK, TEXT, each_panel, matrix, message, panel_grid, styled

COLOURS = {
    "frames": "#d55e00",
    "frames-smoothed": "#e69f00",
    "mask": "#009e73",
    "unsmoothed": "#56b4e9",
    "ours": "#0072b2",
    "truth": "#3a3a3a",
}
STYLES = {
    "frames-smoothed": (0, (4, 1.5)),
    "mask": (0, (1, 1)),
    "unsmoothed": (0, (4, 1.5)),
    "truth": (0, (5, 1, 1, 1)),
}
BANDS = ("frames", "ours")  # of the others, bands would hide each other
TOO_MUCH, TOO_LITTLE = (213, 94, 0), (0, 114, 178)  # alpha above the true one and below it, where the error is full
ERROR_GAIN = 3


@dataclass(frozen=True)
class Shot:
    """A frame (H, W, 3), its true alpha (H, W) or None, and the mattes of it (H, W) by method, all uint8."""

    number: int
    image: np.ndarray
    alpha: np.ndarray | None
    mattes: Mapping[str, np.ndarray]


def error_view(alpha: np.ndarray, truth: np.ndarray, gain: int = ERROR_GAIN) -> np.ndarray:
    """Show alpha - truth, both (H, W) uint8, on white as (H, W, 3): TOO_MUCH where above 0, TOO_LITTLE where below."""
    wrong = np.clip(gain * (alpha.astype(np.float32) - truth) / 255, -1, 1)[..., None]
    colour = np.where(wrong > 0, np.float32(TOO_MUCH), np.float32(TOO_LITTLE))
    return np.rint(255 + np.abs(wrong) * (colour - 255)).astype(np.uint8)


def strip(shots: Sequence[Shot], side: int = 320, note: str = "") -> Figure:
    """Frames of one clip from left to right; below each its true alpha, the mattes by method, and their errors.

    Shots without a true alpha are left out, and what is not square shows its middle.
    """
    shots = [shot for shot in shots if shot.alpha is not None]
    if not shots:
        return message("There is no frame with a true alpha to show.", TEXT)
    methods = list(shots[0].mattes)
    rows = [[shot.image for shot in shots], [pictures.grey(shot.alpha) for shot in shots]]
    rows += [[pictures.grey(shot.mattes[name]) for shot in shots] for name in methods]
    rows += [[error_view(shot.mattes[name], shot.alpha) for shot in shots] for name in methods]
    rows = [[pictures.shrink(pictures.square(cell), side, side) for cell in row] for row in rows]
    labels = ["picture", "true alpha", *methods, *(f"{name}, error" for name in methods)]
    own = [COLOURS.get(name, INK) for name in methods]
    words = f"Errors ×{ERROR_GAIN}: orange where alpha is too high, blue where it is too low. {note}".strip()
    breaks = {"rows": [2, 2 + len(methods)]}
    return matrix(rows, [f"frame {shot.number}" for shot in shots], labels, [INK, INK, *own, *own], breaks, words)


@styled
def dtssd(table: pd.DataFrame, note: str = "") -> Figure:
    """The dtSSD of each frame, a panel a benchmark and a line a method: means over the clips that have the frame.

    `table` is that of scores.read_video. The bands of BANDS are 95 % bootstrap intervals over the clips.
    """
    table = table[(table.metric == "dtssd") & (table.region == "whole")]
    if table.empty:
        return message("There is no dtSSD to show.", TEXT)
    names = list(dict.fromkeys(table.benchmark))
    clips = {name: part["item"].nunique() for name, part in table.groupby("benchmark", sort=False)}
    caption = (
        f"Lines: means over {scores.clip_counts(clips)}; bands of {' and '.join(BANDS)}: 95 % bootstrap intervals "
    )
    caption += "over the clips."
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure, panels = panel_grid(TEXT, 2.1 * rows, rows, columns, f"{caption} {note}".strip(), sharey=True)
    for number, axes, name in each_panel(panels, names):
        for method in scores.in_method_order(table.method):
            own = table[(table.benchmark == name) & (table.method == method)]
            if not own.empty:
                _over_time(axes, own, method)
        axes.set_title(name)
        axes.set_xlabel("frame")
        axes.grid(axis="y")
        if number % columns == 0:
            axes.set_ylabel(scores.VIDEO_METRICS["dtssd"].title)
    panels[0, 0].set_ylim(bottom=0)  # they share it, and it is set when all lines are there
    labels = {
        label: line for axes in panels.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(labels.values(), labels, loc="outside right center")
    return figure


def _over_time(axes: Axes, rows: pd.DataFrame, method: str) -> None:
    wide = rows.pivot(index="frame", columns="item", values="value").sort_index() * scores.VIDEO_METRICS["dtssd"].factor
    colour, style = COLOURS.get(method, GREY), STYLES.get(method, "-")
    axes.plot(wide.index, wide.mean(axis="columns"), color=colour, linestyle=style, label=method)
    if method in BANDS and wide.shape[1] > 1:
        found = [scores.estimate(values.dropna().to_numpy()[None]) for _, values in wide.iterrows()]
        axes.fill_between(
            wide.index, [e.low for e in found], [e.high for e in found], color=colour, alpha=0.15, linewidth=0
        )


def preview_frame(shot: Shot, side: int) -> np.ndarray:
    """The picture and each method's cut-out before green beside each other, under their names."""
    green = np.uint8(pictures.GREEN)
    cells = [shot.image, *(images.composite(np.dstack([shot.image, alpha]), green) for alpha in shot.mattes.values())]
    row = pictures.grid([pictures.fit(cell, side) for cell in cells], len(cells), 4)
    return pictures.headed(row, ["picture", *shot.mattes], 4)


def write_preview(frames: Sequence[np.ndarray], path: Path, rate: float) -> None:
    """Write pictures (H, W, 3) as a WebP that shows `rate` of them a second, over and over, whole or not at all."""
    first, *others = [Image.fromarray(frame) for frame in frames]
    with shards.replacing(path) as temporary:
        options = {"save_all": True, "append_images": others, "duration": round(1000 / rate), "loop": 0}
        first.save(temporary, "WEBP", quality=80, method=4, **options)
