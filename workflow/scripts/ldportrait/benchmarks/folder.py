"""A folder of your own: pictures and mattes, or RGBA cut-outs and backgrounds.

    image/ alpha/ [trimap/] [foreground/]     with equal stems; or
    cutout/ background/                       cut-out i before background i mod n, as in the bank

Splits, if you have any, are folders of their names with these in them (train/image/ …); the test split may also lie in
the root itself.
"""

from pathlib import Path

from ldportrait.benchmarks import Loaded, bank, cutouts, pairs

TITLE = "The folder"
KIND = "image"
LICENCE = "yours"
SOURCE = "Yours."
COUNTS = {}  # any number
PROTOCOL = "definition"
NOTES = (
    "A part of a public set in such a folder is not that set: its scores are not to be put beside published ones.",
)
PAIRS = pairs.Folders(
    image=("image",),
    alpha=("alpha",),
    trimap=("trimap",),
    foreground=("foreground",),
    optional=("trimap", "foreground"),
)


def items(root: Path, split: str = "test") -> list[pairs.Sample] | list[bank.Sample]:
    """List the samples of a split in order of name.

    Raises FileNotFoundError for a folder or a picture's partner that is missing, ValueError for no pictures at all.
    """
    pairs.require_root(root, TITLE)
    home = Path(root, split)
    if not home.is_dir():
        if split != "test":
            raise ValueError(f"{TITLE} {root} has no split {split!r}: there is no {home}.")
        home = Path(root)
    if (home / "cutout").is_dir():
        return cutouts.items(home, ("cutout",), ("background",), "test", f"{TITLE} {root}", {})
    samples = pairs.items(home, {split: (PAIRS,)}, split, f"{TITLE} {root}", {})
    if not samples:
        raise ValueError(f"There are no pictures in {home / 'image'}.")
    return samples


def load(sample: pairs.Sample | bank.Sample) -> Loaded:
    """Read a sample. Where there is no trimap, it is made from the matte."""
    return bank.load(sample) if isinstance(sample, bank.Sample) else pairs.load(sample)
