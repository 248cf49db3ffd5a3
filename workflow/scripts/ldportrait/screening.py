"""Screening: the numbers that tell a sound portrait from a bad generation, and the verdicts drawn from them.

Connectivity repairs a matte, but cannot remove scenery that is glued to a body, nor make one person of two. Such items
are rejected, each with its reasons. `measure` takes all numbers from the pictures; `verdicts` compares them with
thresholds and looks at no picture, so that thresholds can be changed and judged anew in seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import cc3d
import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from ldportrait import images

FAINT, STRONG = 12, 243  # alpha of 1..12 is faint, of 243..254 nearly opaque
HALF = 128
GREY = (128, 128, 128)
FACE_SIDE = 288  # pixels of the longer side at which faces are looked for
FACE_MARGIN = 32  # pixels added around, since detectors miss faces that touch the frame
SECOND_SIZE = 64  # pixels of the first face where a second one is looked for beside it
STANDARD = 512  # pixels of the longer side at which widths and sharpness are measured
WIDE = 9  # pixels at that size: the square in which fractional alpha is smooth or not
SMOOTH = 10  # levels: the deviation of alpha in such a square, below which it is no hair
EVEN = 1  # levels: the same where alpha is nearly opaque, below which it is no body
FULL = 255
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
    face_size: small-face, if the face is smaller than this.
    cut_side, cut_top: cut-off, if more of a side border's or the top border's length than this is opaque.
    smooth_fractional: scenery (glow, veil), if smooth fractional alpha takes more of the raw picture than this.
    aside: scenery, if more of the opaque area than this lies where a person with this face has no body.
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
    face_size: float = 0.07
    cut_side: float = 0.6
    cut_top: float = 0.1
    smooth_fractional: float = 0.005
    aside: float = 0.12
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


class FaceFinder:
    """Finds faces with the Haar cascades that ship with OpenCV: frontal, alternative frontal, and both profiles."""

    def __init__(self) -> None:
        self.cascades = {
            name: cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{file}.xml")
            for name, file in CASCADES.items()
        }

    def find(self, grey: np.ndarray) -> list[tuple[float, float, float, int]]:
        """Find faces in an (H, W) uint8 picture over GREY: (centre x, centre y, size, votes), pixels, the surest first.

        Hits around one place are one face; its votes are how many of the four detectors saw it. The frontal ones look
        first, and those of profiles, which take twice as long, where these two do not agree. Then all look again on
        both sides of the face and not far below, for a second one of its size or smaller, looking closer.
        """
        small = _scaled(grey, FACE_SIDE / max(grey.shape))
        least = FACE_SIDE // 20
        hits = self._hits(small, FRONTAL, 4, least)
        if max((face[3] for face in _merged(hits)), default=0) < 2:
            hits += self._hits(small, PROFILES, 4, least)
        scale = max(grey.shape) / FACE_SIDE
        faces = [(x * scale, y * scale, size * scale, votes) for x, y, size, votes in _distinct(_merged(hits))]
        return faces + self._beside(grey, faces[0]) if len(faces) == 1 else faces

    def _beside(self, grey: np.ndarray, face: tuple[float, float, float, int]) -> list[tuple[float, float, float, int]]:
        """Faces that two detectors see beside a face, behind which they may be half hidden."""
        x, y, size, _ = face
        rows = slice(max(0, round(y - 1.2 * size)), max(0, round(y + 2 * size)))
        ends = max(0, round(x - 0.45 * size)), round(x + 0.45 * size)
        found = []
        for left, right in ((0, ends[0]), (ends[1], grey.shape[1])):
            part = grey[rows, left:right]
            if right - left < 0.3 * size or not part.size or np.mean(part != GREY[0]) * part.size < 0.3 * size**2:
                continue
            scale = SECOND_SIZE / size
            hits = self._hits(_scaled(part, scale), FRONTAL + PROFILES, 2, round(0.47 * SECOND_SIZE), SECOND_SIZE)
            found += [
                (left + cx / scale, rows.start + cy / scale, width / scale, votes)
                for cx, cy, width, votes in _merged(hits)
                if votes >= 2
            ]
        return found

    def _hits(
        self, picture: np.ndarray, detectors: Sequence[str], support: int, least: int, most: int = 0
    ) -> list[tuple[float, float, float, str]]:
        """What some detectors see in a picture, as (x, y, size, detector); `least` and `most` are sizes in pixels."""
        padded = cv2.copyMakeBorder(picture, *[FACE_MARGIN] * 4, cv2.BORDER_CONSTANT, value=GREY[0])
        hits = []
        for detector in detectors:
            mirrored = detector.startswith("mirrored ")
            seen = np.ascontiguousarray(padded[:, ::-1]) if mirrored else padded
            cascade = self.cascades[detector.removeprefix("mirrored ")]
            sizes = {"minSize": (least, least), "maxSize": (most, most)}
            for x, y, width, height in cascade.detectMultiScale(seen, 1.1, support, **sizes):
                centre = padded.shape[1] - x - width / 2 if mirrored else x + width / 2
                hits.append((centre - FACE_MARGIN, y + height / 2 - FACE_MARGIN, float(width), detector))
        return hits


def _scaled(picture: np.ndarray, scale: float) -> np.ndarray:
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _merged(hits: Sequence[tuple[float, float, float, str]]) -> list[tuple[float, float, float, int]]:
    """Join hits (x, y, size, detector) whose centres are within half a face of each other; (x, y, size, votes)."""
    groups: list[list[tuple[float, float, float, str]]] = []
    for hit in hits:
        for group in groups:
            x, y, size = np.median([other[:3] for other in group], axis=0)
            if np.hypot(hit[0] - x, hit[1] - y) < 0.5 * max(size, hit[2]) and 0.4 < hit[2] / size < 2.5:
                group.append(hit)
                break
        else:
            groups.append([hit])
    faces = [(*np.median([hit[:3] for hit in g], axis=0).tolist(), len({hit[3] for hit in g})) for g in groups]
    return sorted(faces, key=lambda face: (-face[3], face[1]))


def _distinct(faces: list[tuple[float, float, float, int]]) -> list[tuple[float, float, float, int]]:
    """Keep the first face and those that are surely others: apart from it, of like size, and seen twice or beside it.

    Cloth resembles a face now and then, but below the face, and hardly to two detectors.
    """
    kept = faces[:1]
    for x, y, size, votes in faces[1:]:
        apart = all(np.hypot(x - other[0], y - other[1]) > 0.9 * max(size, other[2]) for other in kept)
        beside = abs(x - kept[0][0]) > abs(y - kept[0][1])
        if apart and (votes >= 2 or beside) and 0.5 < size / kept[0][2] < 2:
            kept.append((x, y, size, votes))
    return kept


def measure(raw: np.ndarray, refined: np.ndarray, finder: FaceFinder) -> dict[str, object]:
    """Take every number that a verdict needs from a portrait as generated and as refined, both (H, W, 4) uint8."""
    if raw.shape != refined.shape:
        raise ValueError(f"The raw picture is {raw.shape[:2]}, the refined one {refined.shape[:2]} (H, W).")
    alpha, before = refined[..., 3], raw[..., 3]
    grey = cv2.cvtColor(images.composite(refined, GREY), cv2.COLOR_RGB2GRAY)
    faces = finder.find(cv2.cvtColor(images.composite(raw, GREY), cv2.COLOR_RGB2GRAY))
    numbers = {
        **_shares("raw", before),
        **_shares("refined", alpha),
        "area": float(np.mean(alpha >= HALF)),
        **_touches(alpha),
        **_bodies(before),
        **_faces(faces, alpha),
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


def _faces(faces: list[tuple[float, float, float, int]], alpha: np.ndarray) -> dict[str, float]:
    """The faces found, the first one's size and place, and how much of the person lies where it cannot have a body."""
    side = max(alpha.shape)
    if not faces:
        return {"faces": 0, "face_size": 0.0, "face_x": 0.0, "face_y": 0.0, "face_votes": 0, "aside": 0.0}
    x, y, size, votes = faces[0]
    person = alpha >= HALF
    rows, columns = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
    above = rows < y - 1.6 * size
    beside = (np.abs(columns - x) > 2.2 * size) & (rows < y + 0.4 * size)
    return {
        "faces": len(faces),
        "face_size": size / side,
        "face_x": x / alpha.shape[1],
        "face_y": y / alpha.shape[0],
        "face_votes": votes,
        "aside": float(np.count_nonzero(person & (above | beside)) / max(1, np.count_nonzero(person))),
    }


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
    """Draw the verdicts: id, split, persona, accepted, reasons (comma-separated) and reviewed, in the measured order.

    `review` holds the user's own verdicts, id to accepted; they overrule. A rejected item's reasons are listed in the
    order of REASONS (`review` where the user alone rejects it); of near-duplicates the first accepted one stays.
    """
    t, m = thresholds, measured
    no_face = m.faces == 0
    found = {
        "background-kept": m.raw_clear + m.raw_faint < t.background_clear,
        "empty": m.raw_strong + m.raw_opaque < t.empty_area,
        "see-through": (m.veil_background > t.veil_background) | (m.veil_body > t.veil_body),
        "scenery": (m.smooth_fractional > t.smooth_fractional) | (m.aside > t.aside),
        "several-persons": (m.faces > 1) | (m.second_body > t.second_body),
        "no-face": no_face,
        "small-face": ~no_face & (m.face_size < t.face_size),
        "cut-off": (m.touch_left > t.cut_side) | (m.touch_right > t.cut_side) | (m.touch_top > t.cut_top),
        "blurred": m.sharpness < t.sharpness,
        "changed-too-much": m.changed > t.changed,
        "binary-alpha": m.soft_edge < t.soft_edge,
    }
    reasons = [[name for name in found if found[name].iloc[i]] for i in range(len(m))]
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
        }
    )


def _duplicates(
    measured: pd.DataFrame, accepted: Sequence[bool], review: Mapping[str, bool], distance: int
) -> list[int]:
    """The positions of accepted items that resemble an earlier accepted one; what the user accepted stays."""
    hashes = np.array([int(text, 16) for text in measured.phash], np.uint64)
    kept: list[int] = []
    doubles = []
    for i in np.flatnonzero(accepted):
        near = kept and np.bitwise_count(hashes[kept] ^ hashes[i]).min() <= distance
        if near and measured.id.iloc[i] not in review:
            doubles.append(int(i))
        else:
            kept.append(int(i))
    return doubles


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
