"""Score the mattes of clips against a video benchmark's true alpha, frame by frame."""

from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from tqdm import tqdm

from ldportrait import benchmarks, commands, scores, shards
from ldportrait.metrics import protocols
from ldportrait.video import results


def score(module: ModuleType, sample: object, table: pd.DataFrame, folder: Path, names: list[str]) -> list[dict]:
    """Score one clip by the named protocols: rows of protocol, frame, region, metric and value.

    The metrics over time are taken between frames that have a true alpha and follow each other among those.
    """
    mattes = results.alphas(table, folder, sample.item)
    numbers, pred, true = zip(*results.with_truth(mattes, module.load_clip(sample), sample.item), strict=True)
    pred, true = np.stack(pred), np.stack(true)
    return [
        row | {"protocol": name, "frame": numbers[row["frame"]]}
        for name in names
        for row in protocols.score_frames(name, pred, true)
    ]


def main(
    mattes: Annotated[
        Path,
        typer.Argument(
            metavar="MATTES", help="A folder of mattes.parquet (matte_video), or of segments.parquet (segment_video)."
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.parquet", help="The table of scores, in long form.")],
    root: Annotated[Path, typer.Option(help="The benchmark's folder.")],
    benchmark: Annotated[str, typer.Option(help="A benchmark of clips, see docs/benchmarks.md.")] = "bank-clips",
    limit: Annotated[int, typer.Option(min=0, help="The benchmark's first clips alone; 0 for all.")] = 0,
    run: Annotated[str, typer.Option(help="Name of the run, noted for masks; mattes have it.")] = "demo",
    protocol: Annotated[
        list[str], typer.Option(help="Protocols, see docs/metrics.md; else the definitions and the benchmark's own.")
    ] = (),
) -> None:
    """Score the mattes of clips by the metrics' definitions, and by the rules of the benchmark's own tables.

    By the definitions: SAD, MSE, MAD, Grad and Conn of each frame, dtSSD and MESSDdt from the frame before. Of a
    segmentation, its masks are scored as mattes.
    """
    module = benchmarks.get(benchmark, "video")
    names = list(protocol) or list(dict.fromkeys([scores.DEFINITION, module.PROTOCOL]))
    for name in names:
        if not protocols.get(name).temporal:
            raise ValueError(f"The protocol {name} is for pictures, not for video.")
    samples = module.items(root)[: limit or None]
    table = results.read(mattes)
    results.check(table, mattes, benchmark, {sample.item: module.frames(sample) for sample in samples})
    rows = []
    for sample in tqdm(samples, desc=benchmark, unit="clip", disable=None):
        known = table[table.item == sample.item].iloc[0][list(results.OF_MASKS)].to_dict()
        known |= {"run": known["run"] or run, "benchmark": benchmark, "item": sample.item}
        rows += [known | row for row in score(module, sample, table, mattes, names)]
    shards.write_table(scores.table_of(rows, scores.VIDEO_TYPES), output)
    typer.echo(f"{output}: {len(samples)} clips scored")


if __name__ == "__main__":
    commands.run(main)
