"""Tabulate the keying study: the errors of chroma keys and of generated mattes by set and region."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, scores, tables, tables_keying


def main(
    table: Annotated[Path, typer.Argument(metavar="SCORES.parquet", help="Scores of study_keying.")],
    output: Annotated[Path, typer.Option(help="The table without suffix; .csv, .md and .tex are written.")],
    note: Annotated[str, typer.Option(help="A sentence of yours below the table.")] = "",
) -> None:
    """Tabulate the errors of alpha and colour of each method; the .csv has them by hair and clothes, too."""
    tables.write(output, *tables_keying.of_keying(scores.read_study([table], scores.KEYING), note))


if __name__ == "__main__":
    commands.run(main)
