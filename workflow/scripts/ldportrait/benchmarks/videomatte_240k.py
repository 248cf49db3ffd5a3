"""VideoMatte240K, the test that Robust Video Matting made of it, in 512 x 288.

    videomatte_512x288/{videomatte_static,videomatte_motion}/{clip}/{com,pha,fgr}/{frame}.png

5 foregrounds before 5 still and 5 moving backgrounds each, as its paper says: 25 clips of 100 frames in each folder.
`com` is the composite, `pha` the matte. (PeterL1n/RobustVideoMatting, documentation/training.md and evaluation/.)
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import clips

TITLE = "VideoMatte240K 512x288"
KIND = "video"
LICENCE = "not stated where we could read it; see the site of Background Matting V2"
SOURCE = "videomatte_512x288.tar, linked from documentation/training.md of github.com/PeterL1n/RobustVideoMatting."
COUNTS = {"test": 50}
PROTOCOL = "rvm"
NOTES = (
    "Use the prebuilt frames: composites of another make are not this benchmark. RVM's script makes 20 clips a folder "
    "by default; the distributed ones have 25, which others' scripts loop over.",
    "RVM's low-resolution script normalises each matte to 0..1 before Grad, its high-resolution one does not.",
    "The first frame's dtSSD is 0 and is averaged with the others.",
    "Only 5 foregrounds: differences between methods are differences on 5 people.",
    "The true mattes were keyed from a green screen; methods trained on VideoMatte240K saw mattes of the same make.",
)
LAYOUT = clips.Layout(
    base="videomatte_512x288",
    subsets=("videomatte_static", "videomatte_motion"),
    image="com",
    alpha="pha",
    size=(288, 512),
    length=100,
)

frames = clips.frames
load_clip = clips.load_clip


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[clips.Clip]:
    """List the clips; `root` is videomatte_512x288 or the folder that it is in."""
    return clips.items(root, LAYOUT, split, TITLE, counts)
