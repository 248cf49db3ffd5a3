"""Make a data set of this workflow's form from another data set: pictures with alpha in a folder, or a public one."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np
import typer
from tqdm import tqdm

from ldportrait import assembling, benchmarks, commands
from ldportrait.shards import Item


def cut_out(image: np.ndarray, alpha: np.ndarray, foreground: np.ndarray | None) -> np.ndarray:
    """Make an RGBA picture (H, W, 4) of a picture (H, W, 3) and its alpha (H, W), all uint8.

    The colour is the `foreground` where it is known, else estimated by multi-level estimation (Germer et al. 2020).
    """
    if foreground is None:
        from pymatting import estimate_foreground_ml

        estimated = estimate_foreground_ml(image / 255.0, alpha / 255.0)
        foreground = np.rint(np.clip(estimated, 0, 1) * 255).astype(np.uint8)
    return np.dstack([foreground, alpha])


def items(source: ModuleType, samples: list, run: str, name: str) -> Iterator[Item]:
    """Yield the portraits of a benchmark's split as items for training; `source` in a row is the name they have there.

    Persona and attributes are not known. ValueError names a picture whose alpha is 0 throughout.
    """
    for index, sample in enumerate(tqdm(samples, desc=name, unit="picture", disable=None)):
        loaded = source.load(sample)
        if not loaded.alpha.any():
            raise ValueError(f"The alpha of {sample.item} is 0 throughout; leave that picture out of the data set.")
        height, width = loaded.alpha.shape
        row = {
            "id": f"{run}-{name}-{index:09d}",
            "prompt": "",
            "negative_prompt": "",
            "seed": 0,
            "persona": "",
            "split": "train",
            "width": width,
            "height": height,
            "backend": "external",
            "weights_sha256": "",
            "source": sample.item,
        }
        yield Item(row, cut_out(loaded.image, loaded.alpha, loaded.foreground))


def main(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The other data set's folder, as it is distributed.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The data set's folder; what is there is replaced.")],
    name: Annotated[str, typer.Option(help="The data set's name, which takes the place of a variant.")],
    run: Annotated[str, typer.Option(help="The run's name; ids begin with it.")],
    benchmark: Annotated[str, typer.Option(help="Whose layout it has; folder is image/ and alpha/.")] = "folder",
    split: Annotated[str, typer.Option(help="Which of its splits to train on.")] = "train",
    shard_size: Annotated[int, typer.Option(min=1, help="Portraits a tar.")] = 100,
) -> None:
    """Import a data set to train on: its portraits become RGBA tars, all in the split train, whole or not at all.

    Where it has pictures and mattes alone, the foreground's colour is estimated.
    """
    for word in (run, name):
        if not re.fullmatch(r"[a-z0-9-]+", word):
            raise ValueError(f"The name {word!r} must match [a-z0-9-]+: ids begin with it, and tars cut them at a dot.")
    source = benchmarks.get(benchmark, "image")
    samples = source.items(root, split)
    metadata = assembling.write(items(source, samples, run, name), output, name, run=run, shard_size=shard_size)
    typer.echo(f"{output}: {len(metadata)} portraits of {root}")


if __name__ == "__main__":
    commands.run(main)
