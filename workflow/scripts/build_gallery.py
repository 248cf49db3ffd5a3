"""Build the static page of a run: headline numbers, figures, tables, and a gallery of its portraits."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tqdm import tqdm

from ldportrait import commands, gallery, pictures, shards

FIGURES = ("mosaic", "attributes", "refinement", "acceptance", "variants", "capacity", "models", "qualitative")
TABLES = ("screening", "variants", "models", "capacity")
VIDEO_FIGURES, VIDEO_TABLES = ("video_preview", "video_strip", "video_dtssd"), ("video",)
CAPTIONS = Path(__file__).parents[1] / "report"


def main(
    generated: Annotated[Path, typer.Argument(help="Folder of the generated shards.")],
    refined: Annotated[Path, typer.Argument(help="Folder of the refined shards.")],
    screened: Annotated[Path, typer.Argument(help="The verdicts: screened.parquet.")],
    measured: Annotated[Path, typer.Argument(help="Folder of the measurements.")],
    figures: Annotated[Path, typer.Argument(help="Folder of the figures.")],
    tables: Annotated[Path, typer.Argument(help="Folder of the tables.")],
    output: Annotated[Path, typer.Argument(help="The page; a folder gallery/ appears beside it.")],
    shard_count: Annotated[int, typer.Option("--shards", min=1, help="How many shards there are.")],
    run: Annotated[str, typer.Option(help="Name of the run.")] = "demo",
    thumbnail: Annotated[int, typer.Option(min=32, help="Longer side of a thumbnail in pixels.")] = 256,
    limit: Annotated[int, typer.Option(min=0, help="Most portraits in the gallery, evenly spaced; 0 for all.")] = 4000,
    figure: Annotated[list[str], typer.Option(help="Figures to show; repeat it.")] = FIGURES,
    table: Annotated[list[str], typer.Option(help="Tables to show; repeat it.")] = TABLES,
    video: Annotated[bool, typer.Option(help="Show the figures and the table of video matting, too.")] = False,
    captions: Annotated[Path, typer.Option(help="Folder of the captions.")] = CAPTIONS,
) -> None:
    """Build the static page of a run: headline numbers, figures, tables, and a gallery of its portraits.

    The page needs no network. It appears when everything is there; an older one is replaced.
    """
    manifest = pictures.read_manifests(refined, shard_count)
    numbers = [path.with_suffix(".parquet") for path in pictures.shard_paths(measured, shard_count)]
    items = gallery.item_table(
        manifest, shards.read_table(screened), pd.concat(map(shards.read_table, numbers), ignore_index=True)
    )
    items["folder"] = items.shard.map("{:07d}".format)
    shown = gallery.spread_evenly(items, limit)
    variants = tables / "variants.csv"
    page = gallery.page_text(
        run,
        gallery.headline(items, pd.read_csv(variants) if "variants" in table and variants.is_file() else None),
        gallery.figure_entries(figures, [*figure, *(VIDEO_FIGURES if video else ())], captions, output),
        gallery.table_entries(tables, [*table, *(VIDEO_TABLES if video else ())], captions, output),
        gallery.sentence(len(shown), len(items)),
    )
    with (
        shards.replacing_folder(output.parent / "gallery") as folder,
        tqdm(total=len(shown), disable=None) as progress,
    ):
        (folder / "items.js").write_text(gallery.items_script(shown), encoding="utf-8")
        for number, rows in shown.groupby("shard"):
            before, after = (pictures.shard_paths(stage, number + 1)[number] for stage in (generated, refined))
            for _ in gallery.write_thumbnails(before, after, set(rows.id), folder / f"{number:07d}", thumbnail):
                progress.update()
    with shards.replacing(output) as temporary:
        temporary.write_text(page, encoding="utf-8")
    typer.echo(f"{output}: {len(shown)} portraits")


if __name__ == "__main__":
    commands.run(main)
