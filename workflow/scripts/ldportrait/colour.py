"""The foreground's colour: clean where alpha is fractional, and continued under alpha 0, so that nothing has a halo.

What a generated picture shows at a soft pixel is the person over a haze. With the generated alpha r and the refined
alpha a the haze has the weight v = r - a, since r C = a F + v H (Porter and Duff, 1984). Its colour H is seen beside
the person, where the refinement has cleared it, and so the person's own colour is F = C + v / a (C - H). What has lost
no haze keeps its colour. Where little of the person is seen against the haze, the surroundings tell its colour.
"""

import cv2
import numpy as np

from ldportrait.images import FULL_SCALE, check_alpha, unpremultiply

CELL = 4  # pixels: surroundings are averaged from squares of this side on
MARGIN = 1 / 64  # of the picture's side: how far around the person the haze is looked at and the colour continued
FAINT = 0.02  # a pixel of this alpha is seen as well as its surroundings, with no haze behind it
FEARED = 0.17  # the haze's weight behind a soft pixel where the generated alpha is not given
HAZE_TRUST = 0.001  # of the haze's surroundings, whose alpha is small


def clean_foreground(rgb: np.ndarray, alpha: np.ndarray, raw: np.ndarray | None = None) -> np.ndarray:
    """Make the colour clean where alpha is fractional, and continue it under alpha 0: no halo on any background.

    At a soft pixel the result is t F + (1 - t) S with F = C + v / a (C - H), S the colour of the surroundings and
    t = a² / (a² + v² + FAINT² (1 - a)). `raw` is the alpha before its refinement, r; without it F = C and
    v = FEARED (1 - a). Opaque pixels stay as they are, and so does a picture without any alpha. Under alpha 0 the
    colour is S around the person, in squares of CELL pixels, and beyond, the outermost colours go on to the frame:
    nobody sees it there, and it costs little in a lossless file. `rgb` is (H, W, 3) uint8, `alpha` and `raw` are (H, W)
    of one dtype that `refine` takes; returns (H, W, 3) uint8. Raises ValueError for others.
    """
    check_alpha(alpha)
    if rgb.dtype != np.uint8 or rgb.shape != (*alpha.shape, 3):
        raise ValueError(f"A colour is (H, W, 3) uint8 like its alpha, not {rgb.shape} {rgb.dtype}.")
    if raw is not None and (raw.dtype, raw.shape) != (alpha.dtype, alpha.shape):
        raise ValueError(f"The raw alpha is {raw.shape} {raw.dtype}, but the refined one {alpha.shape} {alpha.dtype}.")
    if not alpha.any():
        return rgb.copy()
    height, width = alpha.shape
    top, bottom, left, right = _box(alpha)
    below, beside = max(0, bottom - height), max(0, right - width)

    def cut(array: np.ndarray) -> np.ndarray:
        return cv2.copyMakeBorder(array[top:bottom, left:right], 0, below, 0, beside, cv2.BORDER_CONSTANT, value=0)

    clean = _cleaned(cut(rgb), cut(alpha), None if raw is None else cut(raw))
    clean = clean[: clean.shape[0] - below, : clean.shape[1] - beside]
    sides = top, max(0, height - bottom), left, max(0, width - right)
    return cv2.copyMakeBorder(clean, *sides, cv2.BORDER_REPLICATE)


def _box(alpha: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the person with the margin, on the grid of cells: within the frame, but for that.

    Only with a whole number of cells are the averages quick to take.
    """
    left, top, width, height = cv2.boundingRect((alpha > 0).view(np.uint8))
    margin = round(np.sqrt(alpha.size) * MARGIN)
    low = (max(0, start - margin) // CELL * CELL for start in (top, left))
    high = (min(side, end + margin) for side, end in zip(alpha.shape, (top + height, left + width), strict=True))
    (top, left), (bottom, right) = low, (-(-end // CELL) * CELL for end in high)
    return top, bottom, left, right


def _cleaned(rgb: np.ndarray, alpha: np.ndarray, raw: np.ndarray | None) -> np.ndarray:
    """`clean_foreground` within the person's box."""
    full = FULL_SCALE[alpha.dtype.name]
    clear, opaque = alpha == 0, alpha == full
    soft = np.flatnonzero(~(clear | opaque))
    a = alpha.ravel()[soft, None].astype(np.float32) / full
    own = rgb.reshape(-1, 3).take(soft, axis=0).astype(np.float32)
    veil = FEARED * (1 - a)
    if raw is not None:
        veil = np.maximum(raw.ravel()[soft, None].astype(np.float32) / full - a, 0)
        bare = cv2.multiply(raw, clear.view(np.uint8), scale=255 / full, dtype=cv2.CV_8U)
        if bare.any():
            haze = _surroundings(rgb, bare, HAZE_TRUST).reshape(-1, 3).take(soft, axis=0)
            own = np.clip(own + veil / a * (own - haze), 0, 255)
    seen = rgb.copy()
    seen.reshape(-1, 3)[soft] = _levels(own)
    share = a * a / (a * a + veil * veil + FAINT**2 * (1 - a))
    weight = opaque.view(np.uint8) * np.uint8(255)
    weight.ravel()[soft] = _levels(255 * a * share)[:, 0]
    clean = _surroundings(seen, weight)
    around = clean.reshape(-1, 3).take(soft, axis=0)
    cv2.copyTo(rgb, opaque.view(np.uint8), clean)
    clean.reshape(-1, 3)[soft] = _levels(around + share * (own - around))
    return clean


def _surroundings(rgb: np.ndarray, weight: np.ndarray, trust: float = 0.06) -> np.ndarray:
    """Continue colour from where it has weight, (H, W) uint8, to everywhere: smoothly, from averages of cells on."""
    size = tuple(side // CELL for side in weight.shape[::-1])
    colour = cv2.multiply(rgb, cv2.merge([weight] * 3), dtype=cv2.CV_16U)
    colour = cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(weight * np.uint16(255), size, interpolation=cv2.INTER_AREA)
    coarse = unpremultiply(colour / np.float32(255), total / np.float32(255 * 255), trust)
    return cv2.resize(_levels(coarse), weight.shape[::-1], interpolation=cv2.INTER_NEAREST)


def _levels(colour: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(colour, 0, 255)).astype(np.uint8)
