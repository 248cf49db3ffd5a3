"""Geometry of own-made clothes: shells over the body's surface, tubes along paths, grids around the head. numpy only.

Everything is built in the rest shape (metres, Z up, face to -Y) and then follows the body's bones.
"""

from collections.abc import Callable

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.spatial import cKDTree

from ldportrait.rendering.people import Body, compact_faces, follow_body

SKULL_CONE = 0.99  # cosine of the half angle, about 8 degrees, within which vertices tell the head's radius


def edges_of(quads: np.ndarray) -> np.ndarray:
    """(E, 2) directed edges of (F, 4) quads, without the empty ones of triangles."""
    edges = np.concatenate([quads[:, [i, (i + 1) % 4]] for i in range(4)])
    return edges[edges[:, 0] != edges[:, 1]]


def boundary_edges(quads: np.ndarray) -> np.ndarray:
    """(E, 2) directed edges that belong to one face only."""
    edges = edges_of(quads)
    _, inverse, counts = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    return edges[counts[inverse.ravel()] == 1]


def _neighbours(edges: np.ndarray, count: int) -> csr_matrix:
    """(count, count) row-stochastic adjacency; a vertex without edges keeps its place."""
    both = np.concatenate([edges, edges[:, ::-1]])
    matrix = coo_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count)).tocsr()
    matrix.data[:] = 1
    degree = np.asarray(matrix.sum(axis=1)).ravel()
    return (diags(1 / np.maximum(degree, 1)) @ matrix + diags((degree == 0).astype(float))).tocsr()


def smooth(vertices: np.ndarray, quads: np.ndarray, rounds: int, hem_rounds: int = 12) -> np.ndarray:
    """The hem smoothed along itself (which straightens its steps), then the inside with the hem held.

    Taubin 1995, A signal processing approach to fair surface design: a growing step after each shrinking one.
    """
    count = len(vertices)
    hem = boundary_edges(quads)
    along = _neighbours(hem, count)
    vertices = vertices.copy()
    for _ in range(hem_rounds):
        vertices = 0.5 * vertices + 0.5 * (along @ vertices)
    around = _neighbours(edges_of(quads), count)
    held = np.zeros(count, dtype=bool)
    held[hem.ravel()] = True
    for _ in range(rounds):
        for step in (0.60, -0.61):
            moved = vertices + step * (around @ vertices - vertices)
            vertices = np.where(held[:, None], vertices, moved)
    return vertices


def normals(vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """(V, 3) unit vertex normals, the area-weighted mean of the faces' (from their diagonals)."""
    face = np.cross(vertices[quads[:, 2]] - vertices[quads[:, 0]], vertices[quads[:, 3]] - vertices[quads[:, 1]])
    total = np.zeros_like(vertices)
    for corner in range(4):
        np.add.at(total, quads[:, corner], face)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-15)


def thicken(vertices: np.ndarray, quads: np.ndarray, thickness: float) -> tuple[np.ndarray, np.ndarray]:
    """A closed sheet: the surface, a copy `thickness` metres inside it, and quads that join them along the hem."""
    count = len(vertices)
    inner = vertices - thickness * normals(vertices, quads)
    hem = boundary_edges(quads)
    rim = np.stack([hem[:, 1], hem[:, 0], hem[:, 0] + count, hem[:, 1] + count], axis=1)
    return np.concatenate([vertices, inner]), np.concatenate([quads, quads[:, ::-1] + count, rim])


def body_shell(
    body: Body,
    quads: np.ndarray,
    offset: float | Callable[[np.ndarray], np.ndarray],
    rounds: int = 4,
    thickness: float = 0.002,
) -> tuple[np.ndarray, np.ndarray]:
    """A posed sheet over some of the body's faces: ((N, 3) vertices, (M, 4) quads).

    ``offset`` in metres, or a function of the (V, 3) rest vertices that gives it.
    """
    used = np.unique(quads)
    rest, faces = compact_faces(body.rest, quads)
    rest = smooth(rest, faces, rounds)
    distance = offset(rest) if callable(offset) else np.full(len(rest), offset)
    rest = rest + distance[:, None] * normals(rest, faces)
    sheet, sheet_quads = thicken(rest, faces, thickness)
    reference = np.tile(used, 2)[:, None]
    return follow_body(sheet, reference, np.ones((len(sheet), 1)), body), sheet_quads


def follow_nearest(points: np.ndarray, body: Body, candidates: np.ndarray, count: int = 8) -> np.ndarray:
    """(N, 3) posed places of free rest points: they move as the nearest `count` candidate body vertices do."""
    distance, index = cKDTree(body.rest[candidates]).query(points, k=count)
    shares = 1 / (distance + 0.005)
    return follow_body(points, candidates[index], shares / shares.sum(axis=1, keepdims=True), body)


def grid_quads(rows: int, columns: int, closed: bool = True) -> np.ndarray:
    """(F, 4) quads of a grid of vertices stored row by row; `closed` joins the last column to the first."""
    row = np.arange(rows - 1)[:, None]
    column = np.arange(columns if closed else columns - 1)[None]
    following = (column + 1) % columns
    corners = (row * columns + column, row * columns + following)
    corners = (*corners, (row + 1) * columns + following, (row + 1) * columns + column)
    return np.stack([c.ravel() for c in corners], axis=1)


def tube(path: np.ndarray, radii: np.ndarray | float, sides: int = 8, closed: bool = False) -> tuple:
    """A round tube along an open or closed (K, 3) path: ((K * sides, 3) vertices, quads)."""
    path = np.asarray(path, dtype=float)
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    side = np.empty_like(path)
    guess = np.eye(3)[np.abs(ahead[0]).argmin()]
    for i, direction in enumerate(ahead):
        # carrying the previous side along keeps the tube from twisting
        guess = guess - (guess @ direction) * direction
        guess /= np.linalg.norm(guess)
        side[i] = guess
    other = np.cross(ahead, side)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * other[:, None]
    vertices = path[:, None] + ring * np.broadcast_to(radii, len(path))[:, None, None]
    rows = len(path)
    quads = grid_quads(rows, sides)
    if closed:
        first, last = np.arange(sides), np.arange(sides) + (rows - 1) * sides
        quads = np.concatenate([quads, np.stack([last, np.roll(last, -1), np.roll(first, -1), first], axis=1)])
    return vertices.reshape(-1, 3), quads


def directions(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """(..., 3) unit vectors; azimuth 0 is the face (-Y), growing to the person's left; radians."""
    flat = np.cos(elevation)
    return np.stack([np.sin(azimuth) * flat, -np.cos(azimuth) * flat, np.sin(elevation)], axis=-1)


def radius_around(points: np.ndarray, centre: np.ndarray, azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """How far points (N, 3) reach from `centre` in each direction of a grid (R, C) of azimuths and elevations."""
    ways = directions(azimuth, elevation).reshape(-1, 3)
    offsets = points - centre
    length = np.linalg.norm(offsets, axis=1)
    tree = cKDTree(offsets / length[:, None])
    chord = np.sqrt(2 - 2 * SKULL_CONE)
    found = tree.query_ball_point(ways, chord)
    reach = np.array([length[f].max() if f else np.nan for f in found]).reshape(azimuth.shape)
    return np.where(np.isnan(reach), np.nanmedian(reach), reach)
