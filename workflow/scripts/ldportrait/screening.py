"""Screening: the numbers that tell a sound portrait from a bad generation, and the verdicts drawn from them.

Connectivity repairs a matte, but cannot remove scenery that is glued to a body, nor make one person of two. Such items
are rejected, each with its reasons. `measure` takes all numbers from the pictures; `verdicts` compares them with
thresholds and looks at no picture, so that thresholds can be changed and judged anew in seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import cc3d
import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from ldportrait import duplicates, images

FAINT, STRONG = 12, 243  # alpha of 1..12 is faint, of 243..254 nearly opaque
HALF = 128
GREY = (128, 128, 128)
FACE_SIDE = 288  # pixels of the longer side at which faces are looked for
FACE_MARGIN = 32  # pixels added around, since detectors miss faces that touch the frame
SECOND_SIZE = 96  # pixels of the first face where a second one is looked for beside it
SECOND_STEP = 1.05  # from one size of a second face to the next: half hidden, it is seen at few of them
OVERLAP = 0.85  # of the first face: what looks like a face nearer than this may be a part of the first one
OVERLAP_WEIGHT = 0.2  # of hits as near as that
STANDARD = 512  # pixels of the longer side at which widths and sharpness are measured
WIDE = 9  # pixels at that size: the square in which fractional alpha is smooth or not
SMOOTH = 10  # levels: the deviation of alpha in such a square, below which it is no hair
EVEN = 1  # levels: the same where alpha is nearly opaque, below which it is no body
FULL = 255
COLOURS = 128  # pixels of the longer side at which colours are compared
COLOUR_STEPS = (3, 3, 15)  # of a*, b* and L*: light and shade change L* most
BINS = (86, 86, 7)  # of such steps in the space of colours
STANDING = 200  # alpha from which a thing stands there and is no veil
FOREIGN = 6  # times as much of a colour lies elsewhere as above and below the face: it is not the person's
CASCADES = {"frontal": "frontalface_default", "alternative": "frontalface_alt2", "profile": "profileface"}
FRONTAL, PROFILES = ("frontal", "alternative"), ("profile", "mirrored profile")


@dataclass(frozen=True)
class Thresholds:
    """From where on a portrait is rejected, per reason. Areas are shares of the picture, sizes of its longer side.

    background_clear: background-kept, if less of the raw picture than this is clear (alpha up to 12).
    empty_area: empty, if the nearly opaque part of the raw matte (alpha from 243) takes less than this.
    veil_background: see-through, if more of the raw surroundings than this has alpha above 12.
    veil_body: see-through, if more of the body than this is below alpha 0.8 in the raw matte.
    second_body: several-persons, if a body beside the person takes more than this share of the person's area.
    face_beside: several-persons, if more windows of the face detectors than this agree on a face beside the first.
    face_size: small-face, if the face is smaller than this.
    cut_side, cut_top: cut-off, if more of a side border's or the top border's length than this is opaque.
    smooth_fractional: scenery (glow, veil), if smooth fractional alpha takes more of the raw picture than this.
    aside: scenery, if more of the opaque area than this lies where a person with this face has no body.
    foreign: scenery, if a disc of a larger radius than this, in sizes of the face, has colours foreign to the person.
    foreign_beside: the same of a disc beside the head and above the shoulders.
    sharpness: blurred, if the sharpness of the person is below this.
    changed: changed-too-much, if the refinement changed alpha by more than this on average.
    soft_edge: binary-alpha, if there are fewer soft pixels than this per pixel of the outline.
    duplicate_distance: duplicate, if an earlier accepted one's perceptual hash is at most so many bits away; -1: never.
    """

    background_clear: float = 0.02
    empty_area: float = 0.05
    veil_background: float = 0.2
    veil_body: float = 0.05
    second_body: float = 0.08
    face_beside: float = 12.0
    face_size: float = 0.07
    cut_side: float = 0.6
    cut_top: float = 0.1
    smooth_fractional: float = 0.005
    aside: float = 0.12
    foreign: float = 0.4
    foreign_beside: float = 0.12
    sharpness: float = 6.0
    changed: float = 0.1
    soft_edge: float = 0.3
    duplicate_distance: int = 4


# In the order in which they are listed: what is wrong with the matte, with the content, and with the item among others.
REASONS = (
    "background-kept",
    "empty",
    "see-through",
    "scenery",
    "several-persons",
    "no-face",
    "small-face",
    "cut-off",
    "blurred",
    "changed-too-much",
    "binary-alpha",
    "duplicate",
    "review",
)


class Hit(NamedTuple):
    """What one detector takes for a face: its centre and size in pixels, and how many overlapping windows say so."""

    x: float
    y: float
    size: float
    detector: str
    windows: int


class Face(NamedTuple):
    """Hits at one place: centre and size in pixels, how many detectors agree, and their windows in all."""

    x: float
    y: float
    size: float
    votes: int
    windows: int


class FaceFinder:
    """Finds faces with the Haar cascades that ship with OpenCV: frontal, alternative frontal, and both profiles."""

    def __init__(self) -> None:
        self.cascades = {
            name: cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{file}.xml")
            for name, file in CASCADES.items()
        }

    def find(self, grey: np.ndarray) -> list[Face]:
        """Find the faces, the surest first, in an (H, W) uint8 picture over GREY.

        The frontal detectors look first, and those of profiles, which take twice as long, where these two do not agree.
        Where none sees anything, as in a face with an eye shut, less support is asked of them.
        """
        scale = FACE_SIDE / max(grey.shape)
        small, least = _scaled(grey, scale), FACE_SIDE // 20
        hits = self._hits(small, FRONTAL, 4, least)
        if max((face.votes for face in _merged(hits)), default=0) < 2:
            hits += self._hits(small, PROFILES, 4, least)
        hits = hits or self._hits(small, FRONTAL + PROFILES, 2, least)
        return [
            face._replace(x=face.x / scale, y=face.y / scale, size=face.size / scale)
            for face in _distinct(_merged(hits))
        ]

    def beside(self, grey: np.ndarray, face: Face) -> float:
        """The evidence for a second face beside or half behind a face: the most windows that agree on a place.

        All detectors look again, closer and in finer steps, on both sides of the face and not far below, for one of its
        size or smaller. A part of the face itself may be seen anew: what is near its centre (OVERLAP) has less weight.
        """
        rows = slice(max(0, round(face.y - 1.2 * face.size)), max(0, round(face.y + 2 * face.size)))
        ends = max(0, round(face.x - 0.45 * face.size)), round(face.x + 0.45 * face.size)
        scale = SECOND_SIZE / face.size
        least, most = round(0.45 * SECOND_SIZE), round(1.05 * SECOND_SIZE)
        evidence = 0.0
        for left, right in ((0, ends[0]), (ends[1], grey.shape[1])):
            part = grey[rows, left:right]
            if right - left < 0.3 * face.size or np.count_nonzero(part != GREY[0]) < 0.3 * face.size**2:
                continue
            for found in _merged(self._hits(_scaled(part, scale), FRONTAL + PROFILES, 1, least, most, SECOND_STEP)):
                near = abs(left + found.x / scale - face.x) < OVERLAP * face.size
                evidence = max(evidence, found.windows * (OVERLAP_WEIGHT if near else 1.0))
        return evidence

    def _hits(
        self, picture: np.ndarray, detectors: Sequence[str], support: int, least: int, most: int = 0, step: float = 1.1
    ) -> list[Hit]:
        """What some detectors see; `least` and `most` are sizes in pixels, `step` is the ratio of one to the next."""
        padded = cv2.copyMakeBorder(picture, *[FACE_MARGIN] * 4, cv2.BORDER_CONSTANT, value=GREY[0])
        sizes = {"minSize": (least, least), "maxSize": (most, most)}
        hits = []
        for detector in detectors:
            mirrored = detector.startswith("mirrored ")
            seen = np.ascontiguousarray(padded[:, ::-1]) if mirrored else padded
            cascade = self.cascades[detector.removeprefix("mirrored ")]
            for (x, y, width, height), windows in zip(
                *cascade.detectMultiScale2(seen, step, support, **sizes), strict=True
            ):
                centre = padded.shape[1] - x - width / 2 if mirrored else x + width / 2
                hits.append(
                    Hit(centre - FACE_MARGIN, y + height / 2 - FACE_MARGIN, float(width), detector, int(windows))
                )
        return hits


def _scaled(picture: np.ndarray, scale: float) -> np.ndarray:
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _merged(hits: Sequence[Hit]) -> list[Face]:
    """Join hits whose centres are within half a face of each other; the face that most detectors see comes first."""
    groups: list[list[Hit]] = []
    for hit in hits:
        for group in groups:
            x, y, size = np.median([other[:3] for other in group], axis=0)
            if np.hypot(hit.x - x, hit.y - y) < 0.5 * max(size, hit.size) and 0.4 < hit.size / size < 2.5:
                group.append(hit)
                break
        else:
            groups.append([hit])
    faces = []
    for group in groups:
        place = np.median([hit[:3] for hit in group], axis=0).tolist()
        faces.append(Face(*place, len({hit.detector for hit in group}), sum(hit.windows for hit in group)))
    return sorted(faces, key=lambda face: (-face.votes, face.y))


def _distinct(faces: list[Face]) -> list[Face]:
    """Keep the first face and those that are surely others: apart from it, of like size, and seen twice or beside it.

    Cloth resembles a face now and then, but below the face, and hardly to two detectors.
    """
    kept = faces[:1]
    for face in faces[1:]:
        apart = all(np.hypot(face.x - other.x, face.y - other.y) > 0.9 * max(face.size, other.size) for other in kept)
        beside = abs(face.x - kept[0].x) > abs(face.y - kept[0].y)
        if apart and (face.votes >= 2 or beside) and 0.5 < face.size / kept[0].size < 2:
            kept.append(face)
    return kept


def measure(raw: np.ndarray, refined: np.ndarray, finder: FaceFinder) -> dict[str, object]:
    """Take every number that a verdict needs from a portrait as generated and as refined, both (H, W, 4) uint8."""
    if raw.shape != refined.shape:
        raise ValueError(f"The raw picture is {raw.shape[:2]}, the refined one {refined.shape[:2]} (H, W).")
    alpha, before = refined[..., 3], raw[..., 3]
    grey = cv2.cvtColor(images.composite(refined, GREY), cv2.COLOR_RGB2GRAY)
    over_grey = cv2.cvtColor(images.composite(raw, GREY), cv2.COLOR_RGB2GRAY)
    faces = finder.find(over_grey)
    numbers = {
        **_shares("raw", before),
        **_shares("refined", alpha),
        "area": float(np.mean(alpha >= HALF)),
        **_touches(alpha),
        **_bodies(before),
        **_faces(faces, alpha),
        "face_beside": finder.beside(over_grey, faces[0]) if len(faces) == 1 else 0.0,
        **_foreign(raw, faces[:1]),
        **_veils(before, alpha),
        "smooth_fractional": _smooth(before),
        "soft_edge": _soft_edge(before),
        "sharpness": _sharpness(grey, alpha),
        "changed": float(np.mean(np.abs(before.astype(np.float32) - alpha)) / 255),
        "phash": str(imagehash.phash(Image.fromarray(grey))),
    }
    return numbers


def _shares(name: str, alpha: np.ndarray) -> dict[str, float]:
    counts = np.bincount(alpha.ravel(), minlength=256) / alpha.size
    return {
        f"{name}_clear": float(counts[0]),
        f"{name}_faint": float(counts[1 : FAINT + 1].sum()),
        f"{name}_fractional": float(counts[FAINT + 1 : STRONG].sum()),
        f"{name}_strong": float(counts[STRONG:255].sum()),
        f"{name}_opaque": float(counts[255]),
    }


def _touches(alpha: np.ndarray) -> dict[str, float]:
    """How much of each border's length is opaque."""
    sides = {"left": alpha[:, 0], "right": alpha[:, -1], "top": alpha[0], "bottom": alpha[-1]}
    return {f"touch_{name}": float(np.mean(border >= HALF)) for name, border in sides.items()}


def _bodies(before: np.ndarray) -> dict[str, float]:
    """How many regions of the raw matte could be bodies, and the second one's area relative to the first's."""
    labels = cc3d.connected_components((before >= HALF).view(np.uint8), connectivity=8)
    areas = np.sort(np.bincount(labels.ravel())[1:])[::-1]
    second = float(areas[1] / areas[0]) if len(areas) > 1 else 0.0
    return {"bodies": int(np.count_nonzero(areas > 0.02 * areas[:1].sum())), "second_body": second}


def _faces(faces: list[Face], alpha: np.ndarray) -> dict[str, float]:
    """The faces found, the first one's size and place, and how much of the person lies where it cannot have a body."""
    side = max(alpha.shape)
    if not faces:
        return {"faces": 0, "face_size": 0.0, "face_x": 0.0, "face_y": 0.0, "face_votes": 0, "aside": 0.0}
    face = faces[0]
    person = alpha >= HALF
    right, down = _around(face, alpha.shape)
    elsewhere = (down < -1.6) | ((np.abs(right) > 2.2) & (down < 0.4))
    return {
        "faces": len(faces),
        "face_size": face.size / side,
        "face_x": face.x / alpha.shape[1],
        "face_y": face.y / alpha.shape[0],
        "face_votes": face.votes,
        "aside": float(np.count_nonzero(person & elsewhere) / max(1, np.count_nonzero(person))),
    }


def _around(face: Face, shape: tuple[int, ...], scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """How far pixels are from a face's centre, to the right (1, W) and down (H, 1), in sizes of the face."""
    down, right = np.ogrid[: shape[0], : shape[1]]
    return (right - face.x * scale) / (face.size * scale), (down - face.y * scale) / (face.size * scale)


def _foreign(raw: np.ndarray, faces: list[Face]) -> dict[str, float]:
    """The radius, in sizes of the face, of the largest disc in foreign colours, and of such beside head and shoulders.

    Colours are the person's own if the column of head and trunk has them, a face to either side: arms and hair in the
    wind share them, what is behind the person often does not. The disc tells a thing from rims of light and thin
    strands. Clothes may differ at the side, but nothing new is expected beside the head and above the shoulders.
    """
    if not faces:
        return {"foreign": 0.0, "foreign_beside": 0.0}
    scale = COLOURS / max(raw.shape[:2])
    small = _scaled(raw, scale)
    right, down = _around(faces[0], small.shape, scale)
    right, body = np.abs(right), small[..., 3] >= STANDING
    bins = _colour_bins(small[..., :3])
    own = body & (right < 1)
    mine, others = (_histogram(bins[region])[bins] for region in (own, body & ~own))
    foreign = body & ~own & (others > FOREIGN * mine)
    beside = (right > 1.2 + 1.6 * np.maximum(down - 0.8, 0)) | (down < -1.6)
    size = faces[0].size * scale
    return {"foreign": _disc(foreign) / size, "foreign_beside": _disc(foreign & beside) / size}


def _disc(region: np.ndarray) -> float:
    """The radius in pixels of the largest disc in a region; the frame is no border of what it cuts off."""
    padded = np.pad(region.astype(np.uint8), 1, mode="edge")
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, 5).max())


def _colour_bins(rgb: np.ndarray) -> np.ndarray:
    """The bin (H, W) of each pixel's colour among BINS of a*, b* and L*."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    place = [
        (lab[..., i] + start) // step for i, start, step in zip((1, 2, 0), (128, 128, 0), COLOUR_STEPS, strict=True)
    ]
    return np.ravel_multi_index([axis.astype(int) for axis in place], BINS)


def _histogram(bins: np.ndarray) -> np.ndarray:
    """The number of pixels per bin of BINS, smoothed over neighbouring colours, as a flat array."""
    counts = np.bincount(bins, minlength=np.prod(BINS)).astype(np.float32)
    over_hue = cv2.GaussianBlur(counts.reshape(BINS), (5, 5), 1, borderType=cv2.BORDER_CONSTANT)
    return cv2.GaussianBlur(over_hue.reshape(-1, BINS[2]), (5, 1), 1, borderType=cv2.BORDER_CONSTANT).ravel()


def _veils(before: np.ndarray, alpha: np.ndarray) -> dict[str, float]:
    """How much of the surroundings is veiled in the raw matte, and how much of the body is see-through in it."""
    outside, inside = alpha == 0, alpha == 255
    return {
        "veil_background": _share_of(before > FAINT, outside),
        "faint_background": _share_of(before > 0, outside),
        "veil_body": _share_of(before < 204, inside),
        "body_alpha": float(before[inside].mean() / 255) if inside.any() else 0.0,
    }


def _share_of(what: np.ndarray, region: np.ndarray) -> float:
    return float(np.count_nonzero(what & region) / max(1, np.count_nonzero(region)))


def _smooth(before: np.ndarray) -> float:
    """The share of the raw picture in wide regions of smooth fractional alpha, at standard size: glow, panes, scenery.

    Hair is fractional over as wide regions, but its strands make alpha uneven; so is nearly opaque alpha in a body.
    """
    small = _standard(before)
    level = small.astype(np.float32)
    mean = cv2.blur(level, (WIDE, WIDE))
    variance = cv2.blur(level * level, (WIDE, WIDE)) - mean * mean
    share = 0.0
    for top, deviation in ((STRONG, SMOOTH), (FULL - 1, EVEN)):
        fractional = ((small > FAINT) & (small < top)).astype(np.uint8)
        wide = cv2.erode(fractional, np.ones((WIDE, WIDE), np.uint8)) > 0
        share = max(share, float(np.mean(wide & (variance < deviation**2))))
    return share


def _standard(picture: np.ndarray) -> np.ndarray:
    scale = STANDARD / max(picture.shape[:2])
    if scale == 1:
        return picture
    return _scaled(picture, scale)


def _soft_edge(before: np.ndarray) -> float:
    """Soft pixels (alpha 13..242) of the raw matte per pixel of the outline; near 0 if it was thresholded."""
    soft = np.count_nonzero((before > FAINT) & (before < STRONG))
    body = (before >= HALF).astype(np.uint8)
    outline = np.count_nonzero(body - cv2.erode(body, np.ones((3, 3), np.uint8)))
    return float(soft / max(1, outline))


def _sharpness(grey: np.ndarray, alpha: np.ndarray) -> float:
    """The 99th percentile of |Laplacian| in the inner opaque region of the picture at standard size, in levels."""
    small, opaque = _standard(grey), (_standard(alpha) == 255).astype(np.uint8)
    inner = cv2.erode(opaque, np.ones((7, 7), np.uint8)) > 0
    if not inner.any():
        return 0.0
    return float(np.percentile(np.abs(cv2.Laplacian(small, cv2.CV_32F))[inner], 99))


def verdicts(measured: pd.DataFrame, thresholds: Thresholds, review: Mapping[str, bool] | None = None) -> pd.DataFrame:
    """Draw the verdicts: id, split, persona, accepted, reasons (comma-separated), reviewed, phash, in measured order.

    `review` holds the user's own verdicts, id to accepted; they overrule. A rejected item's reasons are listed in the
    order of REASONS (`review` where the user alone rejects it); of near-duplicates the first accepted one stays.
    """
    t, m = thresholds, measured
    no_face = m.faces == 0
    found = {
        "background-kept": m.raw_clear + m.raw_faint < t.background_clear,
        "empty": m.raw_strong + m.raw_opaque < t.empty_area,
        "see-through": (m.veil_background > t.veil_background) | (m.veil_body > t.veil_body),
        "scenery": (m.smooth_fractional > t.smooth_fractional)
        | (m.aside > t.aside)
        | (m.foreign > t.foreign)
        | (m.foreign_beside > t.foreign_beside),
        "several-persons": (m.faces > 1) | (m.face_beside > t.face_beside) | (m.second_body > t.second_body),
        "no-face": no_face,
        "small-face": ~no_face & (m.face_size < t.face_size),
        "cut-off": (m.touch_left > t.cut_side) | (m.touch_right > t.cut_side) | (m.touch_top > t.cut_top),
        "blurred": m.sharpness < t.sharpness,
        "changed-too-much": m.changed > t.changed,
        "binary-alpha": m.soft_edge < t.soft_edge,
    }
    fails = {name: flags.tolist() for name, flags in found.items()}
    reasons = [[name for name in fails if fails[name][i]] for i in range(len(m))]
    review = review or {}
    accepted = [review.get(id, not why) for id, why in zip(m.id, reasons, strict=True)]
    for id, why in zip(m.id, reasons, strict=True):
        if review.get(id) is False and not why:
            why.append("review")
    for i in _duplicates(m, accepted, review, t.duplicate_distance):
        accepted[i] = False
        reasons[i].append("duplicate")
    return pd.DataFrame(
        {
            "id": m.id,
            "split": m.split,
            "persona": m.persona,
            "accepted": accepted,
            "reasons": ["" if yes else ",".join(why) for yes, why in zip(accepted, reasons, strict=True)],
            "reviewed": m.id.isin(list(review)),
            "phash": m.phash,
        }
    )


def _duplicates(
    measured: pd.DataFrame, accepted: Sequence[bool], review: Mapping[str, bool], distance: int
) -> list[int]:
    """The positions of accepted items that resemble an earlier accepted one; what the user accepted stays."""
    positions = np.flatnonzero(accepted)
    own = [i for i, id in enumerate(measured.id.iloc[positions]) if id in review]
    hashes = duplicates.parse(measured.phash.iloc[positions])
    return positions[duplicates.doubles(hashes, distance, own)].tolist()


def read_review(table: pd.DataFrame, ids: Sequence[str], name: str) -> dict[str, bool]:
    """Check a user's review (id, verdict, why) and return id to accepted. ValueError names the first mistake."""
    missing = [column for column in ("id", "verdict") if column not in table]
    if missing:
        raise ValueError(f"{name} has no column {missing[0]}; it needs id, verdict (accept or reject) and why.")
    known = set(ids)
    for id, verdict in zip(table.id, table.verdict, strict=True):
        if id not in known:
            raise ValueError(f"{name} names {id}, which is not among the {len(known)} measured portraits.")
        if verdict not in ("accept", "reject"):
            raise ValueError(f"{name} gives {id} the verdict {verdict!r}; it must be accept or reject.")
    doubles = table.id[table.id.duplicated()]
    if len(doubles):
        raise ValueError(f"{name} lists {doubles.iloc[0]} twice.")
    return {id: verdict == "accept" for id, verdict in zip(table.id, table.verdict, strict=True)}


def threshold_names() -> list[str]:
    """The names of all thresholds."""
    return [field.name for field in fields(Thresholds)]
