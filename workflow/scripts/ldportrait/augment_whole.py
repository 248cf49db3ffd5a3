"""Training composites of whole portraits, for a network without a trimap that must find the person in any picture.

The crops of `augment` teach the rim. Here the whole frame is composed, and varied hard, since the bank has few persons
and few backgrounds and all are rendered: a network must not learn them by heart. Persons are moved, turned, stretched,
partly out of the frame, relit, recoloured and given patterned clothes; backgrounds are cut, mirrored, blurred,
recoloured, mixed, made up of noise and gradients, and littered with things.

Composite k is a function of the seed, k and the pictures. Its geometry does not depend on the side it is made at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ldportrait import augment

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
EMPTY = 0.02  # share of composites without a person
SECOND = 0.06  # share with a second person behind the first
STRETCH = 0.3  # most that log(width / height) changes
SCALES = (0.55, 1.7)  # a person's size, times that in the bank, of one half of the composites
NEAR = 0.12  # standard deviation of its logarithm in the other half
BLANK = 1e-3  # alpha below which a portrait's colour is nobody's


@dataclass(frozen=True)
class Sources:
    """The pictures that composites are made of, each as a pyramid: sizes halved until `least` pixels are passed."""

    portraits: Sequence[Sequence[np.ndarray]]  # premultiplied (H, W, 4) uint8
    backgrounds: Sequence[Sequence[np.ndarray]]  # (H, W, 3) uint8

    @classmethod
    def of(cls, portraits: Sequence[np.ndarray], backgrounds: Sequence[np.ndarray], least: int = 96) -> "Sources":
        """Take straight-alpha portraits (H, W, 4) and backgrounds (H, W, 3), all uint8."""
        return cls([pyramid(premultiplied(p), least) for p in portraits], [pyramid(b, least) for b in backgrounds])


def premultiplied(rgba: np.ndarray) -> np.ndarray:
    """Straight (H, W, 4) uint8 to premultiplied."""
    colour = np.rint(rgba[..., :3] * (rgba[..., 3:].astype(np.float32) / 255)).astype(np.uint8)
    return np.dstack([colour, rgba[..., 3]])


def pyramid(picture: np.ndarray, least: int) -> list[np.ndarray]:
    """The picture, and halves of it down to a shorter side of `least` pixels."""
    levels = [picture]
    while min(levels[-1].shape[:2]) >= 2 * least:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    return levels


def composite(index: int, sources: Sources, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make composite `index` of a run: picture (side, side, 3) and alpha (side, side), float32 in [0, 1]."""
    stream = augment.generator(seed, index, 11)
    image = ground(sources, side, augment.generator(seed, index, 12))
    alpha = np.zeros((side, side), np.float32)
    order = stream.permutation(len(sources.portraits))
    count = 0 if stream.random() < EMPTY else 1 + (stream.random() < SECOND)
    for place in range(count):
        front, cover = person(
            sources.portraits[order[place]], side, sources, augment.generator(seed, index, 13 + place)
        )
        image, alpha = front + (1 - cover[..., None]) * image, cover + (1 - cover) * alpha
    image = camera(image.clip(0, 1), augment.generator(seed, index, 15))
    return image, alpha.astype(np.float32).clip(0, 1)


# Persons -------------------------------------------------------------------------------------------------------------


def person(
    levels: Sequence[np.ndarray], side: int, sources: Sources, stream: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Place and recolour a portrait: premultiplied colour (side, side, 3) and alpha (side, side), float32 in [0, 1]."""
    mixed = warped(levels, side, placement(stream)) / np.float32(255)
    alpha = mixed[..., 3]
    colour = mixed[..., :3] / np.maximum(alpha, BLANK)[..., None]
    colour = recoloured(colour.clip(0, 1), stream, 0.5)
    if stream.random() < 0.25:
        colour = patterned(colour, sources, stream)
    if stream.random() < 0.3:
        colour = colour * (1 + 0.5 * slope(side, stream)[..., None])
    mixed = np.dstack([colour.clip(0, 1) * alpha[..., None], alpha])
    if stream.random() < 0.15:  # out of focus
        mixed = cv2.GaussianBlur(mixed, (0, 0), side * stream.uniform(0.001, 0.006))
    return mixed[..., :3], mixed[..., 3]


def placement(stream: np.random.Generator) -> np.ndarray:
    """Draw where a portrait comes to lie: (2, 3), from the composite's to the portrait's coordinates, both in [0, 1].

    The frame's lower edge is kept above the portrait's where it can be, as nobody ends at the waist.
    """
    scale = np.exp(stream.normal(0, NEAR) if stream.random() < 0.5 else stream.uniform(*np.log(SCALES)))
    stretch = np.exp(stream.uniform(-STRETCH, STRETCH) / 2 * (stream.random() < 0.6))
    angle = np.deg2rad(stream.normal(0, 7) if stream.random() < 0.8 else stream.uniform(-35, 35))
    flip = -1 if stream.random() < 0.5 else 1
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.diag([flip, 1]) @ turn @ np.diag([1 / stretch, stretch]) / scale
    across = stream.normal(0, 0.16)
    down = stream.uniform(-0.15, 0.15)
    if scale < 1:
        down += 0.5 * (1 - scale)  # feet on the lower edge
    centre = np.array([0.5 + across, 0.5 + down])
    return np.column_stack([matrix, [0.5, 0.5] - matrix @ centre])


def warped(levels: Sequence[np.ndarray], side: int, place: np.ndarray) -> np.ndarray:
    """Sample a portrait by `place`, from the level of its pyramid that fits; its borders go on outside of it."""
    step = np.sqrt(abs(np.linalg.det(place[:, :2]))) / side  # of the portrait's height, a pixel of the composite
    level = next((level for level in reversed(levels) if step * level.shape[0] >= 0.9), levels[0])
    height, width = level.shape[:2]
    corner = place[:, :2] @ [0.5 / side, 0.5 / side] + place[:, 2]
    size = np.array([width, height])
    matrix = np.column_stack([place[:, :2] * size[:, None] / side, corner * size - 0.5])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(level, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)


def patterned(colour: np.ndarray, sources: Sources, stream: np.random.Generator) -> np.ndarray:
    """Print a piece of a background on a part of the person, the lower more often."""
    side = colour.shape[0]
    cloth = texture(sources, side, stream)
    mask = blob(side, np.array([stream.uniform(0.2, 0.8), stream.uniform(0.45, 1.0)]), stream)
    strength = np.float32(stream.uniform(0.3, 1.0))
    if stream.random() < 0.5:  # the pattern alone, in the cloth's own colour and light
        grey = (cloth @ LUMA)[..., None]
        cloth = colour * (1 + 1.5 * (grey - grey.mean()))
    return colour + strength * mask[..., None] * (cloth - colour)


# Backgrounds ---------------------------------------------------------------------------------------------------------


def ground(sources: Sources, side: int, stream: np.random.Generator) -> np.ndarray:
    """Make a background (side, side, 3) float32 in [0, 1]."""
    image = texture(sources, side, stream) if stream.random() < 0.8 else invented(side, stream)
    if stream.random() < 0.25:
        other = texture(sources, side, stream) if stream.random() < 0.7 else invented(side, stream)
        mask = edge(side, stream) if stream.random() < 0.6 else np.float32(stream.uniform(0.2, 0.8))
        image = image + mask * (other - image)
    if stream.random() < 0.4:
        image = littered(image, sources, stream)
    if stream.random() < 0.4:  # out of focus
        image = cv2.GaussianBlur(image, (0, 0), side * np.exp(stream.uniform(np.log(0.002), np.log(0.03))))
    if stream.random() < 0.3:
        image = image * (1 + 0.6 * slope(side, stream)[..., None])
    return image.clip(0, 1)


def texture(sources: Sources, side: int, stream: np.random.Generator) -> np.ndarray:
    """Cut a background at any scale, turned and recoloured; now and then cut out of a portrait: cloth, hair, skin."""
    if stream.random() < 0.12:
        levels = sources.portraits[stream.integers(len(sources.portraits))]
        share, centre = stream.uniform(0.05, 0.15), np.array([stream.uniform(0.35, 0.65), stream.uniform(0.6, 0.95)])
    else:
        levels = sources.backgrounds[stream.integers(len(sources.backgrounds))]
        share = np.exp(stream.uniform(np.log(0.3), 0))
        centre = share / 2 + stream.random(2) * (1 - share)
    angle = np.deg2rad(stream.normal(0, 5)) if stream.random() < 0.7 else stream.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([1 if stream.random() < 0.5 else -1, np.exp(stream.uniform(-0.3, 0.3))]) * share
    place = np.column_stack([matrix, centre - matrix @ [0.5, 0.5]])
    return recoloured(warped_mirrored(levels, side, place), stream, 0.6)


def warped_mirrored(levels: Sequence[np.ndarray], side: int, place: np.ndarray) -> np.ndarray:
    """Sample a background's colour by `place`, mirrored beyond its borders; float32 in [0, 1]."""
    step = np.sqrt(abs(np.linalg.det(place[:, :2]))) / side
    level = next((level for level in reversed(levels) if step * level.shape[0] >= 0.9), levels[0])[..., :3]
    size = np.array(level.shape[1::-1])
    matrix = np.column_stack([place[:, :2] * size[:, None] / side, place[:, 2] * size])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(level, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return found.astype(np.float32) / 255


def invented(side: int, stream: np.random.Generator) -> np.ndarray:
    """A plain colour, with a gradient to another, or noise of several sizes between the two."""
    first, second = stream.random((2, 3)).astype(np.float32)
    kind = stream.random()
    if kind < 0.25:
        return np.full((side, side, 3), first)
    mix = 0.5 + 0.5 * slope(side, stream) if kind < 0.6 else clouds(side, stream)
    return first + mix[..., None] * (second - first)


def littered(image: np.ndarray, sources: Sources, stream: np.random.Generator) -> np.ndarray:
    """Put one to five things before a background: blobs, discs and boxes, plain or with a texture."""
    side = image.shape[0]
    for _ in range(stream.integers(1, 6)):
        centre = stream.random(2)
        if stream.random() < 0.4:
            mask = blob(side, centre, stream)
        else:
            mask = np.zeros((side, side), np.float32)
            half = np.exp(stream.uniform(np.log(0.02), np.log(0.3), 2)) * side
            box = ((centre * side).tolist(), (2 * half).tolist(), float(stream.uniform(0, 180)))
            if stream.random() < 0.5:
                cv2.ellipse(mask, box, 1.0, -1, cv2.LINE_AA)
            else:
                cv2.fillConvexPoly(mask, cv2.boxPoints(box).astype(np.int32), 1.0, cv2.LINE_AA)
        thing = texture(sources, side, stream) if stream.random() < 0.6 else stream.random(3).astype(np.float32)
        image = image + mask[..., None] * (thing - image)
    return image


# Pieces --------------------------------------------------------------------------------------------------------------


def clouds(side: int, stream: np.random.Generator) -> np.ndarray:
    """Noise of several sizes, (side, side) float32 in [0, 1]."""
    total = np.zeros((side, side), np.float32)
    fade = stream.uniform(0.4, 0.9)
    for octave in range(1, 7):
        if 2**octave <= side:
            noise = stream.random((2**octave, 2**octave), dtype=np.float32) - 0.5
            total += fade**octave * cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def slope(side: int, stream: np.random.Generator) -> np.ndarray:
    """A plane in a random direction and strength, (side, side) float32 in [-1, 1]."""
    angle, strength = stream.uniform(0, 2 * np.pi), stream.random()
    line = np.linspace(-1, 1, side, dtype=np.float32) / np.sqrt(2)
    return np.float32(strength) * (np.float32(np.cos(angle)) * line[None] + np.float32(np.sin(angle)) * line[:, None])


def edge(side: int, stream: np.random.Generator) -> np.ndarray:
    """A half of the frame, (side, side, 1) float32: 0 on one side of a line and 1 on the other."""
    plane = slope(side, stream)
    return (plane > stream.uniform(-0.5, 0.5) * max(float(plane.max()), 1e-6)).astype(np.float32)[..., None]


def blob(side: int, centre: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """A soft round shape with a ragged rim around `centre` (x, y in [0, 1]), (side, side) float32 in [0, 1]."""
    line = (np.arange(side, dtype=np.float32) + 0.5) / side
    radius = stream.uniform(0.08, 0.4)
    distance = np.hypot(line[None] - np.float32(centre[0]), line[:, None] - np.float32(centre[1]))
    ragged = distance / np.float32(radius) + np.float32(0.8) * (clouds(side, stream) - 0.5)
    return ((1 - ragged) * np.float32(np.exp(stream.uniform(0, 3)))).clip(0, 1)


def recoloured(colour: np.ndarray, stream: np.random.Generator, chance: float) -> np.ndarray:
    """Change exposure, gamma, contrast and tint a little, and with `chance` hue and saturation; (H, W, 3) in [0, 1]."""
    gamma = np.exp(stream.normal(0, 0.25))
    gain = np.exp(stream.normal(0, 0.2)) * np.exp(stream.normal(0, 0.08, 3))
    pivot, contrast = stream.uniform(0.2, 0.8), np.exp(stream.normal(0, 0.2))
    table = ((np.linspace(0, 1, 256)[:, None] ** gamma * gain - pivot) * contrast + pivot).clip(0, 1)
    colour = cv2.LUT(np.rint(colour * 255).astype(np.uint8), table[None].astype(np.float32))
    if stream.random() < chance:
        colour = colour @ hue_matrix(stream.normal(0, 0.6), np.exp(stream.normal(-0.1, 0.4)))
    if stream.random() < 0.06:
        colour = np.repeat((colour @ LUMA)[..., None], 3, axis=2)
    return colour.clip(0, 1)


def hue_matrix(angle: float, saturation: float) -> np.ndarray:
    """Turn colours around the grey axis by `angle` (radians) and away from it by `saturation`, keeping their luma.

    Rodrigues' rotation about (1, 1, 1), followed by I -> luma + saturation (I - luma); (3, 3) float32, to multiply from
    the right.
    """
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)
    to_luma = np.outer(np.ones(3), LUMA)
    coloured = turn - to_luma @ turn  # the turned colour's distance from its own luma
    return (to_luma + saturation * coloured).T.astype(np.float32)


def camera(image: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """What a camera does to the whole: white balance and exposure, lens blur, noise, compression; in [0, 1]."""
    side = image.shape[0]
    if stream.random() < 0.5:
        image = (image ** np.float32(np.exp(stream.normal(0, 0.15))) * np.exp(stream.normal(0, 0.1, 3))).clip(0, 1)
    if stream.random() < 0.04:
        image = np.repeat((image @ LUMA)[..., None], 3, axis=2)
    if stream.random() < 0.3:
        image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), side * stream.uniform(0.0008, 0.004))
    if stream.random() < 0.4:
        noise = stream.standard_normal(image.shape, dtype=np.float32)
        image = image + np.float32(stream.uniform(0, 0.05)) * noise
    if stream.random() < 0.3:
        flags = [cv2.IMWRITE_JPEG_QUALITY, int(stream.integers(35, 96))]
        _, coded = cv2.imencode(".jpg", np.rint(image.clip(0, 1) * 255).astype(np.uint8)[..., ::-1], flags)  # BGR
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32) / 255
    return image.astype(np.float32).clip(0, 1)
