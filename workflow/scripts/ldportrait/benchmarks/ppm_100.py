"""PPM-100: 100 photographs of people in high resolution.

    image/    100 pictures, JPEG
    matte/    100 mattes, JPEG, with equal stems; there are no trimaps

The repository names no folders; these are the names that the code of others reads (Matting-Anything and more).
"""

from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import pairs

TITLE = "PPM-100"
KIND = "image"
LICENCE = "pictures: Flickr, Creative Commons with commercial use and changes allowed; mattes: CC BY-NC-SA 4.0"
SOURCE = "github.com/ZHKKKe/PPM: the links in its README."
COUNTS = {"test": 100}
PROTOCOL = "whole"
NOTES = (
    "A few pictures of the MODNet paper were replaced for their licences: the paper's numbers are of another set.",
    "Matting by Generation's tables leave out 5 of the 100 pictures as ambiguous.",
    "Some train on it (BiRefNet's matting weights, re-implementations of MODNet): check before you compare.",
    "Pictures have about 9 megapixels, so that SAD and Conn are far larger than on other sets.",
    "Pictures and mattes are read as stored; an orientation in EXIF is not applied.",
)
LAYOUT = {"test": (pairs.Folders(image=("image",), alpha=("matte",)),)}

load = pairs.load


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[pairs.Sample]:
    """List the samples; `root` has image/ and matte/. Trimaps are made from the mattes."""
    return pairs.items(root, LAYOUT, split, TITLE, counts)
