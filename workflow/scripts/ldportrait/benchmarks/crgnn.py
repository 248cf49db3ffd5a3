"""CRGNN: 19 real videos, with a matte drawn for every tenth frame.

    image_allframe/{clip}/{frame}.*     all frames
    alpha/{clip}/{frame}.png            those of the 1st, 11th, 21st … frame
    mask/                               of the first frames, not read

(TiantianWang/VideoMatting-CRGNN; folders as MatAnyone 2's documentation of its evaluation arranges them.)
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import clips, pairs

TITLE = "CRGNN"
KIND = "video"
LICENCE = "non-commercial (Adobe's image data set agreement)"
SOURCE = "github.com/TiantianWang/VideoMatting-CRGNN: Real Data, linked in its README."
COUNTS = {"test": 19}
PROTOCOL = "rvm-hd"
NOTES = (
    "dtSSD spans ten frames here, so that it compares with no other set's.",
    "MatAnyone 2's evaluation writes its columns one too far left, so that the first frame is not in its averages.",
    "It pairs truth i with frame 10 i by position; here the names must say so.",
)
EVERY = 10

frames = clips.frames
load_clip = clips.load_clip


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[clips.Clip]:
    """List the clips in order of name; `root` has image_allframe/ and alpha/. Frames between have no alpha."""
    pairs.require_split(split, COUNTS, TITLE)
    pairs.require_root(root, TITLE)
    homes, truths = (pairs.folder(Path(root), (name,), TITLE) for name in ("image_allframe", "alpha"))
    found = [_clip(home, pairs.folder(truths, (home.name,), TITLE)) for home in clips.folders(homes)]
    pairs.verify_count(len(found), split, counts, TITLE, root, "clips")
    return found


def _clip(home: Path, truths: Path) -> clips.Clip:
    """Put a clip's truth beside its frames. ValueError unless it is that of frames 0, 10, 20 …"""
    images, alphas = pairs.pictures(home), pairs.pictures(truths)
    clips.require_frames(images, home)
    clips.require_frames(alphas, truths)
    for stem, path in alphas.items():
        if stem not in images:
            raise FileNotFoundError(f"{path} has no frame: {home / stem}.* is missing.")
    expected = list(images)[::EVERY][: len(alphas)]
    if list(alphas) != expected:
        wrong = next(name for name, place in zip(expected, alphas, strict=False) if name != place)
        raise ValueError(f"{truths} should have the truth of every tenth frame, but that of {wrong} is missing.")
    return clips.Clip(home.name, tuple(images.values()), tuple(alphas.get(stem) for stem in images))
