"""Score predicted mattes against a benchmark's true alpha."""

import hashlib
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from ldportrait import benchmarks, commands, metrics, shards
from ldportrait.metrics import image
from ldportrait.trimaps import UNKNOWN


def read_alpha(path: Path, sha256: str) -> np.ndarray:
    """Read a predicted alpha (H, W) uint8. FileNotFoundError or ValueError unless it is as it was written."""
    if not path.is_file():
        raise FileNotFoundError(f"The prediction {path} is missing; predict again.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(f"{path} is not the file that predictions.parquet lists; predict again.")
    try:
        with Image.open(path) as picture:
            if picture.mode != "L":
                raise ValueError(f"{path} is not an 8-bit grey picture (its mode is {picture.mode}).")
            return np.array(picture)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{path} is not a readable picture: {error}.") from error


def check(predictions: pd.DataFrame, folder: Path, benchmark: str, items: list[str]) -> None:
    """Refuse predictions for another benchmark, and those that do not cover it."""
    others = set(predictions.benchmark) - {benchmark}
    if others:
        raise ValueError(f"The predictions in {folder} are for the benchmark {others.pop()}, not for {benchmark}.")
    found = set(predictions.item)
    missing = [item for item in items if item not in found]
    if missing:
        raise ValueError(
            f"The predictions in {folder} lack {len(missing)} of the {len(items)} items of {benchmark}, "
            f"{missing[0]} among them; predict again."
        )


def main(
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="The folder of predictions.parquet and a PNG an item.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.parquet", help="The table of scores, in long form.")],
    root: Annotated[Path, typer.Option(help="The benchmark's folder.")],
    benchmark: Annotated[str, typer.Option(help=f"One of {', '.join(benchmarks.NAMES)}.")] = "bank",
) -> None:
    """Score predicted mattes: SAD, MSE, MAD, Grad and Conn of each item, on the whole and in the unknown region."""
    module = benchmarks.get(benchmark, "image")
    samples = module.items(root)
    table = shards.read_table(predictions / "predictions.parquet")
    check(table, predictions, benchmark, [sample.item for sample in samples])
    listed = {row["item"]: row for row in table.to_dict("records")}
    rows = []
    for sample in tqdm(samples, desc=benchmark, disable=None):
        row = listed[sample.item]
        _, true, trimap, *_ = module.load(sample)
        path = predictions / row["path"]
        alpha = read_alpha(path, row["sha256"])
        if alpha.shape != true.shape:
            raise ValueError(f"{path} has the shape {alpha.shape}, but the true alpha has {true.shape}.")
        found = image.all_metrics(alpha, true, {"whole": None, "unknown": trimap == UNKNOWN})
        rows += [row | {"benchmark": benchmark, "protocol": metrics.DEFINITION} | score for score in found]
    shards.write_table(metrics.score_table(rows), output)
    typer.echo(f"{output}: {len(samples)} items scored")


if __name__ == "__main__":
    commands.run(main)
