"""Make one background of the bank: a rendered place, an HDRI crop, a procedural texture or a photograph."""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from ldportrait import commands, images
from ldportrait.rendering import backgrounds, casting, record


def render_place(spec: dict, threads: int) -> np.ndarray:
    """Render a room or street with Cycles: `(size, size, 3)` uint8. Raises ValueError where bpy is not installed.

    The configuration's `share` < 1 renders fewer pixels and resamples them: a place whose blur is several pixels wide
    loses little by it.
    """
    try:
        from ldportrait.rendering import rooms
    except ImportError as error:
        raise ValueError(f"{spec['id']}: a {spec['family']} needs Blender as a module, bpy ({error})") from error
    size, samples = spec["size"], spec["samples"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "render.png"
        rooms.render_place(spec, round(size * samples["share"]), samples["colour"], str(path), threads)
        picture = images.read_rgb(path)
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC)


def main(
    config: Annotated[Path, typer.Option(help="The bank's configuration, with the section backgrounds.")],
    id: Annotated[str, typer.Option(help="The id of one background, for example background-07.")],
    output: Annotated[Path, typer.Option(help="The WebP to write; a .json of the same name goes beside it.")],
    photos: Annotated[Path, typer.Option(help="Folder that fetch_assets.py filled.")] = Path(".bank/assets"),
    hdris: Annotated[Path | None, typer.Option(help="Folder of the HDRIs; else those of the bpy wheel.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the renderer.")] = 1,
) -> None:
    """Make one background of the bank as RGB: a rendered place, an HDRI crop, a texture or a photograph."""
    started = time.monotonic()
    record.check_output(output)
    spec = casting.find(casting.read_config(config), id, "background")
    placed = spec.get("family") in backgrounds.PLACES
    picture = render_place(spec, threads) if placed else backgrounds.make_background(spec, photos, hdris)
    facts = {"source": backgrounds.source(spec), "licence": backgrounds.licence(spec)}
    record.write_item(output, picture, spec, started, ("bpy",) if placed else ("opencv-python-headless",), facts)


if __name__ == "__main__":
    commands.run(main)
