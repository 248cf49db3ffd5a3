"""Tabulate the error of the networks trained on each variant."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, scores, tables


def main(
    output: Annotated[Path, typer.Argument(help="The table without suffix; .csv, .md and .tex are written.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the scores, with benchmark/model/ in it.")],
    model: Annotated[list[str], typer.Option(help="Networks to show; repeat it.")],
    benchmark: Annotated[str, typer.Option(help="The benchmark.")] = "bank",
    variant: Annotated[list[str], typer.Option(help="Variants to show; all if left out.")] = (),
    seed: Annotated[list[int], typer.Option(help="Seeds to read; all if left out.")] = (),
    metric: Annotated[list[str], typer.Option(help="Errors to show; repeat it.")] = tuple(scores.METRICS),
    region: Annotated[str, typer.Option(help="whole or unknown; the CSV has both.")] = "unknown",
    reference: Annotated[str, typer.Option(help="Variant that the others are compared to in pairs.")] = "truth",
    note: Annotated[str, typer.Option(help="A sentence of yours below the table.")] = "",
) -> None:
    """Tabulate the error of the networks trained on each variant, with paired differences to one variant."""
    metrics = scores.check(metric, region)
    found = scores.read_models(folder, benchmark, model, variant, [100], seed)
    tables.write(output, *tables.of_models(found, metrics, region, reference, note))


if __name__ == "__main__":
    commands.run(main)
