"""One background of the portrait bank: a rendered place, an HDRI crop, a procedural texture or a photograph.

    python workflow/scripts/render_backgrounds.py --config config/bank.yaml --id background-07 \
        --photos .bank/assets --output .bank/backgrounds/background-07.webp

Beside the WebP it writes a json of the same name: the entry, the samples, the seconds, the versions.
"""

import json
import os
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
import yaml
from PIL import Image

from ldportrait.rendering import backgrounds

QUALITY = 92

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


def find_entry(config: Path, name: str) -> dict:
    """The entry `name` of the section `backgrounds`. Raises ValueError, FileNotFoundError."""
    if not config.is_file():
        raise FileNotFoundError(f"there is no config {config}")
    try:
        section = (yaml.safe_load(config.read_text(encoding="utf-8")) or {}).get("backgrounds")
    except (yaml.YAMLError, AttributeError) as error:
        raise ValueError(f"{config} cannot be read as YAML: {str(error).splitlines()[0]}") from error
    found = [entry for entry in section or [] if entry.get("id") == name]
    if len(found) != 1:
        raise ValueError(f"{config} has {len(found)} backgrounds with the id {name}, expected one")
    return found[0]


def render_place(entry: dict, samples: int, threads: int, share: float) -> np.ndarray:
    """Render a room or street with Cycles. Raises ValueError where bpy is not installed.

    `share` < 1 renders fewer pixels and resamples: a place whose blur is several pixels wide loses nothing by it.
    """
    try:
        from ldportrait.rendering import rooms
    except ImportError as error:
        raise ValueError(f"a {entry['kind']} needs Blender as a module (pip install bpy==4.2.23): {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "render.png")
        rooms.render_place(entry, round(backgrounds.SIZE * share), samples, path, threads)
        picture = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    return cv2.resize(picture, (backgrounds.SIZE, backgrounds.SIZE), interpolation=cv2.INTER_CUBIC)


def write(picture: np.ndarray, facts: dict, output: Path) -> None:
    """The json first, the picture last, each by rename: a picture that exists is whole and has its json."""
    output.parent.mkdir(parents=True, exist_ok=True)
    note, partial = output.with_suffix(".json"), output.with_name(output.name + ".part")
    note.with_suffix(".json.part").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(note.with_suffix(".json.part"), note)
    Image.fromarray(picture).save(partial, format="WEBP", quality=QUALITY, method=6)
    os.replace(partial, output)


@app.command()
def main(
    config: Annotated[Path, typer.Option(help="The bank's configuration with the section backgrounds.")],
    id: Annotated[str, typer.Option(help="The id of one background, for example background-07.")],
    output: Annotated[Path, typer.Option(help="The WebP to write.")],
    photos: Annotated[Path, typer.Option(help="Folder that fetch_assets.py filled.")] = Path(".bank/assets"),
    hdris: Annotated[
        Path | None, typer.Option(help="Folder of the HDRIs; those of the bpy wheel if not given.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples a pixel of a rendered place.")] = 24,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a rendered place.")] = 1,
    share: Annotated[
        float, typer.Option(min=0.1, max=1.0, help="Share of the 640 pixels to render, then resampled.")
    ] = 1.0,
) -> None:
    """Make one background of 640 x 640 pixels."""
    try:
        if output.suffix != ".webp":
            raise ValueError(f"the output {output} must end in .webp")
        entry = find_entry(config, id)
        start = time.monotonic()
        if entry.get("kind") in backgrounds.PLACES:
            picture = render_place(entry, samples, threads, share)
        else:
            picture = backgrounds.make_background(entry, photos, hdris)
        place = entry["kind"] in backgrounds.PLACES
        facts = {
            "spec": entry,
            "samples": samples if place else None,
            "share": share if place else None,
            "seconds": round(time.monotonic() - start, 2),
            "source": backgrounds.source(entry),
            "licence": backgrounds.licence(entry),
            "versions": {"bpy": metadata.version("bpy")}
            if place
            else {"opencv": cv2.__version__, "numpy": np.__version__},
        }
        write(picture, facts, output)
    except (ValueError, OSError) as error:
        print(f"render_backgrounds: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    app()
