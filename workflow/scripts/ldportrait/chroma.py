"""Chroma keying: a portrait before a lit green wall, and three keyers that take the wall away again.

This is the baseline that generated mattes are compared with: the classical way to come by many mattes cheaply. Two
walls instead of one give the exact matte but for noise (`triangulate`), and so the most that keying can hope for.
Colours are (H, W, 3) float32 sRGB in [0, 1] inside, uint8 in `shoot` and `key`.
"""

import functools
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
SURE_WALL = 0.15  # keys nearer to 0 than this are wall, if what is around them is so too
SURE_MARGIN = 0.004  # how far around, as a share of the picture's longer side
BLOTCH = 0.03  # standard deviation of the window, as a share of the longer side, in which the wall is averaged
BLOTCH_PRIOR = 0.02  # share of the window that must be wall for the average to count for half
LEAST_APART = 0.5 / 255  # backings nearer to each other than this are equal
EXACT = 1e-4  # trust of `images.unpremultiply` that leaves colours as they are but where alpha is 0
DESPILL_REACH = 0.01  # depth in what is opaque, as a share of the longer side, at which despill has fallen to 1/e


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
    falloff = images.exp(-depth / (SPILL_REACH * max(alpha.shape)))
    return np.clip(rgb + amount * falloff[..., None] * screen, 0, 1)


def shoot(rgba: np.ndarray, stage: Stage, generator: np.random.Generator) -> np.ndarray:
    """Take a picture (H, W, 3) uint8 of a subject (H, W, 4) uint8 before a lit green wall."""
    return shoot_before(rgba, wall(rgba.shape[:2], stage, generator), stage, generator)


def shoot_before(rgba: np.ndarray, screen: np.ndarray, stage: Stage, generator: np.random.Generator) -> np.ndarray:
    """Take a picture (H, W, 3) uint8 of a subject (H, W, 4) uint8 before a given wall (H, W, 3): spill and noise."""
    rgb, alpha = rgba[..., :3].astype(np.float32) / 255, rgba[..., 3].astype(np.float32) / 255
    lit = alpha[..., None] * spilled(rgb, alpha, screen, stage.spill) + (1 - alpha[..., None]) * screen
    noise = generator.standard_normal(lit.shape, dtype=np.float32) * np.float32(stage.noise)
    return np.rint(np.clip(lit * 255 + noise, 0, 255)).astype(np.uint8)


def _excess(rgb: np.ndarray) -> np.ndarray:
    """How much greener than anything else: g - max(r, b)."""
    return rgb[..., 1] - np.maximum(rgb[..., 0], rgb[..., 2])


def find_screen(rgb: np.ndarray) -> np.ndarray:
    """The wall's colour behind each pixel, (H, W, 3): a quadratic surface, and around it what the wall shows.

    A wall is never lit evenly, and a key against one colour turns that into haze; artists correct for it likewise. The
    surface goes behind the subject too; by how much the wall differs from it is averaged over the wall nearby. Where no
    wall is to be seen its usual colour is returned.
    """
    pixels = rgb[::FIT_STEP, ::FIT_STEP]
    green = _excess(pixels) > LEAST_GREEN
    if green.mean() < GREEN_SHARE:
        return np.broadcast_to(np.float32(WALL), rgb.shape)
    smooth = _fitted(pixels, green, rgb.shape[:2])
    side = max(rgb.shape[:2])
    kernel = np.ones((2 * max(1, round(SURE_MARGIN * side)) + 1,) * 2, np.uint8)
    wall_like = np.abs(colour_difference(rgb, smooth)) < SURE_WALL
    sure = cv2.erode(wall_like.astype(np.float32), kernel)
    window = cv2.GaussianBlur(np.dstack([(rgb - smooth) * sure[..., None], sure]), (0, 0), BLOTCH * side)
    return np.clip(smooth + window[..., :3] / (window[..., 3:] + BLOTCH_PRIOR), 0, 1)


def _fitted(pixels: np.ndarray, green: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The quadratic surface (H, W, 3) of `shape` through what surely is wall among every FIT_STEP-th pixel.

    `green` tells which of the pixels may be. What is nearly as green as the greenest ones counts as wall.
    """
    terms, excess = _surface(*shape), _excess(pixels)
    sampled = terms[::FIT_STEP, ::FIT_STEP]
    sure = excess > 0.75 * np.percentile(excess[green], 90)
    for _ in range(3):  # the surface found tells wall from what only is green-ish better than one threshold does
        factors, *_ = np.linalg.lstsq(sampled[sure], pixels[sure], rcond=None)
        again = green & (excess > 0.85 * _excess(_of_terms(sampled, factors)))
        if np.array_equal(again, sure) or again.mean() < GREEN_SHARE:
            break
        sure = again
    return np.clip(_of_terms(terms, factors), 0, 1)


def _of_terms(terms: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The sum of terms (..., n) times their factors (n, m): terms @ factors, added in order on every processor."""
    return functools.reduce(np.add, (terms[..., i, None] * factor for i, factor in enumerate(factors)))


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
    return _of_terms(rgb, np.float32([[-0.168736, 0.5], [-0.331264, -0.418688], [0.5, -0.081312]]))


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


# Found by `tune` on the bank's three val green shots and its 16 val portraits, as `keying.tuning_shots` gives them. The
# mean absolute errors are 3.7, 3.0 and 3.4 thousandths; without core mattes 5.6, 7.2 and 7.5 at best. The despill was
# chosen on the 16 portraits, since the exact colour of a green shot has the wall's light in it: the colour in the soft
# edge is off by 6.8 levels held down to the average of red and blue, by 7.8 to the larger, and by 8.0 left alone.
LEVELS: Mapping[str, Levels] = {
    "colour-difference": Levels(0.08, 1.0, 0.4),
    "vlahos": Levels(0.08, 0.85, 0.4),
    "cbcr": Levels(0.1, 0.95, 0.4),
}
BLACKS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.14)  # what `tune` tries
WHITES = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1)
CORES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)
PLAIN = Levels(0.0, 1.0, 0.0)  # the key as it is, but clipped


def matte(key: np.ndarray, levels: Levels) -> np.ndarray:
    """Make an alpha (H, W) in [0, 1] of a key (H, W)."""
    soft = np.clip((key - levels.black) / (levels.white - levels.black), 0, 1)
    return np.where(_inside(key, levels.core), np.float32(1), soft) if levels.core else soft


def _inside(key: np.ndarray, core: float) -> np.ndarray:
    """Where a core matte is 1, (H, W) bool: deeper than CORE_DEPTH in what has at least the key `core`."""
    reach = max(1, round(CORE_DEPTH * max(key.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.erode((key >= core).astype(np.uint8), kernel) > 0


def despill(rgb: np.ndarray, limit: str = "average") -> np.ndarray:
    """Hold green down to the average of red and blue, or to the larger of them (`limit="max"`)."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    limits = {"average": (red + blue) / 2, "max": np.maximum(red, blue)}
    if limit not in limits:
        raise ValueError(f"There is no despill by {limit!r}; there is {' and '.join(limits)}.")
    return np.stack([red, np.minimum(green, limits[limit]), blue], axis=-1)


def despill_edge(rgb: np.ndarray, alpha: np.ndarray, limit: str = "average") -> np.ndarray:
    """Despill (H, W, 3) where alpha (H, W) is soft, and inwards less and less: light from the wall hardly gets there.

    Green clothes stay green but for their rim.
    """
    depth = cv2.distanceTransform((alpha >= 1).astype(np.uint8), cv2.DIST_L2, 5)
    depth = np.minimum(depth, max(alpha.shape))  # without any soft pixel it has no bound
    amount = images.exp(-depth / (DESPILL_REACH * max(alpha.shape)))[..., None]
    return rgb + amount * (despill(rgb, limit) - rgb)


@dataclass(frozen=True)
class KeyParams:
    """A keyer, its levels (those of LEVELS where None) and the limit of its despill.

    The defaults are the best on the pictures that the levels were tuned on.
    """

    keyer: str = "vlahos"
    clip_black: float | None = None
    clip_white: float | None = None
    core: float | None = None
    despill: str = "average"

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

    The colour is straight, F = (C - (1 - alpha) S) / alpha, and its surroundings' where alpha is small; it is despilled
    along the edge.
    """
    levels = params.levels()
    rgb = shot.astype(np.float32) / 255
    screen = find_screen(rgb)
    alpha = matte(KEYERS[params.keyer](rgb, screen), levels).astype(np.float32)
    premultiplied = np.clip(rgb - (1 - alpha[..., None]) * screen, 0, alpha[..., None])
    colour = despill_edge(images.unpremultiply(premultiplied, alpha), alpha, params.despill)
    return _picture(colour, alpha)


def _picture(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colour (H, W, 3) and alpha (H, W) in [0, 1] as (H, W, 4) uint8."""
    return np.rint(np.clip(np.dstack([colour, alpha]), 0, 1) * 255).astype(np.uint8)


def triangulate(shot1: np.ndarray, shot2: np.ndarray, backing1: np.ndarray, backing2: np.ndarray) -> np.ndarray:
    """Matte a subject from two pictures (H, W, 3) before two known backings, (H, W, 3) or (3,): (H, W, 4) uint8.

    All are uint8 or floating point in [0, 1]. With C_i = P + (1 - alpha) B_i for the premultiplied colour P, least
    squares over both pictures give alpha = 1 - <C1 - C2, B1 - B2> / |B1 - B2|^2 (triangulation matting; Smith and
    Blinn, SIGGRAPH 1996), and P is the mean of C_i - (1 - alpha) B_i. Exact for any subject where there is no noise;
    noise counts the more the less the backings differ. ValueError for shapes that do not fit, or equal backings.
    """
    one, two, first, second = (_unit(array) for array in (shot1, shot2, backing1, backing2))
    if one.ndim != 3 or one.shape[2] != 3 or two.shape != one.shape:
        raise ValueError(f"Two pictures of one subject are (H, W, 3) alike, not {one.shape} and {two.shape}.")
    for backing in (first, second):
        if backing.shape not in (one.shape, (3,)):
            raise ValueError(f"A backing of shape {backing.shape} does not fit a picture of {one.shape}.")
    apart = np.broadcast_to(first - second, one.shape)
    squared = (apart**2).sum(axis=-1)
    equal = np.count_nonzero(squared < LEAST_APART**2)
    if equal:
        raise ValueError(f"The two backings are equal at {equal} of {squared.size} pixels, and no alpha follows there.")
    alpha = np.clip(1 - ((one - two) * apart).sum(axis=-1) / squared, 0, 1)
    premultiplied = (one + two - (1 - alpha[..., None]) * (first + second)) / 2
    premultiplied = np.clip(premultiplied, 0, alpha[..., None])
    return _picture(images.unpremultiply(premultiplied, alpha, EXACT), alpha)


def _unit(array: np.ndarray) -> np.ndarray:
    """A picture in [0, 1], float32."""
    array = np.asarray(array)
    return array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)


def tune(keyer: str, shots: Iterable[tuple[np.ndarray, np.ndarray]]) -> Levels:
    """Find the levels with the least mean absolute error over (picture (H, W, 3), true alpha (H, W)), both uint8.

    All of BLACKS, WHITES and CORES are tried, pictures counting alike.
    """
    errors = np.zeros((len(CORES), len(BLACKS), len(WHITES)))
    for shot, truth in shots:
        rgb = shot.astype(np.float32) / 255
        raw, true = KEYERS[keyer](rgb, find_screen(rgb)), truth.astype(np.float32) / 255
        cores = [_inside(raw, core) if core else np.zeros(raw.shape, bool) for core in CORES]
        inner = np.array([(1 - true[core]).sum() for core in cores])
        for b, black in enumerate(BLACKS):
            for w, white in enumerate(WHITES):
                soft = np.abs(matte(raw, Levels(black, white, 0)) - true)
                errors[:, b, w] += (inner + [soft[~core].sum() for core in cores]) / true.size
    core, black, white = np.unravel_index(np.argmin(errors), errors.shape)
    return Levels(BLACKS[black], WHITES[white], CORES[core])
