"""Chroma keying: a portrait before a lit green wall, and three keyers that take the wall away again.

This is the baseline that generated mattes are compared with: the classical way to come by many mattes cheaply.
Colours are (H, W, 3) float32 sRGB in [0, 1] inside, uint8 in `shoot` and `key`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ldportrait import images

WALL = (0.25, 0.592, 0.29)  # mean of the walls in the bank's green shots
SPILL_REACH = 0.02  # depth, as a share of the picture's longer side, at which spill has fallen to 1/e
LEAST_GREEN = 0.1  # g - max(r, b) of what can be a green wall at all
GREEN_SHARE = 0.002  # fewer pixels than this share do not show the wall
CORE_DEPTH = 0.008  # how deep inside, as a share of the picture's longer side, a core matte begins
FIT_STEP = 4  # every fourth pixel each way is enough to fit the wall


@dataclass(frozen=True)
class Stage:
    """How the wall is lit and the picture is taken.

    The defaults give walls as uneven as in the bank's green shots (standard deviation of 4 to 10 levels in green).
    """

    unevenness: float = 0.15  # gradient, vignette and blotches, each up to this share of the wall's colour
    spill: float = 0.06  # green light added to the subject's edges, as a share of the wall's colour
    noise: float = 2.0  # standard deviation of the camera's noise, in levels of 255


def wall(shape: tuple[int, int], stage: Stage, generator: np.random.Generator) -> np.ndarray:
    """A green wall (H, W, 3) in uneven light: a gradient, a vignette and soft blotches, without camera noise."""
    height, width = shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = generator.uniform(0, 2 * np.pi)
    gradient = (np.cos(angle) * x + np.sin(angle) * y) / 2
    vignette = -((x - generator.uniform(-0.3, 0.3)) ** 2 + (y - generator.uniform(-0.3, 0.3)) ** 2) / 2
    blotches = cv2.resize(generator.uniform(-1, 1, (4, 4)).astype(np.float32), (width, height), None, 0, 0, 2)
    amounts = stage.unevenness * generator.uniform(0.3, 1, 3)
    light = 1 + amounts[0] * gradient + amounts[1] * vignette + amounts[2] / 2 * blotches
    colour = np.array(WALL) + generator.uniform(-0.02, 0.02, 3)
    return np.clip(light[..., None] * colour, 0, 1).astype(np.float32)


def spilled(rgb: np.ndarray, alpha: np.ndarray, screen: np.ndarray, amount: float) -> np.ndarray:
    """Add the wall's light to a subject's edges: F + amount S exp(-depth / reach), depth measured from the outline.

    `rgb` and `screen` are (H, W, 3), `alpha` (H, W), all in [0, 1].
    """
    depth = cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    falloff = np.exp(-depth / (SPILL_REACH * max(alpha.shape)))
    return np.clip(rgb + amount * falloff[..., None] * screen, 0, 1)


def shoot(rgba: np.ndarray, stage: Stage, generator: np.random.Generator) -> np.ndarray:
    """Take a picture (H, W, 3) uint8 of a subject (H, W, 4) uint8 before a lit green wall."""
    rgb, alpha = rgba[..., :3].astype(np.float32) / 255, rgba[..., 3].astype(np.float32) / 255
    screen = wall(alpha.shape, stage, generator)
    lit = alpha[..., None] * spilled(rgb, alpha, screen, stage.spill) + (1 - alpha[..., None]) * screen
    noise = generator.standard_normal(lit.shape, dtype=np.float32) * np.float32(stage.noise)
    return np.rint(np.clip(lit * 255 + noise, 0, 255)).astype(np.uint8)


def _excess(rgb: np.ndarray) -> np.ndarray:
    """How much greener than anything else: g - max(r, b)."""
    return rgb[..., 1] - np.maximum(rgb[..., 0], rgb[..., 2])


def find_screen(rgb: np.ndarray) -> np.ndarray:
    """The wall's colour behind each pixel, (H, W, 3): a quadratic surface through what surely is wall.

    A wall is never lit evenly, and a key against one colour turns that into haze; artists correct for it likewise. What
    is nearly as green as the greenest pixels counts as wall. Where no wall is to be seen its usual colour is returned.
    """
    height, width = rgb.shape[:2]
    pixels = rgb[::FIT_STEP, ::FIT_STEP]
    excess = _excess(pixels)
    green = excess > LEAST_GREEN
    if green.mean() < GREEN_SHARE:
        return np.broadcast_to(np.float32(WALL), rgb.shape)
    terms = _surface(height, width)
    sampled = terms[::FIT_STEP, ::FIT_STEP]
    sure = excess > 0.75 * np.percentile(excess[green], 90)
    for _ in range(3):  # the surface found tells wall from what only is green-ish better than one threshold does
        factors, *_ = np.linalg.lstsq(sampled[sure], pixels[sure], rcond=None)
        again = green & (excess > 0.85 * _excess(sampled @ factors))
        if np.array_equal(again, sure) or again.mean() < GREEN_SHARE:
            break
        sure = again
    return np.clip(terms @ factors, 0, 1)


def _surface(height: int, width: int) -> np.ndarray:
    """The six terms of a quadratic in x and y, (H, W, 6)."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def colour_difference(rgb: np.ndarray, screen: np.ndarray) -> np.ndarray:
    """Key by colour difference, as Keylight does: 1 - (g - max(r, b)) / (G - max(R, B)), unclipped."""
    return 1 - _excess(rgb) / np.maximum(_excess(screen), 1e-3)


def vlahos(rgb: np.ndarray, screen: np.ndarray, ratio: float = 1.0, balance: float = 0.5) -> np.ndarray:
    """Key by Vlahos's formula, 1 - a1 (g - a2 (a5 max(r, b) + (1 - a5) min(r, b))), unclipped.

    After Smith and Blinn (SIGGRAPH 1996), section 3, with green in the place of blue. `ratio` is a2, `balance` a5, and
    a1 is chosen so that the screen has 0. With a5 = 0 the subject's warm skin, whose blue is low, would be transparent.
    """

    def backing(colour: np.ndarray) -> np.ndarray:
        red, green, blue = np.moveaxis(colour, -1, 0)
        other = balance * np.maximum(red, blue) + (1 - balance) * np.minimum(red, blue)
        return green - ratio * other

    return 1 - backing(rgb) / np.maximum(backing(screen), 1e-3)


def cbcr_distance(rgb: np.ndarray, screen: np.ndarray) -> np.ndarray:
    """Key by the distance from the screen in the CbCr plane, as ffmpeg's `chromakey` does, unclipped.

    In units of the screen's own distance from grey, so that the screen has 0 and grey has 1.
    """
    distance = np.linalg.norm(_cbcr(rgb) - _cbcr(screen), axis=-1)
    return distance / np.maximum(np.linalg.norm(_cbcr(screen), axis=-1), 1e-3)


def _cbcr(rgb: np.ndarray) -> np.ndarray:
    """Cb and Cr of ITU-R BT.601 about 0."""
    return rgb @ np.float32([[-0.168736, 0.5], [-0.331264, -0.418688], [0.5, -0.081312]])


KEYERS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "colour-difference": colour_difference,
    "vlahos": vlahos,
    "cbcr": cbcr_distance,
}


@dataclass(frozen=True)
class Levels:
    """Where a key becomes alpha.

    `black` and below is 0, `white` and above 1. From `core` up it is 1 too, but only well inside (0: nowhere); without
    this core matte, as artists call it, either green-ish clothes have holes or fine hair is cut off.
    """

    black: float
    white: float
    core: float


# Found by `tune` on the bank's three val green shots and its 16 val portraits, shot with the default stage. Their mean
# absolute errors are 3.8, 3.1 and 3.4 thousandths; without core mattes 5.5, 5.4 and 6.1 at best.
LEVELS: Mapping[str, Levels] = {
    "colour-difference": Levels(0.1, 1.0, 0.4),
    "vlahos": Levels(0.1, 0.9, 0.4),
    "cbcr": Levels(0.1, 0.9, 0.4),
}


def matte(key: np.ndarray, levels: Levels) -> np.ndarray:
    """Make an alpha (H, W) in [0, 1] of a key (H, W)."""
    soft = np.clip((key - levels.black) / (levels.white - levels.black), 0, 1)
    if levels.core == 0:
        return soft
    reach = max(1, round(CORE_DEPTH * max(key.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.maximum(soft, cv2.erode((key >= levels.core).astype(np.float32), kernel))


def despill(rgb: np.ndarray, limit: str = "average") -> np.ndarray:
    """Hold green down to the average of red and blue, or to the larger of them (`limit="max"`)."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    limits = {"average": (red + blue) / 2, "max": np.maximum(red, blue)}
    if limit not in limits:
        raise ValueError(f"There is no despill by {limit!r}; there is {' and '.join(limits)}.")
    return np.stack([red, np.minimum(green, limits[limit]), blue], axis=-1)


@dataclass(frozen=True)
class KeyParams:
    """A keyer, its levels (those of LEVELS where None) and the limit of its despill.

    The default is the best of the three on the pictures they were tuned on.
    """

    keyer: str = "vlahos"
    clip_black: float | None = None
    clip_white: float | None = None
    core: float | None = None
    despill: str = "max"

    def levels(self) -> Levels:
        """The levels in force. ValueError for an unknown keyer, or levels out of order."""
        if self.keyer not in KEYERS:
            raise ValueError(f"There is no keyer {self.keyer!r}; there is {', '.join(KEYERS)}.")
        given = {"black": self.clip_black, "white": self.clip_white, "core": self.core}
        levels = replace(LEVELS[self.keyer], **{name: value for name, value in given.items() if value is not None})
        if not levels.black < levels.white:
            raise ValueError(f"Clip levels go up from black, {levels.black:g}, to white, {levels.white:g}.")
        return levels


def key(shot: np.ndarray, params: KeyParams = KeyParams()) -> np.ndarray:
    """Key a picture (H, W, 3) uint8 of a subject before a green wall: (H, W, 4) uint8.

    The colour is straight and despilled: F = (C - (1 - alpha) S) / alpha, and its surroundings' where alpha is small.
    """
    levels = params.levels()
    rgb = shot.astype(np.float32) / 255
    screen = find_screen(rgb)
    alpha = matte(KEYERS[params.keyer](rgb, screen), levels).astype(np.float32)
    premultiplied = np.clip(rgb - (1 - alpha[..., None]) * screen, 0, alpha[..., None])
    colour = despill(images.unpremultiply(premultiplied, alpha), params.despill)
    return np.rint(np.clip(np.dstack([colour, alpha]), 0, 1) * 255).astype(np.uint8)


def tune(keyer: str, shots: Iterable[tuple[np.ndarray, np.ndarray]]) -> Levels:
    """Find the levels with the least mean absolute error over (picture (H, W, 3), true alpha (H, W)), both uint8.

    All on a grid of 0.05 for black and 0.1 for the others are tried, pictures counting alike.
    """
    grid = [
        Levels(black / 100, white / 10, core / 10)
        for black in range(0, 30, 5)
        for white in range(4, 12)
        for core in range(2, 9)
    ]
    errors = np.zeros(len(grid))
    for shot, truth in shots:
        rgb = shot.astype(np.float32) / 255
        raw, true = KEYERS[keyer](rgb, find_screen(rgb)), truth.astype(np.float32) / 255
        errors += [np.abs(matte(raw, levels) - true).mean() for levels in grid]
    return grid[int(np.argmin(errors))]
