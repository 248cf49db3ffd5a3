"""The bank as a benchmark: its portraits of a split over its backgrounds of that split, with exact alpha.

Portrait i stands before background i mod n. The test split is 32 portraits before 12 backgrounds.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ldportrait import images, shards, trimaps
from ldportrait.benchmarks import Loaded

TITLE = "Bank"
KIND = "image"
LICENCE = "CC0 1.0; resources/bank/LICENSES.md says what it was made of"
SOURCE = "In this repository, under resources/bank."
COUNTS = {}  # a bank may have any number of portraits
PROTOCOL = "definition"
NOTES = (
    "Rendered, not photographed: its exact alpha is what real sets lack, and its people, hair and light are simpler.",
)

BAND = 0.01  # the trimap's unknown region is widened by this share of the longer side


@dataclass(frozen=True)
class Sample:
    """A portrait before a background; `item` is the portrait's id."""

    item: str
    portrait: Path
    background: Path


def items(root: Path, split: str = "test") -> list[Sample]:
    """List the samples of a split in order of id. ValueError if the bank has none."""
    return [Sample(row["id"], Path(root, row["path"]), behind) for row, behind in before(root, "portrait", split)]


def before(root: Path, kind: str, split: str) -> list[tuple[dict[str, object], Path]]:
    """The bank's rows of a kind and split in order of id, row i with background i mod n. ValueError without any."""
    table = shards.read_table(Path(root, "bank.parquet"))
    table = table[table.split == split].sort_values("id")
    rows, backgrounds = table[table.kind == kind], table[table.kind == "background"]
    if rows.empty or backgrounds.empty:
        raise ValueError(f"The bank at {root} has no {kind}s or no backgrounds of the split {split!r}.")
    behind = itertools.cycle(Path(root, path) for path in backgrounds.path)
    return list(zip(rows.to_dict("records"), behind, strict=False))


def load(sample: Sample) -> Loaded:
    """Return a sample's composite, its alpha and foreground, and the trimap made from that alpha."""
    rgba = images.read_rgba(sample.portrait)
    alpha = np.ascontiguousarray(rgba[..., 3])
    background = cover(images.read_rgb(sample.background), alpha.shape)
    foreground = np.ascontiguousarray(rgba[..., :3])
    return Loaded(images.composite(rgba, background), alpha, trimap(alpha), foreground=foreground)


def trimap(alpha: np.ndarray) -> np.ndarray:
    """The trimap of a true alpha (H, W) uint8: fractional pixels, widened both ways by BAND."""
    reach = max(1, round(BAND * max(alpha.shape)))
    return trimaps.from_alpha(alpha, reach, reach)


def cover(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Scale an (H, W, 3) picture until it just covers `shape`, and crop its centre."""
    (height, width), (rows, columns) = picture.shape[:2], shape
    scale = max(rows / height, columns / width)
    size = (max(columns, round(width * scale)), max(rows, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(picture, size, interpolation=method) if scale != 1 else picture
    top, left = (scaled.shape[0] - rows) // 2, (scaled.shape[1] - columns) // 2
    return scaled[top : top + rows, left : left + columns]
