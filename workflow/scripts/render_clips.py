"""Render one clip of the bank: its frames, straight RGBA with exact alpha, stacked in one picture."""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from tqdm import tqdm

from ldportrait import commands
from ldportrait.rendering import casting, record


def main(
    config: Annotated[Path, typer.Option(help="Who is rendered: config/bank.yaml.")],
    id: Annotated[str, typer.Option(help="The id of one clip, for example clip-02.")],
    assets: Annotated[Path, typer.Option(help="Folder that fetch_assets.py filled.")],
    output: Annotated[Path, typer.Option(help="The WebP to write; a .json of the same name goes beside it.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads of the renderer.")] = 1,
) -> None:
    """Render one clip of the bank: its frames as straight RGBA with exact alpha, stacked top to bottom in one WebP."""
    started = time.monotonic()
    record.check_output(output)
    spec = casting.find(casting.read_config(config), id, "clip")
    record.check_assets(assets)
    from ldportrait.rendering import film, motion  # Blender takes a second, which --help need not wait for

    stack = []
    for _ in tqdm(motion.play(spec, assets), total=spec["frames"], unit="frame", disable=None):
        film.configure((spec["size"], spec["size"]), threads)
        stack.append(film.render_rgba(spec["samples"]["colour"], spec["samples"]["alpha"]))
    record.write_item(output, np.concatenate(stack), spec, started)


if __name__ == "__main__":
    commands.run(main)
