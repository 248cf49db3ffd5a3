"""Draw the error against the size of the data set."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, figures, figures_errors, scores


def main(
    output: Annotated[Path, typer.Argument(help="The figure without suffix; .pdf and .png are written.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the scores, with benchmark/model/ in it.")],
    model: Annotated[list[str], typer.Option(help="Networks to show; repeat it.")],
    benchmark: Annotated[str, typer.Option(help="The benchmark.")] = "bank",
    variant: Annotated[list[str], typer.Option(help="Variants that it was trained on.")] = ("refined",),
    fraction: Annotated[list[int], typer.Option(help="Percent of the data set; all if left out.")] = (),
    seed: Annotated[list[int], typer.Option(help="Seeds to read; all if left out.")] = (),
    metric: Annotated[list[str], typer.Option(help="Errors to show; repeat it.")] = scores.SHOWN,
    region: Annotated[str, typer.Option(help="whole or unknown.")] = "unknown",
    note: Annotated[str, typer.Option(help="A sentence of yours for the small print.")] = "",
) -> None:
    """Draw the error of a network against the share of the data set that it was trained on."""
    metrics = scores.check(metric, region)
    table = scores.read_models(folder, benchmark, model, variant, fraction, seed)
    figures.save(figures_errors.capacity(table, metrics, region, note), output)


if __name__ == "__main__":
    commands.run(main)
