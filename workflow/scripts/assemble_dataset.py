"""Assemble a data set of one variant from the accepted portraits."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import assembling, commands, datasets


def main(
    generated: Annotated[Path, typer.Argument(metavar="GENERATED", help="The folder of generated shards.")],
    refined: Annotated[Path, typer.Argument(metavar="REFINED", help="The folder of refined shards.")],
    keyed: Annotated[Path, typer.Argument(metavar="KEYED", help="The folder of keyed shards.")],
    screened: Annotated[Path, typer.Argument(metavar="SCREENED.parquet", help="The verdicts.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The data set's folder; what is there is replaced.")],
    shards: Annotated[int, typer.Option(min=1, help="How many shards there are.")],
    run: Annotated[str, typer.Option(help="The run's name, for the data card.")],
    variant: Annotated[
        str, typer.Option(help=f"Where the alpha comes from: {', '.join(datasets.VARIANTS)}.")
    ] = "refined",
    limit: Annotated[int, typer.Option(min=0, help="How many accepted portraits to take, in order of id; 0: all.")] = 0,
    minimum: Annotated[int, typer.Option(min=1, help="Fewer accepted portraits than this are refused.")] = 1,
    shard_size: Annotated[int, typer.Option(min=1, help="Portraits a tar.")] = 100,
) -> None:
    """Assemble a data set: tars by split, metadata, data card, croissant.json and checksums, whole or not at all.

    All variants hold the same accepted portraits. The variant truth needs an exact alpha for each of them.
    """
    metadata = assembling.assemble(
        variant,
        generated,
        refined,
        keyed,
        screened,
        output,
        run=run,
        count=shards,
        limit=limit,
        minimum=minimum,
        shard_size=shard_size,
    )
    counts = ", ".join(f"{number} {split}" for split, number in metadata.split.value_counts().items())
    typer.echo(f"{output}: {len(metadata)} portraits ({counts})")


if __name__ == "__main__":
    commands.run(main)
