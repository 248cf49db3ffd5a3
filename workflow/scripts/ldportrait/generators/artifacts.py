"""Damage an exact matte as LayerDiffuse damages, with the faults and amounts measured on its published outputs.

What its mattes look like, and what is imitated here: bodies are hardly ever exactly opaque (alpha 243 to 254 along the
weave and folds of clothes and along strands of hair, with faces clean), some small see-through spots follow dark lines,
a smooth low haze hugs the hair but not the shoulders, crumbs lie near the hair, and rows at the frame's edge are off.
Now and then a picture is spoilt altogether.

Pictures are (H, W, 4) uint8, straight colour; alphas inside are (H, W) float32 in [0, 255]. Lengths are given for a
picture of 1024 x 1024 pixels and scaled by `unit`.
"""

from collections.abc import Callable

import cv2
import numpy as np

from ldportrait import images

REFERENCE = 1024  # pixels: the side of the picture that all lengths and areas are given for
INTERIOR = 25  # pixels inside the silhouette
FADE = 6.0  # levels of alpha below which a veil takes on the colour that is there

FINE = ("speckle", "spots", "patch", "holes", "halo", "dust", "band", "island")
GROSS = ("scenery", "ground glow", "pane", "opaque", "near-empty", "two persons")


def unit(shape: tuple[int, ...]) -> float:
    """Return how many pixels of a picture of this shape are one pixel of a 1024 x 1024 picture."""
    return float(np.sqrt(shape[0] * shape[1])) / REFERENCE


def statistics(alpha: np.ndarray) -> dict[str, float]:
    """Measure an (H, W) uint8 alpha as the published outputs were measured; areas and counts of sizes at 1024 x 1024.

    Shares of the frame: `empty` (0), `opaque` (255), `low` (1-12), `middle` (13-242), `high` (243-254), `fractional`.
    Of the 8-connected components of alpha > 0.05: `components`, `large_components` (>= 100 pixels), `outside` (pixels
    outside the largest). `spots` and `spot_pixels`: 4-connected regions of alpha < 0.95 that do not touch the frame.
    `below_255`, `below_243`, `below_204`: shares of the interior, which is deeper than 25 pixels in the silhouette
    alpha > 0.5 with its holes filled; NaN where there is none.
    """
    area = unit(alpha.shape) ** 2
    _, _, islands, _ = cv2.connectedComponentsWithStats((alpha > 0.05 * 255).astype(np.uint8), connectivity=8)
    sizes = np.sort(islands[1:, cv2.CC_STAT_AREA]) / area
    _, _, gaps, _ = cv2.connectedComponentsWithStats((alpha < 0.95 * 255).astype(np.uint8), connectivity=4)
    left, top, width, height, pixels = gaps[1:].T
    enclosed = (left > 0) & (top > 0) & (left + width < alpha.shape[1]) & (top + height < alpha.shape[0])
    inside = alpha[depth(alpha) > INTERIOR * unit(alpha.shape)]
    below = {f"below_{level}": float((inside < level).mean()) if inside.size else np.nan for level in (255, 243, 204)}
    return {
        "empty": float((alpha == 0).mean()),
        "opaque": float((alpha == 255).mean()),
        "fractional": float(((alpha > 0) & (alpha < 255)).mean()),
        "low": float(((alpha >= 1) & (alpha <= 12)).mean()),
        "middle": float(((alpha >= 13) & (alpha <= 242)).mean()),
        "high": float(((alpha >= 243) & (alpha <= 254)).mean()),
        "components": float(len(sizes)),
        "large_components": float((sizes >= 100).sum()),
        "outside": float(sizes[:-1].sum()),
        "spots": float(enclosed.sum()),
        "spot_pixels": float(pixels[enclosed].sum() / area),
        **below,
    }


def depth(alpha: np.ndarray) -> np.ndarray:
    """Return each pixel's distance (H, W) in pixels to the outside of the silhouette alpha > 0.5, its holes filled.

    The frame is no outside: a body that leaves the picture is deep there.
    """
    silhouette = (alpha > 127.5).astype(np.uint8)
    framed = cv2.copyMakeBorder(silhouette, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(framed, None, (0, 0), 2)
    return cv2.distanceTransform((framed[1:-1, 1:-1] != 2).astype(np.uint8), cv2.DIST_L2, 5)


def damage(
    rgba: np.ndarray, generator: np.random.Generator | int, severity: float = 1.0, gross: float = 0.12
) -> tuple[np.ndarray, list[str]]:
    """Return a damaged copy of an exact picture and the names of its faults.

    `severity` scales the amounts and the chances of the small faults; 1 is as measured, 0 leaves them out. `gross` is
    the probability of one fault that spoils the picture. Equal input and seed give equal bytes. Raises ValueError for a
    severity below 0 or a probability outside [0, 1].
    """
    if severity < 0 or not 0 <= gross <= 1:
        raise ValueError(f"severity must be at least 0 and gross in [0, 1], not {severity} and {gross}.")
    generator = np.random.default_rng(generator)
    fine = generator.spawn(len(FINE))
    spoilt, choice, rest = generator.random() < gross, int(generator.integers(len(GROSS))), generator.spawn(1)[0]
    colour, alpha = rgba[..., :3].astype(np.float32), rgba[..., 3].astype(np.float32)
    faults = []
    for name, stream in zip(FINE, fine, strict=True):
        chance, fault = _FINE[name]
        if severity > 0 and stream.random() < chance * severity:
            colour, alpha = fault(colour, alpha, stream, severity)
            faults.append(name)
    if spoilt:
        colour, alpha = _GROSS[GROSS[choice]](colour, alpha, rest)
        faults.append(GROSS[choice])
    if not faults:
        return rgba.copy(), []
    return np.rint(np.clip(np.dstack([colour, alpha]), 0, 255)).astype(np.uint8), faults


# Helpers -------------------------------------------------------------------------------------------------------------

Picture = tuple[np.ndarray, np.ndarray]


def _noise(shape: tuple[int, ...], scale: float, generator: np.random.Generator) -> np.ndarray:
    """Smooth noise (H, W) of mean 0 and deviation 1; `scale` is the size of a blotch in pixels."""
    cell = max(1.0, scale)
    small = tuple(int(np.ceil(side / cell)) + 3 for side in shape[:2])
    field = cv2.resize(
        generator.standard_normal(small, dtype=np.float32), None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC
    )
    field = field[: shape[0], : shape[1]]
    return (field - field.mean()) / max(float(field.std()), 1e-6)


def _detail(colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local contrast (H, W), brighter than the surroundings or darker, and how rich in it the surroundings are.

    Both in deviations of the contrast, which is limited to 4: renders and photographs have a few extreme edges.
    """
    grey = images.luminance(colour)
    k = unit(grey.shape)
    high = grey - cv2.GaussianBlur(grey, (0, 0), max(0.8, 4 * k))
    high = np.clip(high / max(float(high.std()), 1e-6), -4, 4)
    return high, np.sqrt(cv2.GaussianBlur(high * high, (0, 0), 10 * k))


def _ranks(score: np.ndarray) -> np.ndarray:
    """Ranks of a 1-d score, scaled to [0, 1)."""
    order = np.empty(score.size, np.float32)
    order[np.argsort(score, kind="stable")] = np.arange(score.size, dtype=np.float32)
    return order / max(score.size, 1)


def _haze(generator: np.random.Generator) -> np.ndarray:
    """A grey-white (3,) with a faint tint."""
    return np.clip(generator.uniform(165, 235) + generator.normal(0, 6, 3), 0, 255).astype(np.float32)


def _lay_under(colour: np.ndarray, alpha: np.ndarray, below: np.ndarray, veil: np.ndarray) -> Picture:
    """Put a veil (H, W) of colour `below` behind the picture: the `over` operator of Porter and Duff, 1984.

    Where hardly anything is visible the colour moves only part of the way, so that the fill under alpha 0 stays smooth.
    """
    behind = veil * (1 - alpha / 255)
    total = alpha + behind
    weight = (behind / (total + FADE))[..., None]
    return colour + weight * (below - colour), total


def _outside_distance(alpha: np.ndarray) -> np.ndarray:
    """Distance (H, W) in pixels to the visible part (alpha > 0.05)."""
    return cv2.distanceTransform((alpha <= 0.05 * 255).astype(np.uint8), cv2.DIST_L2, 5)


def _softness(alpha: np.ndarray) -> np.ndarray:
    """How much of the neighbourhood is fractional (H, W) in [0, 1]: near 1 about hair, near 0 at a sharp shoulder."""
    k = unit(alpha.shape)
    soft = ((alpha > 10) & (alpha < 245)).astype(np.float32)
    # A sharp edge is fractional too, but one pixel wide: it has little weight within the window.
    return np.clip(3.5 * cv2.GaussianBlur(soft, (0, 0), 14 * k) - 0.35, 0, 1)


def _blob(shape: tuple[int, ...], centre: tuple[float, float], radius: float, stretch: float, rng) -> np.ndarray:
    """An irregular soft blob (H, W) in [0, 1] about `centre` (row, column); about pi radius² pixels are above 0.5."""
    height, width = shape
    reach = int(np.ceil(3 * radius * max(stretch, 1 / stretch))) + 2
    top, left = max(0, int(centre[0]) - reach), max(0, int(centre[1]) - reach)
    bottom, right = min(height, int(centre[0]) + reach), min(width, int(centre[1]) + reach)
    field = np.zeros(shape, np.float32)
    if top >= bottom or left >= right:
        return field
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    along = (x - centre[1]) * np.cos(angle) + (y - centre[0]) * np.sin(angle)
    across = (y - centre[0]) * np.cos(angle) - (x - centre[1]) * np.sin(angle)
    distance = np.hypot(along / stretch, across * stretch) / max(radius, 0.5)
    ragged = 0.28 * _noise(y.shape, max(1.0, radius * 0.7), rng)
    field[top:bottom, left:right] = np.clip((1.15 - distance + ragged) * 2.2, 0, 1)
    return field


# Small faults: (colour, alpha, generator, severity) -> (colour, alpha) -----------------------------------------------


def speckle(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator, severity: float = 1.0) -> Picture:
    """Lower 8 to 23 % of the body's interior to 243 … 254: along weave, folds and strands, in blotches."""
    body = alpha > 242
    k = unit(alpha.shape)
    share = min(0.9, severity * generator.uniform(0.11, 0.24))
    height, width = alpha.shape
    clothes = np.linspace(-0.9, 0.9, height, dtype=np.float32)[:, None]  # faces are cleaner than clothes
    weave = generator.standard_normal((height, 1), dtype=np.float32) + generator.standard_normal((1, width), np.float32)
    high, rich = _detail(colour)
    score = (
        0.9 * np.abs(high)
        + 0.5 * np.minimum(rich, 2)
        + 0.8 * generator.standard_normal(alpha.shape, dtype=np.float32)
        + 0.3 * weave
        + 0.9 * _noise(alpha.shape, 110 * k, generator)
        + 0.4 * _noise(alpha.shape, 22 * k, generator)
        + clothes
    )
    rank = _ranks(score[body])
    chosen = np.clip((rank - (1 - share)) / share, 0, 0.9999)
    lowered = np.where(rank > 1 - share, np.ceil(-2.2 * np.log1p(-chosen, dtype=np.float64)), 0)
    alpha = alpha.copy()
    alpha[body] = np.maximum(alpha[body] - np.clip(lowered, 0, 12), np.minimum(alpha[body], 243))
    return colour, alpha


def spots(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator, severity: float = 1.0) -> Picture:
    """Scatter some hundred small see-through spots (60 to 238) along dark lines and strands inside the body."""
    inside = depth(alpha) > 4 * unit(alpha.shape)
    count = int(severity * generator.uniform(230, 480))
    k = unit(alpha.shape)
    high, rich = _detail(colour)
    # Dark lines in rich surroundings: strands and folds, hardly ever the smooth cheek.
    score = (
        1.2 * np.abs(high)
        - 0.6 * high
        + 1.2 * np.minimum(rich, 2)
        + 0.4 * generator.standard_normal(alpha.shape, dtype=np.float32)
        + 0.8 * _noise(alpha.shape, 70 * k, generator)
    )
    score = (score - score[inside].mean()) / max(float(score[inside].std()), 1e-6) if inside.any() else score
    score[~inside | (alpha < 240)] = -np.inf
    candidates = np.flatnonzero(score.ravel() > 1.0)
    if candidates.size == 0:
        return colour, alpha
    # Every starting point is one pixel; half of them run on for a few pixels along the darker neighbour.
    weight = images.exp(1.5 * np.minimum(score.ravel()[candidates], 3.5))
    starts = generator.choice(candidates, min(count, candidates.size), replace=False, p=weight / weight.sum())
    alpha = alpha.copy()
    lengths = np.minimum(1 + generator.exponential(3.0 * k, starts.size).astype(int), 50)
    levels = 238 - np.minimum(generator.exponential(45, starts.size), 178)
    height, width = alpha.shape
    for start, length, level in zip(starts, lengths, levels, strict=True):
        row, column = divmod(int(start), width)
        step = (1, 0) if abs(generator.normal(0, 0.6)) < 0.7 else (0, 1)
        for _ in range(length):
            if row < height and column < width and inside[row, column]:
                alpha[row, column] = min(alpha[row, column], level)
            row, column = row + step[0], column + step[1] + int(generator.integers(-1, 2)) * step[0]
    return colour, alpha


def patch(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator, severity: float = 1.0) -> Picture:
    """Thin one or two patches of clothes, glasses or skin to 100 … 240."""
    inside = depth(alpha) > 8 * unit(alpha.shape)
    places = np.flatnonzero(inside)
    if places.size == 0:
        return colour, alpha
    k = unit(alpha.shape)
    for _ in range(int(generator.integers(1, 3))):
        centre = divmod(int(generator.choice(places)), alpha.shape[1])
        pixels = np.exp(generator.uniform(np.log(200), np.log(1500))) * severity
        thin = _blob(alpha.shape, centre, np.sqrt(pixels / np.pi) * k, generator.uniform(0.6, 1.6), generator)
        level = generator.uniform(100, 240) + 12 * _noise(alpha.shape, 10 * k, generator)
        target = 255 - thin * (255 - np.clip(level, 100, 240))
        alpha = np.where(inside, np.minimum(alpha, target), alpha)
    return colour, alpha


def holes(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator, severity: float = 1.0) -> Picture:
    """Punch a few holes of 1 to 50 pixels through the body, in clothes and between strands."""
    inside = depth(alpha) > 6 * unit(alpha.shape)
    places = np.flatnonzero(inside)
    if places.size == 0:
        return colour, alpha
    k = unit(alpha.shape)
    for _ in range(1 + int(generator.poisson(4 * severity))):
        centre = divmod(int(generator.choice(places)), alpha.shape[1])
        pixels = np.exp(generator.uniform(0, np.log(50)))
        hole = _blob(alpha.shape, centre, np.sqrt(pixels / np.pi) * k, generator.uniform(0.6, 1.6), generator)
        alpha = alpha * (1 - np.where(inside, hole, 0) * generator.uniform(0.75, 1.0))
    return colour, alpha


def halo(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator, severity: float = 1.0) -> Picture:
    """Hug the hair with a smooth haze that falls from some 20 to 0 within 10 to 40 pixels; shoulders get 2 or 3."""
    k = unit(alpha.shape)
    soft = _softness(alpha)
    # The hair's softness reaches outwards along the normal: look it up at the nearest visible pixel.
    distance, label = cv2.distanceTransformWithLabels(
        (alpha <= 0.05 * 255).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(int(label.max()) + 1, np.float32)
    visible = distance == 0
    nearest[label[visible]] = soft[visible]
    along = cv2.GaussianBlur(nearest[label], (0, 0), 12 * k)
    uneven = np.clip(1 + 0.35 * _noise(alpha.shape, 130 * k, generator), 0.2, 1.8)
    reach = (2.0 + generator.uniform(10, 23) * along) * k * uneven
    strength = severity * (generator.uniform(10, 22) * along + 3.0) * uneven
    veil = np.clip(strength * images.exp(-1.6 * np.power(distance / reach, 1.4, dtype=np.float64)), 0, 90)
    veil = np.where(veil < 0.5, 0, veil)
    return _lay_under(colour, alpha, 0.4 * colour + 0.6 * _haze(generator), veil)


def dust(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator, severity: float = 1.0) -> Picture:
    """Scatter crumbs of 1 to 200 pixels, most of them near the hair and above it, some far away."""
    k = unit(alpha.shape)
    distance = _outside_distance(alpha)
    near = images.exp(-distance / (26 * k)) * (0.02 + np.clip(cv2.GaussianBlur(_softness(alpha), (0, 0), 30 * k), 0, 1))
    weight = np.where(distance > 2.5 * k, near + 2e-5, 0).ravel().astype(np.float64)
    if not weight.any():
        return colour, alpha
    count = 4 + int(generator.poisson(26 * severity))
    chosen = generator.choice(weight.size, count, replace=False, p=weight / weight.sum())
    veil = np.zeros_like(alpha)
    for start in chosen:
        pixels = min(200.0, np.exp(generator.exponential(1.1)) * 3)
        stretch = np.exp(generator.normal(0, 0.45))
        crumb = _blob(alpha.shape, divmod(int(start), alpha.shape[1]), np.sqrt(pixels / np.pi) * k, stretch, generator)
        veil = np.maximum(veil, crumb * (14 + min(generator.exponential(38), 200)))
    grey = _haze(generator)
    return _lay_under(colour, alpha, 0.45 * colour + 0.55 * grey, veil)


def band(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator, severity: float = 1.0) -> Picture:
    """Leave a stray band of 2 to 8 pixels at one edge of the frame."""
    k = unit(alpha.shape)
    side = int(generator.integers(4))
    turned = np.rot90(np.zeros_like(alpha), side).copy()
    rows = max(1, round(generator.uniform(2, 8) * k))
    length = turned.shape[1]
    profile = np.clip(_noise((1, length), 80 * k, generator) + 0.6, 0, None)[0]
    fall = np.linspace(1, 0.3, rows, dtype=np.float32)[:, None]
    turned[:rows] = np.clip(severity * generator.uniform(8, 45) * profile * fall, 0, 160)
    return _lay_under(colour, alpha, _haze(generator), np.rot90(turned, -side))


def island(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator, severity: float = 1.0) -> Picture:
    """Leave a detached object or strand of 120 to 900 pixels in the background."""
    k = unit(alpha.shape)
    pixels = np.exp(generator.uniform(np.log(120), np.log(900))) * severity
    radius = np.sqrt(pixels / np.pi) * k
    places = np.flatnonzero((_outside_distance(alpha) > 3 * radius + 3 * k).ravel())
    if places.size == 0:
        return colour, alpha
    centre = divmod(int(generator.choice(places)), alpha.shape[1])
    thing = _blob(alpha.shape, centre, radius, np.exp(generator.normal(0, 0.5)), generator)
    return _lay_under(colour, alpha, _scenery_colour(alpha.shape, generator), thing * generator.uniform(90, 255))


# Faults that spoil a picture: (colour, alpha, generator) -> (colour, alpha) ------------------------------------------

PALETTES = np.array(
    [
        [[88, 96, 62], [150, 158, 104], [52, 60, 38]],  # foliage
        [[122, 96, 74], [176, 150, 122], [78, 58, 46]],  # wood and earth
        [[134, 138, 146], [188, 190, 194], [92, 98, 108]],  # stone and concrete
        [[108, 122, 148], [172, 184, 204], [66, 78, 106]],  # evening sky
        [[158, 124, 108], [206, 178, 160], [112, 76, 66]],  # brick and plaster
    ],
    np.float32,
)


def _scenery_colour(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Colours (H, W, 3) of some out-of-focus scenery."""
    k = unit(shape)
    base, light, dark = PALETTES[int(generator.integers(len(PALETTES)))]
    wide = _noise(shape, 130 * k, generator) + 0.4 * _noise(shape, 40 * k, generator)
    wide = wide + 0.08 * _noise(shape, 6 * k, generator)
    up, down = np.clip(wide, 0, 1.5)[..., None] / 1.5, np.clip(-wide, 0, 1.5)[..., None] / 1.5
    return base + up * (light - base) + down * (dark - base)


def scenery(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator) -> Picture:
    """Keep a piece of scenery, glued to the body: foliage beside it, a wall behind it, a bench before it."""
    height, width = alpha.shape
    k = unit(alpha.shape)
    edge = np.flatnonzero(((alpha > 200) & (depth(alpha) < 12 * k)).ravel())
    centre = divmod(int(generator.choice(edge)), width) if edge.size else (height // 2, width // 2)
    extent = np.sqrt(generator.uniform(0.14, 0.4) / np.pi) * np.sqrt(height * width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    stretch = generator.uniform(0.7, 1.4)
    distance = np.hypot((x - centre[1]) / stretch, (y - centre[0]) * stretch) / extent
    ragged = 0.2 * _noise(alpha.shape, 90 * k, generator) + 0.04 * _noise(alpha.shape, 14 * k, generator)
    piece = np.clip((1 - distance + ragged) * extent / (5 * k), 0, 1)
    return _lay_under(colour, alpha, _scenery_colour(alpha.shape, generator), piece * generator.uniform(200, 255))


def ground_glow(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator) -> Picture:
    """Let a glow rise from the bottom of the frame, beside the body."""
    height = alpha.shape[0]
    start = generator.uniform(0.5, 0.72)
    rise = np.clip((np.linspace(0, 1, height, dtype=np.float32) - start) / (1 - start), 0, 1)[:, None]
    rise = np.power(rise, 1.3, dtype=np.float64).astype(np.float32)
    mottled = np.clip(1 + 0.25 * _noise(alpha.shape, 150 * unit(alpha.shape), generator), 0.4, 1.6)
    veil = np.clip(generator.uniform(90, 200) * rise * mottled, 0, 235)
    return _lay_under(colour, alpha, _haze(generator), veil)


def pane(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator) -> Picture:
    """Leave a half-transparent pane (30 to 200) over the whole background."""
    level = generator.uniform(30, 200) * (1 + 0.12 * _noise(alpha.shape, 200 * unit(alpha.shape), generator))
    below = 0.6 * _haze(generator) + 0.4 * _scenery_colour(alpha.shape, generator)
    return _lay_under(colour, alpha, below, np.clip(level, 30, 200))


def opaque(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator) -> Picture:
    """Never remove the background: alpha is 255 everywhere but for some noise."""
    colour, full = _lay_under(colour, alpha, _scenery_colour(alpha.shape, generator), np.full_like(alpha, 255))
    noisy = generator.random(alpha.shape) < 0.02
    return colour, np.where(noisy, full - generator.integers(1, 4, alpha.shape), full)


def near_empty(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator) -> Picture:
    """Fade the person to a ghost: less than 2 % of the frame stay opaque."""
    keep = generator.uniform(0.04, 0.45) * (1 + 0.3 * _noise(alpha.shape, 120 * unit(alpha.shape), generator))
    return colour, alpha * np.clip(keep, 0.01, 0.8)


def two_persons(colour: np.ndarray, alpha: np.ndarray, generator: np.random.Generator) -> Picture:
    """Put a second person beside the first and behind: a mirrored, smaller, shifted copy in other colours."""
    height, width = alpha.shape
    scale = generator.uniform(0.6, 0.9)
    shift = generator.choice([-1, 1]) * generator.uniform(0.28, 0.42) * width
    matrix = np.array([[-scale, 0, (1 + scale) / 2 * width + shift], [0, scale, (1 - scale) * height]], np.float32)
    grade = generator.uniform(0.7, 1.2, 3).astype(np.float32)
    second = cv2.warpAffine(np.dstack([colour * alpha[..., None] / 255, alpha]), matrix, (width, height))
    seen = np.maximum(second[..., 3:], 1e-3)
    other = np.where(second[..., 3:] > 0.5, second[..., :3] / seen * 255, colour)
    return _lay_under(colour, alpha, np.clip(other * grade, 0, 255), second[..., 3])


_FINE: dict[str, tuple[float, Callable[..., Picture]]] = {
    "speckle": (1.0, speckle),
    "spots": (1.0, spots),
    "patch": (0.5, patch),
    "holes": (0.4, holes),
    "halo": (0.9, halo),
    "dust": (0.8, dust),
    "band": (0.25, band),
    "island": (0.2, island),
}
_GROSS: dict[str, Callable[..., Picture]] = {
    "scenery": scenery,
    "ground glow": ground_glow,
    "pane": pane,
    "opaque": opaque,
    "near-empty": near_empty,
    "two persons": two_persons,
}
