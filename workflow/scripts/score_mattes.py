"""Score predicted mattes against a benchmark's true alpha."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tqdm import tqdm

from ldportrait import benchmarks, commands, images, scores, shards
from ldportrait.metrics import protocols


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
    benchmark: Annotated[str, typer.Option(help="A benchmark of pictures, see docs/benchmarks.md.")] = "bank",
    protocol: Annotated[
        list[str], typer.Option(help="Protocols, see docs/metrics.md; else the definitions and the benchmark's own.")
    ] = (),
) -> None:
    """Score predicted mattes by the metrics' definitions, and by the rules of the benchmark's own tables.

    By the definitions: SAD, MSE, MAD, Grad and Conn of each item, on the whole and in the unknown region.
    """
    module = benchmarks.get(benchmark, "image")
    names = list(protocol) or list(dict.fromkeys([scores.DEFINITION, module.PROTOCOL]))
    for name in names:
        protocols.get(name)
    samples = module.items(root)
    table = shards.read_table(predictions / "predictions.parquet")
    check(table, predictions, benchmark, [sample.item for sample in samples])
    listed = {row["item"]: row for row in table.to_dict("records")}
    rows = []
    for sample in tqdm(samples, desc=benchmark, disable=None):
        row = listed[sample.item]
        truth = module.load(sample)
        path = predictions / row["path"]
        alpha = images.read_grey(path, row["sha256"], "predict again")
        if alpha.shape != truth.alpha.shape:
            raise ValueError(f"{path} has the shape {alpha.shape}, but the true alpha has {truth.alpha.shape}.")
        for name in names:
            found = protocols.score(name, alpha, truth.alpha, truth.trimap, truth.detail)
            rows += [row | {"benchmark": benchmark, "protocol": name} | score for score in found]
    shards.write_table(scores.table_of(rows), output)
    typer.echo(f"{output}: {len(samples)} items scored")


if __name__ == "__main__":
    commands.run(main)
