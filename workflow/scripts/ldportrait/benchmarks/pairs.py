"""Pictures and mattes in folders beside each other, paired by the stems of their names: what most benchmarks are."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ldportrait import images
from ldportrait.benchmarks import Loaded, bank

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
TRIMAP_VALUES = (0, 128, 255)
Names = tuple[str, ...]


@dataclass(frozen=True)
class Folders:
    """Where the files of a split lie below the root.

    A folder that is called differently in different copies has several names, of which the first that exists counts;
    one without names does not exist in this set. Those in `optional` may be missing. `detail_ending` is what a detail
    map's stem has after that of its picture.
    """

    image: Names
    alpha: Names
    trimap: Names = ()
    detail: Names = ()
    foreground: Names = ()
    optional: Names = ()
    detail_ending: str = ""


@dataclass(frozen=True)
class Sample:
    """A picture's files; `item` is the stem of its name."""

    item: str
    image: Path
    alpha: Path
    trimap: Path | None = None
    detail: Path | None = None
    foreground: Path | None = None


def items(
    root: Path, layout: Mapping[str, Sequence[Folders]], split: str, title: str, counts: Mapping[str, int]
) -> list[Sample]:
    """List the samples of a split in order of item, of all the folders that it has.

    Raises FileNotFoundError for a folder or a picture's partner that is missing, and ValueError for an unknown split,
    a name that occurs twice, and another count than counts[split].
    """
    require_split(split, layout, title)
    require_root(root, title)
    found = [sample for folders in layout[split] for sample in _paired(Path(root), folders, title)]
    names = [sample.item for sample in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"Two pictures of {title} in {root} are called {twice}.")
    verify_count(len(found), split, counts, title, root)
    return sorted(found, key=lambda sample: sample.item)


def require_split(split: str, splits: Mapping[str, object], title: str) -> None:
    """Raise ValueError for a split that a benchmark does not have."""
    if split not in splits:
        raise ValueError(f"{title} has no split {split!r}; it has {', '.join(splits)}.")


def require_root(root: Path, title: str) -> None:
    """Raise FileNotFoundError where the folder that the user named is missing."""
    if not Path(root).is_dir():
        raise FileNotFoundError(f"There is no folder {root}, in which {title} should be.")


def verify_count(
    found: int, split: str, counts: Mapping[str, int], title: str, root: Path, what: str = "items"
) -> None:
    """Raise ValueError where a benchmark is not complete, or more than that; a split without a count may have any."""
    expected = counts.get(split, found)
    if found != expected:
        raise ValueError(
            f"{title} has {expected} {what} in its split {split}, but {root} has {found}; scores of a part (a limit, a "
            f"subset) are not scores of the benchmark: for a part use the benchmark called folder."
        )


def folder(root: Path, names: Names, title: str) -> Path:
    """Return the first of a folder's names that exists below `root`. FileNotFoundError if none does."""
    for name in names:
        if (root / name).is_dir():
            return root / name
    others = f" (nor {', '.join(names[1:])})" if names[1:] else ""
    raise FileNotFoundError(f"{title} needs the folder {root / names[0]}, which is missing{others}.")


def pictures(place: Path) -> dict[str, Path]:
    """The pictures in a folder by stem, in order of name.

    Whatever is no picture (Thumbs.db, __MACOSX, a read-me) and whatever is hidden (.DS_Store, ._x.png) is passed over.
    ValueError for two files with one stem.
    """
    found = {}
    for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
        stem, suffix = os.path.splitext(entry.name)
        if entry.name.startswith(".") or suffix.lower() not in SUFFIXES or not entry.is_file():
            continue
        if stem in found:
            raise ValueError(f"{place} has both {found[stem].name} and {entry.name}; only one of them can be meant.")
        found[stem] = Path(entry.path)
    return found


def _paired(root: Path, folders: Folders, title: str) -> Iterator[Sample]:
    """Yield the samples of one set of folders. FileNotFoundError names the file that a picture or matte lacks."""
    places = {}
    for role in ("image", "alpha", "trimap", "detail", "foreground"):
        names = getattr(folders, role)
        there = role not in folders.optional or any((root / name).is_dir() for name in names)
        if names and there:
            places[role] = folder(root, names, title)
    files = {role: pictures(place) for role, place in places.items()}
    for stem in files["alpha"]:
        if stem not in files["image"]:
            raise FileNotFoundError(f"{files['alpha'][stem]} has no picture: {places['image'] / stem}.* is missing.")
    for stem, image in files["image"].items():
        partners = {}
        for role in places:
            name = stem + (folders.detail_ending if role == "detail" else "")
            if name not in files[role]:
                raise FileNotFoundError(f"{image} has no {role}: {places[role] / name}.* is missing.")
            partners[role] = files[role][name]
        yield Sample(stem, **partners)


def load(sample: Sample) -> Loaded:
    """Read a sample's pictures. ValueError, naming the files, for unreadable ones and for sizes that differ."""
    image = images.read_rgb(sample.image)
    alpha = images.read_matte(sample.alpha)
    require_size(alpha, sample.alpha, image, sample.image)
    if sample.trimap:
        trimap = read_trimap(sample.trimap)
        require_size(trimap, sample.trimap, image, sample.image)
    else:
        trimap = bank.trimap(alpha)
    detail = foreground = None
    if sample.detail:
        detail = images.read_matte(sample.detail)
        require_size(detail, sample.detail, image, sample.image)
    if sample.foreground:
        foreground = images.read_rgb(sample.foreground)
        require_size(foreground, sample.foreground, image, sample.image)
    return Loaded(image, alpha, trimap, detail, foreground)


def read_trimap(path: Path) -> np.ndarray:
    """Read a distributed trimap as (H, W) uint8. ValueError for other values than 0, 128 and 255.

    They are not rounded, since the region of a published score is what is exactly 128.
    """
    trimap = images.read_matte(path)
    others = np.setdiff1d(trimap, TRIMAP_VALUES)
    if others.size:
        raise ValueError(f"{path} has the value {others[0]}; a trimap has 0, 128 and 255.")
    return trimap


def require_size(first: np.ndarray, first_path: Path, second: np.ndarray, second_path: Path) -> None:
    """Raise ValueError, naming both files, where two pictures that belong together differ in size."""
    if first.shape[:2] != second.shape[:2]:
        sizes = [f"{array.shape[1]} x {array.shape[0]}" for array in (first, second)]
        raise ValueError(f"{first_path} is {sizes[0]} pixels, but {second_path} is {sizes[1]}.")
