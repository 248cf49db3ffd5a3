"""The mattes of clips on disk, as matte_video and segment_video leave them: read back, checked, in order.

A folder has 8-bit grey pictures, and a table with a row for each: mattes.parquet (run, model, variant, fraction, seed,
benchmark, method, item, frame, alpha, sha256 and more) or segments.parquet (item, frame, mask, mask_sha256 and more).
The masks of a segmentation are mattes, too, of the method `mask`.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ldportrait import images, shards

MATTES, SEGMENTS = "mattes.parquet", "segments.parquet"
MASK = "mask"
OF_MASKS = {"run": "", "model": "", "variant": "", "fraction": 100, "seed": 0, "benchmark": "", "method": MASK}
COLUMNS = [*OF_MASKS, "item", "frame", "alpha", "sha256"]


def read(folder: Path) -> pd.DataFrame:
    """Read what a folder lists, in the columns of COLUMNS. FileNotFoundError or ValueError names what is wrong."""
    if (folder / SEGMENTS).is_file() and not (folder / MATTES).is_file():
        path = folder / SEGMENTS
        names = {"mask": "alpha", "mask_sha256": "sha256"}
        table = shards.read_table(path).drop(columns=["alpha", "sha256"], errors="ignore").rename(columns=names)
        table = table.assign(**OF_MASKS)
    else:
        path = folder / MATTES
        table = shards.read_table(path)
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"{path} is not a table of a clip's mattes: it has no column {missing[0]}.")
    return table[COLUMNS].sort_values(["item", "frame"], ignore_index=True)


def check(table: pd.DataFrame, folder: Path, benchmark: str, lengths: Mapping[str, int]) -> None:
    """Refuse mattes of another benchmark, and clips of which frames are missing or too many.

    `lengths` says how many frames each clip to be scored has. ValueError in one sentence.
    """
    others = set(table.benchmark) - {benchmark, ""}
    if others:
        raise ValueError(f"The mattes in {folder} are of the benchmark {others.pop()}, not of {benchmark}.")
    found = table.groupby("item").frame.apply(list).to_dict()
    lacking = [item for item in lengths if item not in found]
    if lacking:
        raise ValueError(
            f"The mattes in {folder} lack {len(lacking)} of the {len(lengths)} clips of {benchmark}, "
            f"{lacking[0]} among them; make them again."
        )
    for item, length in lengths.items():
        if found[item] != list(range(length)):
            raise ValueError(f"{item} has {length} frames, but the mattes in {folder} are not one for each.")


def alphas(table: pd.DataFrame, folder: Path, item: str) -> Iterator[np.ndarray]:
    """Yield a clip's mattes in order, each (H, W) uint8, of a table of `read`; errors as of `read_alpha`."""
    for row in table[table.item == item].itertuples():
        yield images.read_grey(folder / row.alpha, row.sha256, "make it again")


def with_truth(
    mattes: Iterable[np.ndarray], clip: Iterable[tuple[np.ndarray, np.ndarray | None]], item: str
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield number, matte and true alpha of each frame that has a true one. ValueError where the sizes differ."""
    for number, (alpha, (image, truth)) in enumerate(zip(mattes, clip, strict=True)):
        if alpha.shape != image.shape[:2]:
            raise ValueError(
                f"Frame {number} of {item} has the shape {image.shape[:2]}, but its matte has {alpha.shape}."
            )
        if truth is not None:
            yield number, alpha, truth
