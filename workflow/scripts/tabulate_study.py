"""Tabulate the refinement study: the errors of each method by severity and region."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, scores, tables


def main(
    methods: Annotated[list[Path], typer.Argument(metavar="METHODS.parquet", help="Scores; a file per severity.")],
    output: Annotated[Path, typer.Option(help="The table without suffix; .csv, .md and .tex are written.")],
    note: Annotated[str, typer.Option(help="A sentence of yours below the table.")] = "",
) -> None:
    """Tabulate SAD, MSE, Grad and Conn of each method against the exact alpha, by severity and region."""
    tables.write(output, *tables.of_study(scores.read_study(methods, scores.STUDY), note))


if __name__ == "__main__":
    commands.run(main)
