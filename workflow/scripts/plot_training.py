"""Draw the learning curves of trainings: loss, validation error and learning rate against the step."""

import json
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from ldportrait import commands, figures, figures_training


def main(
    output: Annotated[Path, typer.Argument(help="The figure without suffix; .pdf and .png are written.")],
    folders: Annotated[list[Path], typer.Argument(help="Folders of models, each with model.json and log.csv.")],
    note: Annotated[str, typer.Option(help="A sentence of yours for the small print.")] = "",
) -> None:
    """Draw the learning curves of trainings, a line each."""
    figures.save(figures_training.learning_curves([read(folder) for folder in folders], note), output)


def read(folder: Path) -> figures_training.Run:
    """Read a training's description and log. FileNotFoundError or ValueError, naming the file, if it cannot."""
    files = description, path = folder / "model.json", folder / "log.csv"
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"There is no {file}.")
    try:
        info = json.loads(description.read_text(encoding="utf-8"))
        log = pd.read_csv(path)
        log[["step", "loss", "learning_rate"]].astype(float)
        return figures_training.Run(info["model"], info["variant"], info["fraction"], info["seed"], log)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} or model.json beside it is not that of a training: {error!r}.") from error


if __name__ == "__main__":
    commands.run(main)
