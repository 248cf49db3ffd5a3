"""What models are tested on: one module a benchmark.

A benchmark has `items(root, split="test")`, the list of its samples in a fixed order, each with its name as `item`; and
`load(sample)`, which gives the picture (H, W, 3), the true alpha (H, W) and the trimap (H, W) in {0, 128, 255}, all
uint8.
"""

import importlib
from types import ModuleType

NAMES = ("bank",)


def get(name: str) -> ModuleType:
    """Return a benchmark's module. ValueError for an unknown name."""
    if name not in NAMES:
        raise ValueError(f"There is no benchmark {name!r}; there is {', '.join(NAMES)}.")
    return importlib.import_module(f"{__name__}.{name}")
