"""Compare chroma keys with generated mattes: the bank's green shots and its portraits over green, against the truth."""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
import typer
from tqdm import tqdm

from ldportrait import commands, keying, scores, shards


def main(
    bank: Annotated[Path, typer.Argument(metavar="BANK.parquet", help="The bank's table.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.parquet", help="The table of scores, in long form.")],
    run: Annotated[str, typer.Option(help="The run's name.")],
    examples: Annotated[
        Path | None,
        typer.Option(help="A .npz of pictures to show: of each set the best for a key, the median, the worst."),
    ] = None,
    severity: Annotated[float, typer.Option(min=0, help="How strongly the generated mattes are damaged.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the damage, the walls and the noise.")] = 0,
    limit: Annotated[int, typer.Option(min=0, help="How many pictures of each set; 0 for all.")] = 0,
) -> None:
    """Score the keyers, triangulation, and raw and refined mattes on the test split of both sets.

    SAD, MSE, MAD, Grad and Conn of alpha, and the error of the foreground's colour, in the whole picture and in the
    trimap's unknown region. The severity matters to raw and refined mattes alone.
    """
    cv2.setNumThreads(1)
    rows, shown = [], {}
    cases = list(keying.cases(bank, "test", severity, seed, limit))
    for case in tqdm(cases, desc="keying", disable=None):
        pictures = keying.made(case)
        for name, rgba in pictures.items():
            rows += [{"run": run, "method": name} | row for row in keying.scores_of(case, rgba)]
        views = {"shot": case.shot, "keyed": pictures[keying.BEST], "refined": pictures["refined"], "exact": case.exact}
        shown[case.row["item"]] = views
    table = pd.DataFrame(rows, columns=scores.KEYING)
    if examples is not None:
        arrays = {f"{item}/{view}": shown[item][view] for item in keying.telling(table) for view in shown[item]}
        with shards.replacing(examples) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
    shards.write_table(table, output)
    typer.echo(f"{output}: {table.method.nunique()} methods on {len(cases)} pictures")


if __name__ == "__main__":
    commands.run(main)
