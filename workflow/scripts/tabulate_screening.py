"""Tabulate verdicts and reasons by split."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, shards, tables


def main(
    screened: Annotated[Path, typer.Argument(help="The verdicts: screened.parquet.")],
    output: Annotated[Path, typer.Argument(help="The table without suffix; .csv, .md and .tex are written.")],
) -> None:
    """Tabulate how many portraits were accepted, and why others were not, by split."""
    tables.write(output, *tables.screening(shards.read_table(screened)))


if __name__ == "__main__":
    commands.run(main)
