"""Trimaps from a segmentation and the doubt about it: what is unknown follows the evidence, not one fixed widening.

Lengths are shares of the picture's longer side, so that a trimap is the same at every size.
"""

import cv2
import numpy as np

from ldportrait.trimaps import BACKGROUND, FOREGROUND, UNKNOWN

THIN = 0.005  # to either side of the mask's edge: unknown, however sure the segmentation is
WIDE = 0.1  # from the edge: beyond it only strong doubt counts
SPREAD = 0.03  # the Gaussian over which doubt is averaged
WEAK, STRONG = 0.03, 0.45  # averaged doubt, of 1, that makes a pixel unknown: at the edge, and from WIDE on
SHOWN = 320  # longer side at which doubt is averaged: a Gaussian of ten pixels needs no more


def evidence(
    mask: np.ndarray,
    doubt: np.ndarray,
    thin: float = THIN,
    wide: float = WIDE,
    spread: float = SPREAD,
    weak: float = WEAK,
    strong: float = STRONG,
) -> np.ndarray:
    """Make a trimap (H, W) uint8 of {0, 128, 255} of a mask (0 or 255) and its doubt (0 … 255), both (H, W) uint8.

    Doubt is averaged by a Gaussian, so that a thin seam of it stays thin, a broad one (hair) reaches beyond itself,
    and specks vanish. Unknown is what lies within `thin` of the mask's edge (a pixel and a half at the least), and
    where the average reaches a threshold that rises with the distance from the edge: from `weak` there to `strong` at
    `wide` and beyond. So where the average is below `weak` the region has exactly its least width, where it is below
    `strong` it ends at `wide`, and a doubt deep inside what seems sure (a hole, a second person) stays unknown only if
    it is strong. Elsewhere the trimap is the mask. ValueError for other arrays or numbers.
    """
    for name, given in (("mask", mask), ("doubt", doubt)):
        if given.dtype != np.uint8 or given.ndim != 2 or given.shape != mask.shape:
            raise ValueError(f"The {name} is (H, W) uint8 like the mask, not {given.shape} {given.dtype}.")
    if not (0 <= thin < wide and spread > 0 and 0 < weak <= strong):
        raise ValueError("A trimap needs 0 <= thin < wide, 0 < spread and 0 < weak <= strong.")
    longer = max(mask.shape)
    away = edge_distance(mask)
    share = np.clip((away / longer - thin) / (wide - thin), 0, 1)
    unknown = averaged(doubt, spread) >= weak + (strong - weak) * share
    unknown |= away <= max(1.5, thin * longer)
    return np.where(unknown, np.uint8(UNKNOWN), np.where(mask > 127, np.uint8(FOREGROUND), np.uint8(BACKGROUND)))


def edge_distance(mask: np.ndarray) -> np.ndarray:
    """Pixels from each pixel to the nearest one on the mask's other side: (H, W) float32; infinite without another."""
    inside = mask > 127
    if inside.all() or not inside.any():
        return np.full(mask.shape, np.inf, np.float32)
    there, here = (cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5) for side in (inside, ~inside))
    return there + here  # one of them is 0


def averaged(doubt: np.ndarray, spread: float) -> np.ndarray:
    """Average doubt (H, W) uint8 by a Gaussian of `spread` of the longer side: (H, W) float32 in [0, 1]."""
    height, width = doubt.shape
    scale = min(1.0, SHOWN / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(doubt / np.float32(255), size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), spread * max(size), borderType=cv2.BORDER_REPLICATE)
    return soft if scale == 1 else cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
