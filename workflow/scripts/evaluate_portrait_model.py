"""Measure the portrait model on the bank's test split, and write the numbers into its card."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands

CARD, SCORES = "README.md", "scores.csv"


def main(
    model: Annotated[Path, typer.Argument(help="The model's folder.")] = Path("resources/models/portrait"),
    root: Annotated[Path, typer.Option(help="The bank's folder.")] = Path("resources/bank"),
    output: Annotated[
        Path | None, typer.Option(help="Folder for scores.csv, and whose README.md gets the numbers; else MODEL.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Measure a trimap-free model on the bank's test split: scores.csv, a row a picture, and the tables of README.md.

    README.md is left alone if there is none; else it must have the two marks that the tables go between.
    """
    from ldportrait import models

    info = models.read_info(model)
    if models.get(info["model"]).needs_trimap:
        raise ValueError(f"{info['model']} in {model} needs a trimap; its scores are made by score_mattes.py.")

    import cv2
    import torch

    from ldportrait import inference, model_card
    from ldportrait.shards import replacing

    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    network, _ = models.load(model)
    network.to(memory_format=torch.channels_last)
    measured = model_card.measure(lambda picture: inference.matte(network, picture), root)
    folder = output or model
    card = folder / CARD
    text = model_card.filled(card.read_text(encoding="utf-8"), measured) if card.is_file() else None
    with replacing(folder / SCORES) as temporary:
        measured.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    if text:
        with replacing(card) as temporary:
            temporary.write_text(text, encoding="utf-8")
    typer.echo(
        f"{model}: MAD {measured.mad.mean():.4f} on {len(measured)} pictures, "
        f"{measured.baseline.mean() / measured.mad.mean():.1f} times below the {model_card.BASELINE}'s"
    )


if __name__ == "__main__":
    commands.run(main)
