"""Figures of portraits: a mosaic, mattes before and after refinement, and what trained networks make of pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ldportrait import images, pictures
from ldportrait.figures import COLOURS, TEXT, matrix, styled

BOX = (255, 213, 0)
REFINEMENT_VIEWS = ("alpha", f"×{pictures.GAIN} near 0", f"×{pictures.GAIN} near 1", "on green")


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
        window = pictures.most_detailed(alpha)
        boxed = pictures.boxed(image, window, BOX, 80)
        greys = [trimap, *(predictions[name] for name in names), alpha]
        rows.append([boxed, image[window], *(pictures.grey(view[window]) for view in greys)])
    rows = [[pictures.shrink(pictures.square(cell), side, side) for cell in row] for row in rows]
    headings = ["picture", "in the box", "trimap", *(f"trained on\n{name}" for name in names), "exact alpha"]
    return matrix(rows, headings, [""] * len(rows), note=note, breaks={"columns": [3, 3 + len(names)]})
