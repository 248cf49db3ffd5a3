"""A user's own RGBA pictures, as they are."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ldportrait import images
from ldportrait.shards import Item

VERSION = "1"


def load(settings: Mapping) -> Callable[[Sequence[dict]], list[Item]]:
    """Return the backend for the folder `settings["pictures"]`; a row's `source` is a picture's name in it.

    Raises ValueError or FileNotFoundError where the folder, a source or a picture's alpha is missing.
    """
    if not settings.get("pictures"):
        raise ValueError("The backend folder needs a folder of pictures.")
    folder = Path(settings["pictures"])
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of pictures at {folder}.")
    return lambda rows: [_item(row, folder) for row in rows]


def _item(row: dict, folder: Path) -> Item:
    start = time.perf_counter()
    if not row["source"]:
        raise ValueError(f"{row['id']} has no source; make its prompts from the folder of pictures.")
    rgba = images.read_rgba(folder / row["source"])
    about = {"width": rgba.shape[1], "height": rgba.shape[0], "backend": "folder", "weights_sha256": ""}
    about |= {"faults": "", "severity": 0.0, "seconds": round(time.perf_counter() - start, 3)}
    return Item({**row, **about}, rgba)
