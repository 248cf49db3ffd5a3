"""Show what the refinement does to pictures: a sheet of their mattes before and after, amplified and over green."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from ldportrait import commands, images, pictures, shards
from ldportrait.connectivity import refine_picture

SUFFIXES = {".jpg", ".png", ".webp"}
HEADINGS = ("alpha: as it is, below it refined", "near 0, amplified", "near 1, amplified", "over green")


def panels(rgba: np.ndarray, side: int) -> list[np.ndarray]:
    """Alpha, what should be 0 and what should be 1 and is not, and the picture over green: squares of `side` pixels."""
    alpha = rgba[..., 3]
    shown = [pictures.grey(view) for view in (alpha, pictures.near_zero(alpha), pictures.near_one(alpha))]
    shown.append(images.composite(rgba, pictures.GREEN))
    return [pictures.shrink(pictures.square(picture), side, side) for picture in shown]


def main(
    inputs: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="RGBA pictures, as generated.")],
    output: Annotated[Path, typer.Option(help="The sheet: .jpg, .png or .webp.")],
    side: Annotated[int, typer.Option(min=16, help="Pixels of a panel.")] = 320,
) -> None:
    """Draw two rows for every picture, as it is and refined: alpha, x12 near 0, x12 near 1, over green."""
    if output.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{output} must end in one of {', '.join(sorted(SUFFIXES))}.")
    cells, changed = [], []
    for path in inputs:
        rgba = images.read_rgba(path)
        refined, _ = refine_picture(rgba)
        cells += panels(rgba, side) + panels(refined, side)
        changed.append(np.mean(np.abs(refined[..., 3].astype(np.int32) - rgba[..., 3])) / 255)
    sheet = pictures.headed(pictures.grid(cells, columns=4, gap=2), HEADINGS, gap=2)
    with shards.replacing(output) as part:
        format = Image.registered_extensions()[output.suffix.lower()]
        Image.fromarray(sheet).save(part, format, quality=88)
    for path, change in zip(inputs, changed, strict=True):
        typer.echo(f"{path}: alpha changed by {100 * change:.2f} % on average")


if __name__ == "__main__":
    commands.run(main)
