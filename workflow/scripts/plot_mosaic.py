"""Draw the mosaic of the data set: accepted portraits over calm grounds, and their mattes."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ldportrait import commands, figures, figures_portraits, images, pictures, shards

WIDTH = 2100  # pixels: text width at the figures' resolution


def main(
    refined: Annotated[Path, typer.Argument(help="Folder of the refined shards.")],
    screened: Annotated[Path, typer.Argument(help="The verdicts: screened.parquet.")],
    output: Annotated[Path, typer.Argument(help="The figure without suffix; .pdf and .png are written.")],
    shard_count: Annotated[int, typer.Option("--shards", min=1, help="How many shards there are.")],
    columns: Annotated[int, typer.Option(min=1, help="Portraits beside each other.")] = 12,
    rows: Annotated[int, typer.Option(min=1, help="Rows of portraits, and of mattes.")] = 4,
    seed: Annotated[int, typer.Option(help="Which portraits are drawn.")] = 1,
) -> None:
    """Draw the mosaic of the data set: accepted portraits over calm grounds, and their mattes below.

    Portraits are drawn by the seed, every persona once before any comes again.
    """
    verdicts = shards.read_table(screened)
    ids = pictures.choose_varied(verdicts[verdicts.accepted], columns * rows, seed)
    if not ids:
        figures.save(figures.message("No portrait was accepted.", figures.TEXT), output)
        return
    found = pictures.pick(refined, shards.read_manifests(refined, shard_count), ids)
    missing = [name for name in ids if name not in found]
    if missing:
        raise ValueError(f"{screened} accepts {missing[0]}, which none of the {shard_count} shards in {refined} holds.")
    columns = min(columns, len(ids))
    ids = ids[: len(ids) // columns * columns]  # whole rows only
    side = min(WIDTH // columns, WIDTH // 6)
    cells = [pictures.shrink(pictures.square(found[name].rgba), side, side) for name in ids]
    # A step of 3 through 7 grounds: neighbours in a row and in a column differ, with any even number of columns.
    grounds = [
        np.array(pictures.GROUNDS[(3 * i + i // columns) % len(pictures.GROUNDS)], np.uint8) for i in range(len(ids))
    ]
    over = [images.composite(cell, ground) for cell, ground in zip(cells, grounds, strict=True)]
    figures.save(figures_portraits.mosaic(over, [pictures.grey(cell[..., 3]) for cell in cells], columns), output)


if __name__ == "__main__":
    commands.run(main)
