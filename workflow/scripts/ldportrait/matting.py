"""Matte a picture of any size: whole and small, then refined, or in tiles; and give it another background.

Pictures are (H, W, 3), alpha and trimaps (H, W), all uint8; a predictor is that of `inference`.
"""

from collections.abc import Mapping

import cv2
import numpy as np

from ldportrait import images, pictures, tiling, trimaps
from ldportrait.inference import Predictor, levels, thirds

SIDE = 1024  # of what a network is shown, where neither the user nor the model says another; and of tiles
OVERLAP, MARGIN = 128, 32  # of tiles, pixels: a trimap-based network sees that far beyond the seam, at the least
SMALLEST = 3 * OVERLAP + tiling.ALIGN  # side of a tile
REACH, SMOOTH = 2, 3e-4  # the local linear model's radius in pixels, and the variance of colour that it trusts
SURE = 13  # levels, of 255: an alpha so near to 0 or 255 is taken as known in a trimap
BAND = 0.01  # of the longer side: how far a trimap's unknown region is widened
COLOUR_OVERLAP = 64
FAINT = 5  # levels of alpha that show no person


def shown_side(info: Mapping[str, object]) -> int:
    """The longer side of the pictures that a model is best shown: what its description or its settings say, or SIDE."""
    settings = info["settings"]
    return int(info.get("side") or settings.get("fine") or settings.get("side") or SIDE)


def matte_whole(predict: Predictor, image: np.ndarray, side: int) -> np.ndarray:
    """Alpha (H, W) uint8 of a picture of any size, without a trimap.

    The network is shown the picture scaled to a longer side of `side`, if it is larger; the rest comes from the colours
    of the full picture, by `refine`.
    """
    small = pictures.fit(image, side)
    alpha = predict(small, None)
    return levels(alpha) if small is image else refine(alpha, small, image)


def refine(alpha: np.ndarray, small: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Enlarge alpha (h, w) float32 of `small` (h, w, 3) to that of `image` (H, W, 3), as (H, W) uint8.

    Near each pixel alpha is about linear in colour (He et al. 2013, guided filter). To the alpha enlarged bilinearly is
    added slope · (colour - colour enlarged from the small picture). Made tile by tile.
    """
    colour = small / np.float32(255)
    maps = np.dstack([slopes(alpha, colour), colour, alpha])
    full = np.empty(image.shape[:2], np.uint8)
    for window, _ in tiling.windows(full.shape, SIDE, 0, 0):
        near = tiling.enlarge(maps, full.shape, window)
        beyond = image[window] / np.float32(255) - near[..., 3:6]
        full[window] = levels(np.clip((near[..., :3] * beyond).sum(-1) + near[..., 6], 0, 1))
    return full


def slopes(alpha: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """The slope of alpha (H, W) against colour (H, W, 3), both float32 in [0, 1], around each pixel: (H, W, 3).

    s = (Cov(colour) + SMOOTH · 1)⁻¹ Cov(colour, alpha) over squares of 2 REACH + 1 pixels (He et al. 2013, eq. 19),
    averaged over such squares. It is 0 where alpha is even.
    """
    mean, mean_alpha = _box(colour), _box(alpha)
    shared = _box(colour * alpha[..., None]) - mean * mean_alpha[..., None]
    matrix = np.empty((*alpha.shape, 3, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            matrix[..., i, j] = matrix[..., j, i] = _box(colour[..., i] * colour[..., j]) - mean[..., i] * mean[..., j]
        matrix[..., i, i] += SMOOTH
    slope = np.zeros((*alpha.shape, 3), np.float32)
    uneven = _box(np.abs(alpha - mean_alpha)) > 0
    slope[uneven] = np.linalg.solve(matrix[uneven], shared[uneven][..., None])[..., 0]
    return _box(slope)


def _box(values: np.ndarray) -> np.ndarray:
    return cv2.blur(values, (2 * REACH + 1, 2 * REACH + 1), borderType=cv2.BORDER_REFLECT_101)


def matte_tiles(predict: Predictor, image: np.ndarray, trimap: np.ndarray, side: int) -> np.ndarray:
    """Alpha (H, W) uint8 of a picture of any size with a trimap, tile by tile where anything is unknown.

    Elsewhere alpha is the trimap. Raises ValueError for a side that is too small for tiles.
    """
    alpha = np.where(trimap == trimaps.UNKNOWN, np.float32(0.5), trimap / np.float32(255))

    def difference(window: tiling.Window) -> np.ndarray | None:
        if not (trimap[window] == trimaps.UNKNOWN).any():
            return None
        return predict(image[window], trimap[window]) - thirds(trimap[window])

    tiling.blend(alpha, side, OVERLAP, MARGIN, difference)
    return levels(np.clip(alpha, 0, 1, out=alpha))


def predict_trimap(predict: Predictor, image: np.ndarray, side: int) -> np.ndarray:
    """Make a trimap (H, W) of {0, 128, 255} from what a trimap-free network says of the picture, shown at `side`.

    Unknown is what it is not SURE of, and a rim of BAND of the longer side to either side of that.
    """
    small = pictures.fit(image, side)
    alpha = levels(predict(small, None))
    alpha[alpha <= SURE] = 0
    alpha[alpha >= 255 - SURE] = 255
    reach = max(1, round(BAND * max(alpha.shape)))
    trimap = trimaps.from_alpha(alpha, reach, reach)
    return cv2.resize(trimap, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def foreground(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Estimate the foreground's colour (H, W, 3) of a picture (H, W, 3) with its alpha (H, W), all uint8.

    By multi-level estimation (Germer et al. 2020), tile by tile around fractional pixels, so that nothing of the old
    background shines through. Elsewhere the picture stays.
    """
    from pymatting import estimate_foreground_ml

    soft = (alpha > 0) & (alpha < 255)
    colour = image.astype(np.float32)

    def difference(window: tiling.Window) -> np.ndarray | None:
        if not soft[window].any() or soft.size == 1:  # a pixel alone tells nothing, and pymatting divides by zero
            return None
        tile = image[window] / np.float32(255)
        estimate = 255 * np.clip(estimate_foreground_ml(tile, alpha[window] / np.float32(255)), 0, 1)
        return np.where(soft[window][..., None], estimate - image[window], 0).astype(np.float32)

    tiling.blend(colour, SIDE, COLOUR_OVERLAP, COLOUR_OVERLAP // 4, difference)
    return np.rint(colour, out=colour).astype(np.uint8)


def blurred(image: np.ndarray, alpha: np.ndarray, share: float = 0.02, side: int = 512) -> np.ndarray:
    """Show a picture (H, W, 3) out of focus and without the person whose alpha (H, W) is given.

    Only what shows no person at all counts, and goes on behind them, so that nothing of them glows. Blurred by a
    Gaussian of `share` of the longer side.
    """
    small = pictures.fit(image, side).astype(np.float32)
    away = cv2.resize(alpha, small.shape[1::-1], interpolation=cv2.INTER_AREA) < FAINT
    away = away.astype(np.float32)
    filled = images.unpremultiply(small * away[..., None], away)
    soft = cv2.GaussianBlur(filled, (0, 0), max(0.5, share * max(away.shape)))
    size = image.shape[1::-1]
    return cv2.resize(np.rint(np.clip(soft, 0, 255)).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
