"""Photos as people have them: turned by a tag, with a colour profile, in many modes, of any size or broken.

A photo is read upright, as 8-bit RGB in the colours of its own profile, which its result then carries. Compositing is
done in those colours.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from ldportrait import commands, images, trimaps
from ldportrait.shards import replacing

EXIF_FORMATS = {"JPEG", "MPO", "PNG", "WEBP"}  # a TIFF's tags say how its own file is laid out
GREY_16 = {"I;16", "I;16B", "I;16L", "I;16N"}
GREY_8 = {"L", "LA", "La"}
CONVERTED = {"1", "L", "P", "CMYK", "YCbCr", "RGBX"}  # to RGB; a colour of 16 bits is 8 already as it is read
COMPRESSION = 3  # zlib's level for PNG: half the time of 6, and 5 % larger


@dataclass(frozen=True)
class Photo:
    """A photo (H, W, 3) uint8, upright; its ICC profile, None for sRGB; and its EXIF without the turn."""

    rgb: np.ndarray
    profile: bytes | None = None
    exif: bytes | None = None


def read(path: Path | str, largest: int) -> Photo:
    """Read a photo of at most `largest` pixels; the size is known before anything is decoded.

    Grey, palette and CMYK become RGB (by their profile, if they have one, and are sRGB then). 16 bits become 8. An
    alpha that is opaque throughout is dropped. Raises FileNotFoundError, or ValueError for a photo that is too large,
    unreadable, animated, transparent, or of another mode.
    """
    with opened(path, largest) as picture:
        kept, profile = _exif(picture), picture.info.get("icc_profile")
        if picture.has_transparency_data:
            picture = _opaque(picture, path)
        picture = _eight_bits(picture)
        if picture.mode not in CONVERTED | {"RGB"}:
            raise ValueError(f"{path} has the mode {picture.mode}; save it as RGB of 8 bits.")
        space = _space(profile)
        if (space, picture.mode) in {("GRAY", "L"), ("CMYK", "CMYK")}:
            picture = _converted(picture, profile, None)
        return Photo(np.array(picture.convert("RGB")), profile if space == "RGB" else None, kept)


def read_trimap(path: Path | str, photo: Photo, largest: int) -> np.ndarray:
    """Read a trimap for a photo, as (H, W) of {0, 128, 255}: what is neither 0 nor 255 is unknown.

    Raises FileNotFoundError, or ValueError for one that is unreadable or has another size than the upright photo.
    """
    with opened(path, largest) as picture:
        grey = np.asarray(_eight_bits(picture).convert("L"))
    if grey.shape != photo.rgb.shape[:2]:
        sizes = [f"{shape[1]} × {shape[0]}" for shape in (grey.shape, photo.rgb.shape)]
        raise ValueError(f"The trimap {path} has {sizes[0]} pixels, but its photo, upright, {sizes[1]}.")
    return np.where((grey == 0) | (grey == 255), grey, np.uint8(trimaps.UNKNOWN))


@contextmanager
def opened(path: Path | str, largest: int) -> Iterator[Image.Image]:
    """Decode a picture and turn it upright. Errors are those of `read`."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no picture at {path}.")
    with _named(path):
        picture = _open_unlimited(path)
    with picture:
        pixels = picture.width * picture.height
        if pixels > largest:
            raise ValueError(
                f"{path} has {pixels / 1e6:.1f} megapixels, more than {largest / 1e6:g}; --largest allows more."
            )
        with _named(path):
            frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
        if frames > 1:
            raise ValueError(f"{path} holds {frames} pictures; give it as single ones.")
        with _named(path):
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
        yield picture


@contextmanager
def _named(path: Path | str) -> Iterator[None]:
    """Say of any error that a picture's file is not readable: for a damaged one, Pillow raises them of many kinds."""
    try:
        yield
    except Exception as error:
        commands.pass_on(error, path)
        raise ValueError(f"{path} is not a readable picture: {error}.") from error


def _open_unlimited(path: Path | str) -> Image.Image:
    """Read a picture's head, with Pillow's own limit off: ours holds, which the user can set."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        return Image.open(path)
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _exif(picture: Image.Image) -> bytes | None:
    """The EXIF of an upright picture, to be written again; None without any, or if Pillow cannot write it."""
    if picture.format not in EXIF_FORMATS or not len(picture.getexif()):
        return None
    try:
        return picture.getexif().tobytes()
    except Exception:  # a number out of its tag's range, and what else cameras and damage put there
        return None


def _opaque(picture: Image.Image, path: Path | str) -> Image.Image:
    """Drop an alpha that is 255 everywhere; ValueError for another."""
    if picture.mode in GREY_16:  # one grey stands for clear; Pillow would cut the others off at 255
        clear = (np.asarray(picture) == picture.info["transparency"]).any()
    else:
        clear = picture.convert("RGBA").getextrema()[3][0] < 255
    if clear:
        raise ValueError(f"{path} is transparent in places; lay it over a background first.")
    return picture if picture.mode in GREY_16 else picture.convert("L" if picture.mode in GREY_8 else "RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Make 8 bits of a grey picture's 16; others stay. Pillow's own conversion cuts off what is above 255."""
    if picture.mode not in GREY_16:
        return picture
    return Image.fromarray(np.rint(np.asarray(picture) / 257).astype(np.uint8))


def _space(profile: bytes | None) -> str | None:
    """The colour space of an ICC profile: RGB, GRAY, CMYK, …; None without a readable one."""
    if not profile:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError):
        return None


def in_colours_of(rgb: np.ndarray, profile: bytes | None, photo: Photo) -> np.ndarray:
    """Express colours (H, W, 3) uint8 of one profile (None is sRGB) in a photo's own; ValueError if they cannot be."""
    return rgb if profile == photo.profile else np.array(_converted(Image.fromarray(rgb), profile, photo.profile))


def _converted(picture: Image.Image, source: bytes | None, target: bytes | None) -> Image.Image:
    """Convert a picture between ICC profiles, to RGB; None is sRGB. ValueError for profiles that do not serve."""
    try:
        ends = [
            ImageCms.ImageCmsProfile(io.BytesIO(icc)) if icc else ImageCms.createProfile("sRGB")
            for icc in (source, target)
        ]
        return ImageCms.profileToProfile(picture, *ends, outputMode="RGB")
    except (OSError, ImageCms.PyCMSError) as error:
        raise ValueError(f"A picture's colour profile cannot be used: {error}.") from error


def write(path: Path, array: np.ndarray, photo: Photo) -> None:
    """Write what was made of a photo as PNG, whole or not at all: (H, W, 3 or 4) with its profile and EXIF, or (H, W).

    One channel is alpha, and no colour that a profile could tell of. ValueError if it cannot be written.
    """
    more = {"icc_profile": photo.profile, "exif": photo.exif} if array.ndim == 3 else {}
    more = {name: value for name, value in more.items() if value}
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(images.png(array, COMPRESSION, **more))
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}.") from error
