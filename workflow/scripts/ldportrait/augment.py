"""Training composites made on the fly: a portrait, perhaps a second one, over a background, as a camera would see it.

Sample k is a function of the seed, k and the pictures alone. Runs on data sets that differ only in their mattes (the
variants of a comparison) must see the same persons, crops, backgrounds and jitter, so that the alpha alone differs.
Hence every random number is drawn before a matte is looked at, in the same count for every sample, and from a stream
per purpose. One choice has to look: a crop is to hold hair and not wall. It takes the best of a few drawn places on a
map so coarse that a damaged matte gives the same one: 16 × 16 cells that are on the rim or not (see `places`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ldportrait import trimaps

CELLS = 16  # the map of where the rim is has this many cells a side
YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])  # of the NTSC
CANDIDATES = 4  # places drawn for a crop, of which the one nearest the rim is taken


@dataclass(frozen=True)
class Params:
    """How composites are made. Probabilities lie in [0, 1]."""

    crop: int = 96  # side of a sample, pixels
    scale_low: float = 0.75  # a window of crop × scale pixels is scaled to crop; drawn evenly in its logarithm
    scale_high: float = 1.5
    two_foregrounds: float = 0.1  # probability of a second portrait in front
    jitter: float = 0.15  # largest change of a foreground's exposure and contrast, and a third of it per channel
    degrade: float = 0.3  # probability of a camera's blur, noise and compression
    erosion_low: int = 1  # the trimap's unknown region is widened by radii from low to high, pixels of the sample
    erosion_high: int = 10
    affine: float = 0.0  # probability that a portrait is turned, zoomed and sheared, within what follows
    rotation: float = 30.0  # degrees
    zoom: float = 1.25  # a factor from 1 / zoom to zoom, drawn evenly in its logarithm
    shear: float = 10.0  # degrees
    hue: float = 0.0  # largest turn of a foreground's hue, degrees
    saturation: float = 0.0  # largest relative change of a foreground's saturation
    resize: float = 0.0  # probability of a window in the portrait shrunk to `resize_to`, in place of one by its scale
    resize_to: int = 640  # the shorter side of a shrunk portrait, pixels

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for one out of its range."""
        if self.crop < 16:
            raise ValueError(f"crop must be at least 16 pixels, not {self.crop}.")
        if not 0 < self.scale_low <= self.scale_high:
            raise ValueError(f"scale_low must lie between 0 and scale_high, not {self.scale_low}, {self.scale_high}.")
        if not 0 <= self.erosion_low <= self.erosion_high:
            raise ValueError(
                f"erosion_low must lie between 0 and erosion_high, not {self.erosion_low}, {self.erosion_high}."
            )
        for name in ("two_foregrounds", "degrade", "jitter", "affine", "saturation", "resize"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}.")
        for name, most in (("rotation", 180), ("shear", 45), ("hue", 180)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must lie between 0 and {most} degrees, not {getattr(self, name)}.")
        if not self.zoom >= 1:
            raise ValueError(f"zoom must be at least 1, not {self.zoom}.")
        if self.resize and not self.resize_to >= self.crop:
            raise ValueError(f"resize_to must be at least crop, {self.crop} pixels, not {self.resize_to}.")


def generator(seed: int, index: int, purpose: int = 0) -> np.random.Generator:
    """Return the random stream of a sample for one purpose."""
    return np.random.default_rng([seed, index, purpose])


@dataclass(frozen=True)
class Sample:
    """One training sample, all uint8."""

    image: np.ndarray  # (crop, crop, 3), the composite
    alpha: np.ndarray  # (crop, crop)
    trimap: np.ndarray  # (crop, crop) of {0, 128, 255}
    background: np.ndarray  # (crop, crop, 3), what the portrait was laid over


def sample(
    index: int,
    rgba: np.ndarray,
    second: np.ndarray,
    backgrounds: Sequence[np.ndarray],
    params: Params,
    seed: int,
    maps: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> Sample:
    """Make composite `index` of a run.

    `rgba` and `second` are (H, W, 4) uint8 with straight colour; `backgrounds` are (H, W, 3) uint8, any size. `maps`
    are `places` of the two portraits, where the caller has kept them.
    """
    image, alpha = foreground(rgba, params, generator(seed, index, 1), maps[0])
    stream = generator(seed, index, 2)
    if has_second(params, stream):
        image, alpha = over((image, alpha), foreground(second, params, generator(seed, index, 3), maps[1]))
    ground = background(backgrounds[stream.integers(len(backgrounds))], params, generator(seed, index, 4))
    image = image + cv2.multiply(_thrice(1 - alpha), ground)
    stream = generator(seed, index, 5)
    if stream.random() < params.degrade:
        image = degraded(image, stream)
    alpha = _to_bytes(255 * alpha)
    trimap = trimaps.random(alpha, generator(seed, index, 6), params.erosion_low, params.erosion_high)
    return Sample(_to_bytes(image), alpha, trimap, _to_bytes(ground))


def has_second(params: Params, stream: np.random.Generator) -> bool:
    """Draw whether a sample has a second portrait; the first draw of its stream for purpose 2."""
    return stream.random() < params.two_foregrounds


def foreground(
    rgba: np.ndarray, params: Params, stream: np.random.Generator, cells: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Crop, flip, scale and jitter a portrait: premultiplied colour (crop, crop, 3) in [0, 255] and alpha in [0, 1].

    Both are scaled premultiplied, so that colour under alpha 0 does not bleed into the rim. `cells` are the portrait's
    `places`, found anew if left out.
    """
    draws = stream.random((CANDIDATES, 2))
    scale, flip, tone, channels = stream.random(), stream.random() < 0.5, stream.random(2), stream.random(3)
    shrunk, bent, shape, tint = stream.random(), stream.random(), stream.random(3), stream.random(2)
    side = _side(params, scale, rgba.shape) if shrunk >= params.resize else _whole(params, rgba.shape)
    row, column = window(rgba[..., 3], side, draws, cells)
    curve = tone_curve(params.jitter, tone, channels), chroma_turn(params.hue, params.saturation, tint)
    if bent < params.affine:
        colour, alpha = warped(rgba, (row, column), side, params.crop, bend(params, shape), curve)
    else:
        colour, alpha = premultiplied(rgba[row : row + side, column : column + side], *curve)
        colour, alpha = _scaled(colour, params.crop), _scaled(alpha, params.crop)
    return (cv2.flip(colour, 1), cv2.flip(alpha, 1)) if flip else (colour, alpha)


def premultiplied(part: np.ndarray, curve: np.ndarray, turn: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Change a part's tone and chroma; return its premultiplied colour (H, W, 3) float32 and its alpha (H, W)."""
    alpha = part[..., 3].astype(np.float32) / 255
    colour = cv2.LUT(cv2.cvtColor(part, cv2.COLOR_RGBA2RGB), curve.astype(np.float32))
    if turn is not None:
        colour = np.clip(cv2.transform(colour, turn), 0, 255)
    return cv2.multiply(colour, _thrice(alpha)), alpha


def bend(params: Params, draws: np.ndarray) -> np.ndarray:
    """Make the (2, 2) matrix that turns, shears and zooms by at most what `params` allow; the draws lie in [0, 1)."""
    angle, slant = np.deg2rad((2 * draws[:2] - 1) * [params.rotation, params.shear])
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return params.zoom ** (2 * draws[2] - 1) * turned @ np.array([[1, np.tan(slant)], [0, 1]])


def warped(
    rgba: np.ndarray,
    corner: tuple[int, int],
    side: int,
    crop: int,
    matrix: np.ndarray,
    curve: tuple[np.ndarray, np.ndarray | None],
) -> tuple[np.ndarray, np.ndarray]:
    """Look at a portrait through a window that a (2, 2) matrix bends about its centre; clear beyond the frame.

    `corner` is the window's top row and left column, `side` its size. Of the portrait, only the box that is seen is
    worked on. Where the picture gets smaller it is first shrunk by areas, so that hair does not alias.
    """
    back = np.linalg.inv(matrix) * side / crop  # from the sample to the portrait, both seen from the centre
    centre = np.array([corner[1], corner[0]]) + (side - 1) / 2
    reach = np.abs(back).sum(1) * crop / 2 + 2
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, rgba.shape[1::-1]).astype(int)
    colour, alpha = premultiplied(rgba[low[1] : high[1], low[0] : high[0]], *curve)
    fine = high - low
    coarse = np.maximum(1, np.rint(fine / max(1, np.sqrt(np.linalg.det(back))))).astype(int)
    if (coarse < fine).any():
        colour, alpha = (cv2.resize(plane, coarse.tolist(), interpolation=cv2.INTER_AREA) for plane in (colour, alpha))
    ratio = coarse / fine
    linear = ratio[:, None] * back
    shift = ratio * (centre - low + 0.5) - 0.5 - linear @ np.full(2, (crop - 1) / 2)
    mapping, way = np.column_stack([linear, shift]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return tuple(cv2.warpAffine(plane, mapping, (crop, crop), flags=way) for plane in (colour, alpha))


def window(alpha: np.ndarray, side: int, draws: np.ndarray, cells: np.ndarray | None = None) -> tuple[int, int]:
    """Return the top row and left column of a square window inside the picture.

    `draws` (n, 2) in [0, 1) are the candidates' places, evenly over all windows; of those, the first is taken whose
    centre is on the rim by `places` (`cells`, or found anew), or else the first of all.
    """
    rim = places(alpha) if cells is None else cells
    height, width = alpha.shape
    corners = (draws * [height - side + 1, width - side + 1]).astype(int)
    centres = (corners + side // 2) * CELLS // [height, width]
    values = rim[centres[:, 0].clip(0, CELLS - 1), centres[:, 1].clip(0, CELLS - 1)]
    row, column = corners[int(np.argmax(values))]
    return int(row), int(column)


def places(alpha: np.ndarray) -> np.ndarray:
    """Say which of 16 × 16 cells of a picture lie on the portrait's rim: 1, else 0.

    Coarse on purpose, so that haze, halo, specks and holes hardly ever move a cell over the limit: the silhouette is
    cleaned by a median, averaged per cell and smoothed. Over the bank, 99.9 % of the crops of damaged and of refined
    portraits are those of the exact ones.
    """
    solid = cv2.resize((alpha > 127).astype(np.uint8) * 255, (8 * CELLS, 8 * CELLS), interpolation=cv2.INTER_AREA)
    solid = (cv2.medianBlur(solid, 7) > 127).astype(np.float32)
    share = cv2.resize(solid, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    share = cv2.GaussianBlur(share, (0, 0), 0.8, borderType=cv2.BORDER_REPLICATE)
    return (4 * share * (1 - share) > 0.4).astype(np.uint8)


def background(picture: np.ndarray, params: Params, stream: np.random.Generator) -> np.ndarray:
    """Crop a background at any scale up to the whole picture, and flip it: (crop, crop, 3) float32 in [0, 255]."""
    share, place, flip = stream.random(), stream.random(2), stream.random() < 0.5
    most = min(picture.shape[:2])
    least = min(params.crop, most)
    side = round(least * (most / least) ** share)
    row, column = (place * (np.array(picture.shape[:2]) - side + 1)).astype(int)
    part = _scaled(picture[row : row + side, column : column + side].astype(np.float32), params.crop)
    return part[:, ::-1] if flip else part


def over(behind: tuple[np.ndarray, np.ndarray], front: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lay one premultiplied picture over another (Porter and Duff 1984, "over"): c = c1 + (1 - a1) c0, a alike."""
    rest = 1 - front[1]
    return front[0] + _thrice(rest) * behind[0], front[1] + rest * behind[1]


def tone_curve(jitter: float, tone: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Make a (1, 256, 3) uint8 table that changes exposure, contrast and tint; the draws lie in [0, 1)."""
    exposure, contrast = 1 + jitter * (2 * tone - 1)
    gain = exposure * (1 + jitter / 3 * (2 * channels - 1))
    level = np.arange(256)[:, None]
    return _to_bytes((level - 128) * contrast * gain + 128 * gain)[None]


def chroma_turn(hue: float, saturation: float, draws: np.ndarray) -> np.ndarray | None:
    """Make the (3, 3) matrix that turns the hue and changes the saturation of RGB, or None for no change.

    The chroma plane of YIQ is turned by at most `hue` degrees and stretched by at most `saturation`; luma stays
    (Haeberli 1993). The draws lie in [0, 1).
    """
    if not hue and not saturation:
        return None
    angle, stretch = np.deg2rad(hue) * (2 * draws[0] - 1), 1 + saturation * (2 * draws[1] - 1)
    turn = np.eye(3)
    turn[1:, 1:] = stretch * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.linalg.inv(YIQ) @ turn @ YIQ


def degraded(image: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """Blur a composite lightly, add sensor noise and compress it as JPEG, as a camera does; (H, W, 3) in [0, 255]."""
    sigma, noise = stream.uniform(0, 0.8), stream.uniform(0, 4)
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    image = image + noise * stream.standard_normal(image.shape, dtype=np.float32)
    quality = int(stream.integers(60, 96))
    _, coded = cv2.imencode(".jpg", _to_bytes(image)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])  # BGR
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32)


def _side(params: Params, draw: float, shape: tuple[int, ...]) -> int:
    scale = params.scale_low * (params.scale_high / params.scale_low) ** draw
    return min(round(params.crop * scale), *shape[:2])


def _whole(params: Params, shape: tuple[int, ...]) -> int:
    """Side of the window that is `crop` pixels in the portrait shrunk to `resize_to`."""
    return min(round(params.crop * min(shape[:2]) / params.resize_to), *shape[:2])


def _scaled(picture: np.ndarray, side: int) -> np.ndarray:
    way = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_LINEAR
    return picture if picture.shape[0] == side else cv2.resize(picture, (side, side), interpolation=way)


def _thrice(plane: np.ndarray) -> np.ndarray:
    """A plane (H, W) as (H, W, 3): OpenCV multiplies such pictures several times as fast as numpy broadcasts."""
    return cv2.merge([plane, plane, plane])


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(np.maximum(values, 0))  # which rounds to the nearest level, and clips
