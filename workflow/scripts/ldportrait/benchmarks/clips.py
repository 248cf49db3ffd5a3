"""Clips as folders of frames: what the video benchmarks are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ldportrait import images
from ldportrait.benchmarks import pairs


@dataclass(frozen=True)
class Clip:
    """A clip's frames in order and their mattes, None for a frame without truth; `size` is (height, width) or None."""

    item: str
    images: tuple[Path, ...]
    alphas: tuple[Path | None, ...]
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Layout:
    """Folders of clips as RVM's test has them: {base}/{subset}/{clip}/{image, alpha}/{frame}.

    The frames of a clip are `size` (height, width) and `length` many; a length of 0 is not verified.
    """

    base: str
    subsets: tuple[str, ...]
    image: str
    alpha: str
    size: tuple[int, int]
    length: int = 0


def items(root: Path, layout: Layout, split: str, title: str, counts: Mapping[str, int]) -> list[Clip]:
    """List the clips of all subsets, in order. `root` may be the folder above the base or the base itself.

    Raises FileNotFoundError for a folder or frame that is missing, ValueError for another split than test, for another
    number of clips than counts[split] or of frames than the layout's.
    """
    pairs.require_split(split, {"test": layout}, title)
    pairs.require_root(root, title)
    base = Path(root, layout.base) if Path(root, layout.base).is_dir() else Path(root)
    found = []
    for subset in layout.subsets:
        for home in folders(pairs.folder(base, (subset,), title)):
            found.append(_clip(home, f"{subset.rpartition('_')[2]}-{home.name}", layout, title))
    pairs.verify_count(len(found), split, counts, title, root, "clips")
    return found


def folders(place: Path) -> list[Path]:
    """The folders in a folder, in order of name, but for hidden ones and what a Mac leaves in an archive."""
    return [path for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith((".", "__MACOSX"))]


def _clip(home: Path, item: str, layout: Layout, title: str) -> Clip:
    frames, alphas = (pairs.pictures(pairs.folder(home, (name,), title)) for name in (layout.image, layout.alpha))
    require_frames(frames, home / layout.image)
    for stem in frames | alphas:
        for name, files in ((layout.image, frames), (layout.alpha, alphas)):
            if stem not in files:
                raise FileNotFoundError(f"The frame {home / name / stem}.* is missing.")
    if layout.length and len(frames) != layout.length:
        raise ValueError(f"A clip of {title} has {layout.length} frames, but {home} has {len(frames)}.")
    return Clip(item, tuple(frames.values()), tuple(alphas[stem] for stem in frames), layout.size)


def require_frames(files: Mapping[str, Path], place: Path) -> None:
    """Raise ValueError for a clip without frames."""
    if not files:
        raise ValueError(f"There are no pictures in {place}.")


def frames(sample: Clip) -> int:
    """How many frames a clip has."""
    return len(sample.images)


def load_clip(sample: Clip) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield each frame's picture (H, W, 3) and alpha (H, W) or None, both uint8, reading one at a time.

    ValueError, naming the files, for unreadable frames and for sizes that differ.
    """
    first = None
    for path, alpha_path in zip(sample.images, sample.alphas, strict=True):
        image = images.read_rgb(path)
        if sample.size not in (None, image.shape[:2]):
            wanted, found = (f"{width} x {height}" for height, width in (sample.size, image.shape[:2]))
            raise ValueError(f"{path} is {found} pixels, but the frames of this benchmark are {wanted}.")
        first = image if first is None else first
        pairs.require_size(image, path, first, sample.images[0])
        alpha = None
        if alpha_path:
            alpha = images.read_matte(alpha_path)
            pairs.require_size(alpha, alpha_path, image, path)
        yield image, alpha
