"""Render one green shot of the bank: the opaque frame before a green wall, and the matching exact RGBA."""

import time
from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, images
from ldportrait.rendering import casting, record


def main(
    config: Annotated[Path, typer.Option(help="Who is rendered: config/bank.yaml.")],
    id: Annotated[str, typer.Option(help="The id of one green shot, for example green-04.")],
    assets: Annotated[Path, typer.Option(help="Folder that fetch_assets.py filled.")],
    output: Annotated[
        Path,
        typer.Option(help="The WebP to write; beside it go its .json and the opaque frame, ID-shot.webp."),
    ],
    threads: Annotated[int, typer.Option(min=1, help="Threads of the renderer.")] = 1,
) -> None:
    """Render one green shot: the opaque frame before a lit green wall with its spill, and the matching exact RGBA."""
    started = time.monotonic()
    record.check_output(output)
    spec = casting.find(casting.read_config(config), id, "green")
    record.check_assets(assets)
    from ldportrait.rendering import film, scene  # Blender takes a second, which --help need not wait for

    person = scene.stage(spec, assets)
    wall = scene.add_green_wall(scene.face_centre(person.body))
    film.configure((spec["size"], spec["size"]), threads)
    samples = spec["samples"]
    # The wall is hidden from the camera only: its green light still falls on the person. Then the person is hidden from
    # the camera only, for the wall with the person's shadow. Laid over it in display space, the RGBA is exact truth.
    wall.visible_camera = False
    picture = film.render_rgba(samples["colour"], samples["alpha"])
    wall.visible_camera = True
    for thing in person.objects.values():
        thing.visible_camera = False
    shot = images.composite(picture, film.render_opaque(samples["colour"]))
    images.write_webp(output.with_name(f"{output.stem}-shot.webp"), shot)
    record.write_item(output, picture, spec, started)


if __name__ == "__main__":
    commands.run(main)
