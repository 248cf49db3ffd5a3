"""Render one portrait of the bank: straight RGBA with exact alpha."""

import time
from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands
from ldportrait.rendering import casting, record


def main(
    config: Annotated[Path, typer.Option(help="Who is rendered: config/bank.yaml.")],
    id: Annotated[str, typer.Option(help="The id of one portrait, for example portrait-003.")],
    assets: Annotated[Path, typer.Option(help="Folder that fetch_assets.py filled.")],
    output: Annotated[Path, typer.Option(help="The WebP to write; a .json of the same name goes beside it.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads of the renderer.")] = 1,
) -> None:
    """Render one portrait of the bank as straight RGBA with exact alpha."""
    started = time.monotonic()
    record.check_output(output)
    spec = casting.find(casting.read_config(config), id, "portrait")
    record.check_assets(assets)
    from ldportrait.rendering import film, scene  # Blender takes a second, which --help need not wait for

    scene.stage(spec, assets)
    film.configure((spec["size"], spec["size"]), threads)
    picture = film.render_rgba(spec["samples"]["colour"], spec["samples"]["alpha"])
    record.write_item(output, picture, spec, started)


if __name__ == "__main__":
    commands.run(main)
