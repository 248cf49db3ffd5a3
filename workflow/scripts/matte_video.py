"""Matte a video, or the clips of a benchmark, by trimaps made from a segmentation and smoothed over time."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from ldportrait import commands, devices, finishing

if TYPE_CHECKING:
    import numpy as np

    from ldportrait.video.cutouts import Matting, Segmenting
    from ldportrait.video.files import Frame
    from ldportrait.video.matting import Matte

PORTRAIT = Path("resources/models/portrait")
TABLE = "mattes.parquet"
TRIMAPS = ("evidence", "truth", "none")
LARGEST = 80_000_000  # pixels of a background picture


def main(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[SOURCE] OUT",
            help="A video or a folder of frames, not with --benchmark; and a .mov, .webm, .mp4 or a folder.",
        ),
    ],
    model: Annotated[Path, typer.Option(help="The model's folder.")] = PORTRAIT,
    segments: Annotated[
        Path | None, typer.Option(help="What segment_video wrote; without it a video is segmented by --coarse.")
    ] = None,
    coarse: Annotated[Path, typer.Option(help="The trimap-free model that segments a video.")] = PORTRAIT,
    trimaps: Annotated[
        str,
        typer.Option(
            help="evidence (of the segmentation), truth (of a benchmark's true alpha), or none "
            "(a trimap-free model, frame by frame)."
        ),
    ] = "evidence",
    smooth: Annotated[
        bool | None,
        typer.Option(
            help="Whether unknown regions (without trimaps, all) are smoothed over time; by default with trimaps."
        ),
    ] = None,
    strength: Annotated[float, typer.Option(min=0, help="Weight of a neighbour in smoothing.")] = 1.0,
    neighbours: Annotated[int, typer.Option(min=0, help="Frames before and after that smooth one.")] = 3,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Frames shown to a trimap-based model at a time; by default 4 on a GPU, else 1."),
    ] = None,
    output: Annotated[
        str, typer.Option(help="Of a video: rgba (cut out), alpha, or composite (before --background).")
    ] = "rgba",
    background: Annotated[
        str | None, typer.Option(help="For composite: a colour, a picture's file, or blur; else white.")
    ] = None,
    sound: Annotated[bool, typer.Option(help="Whether a video's sound is kept; a folder of pictures has none.")] = True,
    benchmark: Annotated[str | None, typer.Option(help="A benchmark of clips, see docs/benchmarks.md.")] = None,
    root: Annotated[Path, typer.Option(help="The benchmark's folder.")] = Path("resources/bank"),
    split: Annotated[str, typer.Option(help="The benchmark's split.")] = "test",
    limit: Annotated[int, typer.Option(min=0, help="The benchmark's first clips alone; 0 for all.")] = 0,
    method: Annotated[str, typer.Option(help="The method's name, noted in the table.")] = "ours",
    run: Annotated[str, typer.Option(help="Name of the run, noted in the table.")] = "demo",
    gpus: Annotated[int, typer.Option(min=0, max=1, help="1 runs on a GPU.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Matte a video to OUT; or, by `matte_video.py OUT --benchmark NAME`, each clip of a benchmark.

    A video keeps its times, size and sound. Of a damaged one what can be read is matted, and a sentence says so. A
    benchmark's mattes are OUT/{item}/000000.png on (alpha, 8 bit) and, last, OUT/mattes.parquet with a row a frame:
    what made it, its time in seconds, the share of its trimap that is unknown, its file and the file's SHA-256.
    """
    check(paths, benchmark, trimaps, smooth)
    finishing.check(output, background)
    segment, matte = load(model, coarse, segments, trimaps, batch, gpus, threads)
    from ldportrait.video import cutouts

    smoothing = {"strength": strength, "neighbours": neighbours}
    steady = smoothing if smooth or (smooth is None and trimaps != "none") else None

    def mattes(frames: "Iterable[tuple[Frame, np.ndarray | None]]", item: str) -> "Iterator[Matte]":
        """The mattes of frames and, where it is known, their true alpha."""
        if trimaps == "evidence":
            return cutouts.mattes((frame for frame, _ in frames), item, segment, matte, steady)
        made = matte(cutouts.true_trimaps(frames, item) if trimaps == "truth" else cutouts.unknown(frames))
        return cutouts.smoothed(made, steady)

    if benchmark:
        from ldportrait import benchmarks, models

        module, info = benchmarks.get(benchmark, "video"), models.read_info(model)
        samples = module.items(root, split)[: limit or None]
        common = {"run": run, "model": info["model"], "variant": info["variant"], "fraction": round(info["fraction"])}
        common |= {"seed": info["seed"], "benchmark": benchmark, "method": method}
        matte_benchmark(module, samples, paths[0], common, mattes)
    else:
        matte_file(*paths, output, background, sound, mattes)


def check(paths: list[Path], benchmark: str | None, trimaps: str, smooth: bool | None) -> None:
    """Raise ValueError for options that do not fit together."""
    if trimaps not in TRIMAPS:
        raise ValueError(f"--trimaps is one of {', '.join(TRIMAPS)}, not {trimaps}.")
    if len(paths) != (1 if benchmark else 2):
        raise ValueError("Give a video and an output; with --benchmark, the output's folder alone.")
    if trimaps == "truth" and not benchmark:
        raise ValueError("--trimaps truth is for a benchmark, whose true alpha is known.")


def load(
    model: Path, coarse: Path, segments: Path | None, trimaps: str, batch: int | None, gpus: int, threads: int
) -> "tuple[Segmenting | None, Matting]":
    """Load the models that are needed; return what segments frames, and what mattes them.

    Raises ValueError or FileNotFoundError for models that are not there or do not fit.
    """
    from ldportrait import models

    info = models.read_info(model)
    needs = models.get(info["model"]).needs_trimap
    if needs and trimaps == "none":
        raise ValueError(f"The model {info['model']} needs trimaps; use --trimaps evidence.")
    if trimaps == "evidence" and segments is None and models.get(models.read_info(coarse)["model"]).needs_trimap:
        raise ValueError(f"The model in {coarse} needs a trimap itself; --coarse must be a trimap-free one.")

    devices.take(gpus)

    import cv2
    import torch

    from ldportrait import inference, matting
    from ldportrait.video import cutouts
    from ldportrait.video import matting as video_matting

    cv2.setNumThreads(1)
    torch.set_num_threads(threads)
    place, networks = inference.device(gpus), {}

    def network(folder: Path) -> torch.nn.Module:
        if folder not in networks:
            networks[folder] = models.load(folder)[0].to(place, memory_format=torch.channels_last)
        return networks[folder]

    guess = segment = None
    if segments is not None:
        segment = cutouts.given(segments)
    elif trimaps == "evidence":
        guess = cutouts.shared(inference.predictor(network(coarse)))
        segment = cutouts.found(guess, matting.shown_side(models.read_info(coarse)))
    if needs:
        predict = video_matting.batched(network(model))
        return segment, cutouts.by_trimaps(predict, batch or video_matting.batch_size(gpus))
    predict = guess if guess and model == coarse else inference.predictor(network(model))
    return segment, cutouts.whole(predict, matting.shown_side(info))


def matte_file(
    source: Path,
    target: Path,
    output: str,
    background: str | None,
    sound: bool,
    mattes: "Callable[..., Iterator[Matte]]",
) -> None:
    """Matte a video's file or a folder of frames to a file or a folder; say what could not be read."""
    from ldportrait.video import cutouts, files

    files.check_target(target, output == "rgba")
    if target.resolve() == source.resolve():
        raise ValueError(f"{target} would replace the video; choose another name for the output.")
    finish = finishing.finisher(output, background, LARGEST)
    clip = files.open_clip(source)
    item = source.resolve().stem if source.is_file() else source.resolve().name  # as segment_video has it
    count = cutouts.write(mattes(((frame, None) for frame in clip), item), clip, target, finish, sound=sound)
    for problem in clip.problems:
        typer.echo(problem, err=True)
    typer.echo(f"{target}: {count} frames")


def matte_benchmark(
    module: ModuleType,
    samples: list,
    output: Path,
    common: dict[str, object],
    mattes: "Callable[..., Iterator[Matte]]",
) -> None:
    """Write the mattes of a benchmark's clips, each clip's folder whole, and last the table that lists them."""
    import pandas as pd
    from tqdm import tqdm

    from ldportrait import images, shards
    from ldportrait.trimaps import UNKNOWN
    from ldportrait.video import files

    output.mkdir(parents=True, exist_ok=True)
    (output / TABLE).unlink(missing_ok=True)
    rows = []
    with tqdm(desc=common["benchmark"], total=sum(map(module.frames, samples)), unit="frame", disable=None) as bar:
        for sample in samples:
            with shards.replacing_folder(output / sample.item) as new:
                for matte in mattes(files.numbered(module.load_clip(sample)), sample.item):
                    path = Path(sample.item, f"{matte.frame.index:06d}.png")
                    digest = images.write_grey(new / path.name, matte.alpha)
                    numbers = {"frame": matte.frame.index, "seconds": float(matte.frame.seconds)}
                    numbers["unknown"] = float((matte.trimap == UNKNOWN).mean())
                    rows.append(common | {"item": sample.item} | numbers | {"alpha": str(path), "sha256": digest})
                    bar.update()
    shards.write_table(pd.DataFrame(rows), output / TABLE)
    typer.echo(f"{output}: {len(rows)} mattes of {len(samples)} clips")


if __name__ == "__main__":
    commands.run(main)
