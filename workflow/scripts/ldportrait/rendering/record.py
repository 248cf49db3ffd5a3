"""What a render job leaves beside its picture: its spec, seconds and versions. A picture that exists is whole."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from ldportrait import images


def check_output(output: Path) -> None:
    """Raises ValueError where the picture to write is not named as a WebP."""
    if output.suffix != ".webp":
        raise ValueError(f"{output}: the picture to write must end in .webp")


def check_assets(assets: Path) -> None:
    """Raises FileNotFoundError where MakeHuman's data is not there."""
    if not (assets / "proxies").is_dir() or not (assets / "skins").is_dir():
        raise FileNotFoundError(f"{assets}: no MakeHuman data here; fetch it with workflow/scripts/fetch_assets.py")


def write_item(
    output: Path,
    picture: np.ndarray,
    spec: Mapping,
    started: float,
    packages: Sequence[str] = ("bpy", "anny", "numpy", "scipy"),
    facts: Mapping | None = None,
) -> None:
    """The record first, the picture last, each by rename.

    `started` is `time.monotonic()` at the job's start, `packages` are those whose versions made the picture, `facts`
    replace its source ("rendered") and licence (CC0-1.0).
    """
    item = {
        "spec": spec,
        "seconds": round(time.monotonic() - started, 2),
        "source": "rendered",
        "licence": "CC0-1.0",
        "versions": {name: metadata.version(name) for name in packages},
        **(facts or {}),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".json.part")
    partial.write_text(json.dumps(item, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, output.with_suffix(".json"))
    images.write_webp(output, picture)
