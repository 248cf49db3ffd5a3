"""P3M-500-NP: 500 portraits with their faces, of P3M-10k; the layout is that of p3m-500-p."""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import p3m_500_p, pairs

TITLE = "P3M-500-NP"
KIND = "image"
LICENCE = p3m_500_p.LICENCE
SOURCE = p3m_500_p.SOURCE
COUNTS = {"test": 500, "train": 9421}
PROTOCOL = "p3m"
NOTES = (
    "Tables of interactive methods (a box, a mask, a point as a hint) stand beside trimap-free ones; read the hint.",
    "In SDMatte's table, Conn counts the background as a component, for all its methods: it compares with no other.",
    "The training pictures have blurred faces, these have not: that is what the set measures.",
    *p3m_500_p.NOTES[3:],
)
LAYOUT = {
    "test": (
        pairs.Folders(
            image=("validation/P3M-500-NP/original_image", "P3M-500-NP/original_image"),
            alpha=("validation/P3M-500-NP/mask", "P3M-500-NP/mask"),
            trimap=("validation/P3M-500-NP/trimap", "P3M-500-NP/trimap"),
        ),
    ),
    "train": (p3m_500_p.TRAIN,),
}

load = pairs.load


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[pairs.Sample]:
    """List a split's samples, those to train on without trimaps; `root` has train/ and validation/, or test sets."""
    return pairs.items(root, LAYOUT, split, TITLE, counts)
