"""What models are tested on: one module a benchmark.

A module says in constants what it is: TITLE; KIND, "image" or "video"; LICENCE; SOURCE, how to get it; COUNTS, how many
items each split has, which `items` verifies; PROTOCOL, the one of ldportrait.metrics.protocols that its tables use; and
NOTES, what differs between the copies and the tables in circulation. Nothing is downloaded.

`items(root, split="test")` lists the samples in a fixed order, each with its name as `item`, and reads no pixels. It
raises FileNotFoundError or ValueError, in one sentence, where a folder or a file is missing or the count is wrong.

A module of pictures has `load(sample)`, which gives a Loaded. A module of videos has `frames(sample)`, the number of
frames, and `load_clip(sample)`, an iterator over their pictures (H, W, 3) and true alpha (H, W), both uint8, that holds
one frame at a time; alpha is None for a frame without truth. Both raise ValueError for what does not fit together.
"""

import importlib
from types import ModuleType
from typing import NamedTuple

import numpy as np

NAMES = (
    "bank",
    "folder",
    "p3m-500-p",
    "p3m-500-np",
    "ppm-100",
    "rwp-636",
    "aim-500",
    "aim-500-portrait",
    "distinctions-646",
    "composition-1k",
    "am-2k",
    "photomatte85",
    "bank-clips",
    "bank-clips-moving",
    "videomatte-240k",
    "videomatte-240k-hd",
    "youtubematte",
    "youtubematte-hd",
    "crgnn",
)


class Loaded(NamedTuple):
    """A sample's pictures, all uint8.

    `image` is (H, W, 3), `alpha` (H, W), `trimap` (H, W) of {0, 128, 255}: the distributed one or, where there is
    none, bank.trimap's of the true alpha. `detail` (H, W) is above 0 in the region of fine detail, and `foreground`
    (H, W, 3) the true straight colour; both are None where the benchmark has none.
    """

    image: np.ndarray
    alpha: np.ndarray
    trimap: np.ndarray
    detail: np.ndarray | None = None
    foreground: np.ndarray | None = None


def get(name: str, kind: str = "") -> ModuleType:
    """Return a benchmark's module. ValueError for an unknown name, or where it is not of the `kind` asked for."""
    if name not in NAMES:
        raise ValueError(f"There is no benchmark {name!r}; there is {', '.join(NAMES)}.")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    if kind and kind != module.KIND:
        raise ValueError(
            f"The benchmark {name} is of the kind {module.KIND}, but one of the kind {kind} is needed here."
        )
    return module
