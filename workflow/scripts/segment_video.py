"""Segment a clip, or every clip of a video benchmark: a mask and a doubt for each frame.

python workflow/scripts/segment_video.py talk.mp4 out
python workflow/scripts/segment_video.py out --benchmark bank-clips --root resources/bank
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ldportrait import commands, devices

if TYPE_CHECKING:
    import numpy as np
    from tqdm import tqdm

    from ldportrait.inference import Predictor
    from ldportrait.video.files import Clip, Frame
    from ldportrait.video.segmenters import Segment
    from ldportrait.video.tracking import Prompt

    Segmenter = Callable[["Source"], Iterator[Segment]]

SEGMENTERS = ("frames", "masks", "sam2")


@dataclass(frozen=True)
class Source:
    """A clip by the name of its item: its frames, how many there are as far as is known, and what went wrong so far."""

    item: str
    frames: "Callable[[], Iterator[Frame]]"
    count: int | None
    problems: list[str]


def main(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[CLIP] OUTPUT",
            help="A video's file or a folder of frames, not with --benchmark; and the folder for what is found.",
        ),
    ],
    segmenter: Annotated[
        str, typer.Option(help="frames (a network on each, and votes), masks (given ones, carried along) or sam2.")
    ] = "frames",
    model: Annotated[Path, typer.Option(help="For frames: the folder of a trimap-free model.")] = Path(
        "resources/models/portrait"
    ),
    side: Annotated[int | None, typer.Option(min=1, help="Longer side of what that model is shown.")] = None,
    neighbours: Annotated[
        int, typer.Option(min=0, help="For frames: how many to either side vote (1, 2, 4 … away).")
    ] = 3,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="For masks: one of the first frame, or a folder with 000000.png and others by their frame's number; "
            "with --benchmark a folder of such folders, named like the items."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="For sam2: a folder with config.json and model.safetensors, as the hub has it.")
    ] = None,
    sha256: Annotated[str, typer.Option(help="For sam2: the SHA-256 of model.safetensors.")] = "",
    mask: Annotated[Path | None, typer.Option(help="For sam2: the person in the first frame, as a mask,")] = None,
    box: Annotated[str, typer.Option(help="or as a box, left,top,right,bottom in pixels,")] = "",
    point: Annotated[
        list[str],
        typer.Option(help="or as points, column,row; with ,0 behind it one beside the person. Else by --model."),
    ] = (),
    benchmark: Annotated[str | None, typer.Option(help="A benchmark of videos, see docs/benchmarks.md.")] = None,
    root: Annotated[Path, typer.Option(help="The benchmark's folder.")] = Path("resources/bank"),
    split: Annotated[str, typer.Option(help="The benchmark's split.")] = "test",
    limit: Annotated[int, typer.Option(min=0, help="Only so many of its clips; 0 for all.")] = 0,
    gpus: Annotated[int, typer.Option(min=0, max=1, help="1 runs on a GPU.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Find the person: OUTPUT/ITEM/masks and ITEM/doubts with a PNG a frame, and last segments.parquet.

    A mask is 0 or 255, a doubt from 0, sure, to 255. What can be read of a damaged clip is segmented, and it is said
    what could not.
    """
    if segmenter not in SEGMENTERS:
        raise ValueError(f"--segmenter is one of {', '.join(SEGMENTERS)}, not {segmenter}.")
    if len(paths) != (1 if benchmark else 2):
        raise ValueError("Give a clip and the output's folder; with --benchmark, the output's folder alone.")
    output = paths[-1]
    sources = of_benchmark(benchmark, root, split, limit) if benchmark else [of_clip(paths[0])]
    if segmenter != "masks":
        devices.take(gpus)
    if segmenter == "masks":
        segment = by_masks(masks, bool(benchmark), sources)
    elif segmenter == "sam2":
        segment = by_sam2(weights, sha256, mask, box, tuple(point), (model, side), gpus, threads)
    else:
        segment = by_frames(model, side, neighbours, gpus, threads)
    check_apart(output, sources, [path for path in (*paths[:-1], masks, mask) if path is not None])
    count = write(sources, segment, output)
    typer.echo(f"{output}: {count} frames of {len(sources)} clips")


def check_apart(output: Path, sources: list[Source], inputs: list[Path]) -> None:
    """Raise ValueError for an input that lies where the output is written, and would be removed first."""
    for source in sources:
        place = (output / source.item).resolve()
        for path in inputs:
            if place in (path.resolve(), *path.resolve().parents):
                raise ValueError(f"{path} lies where the output is written; name another output's folder.")


def of_clip(path: Path) -> Source:
    """A clip of the user's. Raises FileNotFoundError or ValueError where not a frame can be read."""
    from ldportrait.video import files

    clip: Clip = files.open_clip(path)
    return Source(
        path.resolve().stem if path.is_file() else path.resolve().name, clip.__iter__, clip.count, clip.problems
    )


def of_benchmark(name: str, root: Path, split: str, limit: int) -> list[Source]:
    """The clips of a video benchmark. Raises FileNotFoundError or ValueError as the benchmark does."""
    from ldportrait import benchmarks
    from ldportrait.video import files

    module = benchmarks.get(name, "video")

    def source(sample: object) -> Source:
        def frames() -> "Iterator[Frame]":
            return (frame for frame, _ in files.numbered(module.load_clip(sample)))

        return Source(sample.item, frames, module.frames(sample), [])

    return [source(sample) for sample in module.items(root, split)[: limit or None]]


def load(folder: Path, side: int | None, gpus: int, threads: int) -> "tuple[Predictor, int]":
    """Load a trimap-free model, and say at which longer side it is shown pictures. Raises as `models.load` does."""
    import torch

    from ldportrait import inference, matting, models

    info = models.read_info(folder)
    if models.get(info["model"]).needs_trimap:
        raise ValueError(f"The model in {folder} needs a trimap; segmenting takes a trimap-free one.")
    network, _ = models.load(folder)
    network = network.to(device(gpus, threads), memory_format=torch.channels_last)
    return inference.predictor(network), side or matting.shown_side(info)


def device(gpus: int, threads: int) -> str:
    """Settle where torch runs. ValueError where a GPU is asked for and there is none."""
    import cv2
    import torch

    from ldportrait import inference

    place = inference.device(gpus)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    return place


def by_frames(model: Path, side: int | None, neighbours: int, gpus: int, threads: int) -> "Segmenter":
    """Segment by a trimap-free network and votes."""
    from ldportrait.video import segmenters

    predict, shown = load(model, side, gpus, threads)
    return lambda source: segmenters.frames(source.frames(), predict, shown, neighbours)


def by_masks(place: Path | None, nested: bool, sources: list[Source]) -> "Segmenter":
    """Segment by given masks, which are looked for before anything is done. FileNotFoundError or ValueError without."""
    from ldportrait.video import segmenters

    if place is None:
        raise ValueError("--segmenter masks needs --masks.")
    given = {source.item: find_masks(place / source.item if nested else place) for source in sources}
    return lambda source: segmenters.masks(source.frames(), given[source.item])


def find_masks(place: Path) -> dict[int, Path]:
    """The masks of a folder by the number in their names, or a single file as that of frame 0."""
    if place.is_file():
        return {0: place}
    if not place.is_dir():
        raise FileNotFoundError(f"There are no masks at {place}.")
    found = {int(path.stem): path for path in sorted(place.glob("*.png")) if path.stem.isdigit()}
    if not found:
        raise ValueError(f"There are no masks in {place}; they are named by their frame's number, as 000000.png.")
    return found


def by_sam2(
    weights: Path | None,
    sha256: str,
    mask: Path | None,
    box: str,
    points: tuple[str, ...],
    free: tuple[Path, int | None],
    gpus: int,
    threads: int,
) -> "Segmenter":
    """Segment by SAM 2, shown the mask, box or points, or else what the trimap-free model finds in the first frame."""
    from ldportrait.video import segmenters, tracking

    if weights is None:
        raise ValueError("--segmenter sam2 needs --weights.")
    corners = numbers(box, (4,), "--box") if box else None
    places = tuple((x, y, not on or on[0] > 0) for x, y, *on in (numbers(text, (2, 3), "--point") for text in points))
    shown = mask is not None or corners is not None or places
    prompt_by = None if shown else load(*free, gpus, threads)
    network = tracking.load(weights, sha256, device(gpus, threads))

    def prompt(first: "Frame") -> "Prompt":
        if prompt_by is not None:
            return tracking.Prompt(mask=by_network(first.rgb, *prompt_by))
        given = None if mask is None else segmenters.read_mask(mask, first.rgb.shape[:2])
        return tracking.Prompt(given, corners, places)

    def segment(source: Source) -> "Iterator[Segment]":
        frames = source.frames()
        first = next(frames)
        return segmenters.sam2(itertools.chain([first], frames), network, prompt(first))

    return segment


def by_network(rgb: "np.ndarray", predict: "Predictor", side: int) -> "np.ndarray":
    """The mask (H, W) of a picture by a trimap-free network."""
    import numpy as np

    from ldportrait import matting

    return np.where(matting.matte_whole(predict, rgb, side) > 127, np.uint8(255), np.uint8(0))


def numbers(text: str, lengths: tuple[int, ...], option: str) -> tuple[float, ...]:
    """Split numbers at commas. ValueError for others than so many."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) not in lengths:
        raise ValueError(f"{option} takes {' or '.join(map(str, lengths))} numbers with commas between, not {text!r}.")
    return found


def write(sources: list[Source], segment: "Segmenter", output: Path) -> int:
    """Segment the clips into a folder; return how many frames there were.

    The table is removed first and written last, so that it never tells of files that are not there.
    """
    import pandas as pd
    from tqdm import tqdm

    from ldportrait import shards
    from ldportrait.video import segmenters

    (output / segmenters.TABLE).unlink(missing_ok=True)
    counts = [source.count for source in sources]
    total = None if None in counts else sum(counts)
    rows = []
    with tqdm(total=total, desc="segmenting", unit="frame", disable=None) as bar:
        for source in sources:
            before = len(rows)
            rows += write_clip(source, segment, output, bar)
            if source.count is not None and bar.total is not None:
                bar.total += len(rows) - before - source.count  # a clip may be shorter than it claims
    shards.write_table(pd.DataFrame(rows), output / segmenters.TABLE)
    return len(rows)


def write_clip(source: Source, segment: "Segmenter", output: Path, bar: "tqdm") -> list[dict[str, object]]:
    """Write a clip's masks and doubts, each folder whole; say what happens in it, and what could not be read."""
    from ldportrait import images, shards
    from ldportrait.video import segmenters

    home, rows = output / source.item, []
    with shards.replacing_folder(home / "masks") as masks, shards.replacing_folder(home / "doubts") as doubts:
        for found in segmenters.told(segment(source), source.item):
            row = {"item": source.item, "frame": found.frame.index, "seconds": float(found.frame.seconds)}
            row |= {"share": (found.mask > 0).mean(), "doubt": found.doubt.mean() / 255, "event": found.event}
            name = f"{found.frame.index:06d}.png"
            for key, kind, folder, values in (
                ("mask", "masks", masks, found.mask),
                ("doubts", "doubts", doubts, found.doubt),
            ):
                row |= {key: f"{source.item}/{kind}/{name}", f"{key}_sha256": images.write_grey(folder / name, values)}
            rows.append(row)
            bar.update()
    for problem in source.problems:
        typer.echo(problem, err=True)
    return rows


if __name__ == "__main__":
    commands.run(main)
