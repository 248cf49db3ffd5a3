"""Refine generated mattes by connectivity: a shard of them, or any folder of RGBA pictures."""

import dataclasses
import io
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from tqdm import tqdm

from ldportrait import commands, images, shards
from ldportrait.connectivity import RefineParams, refine_picture

PICTURES = {".png": "PNG", ".webp": "WEBP"}
DEFAULTS = RefineParams()


def refined_item(item: shards.Item, params: RefineParams, clean: bool) -> shards.Item:
    """Refine a shard's item; its row tells how much of the picture was changed, its truth is carried over."""
    start = time.perf_counter()
    rgba, result = refine_picture(item.rgba, params, clean)
    shares = {
        name: float(np.mean(getattr(result, name))) for name in ("removed_background", "filled_foreground", "band")
    }
    seconds = round(time.perf_counter() - start, 4)
    return shards.Item(item.row | shares | {"seconds": seconds}, rgba, item.truth)


def refine_shard(tar: Path, output: Path, partial: Path, params: RefineParams, clean: bool) -> int:
    """Refine a shard and return how many portraits it holds."""
    rows = shards.read_manifest(tar)
    state = {
        "stage": "refine",
        "params": dataclasses.asdict(params),
        "clean": clean,
        "items": rows[["id", "sha256"]].to_numpy().tolist(),
    }
    items = shards.read_shard(tar, decode_truth=False)
    jobs = (
        (item.row["id"], lambda item=item: refined_item(item, params, clean))
        for item in tqdm(items, total=len(rows), desc=tar.name, disable=None)
    )
    shards.make_shard(output, partial, state, jobs)
    return len(rows)


def refine_folder(folder: Path, output: Path, params: RefineParams, clean: bool) -> int:
    """Refine every PNG and WebP of a folder into another, under the same names; return how many there were."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES)
    if not files:
        raise ValueError(f"There is no PNG or WebP picture in {folder}.")
    if output.exists() and output.resolve() == folder.resolve():
        raise ValueError(f"The output is the input folder {folder}; its pictures would be overwritten.")
    output.mkdir(parents=True, exist_ok=True)
    for file in tqdm(files, desc=folder.name, disable=None):
        rgba, _ = refine_picture(images.read_rgba(file), params, clean)
        options = {"lossless": True, "exact": True, "method": 2} if file.suffix.lower() == ".webp" else {}
        with shards.replacing(output / file.name) as temporary:
            stream = io.BytesIO()  # Pillow does not say that a disk is full when it writes to one itself
            Image.fromarray(rgba).save(stream, PICTURES[file.suffix.lower()], **options)
            temporary.write_bytes(stream.getvalue())
    return len(files)


def main(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A shard (.tar), or a folder of RGBA pictures.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The refined shard (.tar), or a folder.")],
    partial: Annotated[
        Path | None, typer.Option(help="Where a shard's finished items lie until it is complete; else beside OUTPUT.")
    ] = None,
    clean: Annotated[bool, typer.Option(help="Clean the colour of soft pixels and extend it under alpha 0.")] = True,
    core: Annotated[
        float, typer.Option(help="Alpha from which a pixel may belong to the opaque body.")
    ] = DEFAULTS.core,
    floor: Annotated[float, typer.Option(help="Alpha up to which a pixel is clear.")] = DEFAULTS.floor,
    ceiling: Annotated[float, typer.Option(help="Alpha from which a pixel is nearly opaque.")] = DEFAULTS.ceiling,
    haze: Annotated[
        float, typer.Option(help="Alpha up to which a haze around the person is looked for.")
    ] = DEFAULTS.haze,
    stand_out: Annotated[
        float,
        typer.Option(help="How far an object's alpha exceeds the level at which it hangs together with the body."),
    ] = DEFAULTS.stand_out,
    object_area: Annotated[
        float, typer.Option(help="Area from which that is an object. Lengths and areas are in pixels at 1024 x 1024.")
    ] = DEFAULTS.object_area,
    fade: Annotated[float, typer.Option(help="How far faint alpha reaches beyond stronger alpha.")] = DEFAULTS.fade,
    depth: Annotated[float, typer.Option(help="How far the band reaches into the person.")] = DEFAULTS.depth,
    opening_area: Annotated[
        float, typer.Option(help="Area from which an enclosed clear region is a real opening.")
    ] = DEFAULTS.opening_area,
    level: Annotated[bool, typer.Option(help="Move the picture's clear and opaque levels to 0 and 1.")] = True,
    remove_detached: Annotated[bool, typer.Option(help="Remove what does not hang together with the body.")] = True,
    remove_halo: Annotated[bool, typer.Option(help="Remove faint alpha away from any stronger.")] = True,
    fill_enclosed: Annotated[bool, typer.Option(help="Fill what the body encloses and is no opening.")] = True,
    limit_depth: Annotated[bool, typer.Option(help="Let the band reach no deeper than depth.")] = True,
    make_solid: Annotated[bool, typer.Option(help="Make nearly opaque alpha away from the band opaque.")] = True,
) -> None:
    """Refine generated mattes by connectivity.

    From a shard INPUT.tar a shard OUTPUT.tar is made, going on where a killed run stopped; from a folder of RGBA
    pictures a folder of pictures under the same names.
    """
    chosen = locals()
    images.compute_alike()
    params = RefineParams(**{field.name: chosen[field.name] for field in dataclasses.fields(RefineParams)})
    if source.is_dir():
        count = refine_folder(source, output, params, clean)
    elif source.suffix == ".tar":
        if output.suffix != ".tar":
            raise ValueError(f"From a shard a shard is made, so OUTPUT must end in .tar, which {output} does not.")
        count = refine_shard(source, output, partial or shards.partial_of(output), params, clean)
    else:
        raise FileNotFoundError(f"{source} is neither a shard (.tar) nor a folder of pictures.")
    typer.echo(f"{output}: {count} portraits refined")


if __name__ == "__main__":
    commands.run(main)
