"""Measure portraits for the screening: every number that a verdict needs, from the raw and the refined shard."""

from pathlib import Path
from typing import Annotated

import cv2
import pandas as pd
import typer
from tqdm import tqdm

from ldportrait import commands, images, screening, shards

KEPT = ("id", "split", "persona", "width", "height")  # columns of the manifest that the table carries on


def measured(raw: Path, refined: Path) -> pd.DataFrame:
    """Measure the portraits of two shards that hold the same ids. ValueError if they do not."""
    before, after = shards.read_manifest(raw), shards.read_manifest(refined)
    if before["id"].tolist() != after["id"].tolist():
        raise ValueError(f"{refined} does not hold the same portraits as {raw}; refine it again.")
    finder = screening.FaceFinder()
    pairs = zip(shards.read_shard(raw), shards.read_shard(refined), strict=True)
    rows = []
    for first, second in tqdm(pairs, total=len(before), desc=raw.name, disable=None):
        kept = {name: first.row[name] for name in KEPT}
        rows.append(kept | screening.measure(first.rgba, second.rgba, finder))
    return pd.DataFrame(rows)


def main(
    raw: Annotated[Path, typer.Argument(metavar="RAW", help="The shard (.tar) as generated.")],
    refined: Annotated[Path, typer.Argument(metavar="REFINED", help="The same shard refined.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The table (.parquet), one row per portrait.")],
) -> None:
    """Measure what the screening judges by: areas, borders, bodies, faces, veils, sharpness, perceptual hash."""
    cv2.setNumThreads(1)  # one shard a core
    images.compute_alike()
    table = measured(raw, refined)
    shards.write_table(table, output)
    typer.echo(f"{output}: {len(table)} portraits measured")


if __name__ == "__main__":
    commands.run(main)
