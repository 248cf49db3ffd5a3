"""Merge the data sets that several runs have of one variant into one."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, datasets, merging, screening


def main(
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The data set's folder; what is there is replaced.")],
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="The runs' folders: results/run-a and so on.")],
    run: Annotated[str, typer.Option(help="The name of the merged run, for the data card.")],
    variant: Annotated[str, typer.Option(help=f"Which data set: {', '.join(datasets.VARIANTS)}.")] = "refined",
    duplicate_distance: Annotated[
        int,
        typer.Option(help="A portrait is left out if an earlier run's has a hash so many of 64 bits away; -1: never."),
    ] = screening.Thresholds().duplicate_distance,
) -> None:
    """Merge RUN/datasets/VARIANT of each run, whole or not at all.

    Tars are linked where the disk allows it, so that merging takes no space and little time. Portraits that resemble
    one of an earlier run are left out, and those whose persona is in another split there.
    """
    if variant not in datasets.VARIANTS:
        raise ValueError(f"There is no variant {variant!r}; there is {', '.join(datasets.VARIANTS)}.")
    sources, tally = merging.merge(runs, output, variant, run=run, distance=duplicate_distance)
    for source in sources:
        typer.echo(
            f"{source.run}: {int(source.keep.sum())} portraits; left out: {source.doubles} that resemble an earlier "
            f"run's, {source.torn} of personas in another split"
        )
    counts = ", ".join(f"{tally.values['split'][split]} {split}" for split in tally.splits)
    typer.echo(f"{output}: {tally.portraits} portraits ({counts})")


if __name__ == "__main__":
    commands.run(main)
