"""Draw benchmark pictures, and what the networks trained on each variant make of them."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ldportrait import benchmarks, commands, figures, figures_portraits, images, scores, shards


def predictions(folder: Path) -> dict[str, tuple[Path, str]]:
    """The files of a model's predictions and their SHA-256, by item."""
    table = shards.read_table(folder / "predictions.parquet")
    return {row.item: (folder / row.path, row.sha256) for row in table.itertuples()}


def main(
    output: Annotated[Path, typer.Argument(help="The figure without suffix; .pdf and .png are written.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the predictions, with benchmark/model/ in it.")],
    root: Annotated[Path, typer.Option(help="Folder of the benchmark's pictures.")],
    model: Annotated[str, typer.Option(help="The network.")],
    variant: Annotated[list[str], typer.Option(help="Variants that it was trained on; repeat it.")],
    seed: Annotated[int, typer.Option(help="Which seed's predictions.")] = 0,
    benchmark: Annotated[str, typer.Option(help="The benchmark.")] = "bank",
    rows: Annotated[int, typer.Option(min=1, help="How many pictures, evenly spaced in order of name.")] = 4,
    item: Annotated[list[str], typer.Option(help="These pictures instead; repeat it.")] = (),
    note: Annotated[str, typer.Option(help="A sentence of yours for the small print.")] = "",
) -> None:
    """Draw benchmark pictures, and what the networks trained on each variant make of them.

    Pictures are not chosen by how well they come out: they are evenly spaced in order of name, or those that you name.
    """
    source = benchmarks.get(benchmark, "image")
    samples = {sample.item: sample for sample in source.items(root)}
    unknown = [name for name in item if name not in samples]
    if unknown:
        raise ValueError(f"The benchmark {benchmark} has no picture {unknown[0]}.")
    spaced = np.unique(np.linspace(0, len(samples) - 1, min(rows, len(samples))).round().astype(int))
    chosen = list(item) or [sorted(samples)[index] for index in spaced]
    names = scores.in_order(variant)
    found = {name: predictions(Path(folder, benchmark, model, f"{name}-f100-s{seed}")) for name in names}
    shown = []
    for name in chosen:
        for trained, files in found.items():
            if name not in files:
                raise ValueError(f"The predictions of {model} trained on {trained} lack {name}.")
        image, alpha, trimap, *_ = source.load(samples[name])
        predicted = {trained: images.read_grey(*files[name], "predict again") for trained, files in found.items()}
        shown.append((image, alpha, trimap, predicted))
    words = f"{model}, seed {seed}; pictures evenly spaced in order of name." if not item else f"{model}, seed {seed}."
    figures.save(figures_portraits.qualitative(shown, names, note=f"{words} {note}".strip()), output)


if __name__ == "__main__":
    commands.run(main)
