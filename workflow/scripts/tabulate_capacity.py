"""Tabulate the error against the size of the data set."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, scores, tables


def main(
    output: Annotated[Path, typer.Argument(help="The table without suffix; .csv, .md and .tex are written.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the scores, with benchmark/model/ in it.")],
    model: Annotated[list[str], typer.Option(help="Networks to show; repeat it.")],
    benchmark: Annotated[str, typer.Option(help="The benchmark.")] = "bank",
    variant: Annotated[list[str], typer.Option(help="Variants that it was trained on.")] = ("refined",),
    fraction: Annotated[list[int], typer.Option(help="Percent of the data set; all if left out.")] = (),
    seed: Annotated[list[int], typer.Option(help="Seeds to read; all if left out.")] = (),
    metric: Annotated[list[str], typer.Option(help="Errors to show; repeat it.")] = tuple(scores.METRICS),
    region: Annotated[str, typer.Option(help="whole or unknown; the CSV has both.")] = "unknown",
    note: Annotated[str, typer.Option(help="A sentence of yours below the table.")] = "",
) -> None:
    """Tabulate the error of a network against the share of the data set that it was trained on."""
    metrics = scores.check(metric, region)
    found = scores.read_models(folder, benchmark, model, variant, fraction, seed)
    tables.write(output, *tables.of_capacity(found, metrics, region, note))


if __name__ == "__main__":
    commands.run(main)
