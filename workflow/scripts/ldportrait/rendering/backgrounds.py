"""Backgrounds that need no renderer: crops of HDRI panoramas, procedural textures, photographs.

An entry is a mapping of the bank's configuration: id, split, kind, seed and the parameters of its kind. Pictures are
(640, 640, 3) uint8, sRGB. Blur is done on linear light with a disc, as a lens does it: highlights become discs.
"""

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# OpenCV reads this switch once, so it is set before the import.
os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")

import cv2
import numpy as np

SIZE = 640
PLACES = ("room", "street")
FAMILIES = (*PLACES, "hdri", "procedural", "photo")
PUBLIC_DOMAIN = ("scikit-image/rocket.jpg", "scikit-image/hubble_deep_field.jpg")


# ----------------------------------------------------------------------------------------------------- light and lens


def to_linear(picture: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light to sRGB, both clipped to [0, 1] (IEC 61966-2-1)."""
    light = np.clip(light, 0.0, 1.0)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def to_bytes(light: np.ndarray) -> np.ndarray:
    """Linear light to rounded 8-bit sRGB."""
    return np.rint(to_srgb(light) * 255).astype(np.uint8)


def tone_map(light: np.ndarray, exposure: float = 0.0) -> np.ndarray:
    """Scene light (H, W, 3) to display light in [0, 1]: the log-average to 0.15, then a filmic curve.

    The key follows Reinhard et al. 2002; the curve is Narkowicz' fit of the ACES reference. `exposure` is in stops.
    """
    luminance = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    key = np.exp(np.mean(np.log(luminance + 1e-4)))
    x = light * (0.15 / key * 2.0**exposure)
    return np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0.0, 1.0).astype(np.float32)


def defocus(light: np.ndarray, radius: float) -> np.ndarray:
    """Convolve linear light with an antialiased disc of `radius` pixels, mirrored at the borders."""
    if radius <= 0:
        return light
    reach = int(np.ceil(radius + 0.5))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0)
    return cv2.filter2D(light.astype(np.float32), -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)


def perspective_crop(equirect: np.ndarray, yaw: float, pitch: float, fov: float, size: int = SIZE) -> np.ndarray:
    """What a pinhole camera sees in a panorama.

    equirect: (H, W, 3) with W = 2 H; its middle column is yaw 0, yaw grows to the right, its middle row is the horizon.
    yaw, pitch (upwards), fov (of the side): degrees. Returns (size, size, 3) float32.
    Raises ValueError for another shape, or a fov outside (0, 180).
    """
    height, width = equirect.shape[:2]
    if width != 2 * height:
        raise ValueError(f"a panorama is twice as wide as high, not {width} x {height}")
    if not 0 < fov < 180:
        raise ValueError(f"the field of view must lie between 0 and 180 degrees, not {fov}")
    centre = (np.arange(size) + 0.5) / size * 2 - 1
    right, down = np.meshgrid(centre, centre)
    forward = np.full_like(right, 1 / np.tan(np.deg2rad(fov) / 2))
    up = np.deg2rad(pitch)
    ahead, high = forward * np.cos(up) + down * np.sin(up), forward * np.sin(up) - down * np.cos(up)
    longitude = np.arctan2(right, ahead) + np.deg2rad(yaw)
    latitude = np.arctan2(high, np.hypot(right, ahead))
    column = ((longitude / (2 * np.pi) + 0.5) % 1.0) * width - 0.5
    row = np.clip((0.5 - latitude / np.pi) * height - 0.5, 0, height - 1)
    # Two columns from the other end on each side, so that the interpolation does not see a seam.
    wrapped = np.concatenate([equirect[:, -2:], equirect, equirect[:, :2]], axis=1).astype(np.float32)
    maps = (column + 2).astype(np.float32), row.astype(np.float32)
    return cv2.remap(wrapped, *maps, interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


# ----------------------------------------------------------------------------------------------------- HDRI and photo


def hdri_folder() -> Path:
    """The CC0 panoramas inside the bpy wheel, found without importing bpy. Raises FileNotFoundError."""
    found = importlib.util.find_spec("bpy")
    for place in (found.submodule_search_locations or []) if found else []:
        for folder in sorted(Path(place).glob("*/datafiles/studiolights/world")):
            return folder
    raise FileNotFoundError("the HDRIs of the bpy wheel are not installed; name their folder with --hdris")


def _read(path: Path, flags: int) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture {path}")
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise ValueError(f"{path} is not a picture that OpenCV reads")
    return cv2.cvtColor(picture[..., :3], cv2.COLOR_BGR2RGB)


def from_hdri(entry: Mapping, folder: Path | None) -> np.ndarray:
    panorama = _read((folder or hdri_folder()) / f"{entry['source']}.exr", cv2.IMREAD_UNCHANGED)
    light = np.maximum(perspective_crop(panorama, entry["yaw"], entry["pitch"], entry["fov"]), 0.0)
    # A sun of 10^4 would leave a hard white disc as large as the blur: let it be as bright as a film would take.
    light = np.minimum(light, np.percentile(light, 90) * 12)
    return to_bytes(tone_map(defocus(light, entry.get("blur", 0)), entry.get("exposure", 0.0)))


def photo_path(source_name: str, folder: Path) -> Path:
    """Where fetch_assets.py puts a photograph: `package/file`, or the one image of a @stdlib data package."""
    return folder / source_name if "/" in source_name else folder / source_name / "data" / "image.jpg"


def crop_box(crop: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixels of a crop given in shares of the sides, cut to a square about its middle.

    Raises ValueError for a crop that leaves the picture or is empty.
    """
    left, top, right, bottom = crop
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"the crop {list(crop)} does not lie inside the picture")
    side = int(min((right - left) * width, (bottom - top) * height))
    x = int((left + right) / 2 * width - side / 2)
    y = int((top + bottom) / 2 * height - side / 2)
    x, y = min(max(x, 0), width - side), min(max(y, 0), height - side)
    return x, y, x + side, y + side


def from_photo(entry: Mapping, folder: Path) -> np.ndarray:
    picture = _read(photo_path(entry["source"], folder), cv2.IMREAD_COLOR)
    left, top, right, bottom = crop_box(entry["crop"], picture.shape[1], picture.shape[0])
    picture = picture[top:bottom, left:right]
    shrinks = picture.shape[0] > SIZE
    picture = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC) / 255.0
    if entry.get("tone"):
        picture = ramp(picture.mean(axis=2), entry["tone"])
    return to_bytes(defocus(to_linear(picture), entry.get("blur", 0)))


# --------------------------------------------------------------------------------------------------------- procedural


def rgb(colour: str) -> np.ndarray:
    """'#rrggbb' to sRGB in [0, 1]."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255


def ramp(value: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """(H, W) in [0, 1] to (H, W, 3) along evenly spaced colours."""
    stops = np.stack([rgb(c) for c in colours])
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(value, places, stops[:, i]) for i in range(3)], axis=-1).astype(np.float32)


def fractal_noise(
    rng: np.random.Generator, cells: float, octaves: int = 6, stretch: tuple[float, float] = (1, 1), gain: float = 0.5
) -> np.ndarray:
    """(640, 640) value noise in [0, 1]: octaves of smoothed random grids; `stretch` (y, x) makes the cells longer."""
    total = np.zeros((SIZE, SIZE), np.float32)
    for octave in range(octaves):
        rows, columns = (int(np.clip(cells * 2**octave / s, 1, SIZE)) + 3 for s in stretch)
        grid = rng.normal(size=(rows, columns)).astype(np.float32)
        total += gain**octave * cv2.resize(grid, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(total, (0.5, 99.5))
    return np.clip((total - low) / (high - low), 0, 1)


def falloff(rng: np.random.Generator, strength: float) -> np.ndarray:
    """(640, 640, 1) light that falls off from a spot somewhere above the middle."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    spot = rng.uniform((0.25, 0.25), (0.75, 0.5))
    return (1 - strength * np.clip(np.hypot(x - spot[0], y - spot[1]) / 0.85, 0, 1) ** 1.6)[..., None].astype(
        np.float32
    )


def relief(height: np.ndarray, strength: float, angle: float = 2.4) -> np.ndarray:
    """(H, W, 1) shading of a height field lit from `angle` (radians): 1 where it is flat."""
    slope_y, slope_x = np.gradient(height)
    return (1 + strength * (slope_x * np.cos(angle) + slope_y * np.sin(angle)))[..., None].clip(0.3, 1.8)


def paper(rng: np.random.Generator, entry: Mapping) -> np.ndarray:
    """A seamless paper roll: a smooth gradient, a lit spot, fine grain."""
    y = np.linspace(0, 1, SIZE)[:, None] * np.ones((1, SIZE))
    tone = ramp(np.clip(y * 0.8 + 0.15 * fractal_noise(rng, 1, 2), 0, 1), entry["colours"])
    return to_linear(tone) * falloff(rng, 0.65) * (1 + 0.02 * rng.normal(size=(SIZE, SIZE, 1)))


def plaster(rng: np.random.Generator, entry: Mapping) -> np.ndarray:
    """A trowelled wall: broad stains, fine relief."""
    tone = to_linear(ramp(0.25 + 0.5 * fractal_noise(rng, 3, 6, gain=0.6), entry["colours"]))
    height = 0.7 * fractal_noise(rng, 5, 3) + 0.3 * fractal_noise(rng, 40, 3, (1, 1.6), 0.6)
    return tone * relief(height, 3.0) * falloff(rng, 0.5)


def canvas(rng: np.random.Generator, entry: Mapping) -> np.ndarray:
    """A hand-painted portrait backdrop: clouds of two tones, a lit middle, folds."""
    clouds = 0.6 * fractal_noise(rng, 3, 4) + 0.4 * fractal_noise(rng, 9, 3)
    return (
        to_linear(ramp(clouds, entry["colours"])) * falloff(rng, 0.75) * relief(fractal_noise(rng, 2, 2, (6, 1)), 4.0)
    )


def _courses(
    rng: np.random.Generator, width: int, height: int, joint: int, offset: float
) -> tuple[np.ndarray, np.ndarray]:
    """(640, 640) joint mask in [0, 1] and the random value of each brick; sizes in pixels."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    row = y // height
    x = x + (row % 2) * int(offset * width) + int(rng.integers(width))
    column = x // width
    values = rng.random((SIZE // height + 2, SIZE // width + 4))[row, column]
    edge = np.minimum.reduce([x % width, width - 1 - x % width, y % height, height - 1 - y % height])
    return np.clip(1.2 - edge / joint, 0, 1).astype(np.float32), values.astype(np.float32)


def _masonry(
    rng: np.random.Generator, entry: Mapping, size: tuple[int, int, int], offset: float, variety: float, rough: float
) -> np.ndarray:
    joint, values = _courses(rng, *size, offset)
    grain = fractal_noise(rng, 40, 4, gain=0.7)
    brick = to_linear(rgb(entry["colours"][0])) * (1 + variety * (values - 0.5) + rough * (grain - 0.5))[..., None]
    mortar = to_linear(rgb(entry["colours"][1])) * (0.8 + 0.4 * grain)[..., None]
    blend = joint[..., None]
    return (brick * (1 - blend) + mortar * blend) * relief(-joint + 0.5 * rough * grain, 0.35) * falloff(rng, 0.5)


def brick(rng: np.random.Generator, entry: Mapping) -> np.ndarray:
    return _masonry(rng, entry, (118, 40, 4), 0.5, 0.8, 0.9)


def tiles(rng: np.random.Generator, entry: Mapping) -> np.ndarray:
    """Glazed tiles: even colour, a soft reflection on each."""
    wall = _masonry(rng, entry, (92, 92, 3), 0.0, 0.2, 0.12)
    return wall + 0.12 * defocus(fractal_noise(rng, 5, 2)[..., None] ** 6 * np.ones(3, np.float32), 8)


def planks(rng: np.random.Generator, entry: Mapping) -> np.ndarray:
    """Upright boards with grain along them."""
    joint, values = _courses(rng, 74, 4 * SIZE, 3, 0.0)
    grain = fractal_noise(rng, 60, 4, (30, 1), 0.6)
    tone = to_linear(ramp(np.clip(0.6 * grain + 0.5 * (values - 0.2), 0, 1), entry["colours"]))
    return tone * (1 - 0.85 * joint[..., None]) * falloff(rng, 0.5)


def linen(rng: np.random.Generator, entry: Mapping) -> np.ndarray:
    """Woven cloth, hung with a few soft folds."""
    warp, weft = fractal_noise(rng, 150, 2, (40, 1)), fractal_noise(rng, 150, 2, (1, 40))
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    weave = 0.5 + 0.5 * np.sin(x * 1.6) * np.sin(y * 1.6)
    tone = to_linear(ramp(np.clip(0.35 * warp + 0.35 * weft + 0.3 * weave, 0, 1), entry["colours"]))
    return tone * relief(fractal_noise(rng, 2, 2, (4, 1)), 14.0) * falloff(rng, 0.4)


def curtain(rng: np.random.Generator, entry: Mapping) -> np.ndarray:
    """Hanging folds, lit from one side."""
    x = np.arange(SIZE) / SIZE
    drift = np.cumsum(rng.normal(size=SIZE)) * 0.02
    phase = 2 * np.pi * x * rng.uniform(7, 10) + drift + 0.6 * np.sin(2 * np.pi * x * 1.7)
    sway = 0.5 * (fractal_noise(rng, 2, 2, (3, 1)) - 0.5)
    shade = 0.5 + 0.38 * np.sin(phase + sway) + 0.12 * np.sin(2.3 * phase + 1.0)
    return to_linear(ramp(1 - np.clip(shade, 0, 1), entry["colours"])) * falloff(rng, 0.45)


def bokeh(rng: np.random.Generator, entry: Mapping) -> np.ndarray:
    """City lights far out of focus: discs in a loose band over a dark ground."""
    light = to_linear(ramp(fractal_noise(rng, 2, 3), [entry["ground"], "#2a2a38"])) * 0.6
    palette = np.stack([to_linear(rgb(c)) for c in entry["colours"]])
    for _ in range(95):
        cx, cy = rng.uniform(-20, SIZE + 20), rng.normal(0.55, 0.2) * SIZE
        radius, power = rng.uniform(9, 34), rng.gamma(1.3, 0.16) + 0.03
        rows, columns = (slice(max(int(c - radius - 2), 0), max(int(c + radius + 3), 0)) for c in (cy, cx))
        y, x = np.ogrid[0:SIZE, 0:SIZE]
        y, x = y[rows], x[:, columns]
        distance = np.hypot(x - cx, y - cy)
        # A lens leaves its discs a little brighter at the rim.
        disc = np.clip(radius + 0.7 - distance, 0, 1) * (0.8 + 0.35 * np.clip(distance / radius, 0, 1) ** 6)
        light[rows, columns] += (disc * power)[..., None] * palette[rng.integers(len(palette))]
    return 1 - np.exp(-1.6 * light)


def foliage(rng: np.random.Generator, entry: Mapping) -> np.ndarray:
    """Leaves before a bright sky, far out of focus; the gaps become discs of light."""
    light = to_linear(ramp(fractal_noise(rng, 3, 4), [entry["ground"], *entry["colours"][:2]]))
    colours = np.stack([to_linear(rgb(c)) for c in entry["colours"]])
    layer = np.ascontiguousarray(light, np.float32)
    depth = fractal_noise(rng, 3, 3)
    for _ in range(1300):
        x, y = rng.integers(SIZE, size=2).tolist()
        axes = int(rng.uniform(12, 40)), int(rng.uniform(5, 15))
        # Boughs in the sun and hollows in the shade: leaves of one region are lit alike.
        shade = colours[rng.integers(len(colours) - 1)] * (0.12 + 1.3 * depth[y, x] ** 1.5) * rng.uniform(0.7, 1.2)
        cv2.ellipse(layer, (x, y), axes, rng.uniform(0, 180), 0, 360, shade.tolist(), -1, cv2.LINE_AA)
    for _ in range(80):
        x, y = int(rng.integers(SIZE)), int(rng.beta(1.3, 2.5) * SIZE)
        gap = colours[-1] * rng.gamma(1.5, 3.0) * depth[y, x]
        cv2.circle(layer, (x, y), int(rng.uniform(2, 6)), gap.tolist(), -1, cv2.LINE_AA)
    return layer


TEXTURES: dict[str, Callable[[np.random.Generator, Mapping], np.ndarray]] = {
    f.__name__: f for f in (paper, plaster, canvas, brick, tiles, planks, linen, curtain, bokeh, foliage)
}


def from_texture(entry: Mapping) -> np.ndarray:
    if entry.get("source") not in TEXTURES:
        raise ValueError(f"unknown texture {entry.get('source')!r}; there are {', '.join(TEXTURES)}")
    light = TEXTURES[entry["source"]](np.random.default_rng(entry["seed"]), entry)
    return to_bytes(defocus(light, entry.get("blur", 0)))


# --------------------------------------------------------------------------------------------------------------- entry


def make_background(entry: Mapping, photos: Path, hdris: Path | None = None) -> np.ndarray:
    """The (640, 640, 3) uint8 sRGB picture of an entry that needs no renderer. Raises ValueError, FileNotFoundError."""
    family = entry.get("family")
    if family in PLACES:
        raise ValueError(f"{entry.get('id')} is a {family}, which Blender renders")
    if family not in FAMILIES:
        raise ValueError(f"unknown family of backgrounds {family!r}; there are {', '.join(FAMILIES)}")
    try:
        if family == "hdri":
            return from_hdri(entry, hdris)
        return from_photo(entry, photos) if family == "photo" else from_texture(entry)
    except KeyError as error:
        raise ValueError(f"{entry.get('id')} ({family}) lacks {error.args[0]}") from error


def source(entry: Mapping) -> str:
    """What a split may not share with another: the layout, panorama, texture or photograph."""
    return f"{entry['family']}:{entry['layout'] if entry['family'] in PLACES else entry['source']}"


def licence(entry: Mapping) -> str:
    """The licence of the picture (SPDX), as LICENSES.md explains it source by source."""
    return "LicenseRef-public-domain" if entry.get("source") in PUBLIC_DOMAIN else "CC0-1.0"
