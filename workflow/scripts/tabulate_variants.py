"""Tabulate the error of the data set's mattes by variant."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, scores, tables


def main(
    table: Annotated[Path, typer.Argument(help="Scores of the data set's mattes: scores/variants.parquet.")],
    output: Annotated[Path, typer.Argument(help="The table without suffix; .csv, .md and .tex are written.")],
    metric: Annotated[list[str], typer.Option(help="Errors to show; repeat it.")] = tuple(scores.METRICS),
    note: Annotated[str, typer.Option(help="A sentence of yours below the table.")] = "",
) -> None:
    """Tabulate the error of the data set's mattes against the exact alpha by variant and region."""
    metrics = scores.check(metric)
    found = scores.read(table)
    tables.write(output, *tables.of_variants(found[found.variant != "truth"], metrics, note))


if __name__ == "__main__":
    commands.run(main)
