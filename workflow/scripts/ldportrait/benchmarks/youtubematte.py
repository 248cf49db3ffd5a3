"""YouTubeMatte, in 512 x 288: people keyed from videos of YouTube, harmonised with their backgrounds.

    youtubematte_512x288/{youtubematte_static,youtubematte_motion}/{clip}/{har,pha}/{frame}.png

32 foregrounds, each before a still and a moving background. `har` is the harmonised composite, `pha` the matte.
(pq-yang/MatAnyone, README and evaluation/; masks of the first frames are a separate archive and not read.)
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import clips

TITLE = "YouTubeMatte 512x288"
KIND = "video"
LICENCE = "NTU S-Lab License 1.0 (that of the MatAnyone repository): non-commercial"
SOURCE = "github.com/pq-yang/MatAnyone: YouTubeMatte.zip, linked in its README."
COUNTS = {"test": 64}
PROTOCOL = "rvm"
NOTES = (
    "The README counts 32 foregrounds; that each is in both folders is inferred: their scripts take one mask for both.",
    "MatAnyone and other target-assigned methods get a mask of the first frame; RVM and MODNet get nothing.",
    "MatAnyone is run with other parameters at each resolution.",
)
LAYOUT = clips.Layout(
    base="youtubematte_512x288",
    subsets=("youtubematte_static", "youtubematte_motion"),
    image="har",
    alpha="pha",
    size=(288, 512),
)

frames = clips.frames
load_clip = clips.load_clip


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[clips.Clip]:
    """List the clips; `root` is youtubematte_512x288 or the folder that it is in."""
    return clips.items(root, LAYOUT, split, TITLE, counts)
