"""Strand hair on a head, grown from geometry alone.

Everything happens in the head's own frame: metres, Z up, the face looks to -Y, the person's left is +X. The direction
of gravity is given in that frame, so that hair hangs straight for a tilted head, and so is the collider (the posed
head, shoulders and garment). A few guide hairs walk over the head step by step: they follow a comb field, gravity and
the surface that they may not enter. The strands are mixed from the guides near their roots, drawn together into locks,
waved or curled, loosened, trimmed and pushed out of the collider.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ldportrait.rendering.hairstyles import BEARDS, Style

__all__ = ["Collider", "HeadFrame", "beard_weights", "scalp_weights"]

Array = np.ndarray
# Height of the hairline over the eye (metres on the default body) by the angle around the head in degrees: 0 is the
# middle of the forehead, 66 to 74 the sideburn, 92 above the ear, 180 the nape.
HAIRLINE_ANGLE = (0, 25, 38, 46, 52, 58, 63, 66, 74, 77, 80, 92, 104, 110, 122, 140, 180)
HAIRLINE_HEIGHT = (
    0.053,
    0.054,
    0.049,
    0.039,
    0.026,
    0.012,
    -0.010,
    -0.024,
    -0.024,
    0.000,
    0.008,
    0.010,
    0.006,
    -0.020,
    -0.045,
    -0.062,
    -0.068,
)
# Upper edge of a full beard in the same way: moustache, cheek, sideburn.
BEARD_ANGLE = (0, 14, 22, 35, 50, 60, 66, 80)
BEARD_HEIGHT = (-0.046, -0.049, -0.054, -0.060, -0.052, -0.036, -0.015, -0.015)
EAR_HALF_AXES = (0.024, 0.030)  # metres in Y and Z: what sticks out of the head at the middle of the ear vertices
LIPS = (-0.068, 0.027, 0.0085)  # height over the eye, half width and half height of the mouth, in metres
HAIRLINE_OVER_EYE = 0.053


def unit(v: Array) -> Array:
    """Vectors (..., 3) scaled to length 1."""
    return v / (np.linalg.norm(v, axis=-1, keepdims=True) + 1e-12)


def smoothstep(x: Array) -> Array:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


# ---------------------------------------------------------------------------------------------------------- masks


def _around_head(vertices: Array, quads: Array, eye: Array) -> tuple[Array, Array, float]:
    """Face centres (F,3), their angle in degrees (0 the face, 180 the nape), and the middle of the head in Y."""
    skull = vertices[np.unique(quads)]
    skull = skull[skull[:, 2] > eye[2]]
    if not len(skull):
        raise ValueError("no vertex lies above the eye: is the body given in metres with Z up?")
    middle = (skull[:, 1].min() + skull[:, 1].max()) / 2
    centres = vertices[quads].mean(axis=1)
    angle = np.rad2deg(np.abs(np.arctan2(centres[:, 0], middle - centres[:, 1])))
    return centres, angle, float(middle)


def _on_ear(vertices: Array, centres: Array, ear_vertices: Array) -> Array:
    """Which face centres (F,3) lie on an ear, (F,) bool.

    MakeHuman's ear targets move most of the side of the head, but their vertices are dense on the ear itself: an
    ellipse around their median is the ear.
    """
    ear = vertices[np.asarray(ear_vertices, int)]
    if not len(ear):
        return np.zeros(len(centres), bool)
    middle = np.median(ear[:, 1:], axis=0)
    beside = np.abs(centres[:, 0]) > 0.5 * np.abs(ear[:, 0]).max()
    return beside & ((((centres[:, 1:] - middle) / EAR_HALF_AXES) ** 2).sum(axis=1) < 1.0)


def scalp_weights(vertices: Array, quads: Array, eye: Array, ear_vertices: Array) -> Array:
    """How hairy each face of the default rest body is, (F,) in [0,1].

    `vertices` (V,3) and `eye` (3,) in metres, `quads` (F,4), `ear_vertices` the indices of the ears' vertices. The mesh
    topology is the same for every body, so the weights hold for all of them.
    """
    vertices, eye = np.asarray(vertices, float), np.asarray(eye, float)
    centres, angle, middle = _around_head(vertices, quads, eye)
    line = eye[2] + np.interp(angle, HAIRLINE_ANGLE, HAIRLINE_HEIGHT)
    weights = np.clip((centres[:, 2] - line) / 0.010, 0.0, 1.0)
    weights[_on_ear(vertices, centres, ear_vertices)] = 0.0
    weights[np.hypot(centres[:, 0], centres[:, 1] - middle) > 0.16] = 0.0
    return weights


def beard_weights(vertices: Array, quads: Array, eye: Array, ear_vertices: Array, kind: str) -> Array:
    """How bearded each face of the default rest body is, (F,) in [0,1]; `kind` is a key of `BEARDS`."""
    if kind not in BEARDS:
        raise ValueError(f"unknown beard {kind!r}: expected one of {', '.join(BEARDS)}")
    vertices, eye = np.asarray(vertices, float), np.asarray(eye, float)
    centres, angle, middle = _around_head(vertices, quads, eye)
    if kind == "none":
        return np.zeros(len(quads))
    over_eye, beside = centres[:, 2] - eye[2], np.abs(centres[:, 0])
    upper = np.interp(angle, BEARD_ANGLE, BEARD_HEIGHT)
    weights = np.clip((upper - over_eye) / 0.008, 0.0, 1.0) * np.clip((over_eye + 0.118) / 0.010, 0.0, 1.0)
    height, half_width, half_height = LIPS
    lips = (beside / half_width) ** 2 + ((over_eye - height) / half_height) ** 2 < 1.0
    weights[lips | (angle > 76) | _on_ear(vertices, centres, ear_vertices)] = 0.0
    weights[(over_eye > -0.085) & (centres[:, 1] > middle - 0.035)] *= 0.5  # thinner towards the ear
    if kind == "moustache":
        weights *= (over_eye > height - 0.004) & (beside < 0.030)
    elif kind == "goatee":
        weights *= np.clip((0.032 - beside) / 0.006, 0.0, 1.0)
    return weights


# ------------------------------------------------------------------------------------------------------- geometry


@dataclass(frozen=True)
class HeadFrame:
    """Landmarks of the head, read off the scalp. `scale` is 1 for a skull 0.19 m deep."""

    centre: Array
    radii: Array
    scale: float
    low: float
    top: float
    front: float
    brow: float

    def normals(self, points: Array) -> Array:
        """Outward normals (N,3) of the ellipsoid that stands for the skull."""
        return unit((points - self.centre) / self.radii**2)


def head_frame(points: Array) -> HeadFrame:
    """Landmarks from points (N,3) of the scalp."""
    low, top = points.min(axis=0), points.max(axis=0)
    scale = float(max(top[1] - low[1], 1e-3) / 0.19)
    centre = np.array([(low[0] + top[0]) / 2, (low[1] + top[1]) / 2, top[2] - 0.095 * scale])
    middle = points[(np.abs(points[:, 0] - centre[0]) < 0.025 * scale) & (points[:, 1] < centre[1])]
    front = float(middle[:, 2].min()) if len(middle) else float(centre[2])
    radii = np.array([0.076, 0.098, 0.097]) * scale
    brow = front - (HAIRLINE_OVER_EYE - 0.016) * scale
    return HeadFrame(centre, radii, scale, float(low[2]), float(top[2]), front, brow)


class Collider:
    """Signed distances to a triangle mesh, by points sampled on it with smooth normals."""

    def __init__(self, vertices: Array, triangles: Array, rng: np.random.Generator, samples: int = 60000) -> None:
        cross = np.cross(
            vertices[triangles[:, 1]] - vertices[triangles[:, 0]], vertices[triangles[:, 2]] - vertices[triangles[:, 0]]
        )
        normals = np.zeros_like(vertices)
        for corner in range(3):
            np.add.at(normals, triangles[:, corner], cross)
        normals = unit(normals)
        area = np.linalg.norm(cross, axis=1)
        face = rng.choice(len(triangles), samples, p=area / area.sum())
        mix = _barycentric(samples, rng)
        self.points = np.einsum("nc,ncd->nd", mix, vertices[triangles[face]])
        self.normals = unit(np.einsum("nc,ncd->nd", mix, normals[triangles[face]]))
        self.tree = cKDTree(self.points)

    def push(self, points: Array, gap: Array | float, reach: float = np.inf) -> Array:
        """Points (N,3) moved out to at least `gap` metres from the surface; those farther than `reach` stay."""
        distance, nearest = self.tree.query(points, distance_upper_bound=reach)
        near = np.flatnonzero(np.isfinite(distance))
        normal = self.normals[nearest[near]]
        depth = np.broadcast_to(gap, len(points))[near]
        depth = depth - np.einsum("nd,nd->n", points[near] - self.points[nearest[near]], normal)
        moved = points.copy()
        moved[near] += normal * np.maximum(depth, 0.0)[:, None]
        return moved


def _barycentric(count: int, rng: np.random.Generator) -> Array:
    """Uniform barycentric coordinates (count,3) (Osada et al. 2002, Shape distributions, eq. 1)."""
    root, other = np.sqrt(rng.random(count)), rng.random(count)
    return np.stack([1 - root, root * (1 - other), root * other], axis=1)


def _jagged(along: Array, phase: Array) -> Array:
    """A wandering line in [-1,1] over a coordinate in metres: sum of three sines with random phases (3,)."""
    return (
        0.5 * np.sin(along * 140 + phase[0])
        + 0.3 * np.sin(along * 390 + phase[1])
        + 0.2 * np.sin(along * 810 + phase[2])
    )


def part_offset(points: Array, frame: HeadFrame, style: Style, phase: Array) -> Array:
    """Signed distance in X from the jagged parting line, (N,)."""
    line = frame.centre[0] + style.part_x + 0.0018 * _jagged(points[:, 1], phase)
    # behind the crown the line fades to the middle of the head
    back = smoothstep((points[:, 1] - frame.centre[1] - 0.02) / 0.05)
    return points[:, 0] - (line * (1 - back) + frame.centre[0] * back)


def sample_roots(
    vertices: Array,
    triangles: Array,
    weights: Array,
    count: int,
    style: Style,
    frame: HeadFrame,
    phase: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array, Array]:
    """Roots (n,3) on the scalp, their normals (n,3) and the softness of the hairline there (n,) in (0,1]."""
    corners = vertices[triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1) * (weights > 0)
    total, hits = np.zeros(len(vertices)), np.zeros(len(vertices))
    for corner in range(3):
        np.add.at(total, triangles[:, corner], weights)
        np.add.at(hits, triangles[:, corner], 1.0)
    smooth = total / np.maximum(hits, 1.0)
    tries = 3 * count
    face = rng.choice(len(triangles), tries, p=area / area.sum())
    mix = _barycentric(tries, rng)
    points = np.einsum("nc,ncd->nd", mix, corners[face])
    edge = np.clip(np.einsum("nc,nc->n", mix, smooth[triangles[face]]), 0.0, 1.0)
    # an irregular hairline: the threshold wanders along it
    wander = 0.12 * _jagged(points[:, 0] + 0.7 * points[:, 1], phase[::-1])
    density = smoothstep((edge - 0.10 - wander) / 0.45)
    if style.comb == "part":
        near = np.exp(-((part_offset(points, frame, style, phase) / 0.009) ** 2))
        density *= 1 + 3.0 * near * (points[:, 1] < frame.centre[1] + 0.06)
    if style.region == "ring":
        height = (points[:, 2] - frame.low) / (frame.top - frame.low)
        bare = smoothstep((height - 0.55) / 0.12) * smoothstep((frame.centre[1] + 0.055 - points[:, 1]) / 0.03)
        density *= 1 - 0.9 * bare
    order = rng.random(tries) ** (1.0 / np.maximum(density, 1e-6))  # weighted sampling (Efraimidis and Spirakis 2006)
    chosen = np.sort(np.argpartition(-order, count - 1)[:count])
    return points[chosen], unit(cross[face[chosen]]), np.maximum(edge[chosen], 0.05)
