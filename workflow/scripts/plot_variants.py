"""Draw the error of the data set's mattes by variant."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, figures, figures_errors, scores


def main(
    table: Annotated[Path, typer.Argument(help="Scores of the data set's mattes: scores/variants.parquet.")],
    output: Annotated[Path, typer.Argument(help="The figure without suffix; .pdf and .png are written.")],
    metric: Annotated[list[str], typer.Option(help="Errors to show; repeat it.")] = scores.SHOWN,
    region: Annotated[str, typer.Option(help="whole or unknown.")] = "whole",
    note: Annotated[str, typer.Option(help="A sentence of yours for the small print.")] = "",
) -> None:
    """Draw the error of the data set's mattes against the exact alpha by variant, with 95 % intervals."""
    figures.save(figures_errors.variants(scores.read(table), scores.check(metric, region), region, note), output)


if __name__ == "__main__":
    commands.run(main)
