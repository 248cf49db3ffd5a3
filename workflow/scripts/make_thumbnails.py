"""Make the gallery's thumbnails of one shard: each portrait as generated and as refined, small."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tqdm import tqdm

from ldportrait import commands, gallery, shards


def main(
    generated: Annotated[Path, typer.Argument(metavar="GENERATED.tar", help="The generated shard.")],
    refined: Annotated[Path, typer.Argument(metavar="REFINED.tar", help="The refined shard.")],
    output: Annotated[Path, typer.Argument(help="Folder of the thumbnails; what is there is replaced.")],
    first: Annotated[int, typer.Option(min=0, help="Index of the shard's first portrait in the run.")] = 0,
    every: Annotated[int, typer.Option(min=1, help="Show each so-manieth portrait of the run.")] = 1,
    thumbnail: Annotated[int, typer.Option(min=32, help="Longer side of a thumbnail in pixels.")] = 256,
) -> None:
    """Write {id}-before.webp and {id}-after.webp for the gallery, and thumbnails.csv, which lists them."""
    ids = shards.read_manifest(refined).id.tolist()
    shown = [id for index, id in enumerate(ids, first) if index % every == 0]
    with shards.replacing_folder(output) as folder:
        made = gallery.write_thumbnails(generated, refined, set(shown), folder, thumbnail)
        for _ in tqdm(made, total=len(shown), disable=None):
            pass
        pd.DataFrame({"id": shown}).to_csv(folder / gallery.SHOWN, index=False)
    typer.echo(f"{output}: {len(shown)} of {len(ids)} portraits")


if __name__ == "__main__":
    commands.run(main)
