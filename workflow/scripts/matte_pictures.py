"""Matte photos and videos with a trained model: cut out, their alpha alone, or before another background."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ldportrait import commands, finishing

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ldportrait.inference import Predictor
    from ldportrait.photos import Photo
    from ldportrait.video.files import Clip
    from ldportrait.video.matting import Matte

    Matter = Callable[[Photo, Path, int], np.ndarray]
    Finish = Callable[[Photo, np.ndarray], np.ndarray]

SHIPPED = Path(__file__).resolve().parents[2] / "resources" / "models"  # wherever the command is started
DEFAULT = SHIPPED / "portrait"
FOR_VIDEO = SHIPPED / "trimap"  # where there is one: with trimaps from DEFAULT, steadier than that alone
PICTURES = set(".jpg .jpeg .png .webp .bmp .tif .tiff .gif .avif .heic .heif".split())
FORMATS = {"mov": ".mov", "webm": ".webm", "mp4": ".mp4", "png": ""}  # png is a folder of pictures
VIDEOS = set(".mp4 .mov .m4v .mkv .webm .avi .mpg .mpeg .mts .m2ts .mxf .3gp .wmv .flv".split())


def main(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A photo, a video, or a folder of both with subfolders.")
    ],
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Folder for the results; subfolders are kept. Of one video, a .mov, .webm or .mp4 too."
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="The model's folder; else the shipped resources/models/portrait, and for videos "
            "resources/models/trimap with trimaps by --coarse, if it is there."
        ),
    ] = None,
    output: Annotated[
        str, typer.Option(help="rgba (cut out, with clean colour), alpha, or composite (before --background).")
    ] = "rgba",
    background: Annotated[
        str | None, typer.Option(help="For composite: a colour (white, '#26a852'), a picture's file, or blur.")
    ] = None,
    trimap: Annotated[
        str | None,
        typer.Option(
            help="For a model that needs one: a file, a folder with a PNG per photo, or predict (by --coarse). "
            "none for a model that needs none. Both are the default."
        ),
    ] = None,
    coarse: Annotated[
        Path,
        typer.Option(
            help="The trimap-free model that predicts trimaps, and segments videos.",
            show_default="resources/models/portrait",
        ),
    ] = DEFAULT,
    format: Annotated[
        str | None,
        typer.Option(
            help="Of videos: mov (ProRes 4444, for rgba), webm (VP9), mp4 (for alpha and composite) or png (a folder)."
        ),
    ] = None,
    smooth: Annotated[bool, typer.Option(help="Whether videos are smoothed over time where alpha is unsure.")] = True,
    sound: Annotated[
        bool, typer.Option(help="Whether the sound of videos is kept; a folder of pictures has none.")
    ] = True,
    side: Annotated[
        int | None,
        typer.Option(min=1, help="Longer side of what a trimap-free model is shown; a tile's side for another."),
    ] = None,
    largest: Annotated[float, typer.Option(min=0, help="Megapixels of the largest photo that is read.")] = 80,
    onnx: Annotated[bool, typer.Option("--onnx", help="Run the models' ONNX files by onnxruntime.")] = False,
    gpus: Annotated[int, typer.Option(min=0, max=1, help="1 runs on a GPU.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; else as many as there are.")] = None,
) -> None:
    """Matte a photo to OUT/{name}.png, a video to OUT/{name}.mov (alpha and composite: .mp4), or each of a folder.

    Each output appears whole or not at all. A photo's turn is applied; colour profile and EXIF stay. A video keeps its
    times and its sound. What cannot be read is named and the others are matted.
    """
    found = find(source, folder)
    single = len(found) == 1 and is_video(found[0]) and is_video(folder)
    finishing.check(output, background)
    if single and format:
        raise ValueError("The output's name says its format; leave out --format, or name a folder.")
    suffixes = {True: "" if single else video_suffix(output, format), False: ".png"}
    names = [Path(folder.name)] if single else targets(found, source, lambda path: suffixes[is_video(path)])
    folder = folder.parent if single else folder
    check_targets([*found, *given(found, source, trimap, background)], names, folder)
    limit, options = round(largest * 1e6), (side, onnx, gpus, threads or os.cpu_count() or 1)
    finish = finishing.finisher(output, background, limit)
    works = {}
    if not all(map(is_video, found)):
        matte = matter(model or DEFAULT, coarse, trimap, *options, source)
        works[False] = lambda path, target: of_photo(path, target, limit, matte, finish)
    if any(map(is_video, found)):
        mattes = video_matter(model, coarse, trimap, smooth, *options)
        works[True] = lambda path, target: of_video(path, target, mattes, finish, output, len(found) > 1, sound)

    from tqdm import tqdm

    failures = []
    hidden = True if len(found) == 1 and is_video(found[0]) else None  # a video has a bar of its own
    try:
        for path, name in zip(tqdm(found, desc="matting", unit="picture", disable=hidden), names, strict=True):
            try:
                write = works[is_video(path)](path, folder / name)
            except (ValueError, FileNotFoundError) as error:
                if len(found) == 1:
                    raise
                failures.append(" ".join(str(error).split()))
                continue
            write()  # where this fails, so would the next
    finally:
        for failure in failures:
            typer.echo(failure, err=True)
    kind = "pictures and videos" if any(map(is_video, found)) else "pictures"
    typer.echo(f"{folder}: {len(found) - len(failures)} of {len(found)} {kind}")
    if failures:
        raise typer.Exit(2)


def is_video(path: Path) -> bool:
    """Say whether a path is named like a video."""
    return path.suffix.lower() in VIDEOS


def video_suffix(output: str, format: str | None) -> str:
    """The suffix of a video's output, none for a folder. ValueError for an unknown format, or one without alpha."""
    format = format or ("mov" if output == "rgba" else "mp4")
    if format not in FORMATS:
        raise ValueError(f"--format is one of {', '.join(FORMATS)}, not {format}.")
    if (output, format) == ("rgba", "mp4"):
        raise ValueError("An mp4 cannot hold alpha; use --format mov (ProRes 4444), webm (VP9) or png.")
    return FORMATS[format]


def of_photo(path: Path, target: Path, limit: int, matte: "Matter", finish: "Finish") -> "Callable[[], None]":
    """Matte a photo; return what writes the result. ValueError or FileNotFoundError where it cannot be read."""
    from ldportrait import photos

    photo = photos.read(path, limit)
    result = finish(photo, matte(photo, path, limit))
    return lambda: photos.write(target, result, photo)


def of_video(
    path: Path,
    target: Path,
    mattes: "Callable[[Clip], Iterator[Matte]]",
    finish: "Finish",
    output: str,
    nested: bool,
    sound: bool,
) -> "Callable[[], None]":
    """Open a video; return what mattes and writes it, and says what of it could not be read. ValueError without any."""
    from ldportrait.video import cutouts, files

    files.check_target(target, output == "rgba")
    clip = files.open_clip(path)

    def write() -> None:
        cutouts.write(mattes(clip), clip, target, finish, nested, sound)
        for problem in clip.problems:
            typer.echo(problem, err=True)

    return write


def find(source: Path, folder: Path) -> list[Path]:
    """List the photos and videos to matte, in order; those below the output's folder are outputs.

    Raises FileNotFoundError or ValueError where there are none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise FileNotFoundError(f"There is no photo, video or folder at {source}.")
    found = [
        path
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in PICTURES | VIDEOS
        and not path.name.startswith(".")
        and (path.is_file() or not path.exists())  # a link that leads nowhere is named when it is opened
    ]
    if folder.resolve() != source.resolve():
        found = [path for path in found if folder.resolve() not in path.resolve().parents]
    if not found:
        raise ValueError(f"There are no photos or videos in {source}.")
    return found


def targets(found: list[Path], source: Path, suffix: "Callable[[Path], str]" = lambda path: ".png") -> list[Path]:
    """Name the outputs within their folder: a.png for a.jpg, but a.jpg.png where another photo would be a.png too.

    `suffix` gives that of a file's output.
    """
    relative = [Path(path.name) if path == source else path.relative_to(source) for path in found]
    suffixes = [suffix(path) for path in found]
    names = [path.with_suffix(end) for path, end in zip(relative, suffixes, strict=True)]
    while True:
        counts: dict[str, int] = {}
        for name in names:
            counts[str(name).casefold()] = counts.get(str(name).casefold(), 0) + 1
        full = [path.with_name(f"{path.name}{end}") for path, end in zip(relative, suffixes, strict=True)]
        better = [long if counts[str(name).casefold()] > 1 else name for name, long in zip(names, full, strict=True)]
        if better == names:
            return names
        names = better


def given(found: list[Path], source: Path, trimap: str | None, background: str | None) -> list[Path]:
    """List what else is read: the photos' trimaps, and the background's picture."""
    trimaps = [] if trimap in (None, "none", "predict") else [trimap_of(path, source, Path(trimap)) for path in found]
    return trimaps + ([Path(background)] if background else [])


def check_targets(inputs: list[Path], names: list[Path], folder: Path) -> None:
    """Raise ValueError if an output would take the place of a photo, a video, a trimap or a background."""
    sources = {path.resolve() for path in inputs}
    for name in names:
        if (folder / name).resolve() in sources:
            raise ValueError(f"{folder / name} would replace what is read; choose another folder for the output.")


def matter(
    model: Path,
    coarse: Path,
    trimap: str | None,
    side: int | None,
    onnx: bool,
    gpus: int,
    threads: int,
    source: Path,
) -> "Callable[[Photo, Path, int], np.ndarray]":
    """Load what is needed and return what mattes a photo: (photo, its path, pixel limit) to alpha (H, W) uint8.

    Raises ValueError or FileNotFoundError for models or a trimap that do not fit together or are not there.
    """
    from ldportrait import models

    if model == DEFAULT and not model.exists():
        raise FileNotFoundError(f"There is no model at {DEFAULT} yet; name one with --model, or train one.")
    info = models.read_info(model)
    needs = models.get(info["model"]).needs_trimap
    trimap = trimap or ("predict" if needs else "none")
    if needs and trimap == "none":
        raise ValueError(f"The model {info['model']} needs trimaps; give --trimap FILE or FOLDER, or predict.")
    if not needs and trimap != "none":
        raise ValueError(f"The model {info['model']} reads no trimap; leave out --trimap.")
    place = Path(trimap)
    if trimap not in ("none", "predict") and not place.exists():
        raise FileNotFoundError(f"There is no trimap at {trimap}.")
    if place.is_file() and trimap not in ("none", "predict") and source.is_dir():
        raise ValueError(f"{trimap} is one trimap, but {source} is a folder; give a folder of trimaps.")

    from ldportrait import matting, photos

    predict = load(model, onnx, gpus, threads)
    if not needs:
        return lambda photo, path, limit: matting.matte_whole(predict, photo.rgb, side or matting.shown_side(info))
    if side is not None and side < matting.SMALLEST:
        raise ValueError(f"--side must be at least {matting.SMALLEST} for a model with trimaps, not {side}.")
    guess, shown = None, 0
    if trimap == "predict":
        about = models.read_info(coarse)
        if models.get(about["model"]).needs_trimap:
            raise ValueError(f"The model in {coarse} needs a trimap itself; --coarse must be a trimap-free one.")
        guess, shown = load(coarse, onnx, gpus, threads), matting.shown_side(about)

    def matte(photo: "Photo", path: Path, limit: int) -> "np.ndarray":
        if guess is not None:
            known = matting.predict_trimap(guess, photo.rgb, shown)
        else:
            known = photos.read_trimap(trimap_of(path, source, place), photo, limit)
        return matting.matte_tiles(predict, photo.rgb, known, side or matting.SIDE)

    return matte


def trimap_of(path: Path, source: Path, place: Path) -> Path:
    """Return where a photo's trimap is: the file, or in the folder a PNG named like the photo, or like its stem."""
    if place.is_file():
        return place
    relative = Path(path.name) if path == source else path.relative_to(source)
    whole = place / relative.with_name(f"{relative.name}.png")
    return whole if whole.is_file() else place / relative.with_suffix(".png")


def video_matter(
    model: Path | None,
    coarse: Path,
    trimap: str | None,
    smooth: bool,
    side: int | None,
    onnx: bool,
    gpus: int,
    threads: int,
) -> "Callable[[Clip], Iterator[Matte]]":
    """Load what is needed and return what mattes a video: its clip to mattes.

    Raises ValueError or FileNotFoundError for models or a trimap that do not fit together or are not there.
    """
    from ldportrait import models

    model = model or (FOR_VIDEO if FOR_VIDEO.exists() else DEFAULT)
    if not model.exists() and model == DEFAULT:
        raise FileNotFoundError(f"There is no model at {DEFAULT} yet; name one with --model, or train one.")
    info = models.read_info(model)
    needs = models.get(info["model"]).needs_trimap
    if trimap not in (None, "predict" if needs else "none"):
        raise ValueError("A video's trimaps come from its segmentation; leave out --trimap.")
    coarse = coarse if needs else model
    about = models.read_info(coarse)
    if models.get(about["model"]).needs_trimap:
        raise ValueError(f"The model in {coarse} needs a trimap itself; --coarse must be a trimap-free one.")

    from ldportrait import matting
    from ldportrait.video import cutouts
    from ldportrait.video.matting import batch_size, batched, one_by_one

    if needs and side is not None and side < matting.SMALLEST:
        raise ValueError(f"--side must be at least {matting.SMALLEST} for a model with trimaps, not {side}.")
    guess = cutouts.shared(load(coarse, onnx, gpus, threads))
    shown = (None if needs else side) or matting.shown_side(about)
    if needs:
        predict = one_by_one(load(model, onnx, gpus, threads)) if onnx else batched(load_network(model, gpus, threads))
        matte = cutouts.by_trimaps(predict, batch_size(gpus), side or matting.SIDE)
    else:
        matte = cutouts.whole(guess, shown)
    steady = {} if smooth else None
    return lambda clip: cutouts.mattes(clip, clip.path.name, cutouts.found(guess, shown), matte, steady)


def load(folder: Path, onnx: bool, gpus: int, threads: int) -> "Predictor":
    """Load a model to be run by torch or onnxruntime. ValueError or FileNotFoundError if it is not as it should be."""
    import cv2

    from ldportrait import inference

    cv2.setNumThreads(1)
    if not onnx:
        return inference.predictor(load_network(folder, gpus, threads))
    if gpus:
        raise ValueError("--onnx runs on the CPU; use --gpus 0.")
    return inference.onnx_predictor(folder, threads)


def load_network(folder: Path, gpus: int, threads: int) -> "torch.nn.Module":
    """Load a model to be run by torch, where it is to run. ValueError or FileNotFoundError as `load`."""
    import torch

    from ldportrait import inference, models

    torch.set_num_threads(threads)
    place = inference.device(gpus)
    return models.load(folder)[0].to(place, memory_format=torch.channels_last)


if __name__ == "__main__":
    commands.run(main)
