"""Backends that turn prompts into RGBA portraits, behind one interface.

A backend is a module with a constant `VERSION`, raised whenever its pictures change, and a function
`load(settings) -> Callable[[Sequence[dict]], list[Item]]`, which gets rows of a prompt shard. It may have a function
`check_shard(rows, total, limit, pictures)` that stops a shard of which more than a share `limit` failed.
"""

import importlib
from types import ModuleType

NAMES = ("bank", "folder", "layerdiffuse")


def get(name: str) -> ModuleType:
    """Return the backend of that name. ValueError, listing the names, if there is none."""
    if name not in NAMES:
        raise ValueError(f"There is no backend {name!r}; known are {', '.join(NAMES)}.")
    return importlib.import_module(f"{__name__}.{name}")
