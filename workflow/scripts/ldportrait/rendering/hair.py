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

from ldportrait.rendering.hairstyles import BEARDS, COLOURS, STYLES, Style
from ldportrait.rendering.scalp import (
    Collider,
    HeadFrame,
    beard_weights,
    head_frame,
    part_offset,
    sample_roots,
    scalp_weights,
    smoothstep,
    unit,
)

__all__ = ["BEARDS", "COLOURS", "STYLES", "Style", "beard_weights", "grow", "scalp_weights"]

Array = np.ndarray
SKIN_GAP = 0.0006  # metres that every strand keeps from the skin and the garment
FRINGE, LEFT, RIGHT = 2.0, 1.0, -1.0


@dataclass(frozen=True)
class Roots:
    """Where hair grows: points and normals (n,3), softness of the hairline (n,), and the group (n,): the side of the
    parting to which it is combed (+1 the person's left, -1 the right), or 2 for the fringe."""

    points: Array
    normals: Array
    edge: Array
    group: Array

    @property
    def side(self) -> Array:
        return np.where(self.group == FRINGE, np.sign(self.points[:, 0] + 1e-9), self.group)


def grow(
    vertices: Array,
    triangles: Array,
    weights: Array,
    collider: tuple[Array, Array],
    style: Style,
    rng: np.random.Generator,
    gravity: tuple[float, float, float] | Array = (0.0, 0.0, -1.0),
) -> Array:
    """Grow one head of hair (or a beard); returns strands (S,K,3) float32, K points each from root to tip.

    `vertices` (V,3), `triangles` (M,3) and `weights` (M,) in [0,1] are the head and where hair grows on it; `collider`
    is the (vertices, triangles) of everything that hair may not enter, with outward triangles. All in metres in the
    head's own frame; `gravity` points down in that frame. The same state of `rng` gives the same bits.
    """
    vertices, weights = np.asarray(vertices, float), np.asarray(weights, float)
    triangles, gravity = np.asarray(triangles), np.asarray(gravity, float)
    if weights.shape != (len(triangles),):
        raise ValueError(f"expected one weight per triangle, ({len(triangles)},), but got {weights.shape}")
    if not np.linalg.norm(gravity) > 0:
        raise ValueError("gravity must have a direction")
    if style.strands == 0:
        return np.zeros((0, style.points, 3), np.float32)
    if not weights.max(initial=0.0) > 0:
        raise ValueError("no triangle has a weight above 0: there is nowhere for hair to grow")
    gravity = unit(gravity)
    frame = head_frame(vertices[np.unique(triangles[weights > 0.5])] if (weights > 0.5).any() else vertices)
    obstacle = Collider(np.asarray(collider[0], float), np.asarray(collider[1]), rng)
    phase = rng.uniform(0, 2 * np.pi, 3)

    def rooted(count: int) -> Roots:
        points, normals, edge = sample_roots(vertices, triangles, weights, count, style, frame, phase, rng)
        return Roots(points, normals, edge, _groups(points, style, frame, phase, rng))

    if style.comb == "gather":
        roots = rooted(style.strands)
        strands = _gather(roots, style, frame, obstacle, gravity, rng)
    else:
        guides, roots = rooted(style.guides), rooted(style.strands)
        paths = _walk(guides, style, frame, obstacle, gravity, rng)
        strands = _mix(guides, paths, roots, style, rng)
    strands = _texture(strands, roots, style, rng)
    strands = _loosen(strands, style, frame, rng)
    strands = _trim(strands, roots, style, frame, gravity, rng)
    free = obstacle.push(strands[:, 1:].reshape(-1, 3), SKIN_GAP, reach=0.03)
    # the short reach is fast but leaves what is deep inside the skull
    deep = (((free - frame.centre) / frame.radii) ** 2).sum(axis=1) < 1.0
    free[deep] = obstacle.push(free[deep], SKIN_GAP)
    strands[:, 1:] = free.reshape(strands[:, 1:].shape)
    return strands.astype(np.float32)


def _groups(points: Array, style: Style, frame: HeadFrame, phase: Array, rng: np.random.Generator) -> Array:
    """The group (n,) of each root."""
    soft = rng.normal(0.0, style.part_softness, len(points))
    group = np.where(part_offset(points, frame, style, phase) + soft > 0, LEFT, RIGHT)
    if style.fringe_length is not None:
        local = (points - frame.centre) / frame.scale
        reach = 0.055 - 0.35 * np.abs(local[:, 0])  # a triangle with its point towards the crown
        front = frame.centre[1] - 0.095 * frame.scale
        group[(np.abs(local[:, 0]) < 0.058) & (points[:, 1] < front + reach * frame.scale)] = FRINGE
    return group


def _lengths(roots: Roots, style: Style, frame: HeadFrame, rng: np.random.Generator) -> Array:
    """Length (n,) of each guide in metres; short and fine at the edge of the hairline."""
    height = smoothstep((roots.points[:, 2] - frame.low) / max(frame.top - frame.low, 1e-6))
    top = style.side_length if style.top_length is None else style.top_length
    length = style.side_length * (1 - height) + top * height
    if style.fringe_length is not None:
        length = np.where(roots.group == FRINGE, style.fringe_length, length)
    return length * np.clip(1 + style.length_spread * rng.standard_normal(len(length)), 0.5, 1.6)


def _comb(points: Array, roots: Roots, backward: Array, style: Style, frame: HeadFrame) -> Array:
    """Unit comb directions (n,3) at points of the guides, tangent to the skull except for comb="ball"."""
    normal = frame.normals(points)
    local = (points - frame.centre) / frame.radii
    aim = np.zeros_like(points)
    if style.comb == "part":
        behind = smoothstep((local[:, 1] - 0.1) / 0.5)
        aim[:, 0] = roots.side * (1 - 0.75 * behind)
        aim[:, 1] = backward
        aim[:, 2] = -0.3 - 0.7 * behind
    elif style.comb == "back":
        aim[:, 0], aim[:, 1] = 0.35 * local[:, 0], 1.0
        aim[:, 2] = -0.4 * smoothstep((local[:, 1] + 0.2) / 0.8)
    elif style.comb == "forward":
        aim[:, 0], aim[:, 1], aim[:, 2] = 0.6 * local[:, 0] + 0.12, -1.0, -0.3
    elif style.comb == "crown":
        crown = frame.centre + frame.radii * np.array([0.12, 0.42, 0.85])
        aim = unit(points - crown) + np.array([0.0, 0.0, -0.2])
    elif style.comb == "ball":
        return _ball_direction(points, frame)
    elif style.comb == "down":
        aim[:, 1], aim[:, 2] = -0.25, -1.0
    elif style.comb == "moustache":
        aim[:, 0], aim[:, 2] = np.clip(local[:, 0] / 0.12, -1, 1), -0.8
    else:
        raise ValueError(f"unknown comb {style.comb!r}")
    fringe = roots.group == FRINGE
    aim[fringe] = np.stack([0.5 * local[fringe, 0] + 0.06, np.full(fringe.sum(), -1.0), np.full(fringe.sum(), -0.4)], 1)
    return unit(aim - normal * np.einsum("nd,nd->n", aim, normal)[:, None])


def _ball_direction(points: Array, frame: HeadFrame) -> Array:
    """Outwards from above the middle of the head, so that hair by the ears leans down and covers the temples."""
    return unit(points - frame.centre - np.array([0.0, 0.015, 0.02]) * frame.scale)


def _walk(
    roots: Roots, style: Style, frame: HeadFrame, obstacle: Collider, gravity: Array, rng: np.random.Generator
) -> Array:
    """Guides (n,K,3): each step keeps its length, and keeps out of the obstacle and off the face."""
    count, points = len(roots.points), style.points
    length = _lengths(roots, style, frame, rng)
    if style.comb == "ball":
        length = _to_ball(roots.points, style, frame) * np.clip(1 + 0.05 * rng.standard_normal(count), 0.7, 1.2)
    length = length * np.clip(0.35 + 0.9 * roots.edge, 0.0, 1.0)
    step = (length / (points - 1))[:, None]
    height = np.clip((roots.points[:, 2] - frame.low) / max(frame.top - frame.low, 1e-6), 0, 1)
    gap = style.gap + style.volume * (0.55 * rng.random(count) + 0.45 * height)
    # locks share how far back they are combed: some fall in front of the shoulder, some behind it
    lock = cKDTree(roots.points[: max(style.locks, 1)]).query(roots.points)[1]
    shared = rng.standard_normal((max(style.locks, 1), 3))[lock]
    backward = style.backward * (1 + 0.5 * shared[:, 0])
    drift = style.wander * (0.7 * shared + 0.3 * rng.standard_normal((count, 3)))
    wind = np.asarray(style.wind)
    path = np.empty((count, points, 3))
    path[:, 0] = roots.points
    lift = np.full((count, 1), style.lift)
    if style.comb == "part":  # flat beside the parting, or the two sides would leave a notch
        beside = (roots.points[:, :1] - frame.centre[0] - style.part_x) / 0.022
        lift = style.lift * (1 - 0.8 * np.exp(-(beside**2)))
    heading = unit(roots.normals * lift + _comb(roots.points, roots, backward, style, frame))
    for k in range(1, points):
        here, walked = path[:, k - 1], step[:, 0] * (k - 1)
        fade = np.clip(1 - walked / style.comb_reach, 0.0, 1.0)[:, None]
        pull = _comb(here, roots, backward, style, frame) * style.comb_weight * fade
        s = k / (points - 1)
        fall = gravity * style.weight * (0.25 + s) + wind * s
        wobble = 0.4 * style.wander * rng.standard_normal((count, 3))
        heading = unit(heading + fall + pull + drift * s + wobble)
        there = here + heading * step
        if style.clear_face:
            there = _off_the_face(there, roots, frame)
        there = obstacle.push(there, gap * min(1.0, k / 3), reach=0.06)
        heading = unit(there - here)
        path[:, k] = here + heading * step
    return path


def _to_ball(points: Array, style: Style, frame: HeadFrame) -> Array:
    """Distance (n,) from each root along its direction to the ball that the hair fills (ray and sphere)."""
    centre = frame.centre + np.array([0.0, 0.02, 0.015]) * frame.scale
    direction, rel = _ball_direction(points, frame), points - centre
    along = np.einsum("nd,nd->n", rel, direction)
    inside = along**2 - np.einsum("nd,nd->n", rel, rel) + (style.ball_radius * frame.scale) ** 2
    return np.maximum(np.sqrt(np.maximum(inside, 0.0)) - along, 0.01)


def _off_the_face(points: Array, roots: Roots, frame: HeadFrame) -> Array:
    """Points in front of the face and below the hairline move sideways, out of a wedge as wide as the face."""
    local = (points - frame.centre) / frame.scale
    below = smoothstep((frame.front + 0.004 * frame.scale - points[:, 2]) / (0.03 * frame.scale))
    ahead = smoothstep((-0.012 - local[:, 1]) / 0.03)
    half = 0.066 * below * ahead * (roots.group != FRINGE)
    # only near the middle of the face does the parting decide to which side
    side = np.where(np.abs(local[:, 0]) > 0.012, np.sign(local[:, 0]), roots.side)
    short = np.maximum(half - local[:, 0] * side, 0.0)
    moved = points.copy()
    moved[:, 0] += side * np.minimum(short, 0.02) * frame.scale
    moved[:, 1] += 0.5 * np.minimum(short, 0.02) * frame.scale
    return moved


def _gather(
    roots: Roots, style: Style, frame: HeadFrame, obstacle: Collider, gravity: Array, rng: np.random.Generator
) -> Array:
    """Strands (n,K,3) combed tight over the head to a point high at its back, then a tail or a bun."""
    count, points = len(roots.points), style.points
    tie = frame.centre + frame.radii * np.array([0.0, 0.86, 0.62])
    outward = frame.normals(tie[None])[0]
    on_head = points // 2
    s = np.linspace(0, 1, on_head)[None, :, None]
    spread = rng.normal(0, 0.006, (count, 1, 3))
    over = roots.points[:, None] * (1 - s) + (tie + outward * 0.012 + spread) * s
    gap = (0.001 + 0.006 * rng.random(count) ** 1.5)[:, None] * np.minimum(1, np.arange(on_head) / 2)[None]
    for _ in range(2):
        over = obstacle.push(over.reshape(-1, 3), gap.reshape(-1)).reshape(over.shape)
        over[:, 0] = roots.points
        smooth = over.copy()
        smooth[:, 1:-1] = 0.25 * over[:, :-2] + 0.5 * over[:, 1:-1] + 0.25 * over[:, 2:]
        over = smooth
    rest = points - on_head
    if style.tail == "bun":
        beyond = _bun(tie, outward, count, rest, frame, rng)
    else:
        beyond = _tail(over[:, -1], outward, style, rest, obstacle, gravity, rng)
    return np.concatenate([over, beyond], axis=1)


def _bun(tie: Array, outward: Array, count: int, points: int, frame: HeadFrame, rng: np.random.Generator) -> Array:
    """Coil (n,points,3) around a ring that lies on the head at the tie."""
    across = unit(np.cross(outward, [0.0, 0.0, 1.0]))
    up = np.cross(across, outward)
    around = rng.uniform(0, 2 * np.pi, (count, 1)) + np.linspace(0, 4.5 * np.pi, points)[None]
    tube = rng.uniform(0, 2 * np.pi, (count, 1)) + np.linspace(0, 2.5, points)[None]
    thick = 0.021 * frame.scale * np.sqrt(rng.random((count, 1)))
    ring = 0.024 * frame.scale + thick * np.cos(tube)
    flat = ring[..., None] * (np.cos(around)[..., None] * across + np.sin(around)[..., None] * up)
    return tie + flat + outward * (0.022 * frame.scale + thick * np.sin(tube))[..., None]


def _tail(
    start: Array,
    outward: Array,
    style: Style,
    points: int,
    obstacle: Collider,
    gravity: Array,
    rng: np.random.Generator,
) -> Array:
    """Hanging tail (n,points,3) from the tie."""
    count = len(start)
    lock = rng.integers(0, max(style.locks, 1), count)
    shared = rng.standard_normal((max(style.locks, 1), 3))[lock]
    step = (style.side_length * np.clip(1 + 0.08 * rng.standard_normal(count), 0.6, 1.2) / points)[:, None]
    heading = unit(outward + 0.08 * shared + 0.05 * rng.standard_normal((count, 3)))
    gap = 0.002 + 0.012 * rng.random(count)
    path, here = np.empty((count, points, 3)), start
    for k in range(points):
        heading = unit(heading + gravity * style.weight + 0.015 * shared)
        there = obstacle.push(here + heading * step, gap, reach=0.06)
        heading = unit(there - here)
        here = here + heading * step
        path[:, k] = here
    return path


def _mix(guides: Roots, paths: Array, roots: Roots, style: Style, rng: np.random.Generator) -> Array:
    """Strands (n,K,3) from the three guides near each root and of its group, drawn together into clumps and locks."""
    points = paths.shape[1]
    apart = 0.03 if style.comb == "part" or style.fringe_length is not None else 0.0
    tree = cKDTree(np.column_stack([guides.points, guides.group * apart]))
    distance, index = tree.query(np.column_stack([roots.points, roots.group * apart]), k=3)
    share = 1 / (distance + 1e-3) ** 2
    share /= share.sum(axis=1, keepdims=True)
    offsets = paths - paths[:, :1]
    strands = roots.points[:, None] + np.einsum("nk,nkpd->npd", share, offsets[index])
    s = np.linspace(0, 1, points)[None, :, None]
    # a lock is a guide that draws its neighbours' clumps; a clump is the nearest guide
    locks = min(style.locks, len(guides.points))
    lock_tree = cKDTree(np.column_stack([guides.points, guides.group * apart])[:locks])
    lock = lock_tree.query(np.column_stack([guides.points, guides.group * apart]))[1]
    pulled = paths + (paths[lock] - paths) * (style.lock_pull * s**1.5)
    spread = 0.0 if style.clump_radius else 0.35
    amount = np.clip(rng.normal(1.0, spread, (len(strands), 1, 1)), 0.0, 1.3) * style.clump
    amount = np.clip(amount * s**style.clump_power, 0.0, 1.0)
    centre = pulled[index[:, 0]]
    if style.clump_radius:  # each strand keeps its place in the round section of the clump
        centre = centre + style.clump_radius * _in_ball(len(strands), rng)[:, None]
    return strands + (centre - strands) * amount


def _in_ball(count: int, rng: np.random.Generator) -> Array:
    """Points (count,3) uniform in the unit ball."""
    return unit(rng.standard_normal((count, 3))) * rng.random((count, 1)) ** (1 / 3)


def _texture(strands: Array, roots: Roots, style: Style, rng: np.random.Generator) -> Array:
    """Waves that neighbours share, and curls that locks share."""
    count = len(strands)
    cell = cKDTree(roots.points[: max(style.locks, 1)]).query(roots.points)[1]
    phase = rng.uniform(0, 2 * np.pi, (max(style.locks, 1), 2))[cell]
    loose = rng.standard_normal((count, 3))
    if style.wave == 0 and style.curl == 0:
        return strands
    walked = _arc_length(strands)
    tangent = unit(np.gradient(strands, axis=1))
    first = unit(np.cross(tangent, np.array([0.3, 0.9, 0.2])))
    second = np.cross(tangent, first)
    grown = smoothstep(walked / 0.16)  # flat on the top of the head
    if style.wave:
        turn = 2 * np.pi * walked / style.wave_length * (1 + 0.06 * loose[:, 1:2]) + phase[:, :1] + 0.35 * loose[:, :1]
        size = style.wave * grown * np.clip(1 + 0.25 * loose[:, 2:3], 0.3, 2)
        strands = strands + (size * np.sin(turn))[..., None] * first
        strands = strands + (0.6 * size * np.sin(turn + phase[:, 1:2]))[..., None] * second
    if style.curl:
        turn = 2 * np.pi * walked / style.curl_length + phase[:, :1] + style.curl_disorder * loose[:, :1]
        size = style.curl * np.minimum(1.0, walked / (4 * style.curl)) * np.clip(1 + 0.25 * loose[:, 2:3], 0.3, 2)
        strands = strands + (size * np.cos(turn))[..., None] * first + (size * np.sin(turn))[..., None] * second
    return strands


def _arc_length(strands: Array) -> Array:
    """Metres walked along each strand, (n,K)."""
    steps = np.linalg.norm(np.diff(strands, axis=1), axis=-1)
    return np.concatenate([np.zeros((len(strands), 1)), np.cumsum(steps, axis=1)], axis=1)


def _drift(count: int, points: int, amplitude: float, rng: np.random.Generator) -> Array:
    """Smooth random sideways offsets (count,points,3) in metres: 0 at the root, growing to the tip."""
    knots = rng.standard_normal((count, 6, 3))
    knots[:, 0] = 0.0
    u = np.linspace(0, 5, points)
    low = np.minimum(u.astype(int), 4)
    t = smoothstep(u - low)[None, :, None]
    return (knots[:, low] * (1 - t) + knots[:, low + 1] * t) * amplitude * np.linspace(0, 1, points)[None, :, None]


def _loosen(strands: Array, style: Style, frame: HeadFrame, rng: np.random.Generator) -> Array:
    """Frizz on every strand; fly-aways: a few strands that leave the others."""
    count, points = strands.shape[:2]
    strands = strands + _drift(count, points, style.frizz, rng)
    chance, reach = rng.random(count), rng.random((count, 1, 1)) ** 2 * style.fly_reach
    away = _drift(count, points, style.fly_amplitude, rng)
    s = np.linspace(0, 1, points)[None, :, None]
    away += unit(strands - frame.centre) * reach * s
    return np.where((chance < style.flyaway)[:, None, None], strands + away, strands)


def _trim(
    strands: Array, roots: Roots, style: Style, frame: HeadFrame, gravity: Array, rng: np.random.Generator
) -> Array:
    """Uneven tips; cuts at the level of `style.cut` and before the eyes. The number of points stays."""
    count, points = strands.shape[:2]
    uneven = np.clip(1 - np.abs(rng.normal(0, style.tip_spread, count)), 0.35, 1.0)
    end = uneven * (points - 1)
    level = rng.normal(0, 0.008, count) + 0.02 * np.abs(rng.standard_normal(count))
    if style.cut is not None:
        depth = (strands - frame.centre) @ gravity
        end = np.minimum(end, _first(depth > style.cut * frame.scale - level[:, None], points))
    local = (strands - frame.centre) / frame.scale
    fringe = roots.group == FRINGE
    low = frame.brow + np.where(fringe, 0.4, -0.1) * level + np.where(fringe, -0.004, 0.004)
    face = (local[..., 1] < -0.055) & (np.abs(local[..., 0]) < 0.056) & (strands[..., 2] < low[:, None])
    if style.comb not in ("down", "moustache"):
        end = np.minimum(end, _first(face, points))
    u = np.linspace(0, 1, points)[None] * np.maximum(end, 1.0)[:, None]
    low_index = np.minimum(u.astype(int), points - 2)
    t = (u - low_index)[..., None]
    row = np.arange(count)[:, None]
    return strands[row, low_index] * (1 - t) + strands[row, low_index + 1] * t


def _first(beyond: Array, points: int) -> Array:
    """Index of the last point before the first True of each row (n,K), or K-1 where there is none."""
    return np.where(beyond.any(axis=1), np.maximum(beyond.argmax(axis=1) - 1, 0), points - 1).astype(float)
