"""Matte photos with a trained model: cut out, their alpha alone, or before another background."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ldportrait import commands

if TYPE_CHECKING:
    import numpy as np

    from ldportrait.inference import Predictor
    from ldportrait.photos import Photo

DEFAULT = Path("resources/models/portrait")
PICTURES = set(".jpg .jpeg .png .webp .bmp .tif .tiff .gif .avif .heic .heif".split())
VIDEOS = set(".mp4 .mov .m4v .mkv .webm .avi .mpg .mpeg".split())
OUTPUTS = ("rgba", "alpha", "composite")


def main(
    source: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo, or a folder of photos with subfolders.")],
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the PNGs; subfolders are kept.")],
    model: Annotated[Path, typer.Option(help="The model's folder.")] = DEFAULT,
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
    coarse: Annotated[Path, typer.Option(help="The trimap-free model that predicts trimaps.")] = DEFAULT,
    side: Annotated[
        int | None,
        typer.Option(min=1, help="Longer side of what a trimap-free model is shown; a tile's side for another."),
    ] = None,
    largest: Annotated[float, typer.Option(min=0, help="Megapixels of the largest photo that is read.")] = 80,
    onnx: Annotated[bool, typer.Option("--onnx", help="Run the models' ONNX files by onnxruntime.")] = False,
    gpus: Annotated[int, typer.Option(min=0, max=1, help="1 runs on a GPU.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; else as many as there are.")] = None,
) -> None:
    """Matte a photo, or each of a folder, to OUT/{name}.png. Each output appears whole or not at all.

    The photo's turn is applied; colour profile and EXIF stay. What cannot be read is named and the others are matted.
    """
    if output not in OUTPUTS:
        raise ValueError(f"--output is one of {', '.join(OUTPUTS)}, not {output}.")
    if background is not None and output != "composite":
        raise ValueError("--background is for --output composite.")
    photos_in = find(source, folder)
    names = targets(photos_in, source)
    check_targets([*photos_in, *given(photos_in, source, trimap, background)], names, folder)
    matte = matter(model, coarse, trimap, side, onnx, gpus, threads or os.cpu_count() or 1, source)

    from tqdm import tqdm

    from ldportrait import photos

    limit = round(largest * 1e6)
    finish = finisher(output, background or "white", limit)
    failures = []
    try:
        for path, name in zip(tqdm(photos_in, desc="matting", unit="picture", disable=None), names, strict=True):
            try:
                photo = photos.read(path, limit)
                result = finish(photo, matte(photo, path, limit))
            except (ValueError, FileNotFoundError) as error:
                if len(photos_in) == 1:
                    raise
                failures.append(" ".join(str(error).split()))
                continue
            photos.write(folder / name, result, photo)  # where this fails, so would the next
    finally:
        for failure in failures:
            typer.echo(failure, err=True)
    typer.echo(f"{folder}: {len(photos_in) - len(failures)} of {len(photos_in)} pictures")
    if failures:
        raise typer.Exit(2)


def find(source: Path, folder: Path) -> list[Path]:
    """List the photos to matte, in order; those below the output's folder are outputs.

    Raises FileNotFoundError or ValueError where there are none, and for a video.
    """
    if source.is_file():
        if source.suffix.lower() in VIDEOS:
            raise ValueError(
                f"{source} is a video; matting videos comes with the video stage, this command reads photos."
            )
        return [source]
    if not source.is_dir():
        raise FileNotFoundError(f"There is no photo or folder at {source}.")
    found = [
        path
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in PICTURES and path.is_file() and not path.name.startswith(".")
    ]
    if folder.resolve() != source.resolve():
        found = [path for path in found if folder.resolve() not in path.resolve().parents]
    if not found:
        raise ValueError(f"There are no photos in {source}.")
    return found


def targets(found: list[Path], source: Path) -> list[Path]:
    """Name the outputs within their folder: a.png for a.jpg, but a.jpg.png where another photo would be a.png too."""
    relative = [Path(path.name) if path == source else path.relative_to(source) for path in found]
    names = [path.with_suffix(".png") for path in relative]
    while True:
        counts: dict[str, int] = {}
        for name in names:
            counts[str(name).casefold()] = counts.get(str(name).casefold(), 0) + 1
        full = [path.with_name(f"{path.name}.png") for path in relative]
        better = [long if counts[str(name).casefold()] > 1 else name for name, long in zip(names, full, strict=True)]
        if better == names:
            return names
        names = better


def given(found: list[Path], source: Path, trimap: str | None, background: str | None) -> list[Path]:
    """List what else is read: the photos' trimaps, and the background's picture."""
    trimaps = [] if trimap in (None, "none", "predict") else [trimap_of(path, source, Path(trimap)) for path in found]
    return trimaps + ([Path(background)] if background else [])


def check_targets(inputs: list[Path], names: list[Path], folder: Path) -> None:
    """Raise ValueError if an output would take the place of a photo, a trimap or a background."""
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


def load(folder: Path, onnx: bool, gpus: int, threads: int) -> "Predictor":
    """Load a model to be run by torch or onnxruntime. ValueError or FileNotFoundError if it is not as it should be."""
    import cv2
    import torch

    from ldportrait import inference, models

    cv2.setNumThreads(1)
    torch.set_num_threads(threads)
    if onnx:
        if gpus:
            raise ValueError("--onnx runs on the CPU; use --gpus 0.")
        return inference.onnx_predictor(folder, threads)
    if gpus and not torch.cuda.is_available():
        raise ValueError("A GPU is asked for, but torch finds none; use --gpus 0.")
    network, _ = models.load(folder)
    return inference.predictor(network.to("cuda" if gpus else "cpu", memory_format=torch.channels_last))


def finisher(output: str, background: str, limit: int) -> "Callable[[Photo, np.ndarray], np.ndarray]":
    """Return what makes the output of a photo and its alpha; ValueError for a background that cannot be read."""
    import numpy as np
    from PIL import ImageColor

    from ldportrait import images, matting, photos, tiling
    from ldportrait.benchmarks import bank

    if output == "alpha":
        return lambda photo, alpha: alpha
    if output == "rgba":
        return lambda photo, alpha: np.dstack([matting.foreground(photo.rgb, alpha), alpha])
    picture = colour = None
    if background != "blur":
        if Path(background).is_file():
            picture = photos.read(background, limit)
        else:
            try:
                colour = np.array(ImageColor.getrgb(background)[:3], np.uint8)
            except ValueError as error:
                raise ValueError(f"--background {background} is no colour, no picture's file, and not blur.") from error

    def behind(photo: "Photo", alpha: "np.ndarray") -> "np.ndarray":
        if picture is not None:
            return photos.in_colours_of(bank.cover(picture.rgb, alpha.shape), picture.profile, photo)
        if colour is not None:
            return np.broadcast_to(photos.in_colours_of(colour[None, None], None, photo), photo.rgb.shape)
        return matting.blurred(photo.rgb, alpha)

    def composite(photo: "Photo", alpha: "np.ndarray") -> "np.ndarray":
        result, ground = matting.foreground(photo.rgb, alpha), behind(photo, alpha)
        for window, _ in tiling.windows(alpha.shape, matting.SIDE, 0, 0):  # in parts, to spare memory
            result[window] = images.composite(np.dstack([result[window], alpha[window]]), ground[window])
        return result

    return composite


if __name__ == "__main__":
    commands.run(main)
