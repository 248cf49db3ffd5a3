"""Made scenes whose motion is known: moved textures, and a square person before one."""

from fractions import Fraction

import cv2
import numpy as np

from ldportrait.video.files import Frame


def texture(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Coarse and fine noise, (H, W, 3) uint8, whose motion can be seen everywhere."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(*shape, 3)), (0, 0), sigma) * sigma for sigma in (1.5, 4, 10)]
    return np.rint(cv2.normalize(sum(layers), None, 20, 235, cv2.NORM_MINMAX)).astype(np.uint8)


def shifted(picture: np.ndarray, right: float, down: float) -> np.ndarray:
    """A picture moved by so many pixels, wrapped around at whole ones."""
    moved = np.roll(picture, (int(np.floor(down)), int(np.floor(right))), (0, 1))
    matrix = np.float64([[1, 0, right % 1], [0, 1, down % 1]])
    return cv2.warpAffine(moved, matrix, picture.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)


def frame(index: int, rgb: np.ndarray) -> Frame:
    return Frame(index, Fraction(index, 25), rgb)


def person(
    count: int, shape: tuple[int, int] = (96, 128), side: int = 40, start: int = 20, step: float = 3
) -> tuple[list[Frame], np.ndarray]:
    """A textured square that moves right before a still texture: its frames, and its masks (T, H, W) bool.

    The square's left edge is at start + step · t; it leaves the picture at its right.
    """
    ground, body = texture(shape, 1), texture((side, side), 2)
    frames, masks = [], np.zeros((count, *shape), bool)
    top = (shape[0] - side) // 2
    for index in range(count):
        left = round(start + step * index)
        rgb, visible = ground.copy(), slice(min(shape[1], max(0, left)), min(shape[1], max(0, left + side)))
        rgb[top : top + side, visible] = body[:, visible.start - left : visible.stop - left]
        masks[index, top : top + side, visible] = True
        frames.append(frame(index, rgb))
    return frames, masks
