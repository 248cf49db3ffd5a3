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
        for name in ("two_foregrounds", "degrade", "jitter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}.")


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
    index: int, rgba: np.ndarray, second: np.ndarray, backgrounds: Sequence[np.ndarray], params: Params, seed: int
) -> Sample:
    """Make composite `index` of a run.

    `rgba` and `second` are (H, W, 4) uint8 with straight colour; `backgrounds` are (H, W, 3) uint8, any size.
    """
    image, alpha = foreground(rgba, params, generator(seed, index, 1))
    stream = generator(seed, index, 2)
    if stream.random() < params.two_foregrounds:
        image, alpha = over((image, alpha), foreground(second, params, generator(seed, index, 3)))
    ground = background(backgrounds[stream.integers(len(backgrounds))], params, generator(seed, index, 4))
    image = image + (1 - alpha[..., None]) * ground
    stream = generator(seed, index, 5)
    if stream.random() < params.degrade:
        image = degraded(image, stream)
    alpha = _to_bytes(255 * alpha)
    trimap = trimaps.random(alpha, generator(seed, index, 6), params.erosion_low, params.erosion_high)
    return Sample(_to_bytes(image), alpha, trimap, _to_bytes(ground))


def foreground(rgba: np.ndarray, params: Params, stream: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Crop, flip, scale and jitter a portrait: premultiplied colour (crop, crop, 3) in [0, 255] and alpha in [0, 1].

    Both are scaled premultiplied, so that colour under alpha 0 does not bleed into the rim.
    """
    draws = stream.random((CANDIDATES, 2))
    scale, flip, tone, channels = stream.random(), stream.random() < 0.5, stream.random(2), stream.random(3)
    side = _side(params, scale, rgba.shape)
    row, column = window(rgba[..., 3], side, draws)
    part = rgba[row : row + side, column : column + side]
    alpha = part[..., 3].astype(np.float32) / 255
    colour = cv2.LUT(np.ascontiguousarray(part[..., :3]), tone_curve(params.jitter, tone, channels))
    mixed = _scaled(np.dstack([colour * alpha[..., None], alpha]), params.crop)
    if flip:
        mixed = mixed[:, ::-1]
    return mixed[..., :3], mixed[..., 3]


def window(alpha: np.ndarray, side: int, draws: np.ndarray) -> tuple[int, int]:
    """Return the top row and left column of a square window inside the picture.

    `draws` (n, 2) in [0, 1) are the candidates' places, evenly over all windows; of those, the first is taken whose
    centre is on the rim by `places`, or else the first of all.
    """
    height, width = alpha.shape
    corners = (draws * [height - side + 1, width - side + 1]).astype(int)
    cells = (corners + side // 2) * CELLS // [height, width]
    values = places(alpha)[cells[:, 0].clip(0, CELLS - 1), cells[:, 1].clip(0, CELLS - 1)]
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
    return front[0] + rest[..., None] * behind[0], front[1] + rest * behind[1]


def tone_curve(jitter: float, tone: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Make a (1, 256, 3) uint8 table that changes exposure, contrast and tint; the draws lie in [0, 1)."""
    exposure, contrast = 1 + jitter * (2 * tone - 1)
    gain = exposure * (1 + jitter / 3 * (2 * channels - 1))
    level = np.arange(256)[:, None]
    return _to_bytes((level - 128) * contrast * gain + 128 * gain)[None]


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


def _scaled(picture: np.ndarray, side: int) -> np.ndarray:
    way = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_LINEAR
    return picture if picture.shape[0] == side else cv2.resize(picture, (side, side), interpolation=way)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
