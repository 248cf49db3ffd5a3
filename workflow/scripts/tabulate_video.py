"""Tabulate the errors of ways to matte clips."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, scores, tables, tables_video


def main(
    output: Annotated[Path, typer.Argument(help="The table without suffix; .csv, .md and .tex are written.")],
    files: Annotated[list[Path], typer.Argument(metavar="SCORES.parquet", help="Scores of score_video.")],
    note: Annotated[str, typer.Option(help="A sentence of yours below the table.")] = "",
) -> None:
    """Tabulate the errors of ways to matte clips by benchmark and method, with paired differences to `frames`."""
    tables.write(output, *tables_video.of_video(scores.read_video(files), note))


if __name__ == "__main__":
    commands.run(main)
