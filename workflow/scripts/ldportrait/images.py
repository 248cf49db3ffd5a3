"""Pictures on disk and their alpha: reading, writing, compositing, measuring.

Colour is straight (not premultiplied) sRGB and alpha is linear; both are 8 bit here. Colour under alpha 0 is kept.
"""

import hashlib
import io
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ldportrait import commands

FULL_SCALE = {"uint8": 255, "uint16": 65535, "float32": 1, "float64": 1}  # of an alpha of these types
GREY_NOISE = 2  # channels of a grey JPEG differ by no more
OPENING_ALPHA = 0.05  # below this a pixel counts as background
OPENING_PIXELS = 12  # an opening must be larger than this


def decoded(path: Path | str) -> Image.Image:
    """Decode a picture; FileNotFoundError or ValueError in one sentence otherwise."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no picture at {path}.")
    return _decode(path, path)


def _decode(source: Path | io.BytesIO, name: Path | str) -> Image.Image:
    try:
        with Image.open(source) as picture:
            picture.load()
            return picture
    except Image.DecompressionBombError as error:  # told from the header, before anything is decoded
        raise ValueError(f"{name} is too large to be read: {error}") from error
    except Exception as error:  # Pillow's readers raise errors of many kinds for a damaged file
        commands.pass_on(error, name)
        raise ValueError(f"{name} is not a readable picture: {error}.") from error


def decode(content: bytes, mode: str, name: str) -> np.ndarray:
    """Decode a picture's bytes to an array of a Pillow mode: (H, W, 4) for RGBA, (H, W) for L; uint8.

    ValueError, with the `name`, if it is none, or has more pixels than Pillow lets pass.
    """
    picture = _decode(io.BytesIO(content), name)
    return np.array(picture if picture.mode == mode else picture.convert(mode))


def check_size(content: bytes, name: str) -> None:
    """Raise ValueError, with the `name`, if a picture's header promises too many pixels, or is none.

    For decoders that have no such limit themselves.
    """
    try:
        Image.open(io.BytesIO(content)).close()
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} is too large to be read: {error}") from error
    except Exception as error:
        raise ValueError(f"{name} is not a readable picture: {error}.") from error


def read_rgba(path: Path | str) -> np.ndarray:
    """Read a picture with alpha as (H, W, 4) uint8.

    WebP leaves out an alpha that is 255 everywhere, so a WebP without one is read as opaque; any other format without
    alpha is refused with ValueError, since it cannot be a matte.
    """
    picture = decoded(path)
    if not picture.has_transparency_data and picture.format != "WEBP":
        raise ValueError(f"{path} has no alpha channel (mode {picture.mode}).")
    return np.array(picture.convert("RGBA"))


def read_rgb(path: Path | str) -> np.ndarray:
    """Read an opaque picture as (H, W, 3) uint8; ValueError if it has alpha, which would be dropped silently."""
    picture = decoded(path)
    if picture.has_transparency_data:
        raise ValueError(f"{path} has an alpha channel; read it with read_rgba.")
    return np.array(picture.convert("RGB"))


def read_matte(path: Path | str) -> np.ndarray:
    """Read a matte that is a picture of its own as (H, W) uint8.

    Grey, black-and-white, paletted and 16-bit files are read, the last rounded to 8 bits; so are coloured ones whose
    channels are equal but for the noise of a JPEG, of which the first is taken. ValueError for other colours, for a
    matte that is transparent itself, so that nobody could say which of the two is meant, and for 32 bits.
    """
    picture = decoded(path)
    if picture.mode.startswith("I;16"):
        return np.rint(np.asarray(picture, dtype=np.float32) / 257).astype(np.uint8)
    if picture.mode in ("I", "F"):
        raise ValueError(f"{path} has 32 bits a pixel; a matte has 8 or 16.")
    if picture.has_transparency_data and picture.convert("RGBA").getextrema()[3][0] < 255:
        raise ValueError(f"{path} is transparent in places; a matte is an opaque grey picture.")
    if picture.mode in ("1", "L"):
        return np.array(picture.convert("L"))
    channels = np.array(picture.convert("RGB"))
    if np.max(channels.max(axis=2) - channels.min(axis=2)) > GREY_NOISE:
        raise ValueError(f"{path} is coloured; a matte is grey.")
    return np.ascontiguousarray(channels[..., 0])


def read_grey(path: Path, sha256: str, again: str) -> np.ndarray:
    """Read a picture (H, W) uint8 that a table lists. FileNotFoundError or ValueError unless it is as it was written.

    `again` says what is to be done then, as in `predict again`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {again}.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(f"{path} is not the file that its table lists; {again}.")
    picture = decoded(path)
    if picture.mode != "L":
        raise ValueError(f"{path} is not an 8-bit grey picture (its mode is {picture.mode}).")
    return np.array(picture)


def write_grey(path: Path, values: np.ndarray) -> str:
    """Write (H, W) uint8 as PNG, and return the file's SHA-256. OSError, unlike from cv2.imwrite, for a full disk."""
    content = cv2.imencode(".png", values)[1].tobytes()
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def read_clip(path: Path | str, frames: int) -> np.ndarray:
    """Read a clip whose frames are stacked top to bottom in one picture, as (T, H, W, 4) uint8."""
    stack = read_rgba(path)
    height, width = stack.shape[:2]
    if frames < 1 or height % frames:
        raise ValueError(f"{path} is {height} pixels high, which {frames} equal frames cannot fill.")
    return stack.reshape(frames, height // frames, width, 4)


def write_webp(path: Path | str, array: np.ndarray, quality: int = 92, lossless: bool = False) -> None:
    """Write an (H, W, 3) or (H, W, 4) uint8 array as WebP, whole or not at all.

    `quality` (0 to 100) is that of the colour; alpha is lossless always, and colour under alpha 0 is coded like any
    other. The picture appears under its name only when it is complete. Raises ValueError for another array.
    """
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4):
        raise ValueError(f"A picture to write is (H, W, 3) or (H, W, 4) uint8, not {array.shape} {array.dtype}.")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".webp")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            picture = Image.fromarray(np.ascontiguousarray(array))
            picture.save(stream, "WEBP", quality=quality, lossless=lossless, alpha_quality=100, exact=True, method=4)
        Path(temporary).chmod(0o644)  # mkstemp makes it private
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def png(array: np.ndarray, level: int, **more: object) -> bytes:
    """Encode a uint8 picture as PNG with zlib's level. `more` is Pillow's: icc_profile, exif.

    In memory, since Pillow tells of a full disk in words that name none when it writes a PNG to a file itself.
    """
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(stream, "PNG", compress_level=level, **more)
    return stream.getvalue()


def composite(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Lay a straight-alpha picture over a background: I = alpha F + (1 - alpha) B, rounded to the nearest level.

    `rgba` is (H, W, 4) uint8, `background` (H, W, 3) or one colour (3,) uint8; returns (H, W, 3) uint8.
    """
    if rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4:
        raise ValueError(f"A foreground is (H, W, 4) uint8, not {rgba.shape} {rgba.dtype}.")
    background = np.asarray(background)
    if background.shape not in ((*rgba.shape[:2], 3), (3,)):
        raise ValueError(f"A background of shape {background.shape} does not fit a foreground of {rgba.shape[:2]}.")
    alpha = rgba[..., 3:].astype(np.float32) / 255
    mixed = alpha * rgba[..., :3] + (1 - alpha) * background.astype(np.float32)
    return np.rint(mixed).astype(np.uint8)


def compute_alike() -> None:
    """Make OpenCV compute alike on every x86-64 processor, by its basic instructions alone, in this process.

    It has kernels for newer ones, which round otherwise. numpy's sums and products are alike everywhere, but not its
    matrix products (`luminance`) and powers (`exp`).
    """
    cv2.setUseOptimized(False)


def luminance(colour: np.ndarray) -> np.ndarray:
    """The luma (H, W) of ITU-R BT.601 of an sRGB colour (H, W, 3), 0.299 R + 0.587 G + 0.114 B, added in this order.

    A matrix product would be rounded by each processor's own kernel in its own way.
    """
    red, green, blue = np.moveaxis(colour, -1, 0)
    return np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue


def exp(exponent: np.ndarray) -> np.ndarray:
    """e ** exponent, float32, taken in double precision: in single precision processors differ in the last bit."""
    return np.exp(exponent, dtype=np.float64).astype(np.float32)


def unpremultiply(premultiplied: np.ndarray, alpha: np.ndarray, trust: float = 0.06) -> np.ndarray:
    """Straight colour `(H, W, 3)` from premultiplied colour and alpha `(H, W)`, also where alpha is small or 0.

    C / alpha is noise where alpha is small, so it is drawn there towards the colour of its surroundings, taken from a
    pyramid of alpha-weighted averages: F = (C + trust · F_around) / (alpha + trust), from coarse to fine. At alpha = 1
    the pull would be wrong and is left out.
    """
    levels = [(premultiplied.astype(np.float32), alpha.astype(np.float32))]
    while max(levels[-1][1].shape) > 1:
        colour, weight = levels[-1]
        half = (max(1, weight.shape[1] // 2), max(1, weight.shape[0] // 2))
        levels.append(tuple(cv2.resize(a, half, interpolation=cv2.INTER_AREA) for a in (colour, weight)))
    colour, weight = levels.pop()
    straight = (colour / max(float(weight.max()), 1e-6)).reshape(1, 1, 3) * np.ones((*weight.shape, 1), np.float32)
    for colour, weight in reversed(levels):
        around = cv2.resize(straight, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
        pull = (trust * (1 - np.clip(weight, 0, 1)))[..., None]
        straight = (colour + pull * around) / np.maximum(weight[..., None] + pull, 1e-6)
    return straight


def check_alpha(alpha: np.ndarray) -> None:
    """Raise ValueError for what is no alpha."""
    if alpha.ndim != 2 or alpha.dtype.name not in FULL_SCALE or not alpha.size:
        raise ValueError(f"An alpha is (H, W) uint8, uint16 or float, not {alpha.shape} {alpha.dtype}.")
    if alpha.dtype.kind == "f" and not (np.min(alpha) >= 0 and np.max(alpha) <= 1):
        raise ValueError("A floating-point alpha must lie in [0, 1] and have no NaN.")


def _check_8_bit(alpha: np.ndarray) -> None:
    if alpha.dtype != np.uint8 or alpha.ndim != 2:
        raise ValueError(f"An alpha is (H, W) uint8, not {alpha.shape} {alpha.dtype}.")


def openings(alpha: np.ndarray) -> int:
    """Count the enclosed regions of background in an (H, W) uint8 alpha: gaps between arm and body, or through hair.

    A region is 4-connected, has alpha < 0.05 throughout, more than 12 pixels, and does not touch the border.
    """
    _check_8_bit(alpha)
    empty = (alpha < OPENING_ALPHA * 255).astype(np.uint8)
    _, _, statistics, _ = cv2.connectedComponentsWithStats(empty, connectivity=4)
    left, top, width, height, area = statistics[1:].T  # row 0 is everything that is not empty
    inside = (left > 0) & (top > 0) & (left + width < alpha.shape[1]) & (top + height < alpha.shape[0])
    return int(np.count_nonzero(inside & (area > OPENING_PIXELS)))


def fractional_share(alpha: np.ndarray) -> float:
    """Return the share of pixels with 0 < alpha < 255 in an (H, W) uint8 alpha, in [0, 1]."""
    _check_8_bit(alpha)
    return float(np.count_nonzero((alpha > 0) & (alpha < 255)) / alpha.size)
