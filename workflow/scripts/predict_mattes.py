"""Predict the mattes of a benchmark with a trained model."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, devices

TABLE = "predictions.parquet"


def main(
    model: Annotated[Path, typer.Argument(help="The model's folder, with model.safetensors and model.json.")],
    output: Annotated[Path, typer.Argument(help="Folder for {item}.png and predictions.parquet.")],
    benchmark: Annotated[
        str, typer.Option(help="A benchmark of pictures, by its name in docs/benchmarks.md.")
    ] = "bank",
    root: Annotated[Path, typer.Option(help="The benchmark's folder.")] = Path("resources/bank"),
    run: Annotated[str, typer.Option(help="Name of the run, noted in the table.")] = "demo",
    gpus: Annotated[int, typer.Option(min=0, max=1, help="1 predicts on a GPU.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Predict every item of a benchmark: {item}.png (8 bit, rounded) and predictions.parquet, whole or not at all."""
    from ldportrait import benchmarks, models

    source = benchmarks.get(benchmark, "image")
    info = models.read_info(model)
    samples = source.items(root)
    devices.take(gpus)

    import cv2
    import pandas as pd
    import torch
    from tqdm import tqdm

    from ldportrait import images, inference, shards

    place = inference.device(gpus)
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    network, info = models.load(model)
    network = network.to(place, memory_format=torch.channels_last)
    needs_trimap = models.get(info["model"]).needs_trimap
    common = {"run": run, "model": info["model"], "variant": info["variant"], "fraction": round(info["fraction"])}
    common |= {"seed": info["seed"], "benchmark": benchmark}
    rows = []
    with shards.scratch(output) as scratch:
        for sample in tqdm(samples, desc="predicting", unit="picture", disable=None):
            image, _, trimap, *_ = source.load(sample)
            started = time.perf_counter()
            alpha = inference.matte(network, image, trimap if needs_trimap else None)
            seconds = time.perf_counter() - started
            name = f"{sample.item}.png"
            digest = images.write_grey(scratch / name, alpha)
            size = {"width": alpha.shape[1], "height": alpha.shape[0], "seconds": seconds}
            rows.append(common | {"item": sample.item, "path": name, "sha256": digest} | size)
        output.mkdir(exist_ok=True)
        (output / TABLE).unlink(missing_ok=True)  # the table comes last and says that all pictures are there
        for row in rows:
            os.replace(scratch / row["path"], output / row["path"])
        shards.write_table(pd.DataFrame(rows), output / TABLE)
    typer.echo(f"{output}: {len(rows)} mattes, {sum(row['seconds'] for row in rows):.1f} s of inference")


if __name__ == "__main__":
    commands.run(main)
