"""Pictures for people to look at: chosen from shards, made small, and their mattes made visible."""

from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from ldportrait import shards

GAIN = 12  # how much an error near 0 or near 1 is amplified to be seen
GREEN = (38, 168, 82)
HEAD = 22  # pixels of a line of text
# Calm grounds, light and dark, on which every hair colour shows somewhere.
GROUNDS = [(232, 226, 214), (44, 62, 80), (196, 84, 62), (120, 160, 180), (236, 190, 96), (70, 98, 84), (206, 200, 220)]


def pick(folder: Path, manifest: pd.DataFrame, ids: Collection[str]) -> dict[str, shards.Item]:
    """Read the items of the given ids from those shards alone that `manifest`, of `shards.read_manifests`, names."""
    wanted = set(ids)
    found = {}
    for number in sorted(manifest.shard[manifest.id.isin(wanted)].unique()):
        found |= {item.row["id"]: item for item in shards.read_shard(shards.tar_of(folder, number), wanted)}
    return found


def square(picture: np.ndarray) -> np.ndarray:
    """Crop an (H, W, ...) picture to its largest square: centred across, at the top where it is taller than wide."""
    side = min(picture.shape[:2])
    left = (picture.shape[1] - side) // 2
    return picture[:side, left : left + side]


def shrink(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale an (H, W), (H, W, 3) or straight (H, W, 4) uint8 picture to (height, width, ...) by area.

    Colour is averaged with alpha as its weight, so that what lies under alpha 0 does not bleed into the edge.
    """
    size = (width, height)
    by_area = cv2.INTER_AREA if width <= picture.shape[1] else cv2.INTER_CUBIC
    if picture.ndim == 2 or picture.shape[2] == 3:
        return cv2.resize(picture, size, interpolation=by_area)
    alpha = picture[..., 3:].astype(np.float32) / 255
    mixed = cv2.resize(picture[..., :3] * alpha, size, interpolation=by_area)
    plain = cv2.resize(picture[..., :3], size, interpolation=by_area)
    weight = cv2.resize(alpha, size, interpolation=by_area)[..., None]
    colour = np.where(weight > 1 / 512, mixed / np.maximum(weight, 1 / 512), plain)
    return np.rint(np.clip(np.dstack([colour, 255 * weight]), 0, 255)).astype(np.uint8)


def fit(picture: np.ndarray, side: int) -> np.ndarray:
    """Scale a picture so that its longer side has at most `side` pixels; a smaller one stays as it is."""
    height, width = picture.shape[:2]
    scale = min(1.0, side / max(height, width))
    return shrink(picture, max(1, round(width * scale)), max(1, round(height * scale))) if scale < 1 else picture


def grey(alpha: np.ndarray) -> np.ndarray:
    """Show an (H, W) uint8 alpha as an (H, W, 3) picture."""
    return np.repeat(alpha[..., None], 3, axis=-1)


def near_zero(alpha: np.ndarray, gain: int = GAIN) -> np.ndarray:
    """Show what should be 0 and is not: min(255, gain · alpha), as (H, W) uint8."""
    return np.minimum(alpha.astype(np.int32) * gain, 255).astype(np.uint8)


def near_one(alpha: np.ndarray, gain: int = GAIN) -> np.ndarray:
    """Show what should be opaque and is not: max(0, 255 - gain · (255 - alpha)), as (H, W) uint8."""
    return np.maximum(255 - (255 - alpha.astype(np.int32)) * gain, 0).astype(np.uint8)


def most_detailed(alpha: np.ndarray, share: float = 0.5) -> tuple[slice, slice]:
    """The square window (rows, columns) with the most fractional alpha; its side is `share` of the picture's shorter.

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
    top, left = int(tops[best[0]]), int(lefts[best[1]])
    return slice(top, top + side), slice(left, left + side)


def boxed(picture: np.ndarray, window: tuple[slice, slice], colour: tuple[int, int, int], parts: int) -> np.ndarray:
    """Draw a square window's outline into an (H, W, 3) picture, inside the window; its width is a side's `parts`-th."""
    rows, columns = window
    thick = max(1, (rows.stop - rows.start) // parts)
    inner = slice(rows.start + thick, rows.stop - thick), slice(columns.start + thick, columns.stop - thick)
    result = picture.copy()
    result[window] = colour
    result[inner] = picture[inner]
    return result


def grid(cells: list[np.ndarray], columns: int, gap: int = 0, ground: int = 255) -> np.ndarray:
    """Tile equal (H, W, 3) pictures row by row with `gap` pixels between; what the last row lacks is `ground`."""
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), ground, np.uint8)
    for index, cell in enumerate(cells):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = cell
    return sheet


def headed(sheet: np.ndarray, names: Sequence[str], gap: int = 0) -> np.ndarray:
    """Write a name above each column of what `grid` made with that gap: (HEAD + H, W, 3)."""
    head = Image.new("RGB", (sheet.shape[1], HEAD), "white")
    draw, font = ImageDraw.Draw(head), ImageFont.load_default(13)
    for column, name in enumerate(names):
        draw.text((column * (sheet.shape[1] + gap) // len(names) + 2, 3), name, "#222222", font)
    return np.vstack([np.array(head), sheet])


def choose_varied(table: pd.DataFrame, count: int, seed: int) -> list[str]:
    """Draw at most `count` ids: every persona once before any comes again, in an order that `seed` shuffles."""
    drawn = table.sort_values("id").sample(frac=1, random_state=seed)
    turn = drawn.groupby("persona").cumcount()
    return drawn.assign(turn=turn).sort_values("turn", kind="stable").id.head(count).tolist()


def choose_changed(table: pd.DataFrame, count: int) -> list[str]:
    """Choose ids that show what refinement does: the most changed portraits, and the one with the most loose hair.

    `table` is the refined manifest of the accepted portraits. Change is removed_background + filled_foreground, loose
    hair the largest `band` (all in shares of the picture); nobody appears twice while there are others.
    """
    change = table.removed_background + table.filled_foreground
    order = table.assign(change=change).sort_values(["change", "id"], ascending=[False, True])
    turn = order.groupby("persona").cumcount()
    order = order.assign(turn=turn).sort_values("turn", kind="stable")
    chosen = order.head(count - 1) if count > 1 else order.head(0)
    others = order[~order.persona.isin(chosen.persona)]
    others = order[~order.id.isin(chosen.id)] if others.empty else others
    hair = others.sort_values(["band", "id"], ascending=[False, True]).head(1)
    return [*chosen.id, *hair.id]
