"""Build the static page of a run: headline numbers, figures, tables, and a gallery of its portraits."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from ldportrait import commands, gallery, shards

FIGURES = tuple("mosaic attributes refinement acceptance variants capacity models qualitative training".split())
TABLES = ("screening", "variants", "models", "capacity")
VIDEO_FIGURES, VIDEO_TABLES = ("video_preview", "video_strip", "video_dtssd"), ("video",)
CAPTIONS = Path(__file__).parents[1] / "report"


def main(
    refined: Annotated[Path, typer.Argument(help="Folder of the refined shards.")],
    screened: Annotated[Path, typer.Argument(help="The verdicts: screened.parquet.")],
    measured: Annotated[Path, typer.Argument(help="Folder of the measurements.")],
    figures: Annotated[Path, typer.Argument(help="Folder of the figures.")],
    tables: Annotated[Path, typer.Argument(help="Folder of the tables.")],
    output: Annotated[Path, typer.Argument(help="The page; in gallery/ beside it are the thumbnails of each shard.")],
    shard_count: Annotated[int, typer.Option("--shards", min=1, help="How many shards there are.")],
    run: Annotated[str, typer.Option(help="Name of the run.")] = "demo",
    figure: Annotated[list[str], typer.Option(help="Figures to show; repeat it.")] = FIGURES,
    table: Annotated[list[str], typer.Option(help="Tables to show; repeat it.")] = TABLES,
    video: Annotated[bool, typer.Option(help="Show the figures and the table of video matting, too.")] = False,
    captions: Annotated[Path, typer.Option(help="Folder of the captions.")] = CAPTIONS,
) -> None:
    """Build the static page of a run: headline numbers, figures, tables, and a gallery of its portraits.

    The portraits shown are those that make_thumbnails made small. The page needs no network. It appears when everything
    is there; an older one is replaced.
    """
    folder = output.parent / "gallery"
    overview, items = gallery.read_run(folder, refined, measured, shards.read_table(screened), shard_count)
    variants = tables / "variants.csv"
    page = gallery.page_text(
        run,
        gallery.headline(overview, pd.read_csv(variants) if "variants" in table and variants.is_file() else None),
        gallery.figure_entries(figures, [*figure, *(VIDEO_FIGURES if video else ())], captions, output),
        gallery.table_entries(tables, [*table, *(VIDEO_TABLES if video else ())], captions, output),
        gallery.sentence(len(items), len(overview)),
    )
    for path, text in ((folder / "items.js", gallery.items_script(items)), (output, page)):
        with shards.replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    typer.echo(f"{output}: {len(items)} portraits")


if __name__ == "__main__":
    commands.run(main)
