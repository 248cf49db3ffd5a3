"""Glasses, hats, scarves: built in the rest shape from landmarks of the head, then moved with the body."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from ldportrait.rendering import shells
from ldportrait.rendering.people import Body, Landmarks, base_mesh, fit_proxy_rest, landmarks, load_proxy

RGB = tuple[float, float, float]
BLACK_PLASTIC: RGB = (0.012, 0.011, 0.011)
TORTOISE: RGB = (0.09, 0.035, 0.012)
STEEL: RGB = (0.35, 0.33, 0.30)


@dataclass(frozen=True)
class Piece:
    """A posed mesh that a person wears.

    ``vertices`` (N, 3) metres, ``quads`` (M, 4); ``uv`` and ``uv_quads`` where it has a map; ``material`` is the kind
    of cloth, or plastic or metal; ``colour`` is linear RGB, None for the garment's colour; ``subdivide`` the levels of
    subdivision it wants.
    """

    name: str
    vertices: np.ndarray
    quads: np.ndarray
    uv: np.ndarray | None = None
    uv_quads: np.ndarray | None = None
    texture: Path | None = None
    material: str = "cotton"
    colour: RGB | None = None
    subdivide: int = 1


def _on_head(body: Body, rest: np.ndarray) -> np.ndarray:
    """Rest points carried rigidly by the head bone."""
    transform = body.bone_transform("head")
    return rest @ transform[:3, :3].T + transform[:3, 3]


@functools.cache
def _skin_vertices() -> np.ndarray:
    """Indices of the base mesh's vertices that are skin, not helpers."""
    return np.unique(base_mesh()[1]["body"][0])


def _head_points(body: Body, marks: Landmarks, ears: bool = False) -> np.ndarray:
    """Rest skin vertices from the nape up."""
    chosen = _skin_vertices()
    if not ears:
        chosen = np.setdiff1d(chosen, marks.ear_vertices)
    points = body.rest[chosen]
    return points[points[:, 2] > marks.eye[2] - 0.12]


def _glasses(body: Body, rim: np.ndarray, wire: float, colour: RGB, material: str) -> list[Piece]:
    """Two rims, a bridge and temples. `rim` (K, 2): half outline around an eye, x outwards, z up, metres."""
    marks = landmarks(body)
    face = body.rest[np.setdiff1d(_skin_vertices(), marks.ear_vertices)]
    scale = np.clip(marks.eye[0] / 0.029, 0.9, 1.15)
    rim = rim * scale
    centre = marks.eye + np.array([0.003, 0.0, -0.005])
    outline = np.stack([centre[0] + rim[:, 0], np.zeros(len(rim)), centre[2] + rim[:, 1]], axis=1)
    # wrap: the frame bends back away from the nose like a sphere of 0.12 m
    outline[:, 1] = marks.bridge[1] + outline[:, 0] ** 2 / 0.24
    outline[:, 1] -= _clearance(outline, face, wire + 0.0015)
    pieces = []
    high = outline[:, 2] > centre[2]
    start = outline[high][np.abs(outline[high][:, 2] - (centre[2] + 0.006 * scale)).argsort()[:4]]
    start = start[start[:, 0].argmin()]
    along = np.linspace(-1, 1, 15)[:, None]
    arch = np.concatenate(
        [along * start[0], start[1] - 0.004 * (1 - along**2), start[2] + 0.003 * (1 - along**2)], axis=1
    )
    nose = face[(np.abs(face[:, 0]) < 0.006) & (np.abs(face[:, 2] - start[2]) < 0.006)]
    arch[:, 1] -= max(0.0, arch[7, 1] - (nose[:, 1].min() - wire - 0.001)) * (1 - along[:, 0] ** 2) ** 0.5
    pieces.append(("bridge", shells.tube(arch, wire)))
    for side, name in ((1, "left"), (-1, "right")):
        flip = np.array([side, 1, 1])
        pieces.append((f"{name} rim", shells.tube(outline * flip, wire, closed=True)))
        pieces.append((f"{name} temple", shells.tube(_temple(outline, marks, face, wire) * flip, wire * 0.9)))
    return [
        Piece(f"accessory {name}", _on_head(body, v), q, material=material, colour=colour) for name, (v, q) in pieces
    ]


def _clearance(outline: np.ndarray, face: np.ndarray, gap: float) -> float:
    """How far forward (-Y) an outline must move so that it stays `gap` in front of the face behind it."""
    needed = [0.0]
    for x, y, z in outline:
        behind = face[(np.hypot(np.abs(face[:, 0]) - x, face[:, 2] - z) < 0.004) & (face[:, 1] < -0.02)]
        if len(behind):
            needed.append(y + gap - behind[:, 1].min())
    # a rim touches the brow or the cheek at one place only: the nose and lashes may not push it off the face
    return float(np.clip(max(needed), 0.0, 0.010))


def _temple(outline: np.ndarray, marks: Landmarks, face: np.ndarray, wire: float) -> np.ndarray:
    """(K, 3) path of the left temple: from the rim's outer upper corner over the ear, then down behind it."""
    hinge = outline[(outline[:, 0] + 0.5 * outline[:, 2]).argmax()]
    ear = marks.ear
    along = np.linspace(0, 1, 20)[:, None]
    path = hinge + along * (ear + np.array([0, 0.012, 0.002]) - hinge)
    for point in path:
        near = face[(np.abs(face[:, 1] - point[1]) < 0.008) & (np.abs(face[:, 2] - point[2]) < 0.006)]
        if len(near):
            point[0] = max(point[0], near[:, 0].max() + wire + 0.001)
    end = path[-1]
    hook = end + np.array([[-0.001, 0.008, -0.006], [-0.003, 0.014, -0.018], [-0.005, 0.016, -0.030]])
    return np.concatenate([path, hook])


def _superellipse(width: float, height: float, power: float, count: int = 40) -> np.ndarray:
    """(count, 2) outline |x/w|^p + |z/h|^p = 1 (Lamé); p = 2 is an ellipse, larger p a rounded rectangle."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    radius = (np.abs(c) ** power + np.abs(s) ** power) ** (-1 / power)
    return np.stack([width * radius * c, height * radius * s], axis=1)


def round_glasses(body: Body) -> list[Piece]:
    return _glasses(body, _superellipse(0.0235, 0.0225, 2.0), 0.0011, STEEL, "metal")


def square_glasses(body: Body) -> list[Piece]:
    return _glasses(body, _superellipse(0.0255, 0.0190, 3.6), 0.0020, BLACK_PLASTIC, "plastic")


def tortoise_glasses(body: Body) -> list[Piece]:
    return _glasses(body, _superellipse(0.0250, 0.0215, 2.6), 0.0020, TORTOISE, "plastic")


def hat_edge(y: np.ndarray, marks: Landmarks, front: float, slope: float) -> np.ndarray:
    """Rest height of a hat's edge: `front` metres above the eyes at the forehead, falling by `slope` to the nape."""
    return marks.eye[2] + front - slope * (y - marks.bridge[1])


BEANIE_EDGE = (0.036, 0.30)
FEDORA_EDGE = (0.050, 0.20)
BAND_EDGE = (0.044, 0.16)


def _cap(body: Body, front: float, slope: float, offset: float, top: float, ribs: float) -> tuple:
    """A cap around the skull: rows from its edge to the crown, ((N, 3) rest vertices, quads)."""
    marks = landmarks(body)
    points = _head_points(body, marks)
    skull = points[points[:, 2] > marks.eye[2]]
    centre = np.array([0.0, (skull[:, 1].min() + skull[:, 1].max()) / 2, marks.eye[2] + 0.025])
    rows, columns = 40, 240
    azimuth = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None].repeat(rows, 0)
    low = np.full(columns, 0.0)
    for _ in range(12):  # the elevation at which the surface meets the edge's plane, by fixed-point steps
        reach = radius = shells.radius_around(points, centre, azimuth[:1], low[None])[0] + offset
        place = centre + shells.directions(azimuth[0], low) * reach[:, None]
        wanted = hat_edge(place[:, 1], marks, front, slope) - centre[2]
        low = 0.5 * low + 0.5 * np.arcsin(np.clip(wanted / radius, -0.9, 0.9))
    step = np.linspace(0, 1, rows)[:, None]
    elevation = low + (np.pi / 2 - 0.01 - low) * step
    reach = shells.radius_around(points, centre, azimuth, elevation)
    reach = gaussian_filter(reach, (2, 7), mode=("nearest", "wrap")) + offset
    rise = np.clip((step - 0.35) / 0.65, 0, 1)
    reach = reach + top * rise**2 * (3 - 2 * rise)
    reach += ribs * np.abs(np.sin(azimuth * 60)) * np.clip(1.2 - step, 0, 1)
    vertices = centre + shells.directions(azimuth, elevation) * reach[:, :, None]
    return vertices.reshape(-1, 3), shells.grid_quads(rows, columns)


def beanie(body: Body) -> list[Piece]:
    """A knitted cap with a folded rim and a soft, slightly high top."""
    front, slope = BEANIE_EDGE
    cap, quads = _cap(body, front, slope, 0.007, 0.022, 0.0012)
    rim, rim_quads = _fold(cap, 240, 12)
    return [
        Piece("accessory beanie", _on_head(body, cap), quads, material="wool", colour=(0.10, 0.02, 0.025)),
        Piece("accessory beanie rim", _on_head(body, rim), rim_quads, material="wool", colour=(0.10, 0.02, 0.025)),
    ]


def _fold(cap: np.ndarray, columns: int, rows: int, out: float = 0.004) -> tuple[np.ndarray, np.ndarray]:
    """A rolled rim over the lowest rows of a cap: out, up and back in."""
    grid = cap.reshape(-1, columns, 3)[:rows]
    middle = grid.mean(axis=(0, 1))
    away = grid - middle
    away[..., 2] = 0
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    profile = np.sin(np.linspace(0.0, np.pi, rows)) ** 0.35
    fold = grid + away * (out * profile - 0.001)[:, None, None]
    fold[0, :, 2] -= 0.001
    return fold.reshape(-1, 3), shells.grid_quads(rows, columns)


def headband(body: Body) -> list[Piece]:
    """A band of cloth around the head."""
    front, slope = BAND_EDGE
    cap, _ = _cap(body, front, slope, 0.003, 0.0, 0.0)
    band, quads = _fold(cap, 240, 9, 0.003)
    return [Piece("accessory headband", _on_head(body, band), quads, material="jersey", colour=(0.03, 0.10, 0.13))]


def scarf(body: Body) -> list[Piece]:
    """A thick scarf wound around the neck."""
    neck = body.bone_head("neck01")
    skin = body.rest[_skin_vertices()]
    around = skin[(np.abs(skin[:, 2] - neck[2] + 0.015) < 0.035) & (np.abs(skin[:, 0]) < 0.12)]
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    middle = np.array([0.0, np.median(around[:, 1]), 0.0])
    flat = np.stack([np.sin(angle), -np.cos(angle)], axis=1)
    polar = np.arctan2(around[:, 0], -(around[:, 1] - middle[1]))
    reach = np.hypot(around[:, 0], around[:, 1] - middle[1])
    radius = np.array([np.quantile(reach[np.abs(np.angle(np.exp(1j * (polar - a)))) < 0.3], 0.6) for a in angle])
    radius = gaussian_filter(radius, 3, mode="wrap")
    pieces = []
    for turn, (height, swell) in enumerate([(-0.012, 0.019), (0.016, 0.016)]):
        wave = 0.004 * np.sin(3 * angle + turn) + 0.003 * np.sin(7 * angle + 2 * turn)
        path = np.stack(
            [
                flat[:, 0] * (radius + 0.010),
                middle[1] + flat[:, 1] * (radius + 0.010),
                neck[2] + height + 0.020 * np.cos(angle + np.pi) + wave,
            ],
            axis=1,
        )
        v, q = shells.tube(path, swell + 0.003 * np.sin(5 * angle + turn), 14, closed=True)
        pieces.append((f"scarf turn {turn + 1}", v, q))
    carrier = _skin_vertices()
    carrier = carrier[np.abs(body.rest[carrier][:, 2] - neck[2]) < 0.10]
    carrier = carrier[np.abs(body.rest[carrier][:, 0]) < 0.13]
    return [
        Piece(
            f"garment {name}",
            shells.follow_nearest(v, body, carrier, 24),
            q,
            material="wool",
            colour=(0.36, 0.30, 0.20),
        )
        for name, v, q in pieces
    ]


ACCESSORIES: dict[str, Callable[[Body], list[Piece]] | None] = {
    "none": None,
    "round glasses": round_glasses,
    "square glasses": square_glasses,
    "tortoise glasses": tortoise_glasses,
    "beanie": beanie,
    "headband": headband,
    "fedora": None,
}


def accessorise(name: str, body: Body, data_folder: Path) -> list[Piece]:
    """The posed pieces of an accessory; none for "none". ValueError for an unknown name."""
    if name not in ACCESSORIES:
        raise ValueError(f"Unknown accessory '{name}'; known are {', '.join(ACCESSORIES)}.")
    if name == "fedora":
        proxy = load_proxy(Path(data_folder) / "proxies" / "clothes" / "fedora" / "fedora.json")
        # It is published for a head with thick hair: lower and wider, it sits on the forehead.
        rest = fit_proxy_rest(proxy, body)
        middle = np.append(rest[:, :2].mean(axis=0), rest[:, 2].min())
        fitted = _on_head(body, middle + (rest - middle) * [1.16, 1.12, 1.10] - [0, 0, 0.012])
        return [
            Piece("accessory fedora", fitted, proxy.quads, proxy.uv, proxy.uv_quads, None, "felt", (0.05, 0.045, 0.04))
        ]
    build = ACCESSORIES[name]
    return build(body) if build else []


HAT_EDGES = {"beanie": BEANIE_EDGE, "fedora": FEDORA_EDGE}


def hidden_roots(accessory: str, roots: np.ndarray, body: Body) -> np.ndarray:
    """(N,) mask of the hair roots (N, 3), in the rest space of the head, whose strands an accessory covers."""
    if accessory not in ACCESSORIES:
        raise ValueError(f"Unknown accessory '{accessory}'; known are {', '.join(ACCESSORIES)}.")
    roots = np.asarray(roots, dtype=float).reshape(-1, 3)
    if accessory in HAT_EDGES:
        return roots[:, 2] > hat_edge(roots[:, 1], landmarks(body), *HAT_EDGES[accessory]) + 0.004
    return np.zeros(len(roots), dtype=bool)
