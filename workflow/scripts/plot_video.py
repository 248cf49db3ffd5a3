"""Draw clips and what ways to matte them make of them: a strip of frames, dtSSD over time, and a preview that moves."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from ldportrait import benchmarks, commands, figures, figures_video, scores
from ldportrait.video import results

LONGEST = 120  # frames of the preview, at the most
FOLDERS = {results.MASK: "segments"}  # of methods whose folder has another name


def middle_clip(table: pd.DataFrame, benchmark: str, methods: list[str]) -> str:
    """The clip on which the last method's MAD less the first's is the median: neither the best case nor the worst."""
    wide = scores.by_clip(table, benchmark, "mad")
    missing = [name for name in methods if name not in wide.index]
    if missing:
        raise ValueError(f"There are no scores of {missing[0]} on {benchmark}.")
    gaps = (wide.loc[methods[-1]] - wide.loc[methods[0]]).sort_values(kind="stable")
    return str(gaps.index[(len(gaps) - 1) // 2])


def evenly_spaced(module: ModuleType, sample: object, count: int) -> set[int]:
    """The numbers of `count` frames that have a true alpha, evenly spaced among those."""
    known = [number for number, (_, alpha) in enumerate(module.load_clip(sample)) if alpha is not None]
    return {known[place] for place in np.linspace(0, len(known) - 1, count).round().astype(int)}


def shots(module: ModuleType, sample: object, folders: dict[str, Path]) -> Iterator[figures_video.Shot]:
    """Yield the frames of a clip with the mattes that each method's folder has of it."""
    lengths = {sample.item: module.frames(sample)}
    tables = {name: results.read(folder) for name, folder in folders.items()}
    for name, folder in folders.items():
        results.check(tables[name], folder, tables[name].benchmark.iloc[0], lengths)
    streams = [results.alphas(tables[name], folder, sample.item) for name, folder in folders.items()]
    for number, ((image, alpha), *mattes) in enumerate(zip(module.load_clip(sample), *streams, strict=True)):
        yield figures_video.Shot(number, image, alpha, dict(zip(folders, mattes, strict=True)))


def main(
    output: Annotated[Path, typer.Argument(help="The folder of the figures.")],
    mattes: Annotated[Path, typer.Argument(help="The folder of the mattes, with benchmark/method/ in it.")],
    files: Annotated[list[Path], typer.Argument(metavar="SCORES.parquet", help="Scores of score_video.")],
    benchmark: Annotated[str, typer.Option(help="The benchmark of the strip and the preview.")],
    root: Annotated[Path, typer.Option(help="That benchmark's folder.")],
    method: Annotated[list[str], typer.Option(help="Methods of the strip and the preview; repeat it.")] = (
        "frames",
        "ours",
    ),
    item: Annotated[str, typer.Option(help="Their clip; else the one on which the methods' gap is the median.")] = "",
    columns: Annotated[int, typer.Option(min=1, help="Frames of the strip, evenly spaced.")] = 6,
    side: Annotated[int, typer.Option(min=32, help="Longer side of each picture of the preview.")] = 320,
    rate: Annotated[float, typer.Option(min=1, help="Frames a second of the preview.")] = 12,
    note: Annotated[str, typer.Option(help="A sentence of yours for the small print.")] = "",
) -> None:
    """Draw OUTPUT/video_strip and OUTPUT/video_dtssd (.pdf and .png), and OUTPUT/video_preview.webp, which loops.

    The preview shows the picture's own colours before green: what is left of the old background is the matte's doing.
    """
    module = benchmarks.get(benchmark, "video")
    table = scores.read_video(files)
    name = item or middle_clip(table, benchmark, list(method))
    samples = {sample.item: sample for sample in module.items(root)}
    if name not in samples:
        raise ValueError(f"The benchmark {benchmark} has no clip {name}.")
    folders = {way: mattes / benchmark / FOLDERS.get(way, way) for way in method}
    chosen = evenly_spaced(module, samples[name], columns)
    shown, moving = [], []
    for shot in shots(module, samples[name], folders):
        if shot.number in chosen:
            shown.append(shot)
        if shot.number < LONGEST:
            moving.append(figures_video.preview_frame(shot, side))
    choice = "" if item else f", on which the gap in MAD between {method[0]} and {method[-1]} is the median"
    words = f"{name} of {benchmark}{choice}. {note}".strip()
    figures.save(figures_video.dtssd(table, note), output / "video_dtssd")
    figures.save(figures_video.strip(shown, note=words), output / "video_strip")
    figures_video.write_preview(moving, output / "video_preview.webp", rate)


if __name__ == "__main__":
    commands.run(main)
