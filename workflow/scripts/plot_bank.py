"""Draw the contact sheets of the portrait bank for the documentation."""

import io
import math
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
import typer
from PIL import Image

from ldportrait import commands, images

COLUMNS, CELL = 8, 192  # pictures a row, pixels a picture
LIMIT = 400_000  # bytes of a sheet: it is part of the repository


def spread(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Pick at most `count` rows, evenly over the table."""
    return table.iloc[np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int)]


def resize(picture: np.ndarray, size: int = CELL) -> np.ndarray:
    """Scale an (H, W) or (H, W, C) picture to (size, size) by area, which keeps a matte's hairs as thin greys."""
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


def grid(cells: list[np.ndarray], columns: int = COLUMNS) -> np.ndarray:
    """Tile equal (H, W, 3) pictures row by row; what the last row lacks is white."""
    rows = math.ceil(len(cells) / columns)
    blank = np.full_like(cells[0], 255)
    cells = cells + [blank] * (rows * columns - len(cells))
    return np.vstack([np.hstack(cells[row * columns : (row + 1) * columns]) for row in range(rows)])


def grey(alpha: np.ndarray) -> np.ndarray:
    """Show an (H, W) alpha as an (H, W, 3) picture."""
    return np.repeat(alpha[..., None], 3, axis=-1)


def portrait_sheets(bank: Path, table: pd.DataFrame, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay `count` portraits over the test backgrounds; return that sheet and the one of the same portraits' mattes."""
    rows = spread(table[table.kind == "portrait"], count)
    places = table[(table.kind == "background") & (table.split == "test")].path.tolist()
    if rows.empty or not places:
        raise ValueError(f"{bank} holds no portraits or no test backgrounds to draw.")
    pictures, mattes = [], []
    for index, path in enumerate(rows.path):
        rgba = images.read_rgba(bank / path)
        background = resize(images.read_rgb(bank / places[index % len(places)]), rgba.shape[0])
        pictures.append(resize(images.composite(rgba, background)))
        mattes.append(grey(resize(rgba[..., 3])))
    return grid(pictures), grid(mattes)


def clip_strip(bank: Path, table: pd.DataFrame, clip: str) -> np.ndarray:
    """Show frames of a clip over light and dark grounds in turn, with their mattes below."""
    rows = table[(table.kind == "clip") & (table.id == clip if clip else True)]
    if rows.empty:
        raise ValueError(f"{bank} holds no clip {clip}".rstrip() + ".")
    row = rows.iloc[0]
    frames = images.read_clip(bank / row.path, int(row.frames))
    frames = frames[np.linspace(0, len(frames) - 1, COLUMNS).round().astype(int)]
    grounds = [np.array([225, 228, 230], np.uint8), np.array([38, 44, 52], np.uint8)]
    over = [resize(images.composite(frame, grounds[index % 2])) for index, frame in enumerate(frames)]
    return grid(over + [grey(resize(frame[..., 3])) for frame in frames])


def write_jpeg(path: Path, picture: np.ndarray) -> None:
    """Write an (H, W, 3) picture as JPEG at the best quality that stays under the limit."""
    for quality in range(92, 39, -4):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=quality, optimize=True)
        if stream.tell() < LIMIT:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stream.getvalue())
            return
    raise ValueError(f"{path.name} does not fit into {LIMIT // 1000} kB; draw fewer pictures.")


def main(
    bank: Annotated[Path, typer.Option(help="The packed bank.")] = Path("resources/bank"),
    output: Annotated[Path, typer.Option(help="The folder for the sheets.")] = Path("docs/images"),
    count: Annotated[int, typer.Option(min=1, help="How many portraits to show.")] = 40,
    clip: Annotated[str, typer.Option(help="The clip to show; else the first.")] = "",
) -> None:
    """Draw the bank's contact sheets: portraits.jpg (over test backgrounds), mattes.jpg (the same), clip.jpg."""
    if not (bank / "bank.parquet").is_file():
        raise FileNotFoundError(f"There is no bank at {bank}; `make bank` renders it.")
    table = pd.read_parquet(bank / "bank.parquet").sort_values("id")
    portraits, mattes = portrait_sheets(bank, table, count)
    strip = clip_strip(bank, table, clip)
    for name, sheet in {"portraits": portraits, "mattes": mattes, "clip": strip}.items():
        write_jpeg(output / f"{name}.jpg", sheet)


if __name__ == "__main__":
    commands.run(main)
