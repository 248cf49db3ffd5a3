"""Draw the share of accepted portraits, and the rejections by reason."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, figures, figures_counts, shards


def main(
    screened: Annotated[Path, typer.Argument(help="The verdicts: screened.parquet.")],
    output: Annotated[Path, typer.Argument(help="The figure without suffix; .pdf and .png are written.")],
) -> None:
    """Draw the share of accepted portraits, and the rejections by reason."""
    figures.save(figures_counts.acceptance(shards.read_table(screened)), output)


if __name__ == "__main__":
    commands.run(main)
