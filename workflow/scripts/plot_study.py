"""Draw the refinement study: the error of each method, and how much each parameter matters."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, figures, figures_study, scores


def main(
    sensitivity: Annotated[Path, typer.Argument(metavar="SENSITIVITY.parquet", help="Errors by parameter.")],
    methods: Annotated[list[Path], typer.Argument(metavar="METHODS.parquet", help="Scores; a file per severity.")],
    output: Annotated[Path, typer.Option(help="Folder of the figures: study and sensitivity, .pdf and .png.")],
) -> None:
    """Draw SAD by method, severity and region, and SAD as each parameter is scaled."""
    figures.save(figures_study.study(scores.read_study(methods, scores.STUDY)), output / "study")
    figures.save(figures_study.sensitivity(scores.read_study([sensitivity], scores.CURVES)), output / "sensitivity")


if __name__ == "__main__":
    commands.run(main)
