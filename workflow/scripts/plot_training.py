"""Draw the learning curves of trainings: loss, validation error and learning rate against the step."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from ldportrait import commands, figures, figures_training, models


def main(
    output: Annotated[Path, typer.Argument(help="The figure without suffix; .pdf and .png are written.")],
    folders: Annotated[list[Path], typer.Argument(help="Folders of models, each with model.json and log.csv.")],
    note: Annotated[str, typer.Option(help="A sentence of yours for the small print.")] = "",
) -> None:
    """Draw the learning curves of trainings, a line each."""
    figures.save(figures_training.learning_curves([read(folder) for folder in folders], note), output)


def read(folder: Path) -> figures_training.Run:
    """Read a training's description and log. FileNotFoundError or ValueError, naming the file, if it cannot."""
    info, path = models.read_info(folder), folder / "log.csv"
    if not path.is_file():
        raise FileNotFoundError(f"There is no log at {path}.")
    try:
        log = pd.read_csv(path)
        log[["step", "loss", "learning_rate"]].astype(float)
        return figures_training.Run(info["model"], info["variant"], info["fraction"], info["seed"], log)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} or model.json beside it is not that of a training: {error!r}.") from error


if __name__ == "__main__":
    commands.run(main)
