"""Clothes, glasses and hats for a body: fitted MakeHuman suits in plain colours, and shells of our own.

No fitted suit shows its published map: several bear a logo, so each part gets a plain colour and a kind of cloth.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ldportrait.rendering import accessories, shells
from ldportrait.rendering.accessories import ACCESSORIES, Piece, accessorise, hidden_roots
from ldportrait.rendering.people import Body, Proxy, base_mesh, build_body, fit_proxy, load_proxy

__all__ = [
    "ACCESSORIES",
    "GARMENTS",
    "GARMENT_COLOURS",
    "Garment",
    "Piece",
    "accessorise",
    "dress",
    "hidden_roots",
]

RGB = tuple[float, float, float]
# Linear RGB, as Blender wants it.
GARMENT_COLOURS: dict[str, RGB] = {
    "white": (0.75, 0.74, 0.71),
    "cream": (0.66, 0.56, 0.40),
    "light grey": (0.40, 0.40, 0.41),
    "charcoal": (0.045, 0.046, 0.05),
    "black": (0.012, 0.012, 0.013),
    "navy": (0.012, 0.024, 0.075),
    "sky blue": (0.22, 0.42, 0.66),
    "teal": (0.015, 0.16, 0.17),
    "olive": (0.11, 0.12, 0.035),
    "forest green": (0.018, 0.09, 0.035),
    "mustard": (0.52, 0.29, 0.035),
    "rust": (0.32, 0.075, 0.022),
    "burgundy": (0.13, 0.010, 0.022),
    "red": (0.44, 0.018, 0.018),
    "dusty pink": (0.55, 0.24, 0.24),
    "lavender": (0.34, 0.28, 0.54),
}
DENIM: RGB = (0.035, 0.075, 0.17)
DARK_TROUSERS: RGB = (0.03, 0.03, 0.034)
WHITE_SHIRT: RGB = (0.72, 0.72, 0.72)
TIE: RGB = (0.10, 0.012, 0.025)
TROUSERS_TOP = 0.19  # rest height of the default body (m) that no pair of trousers passes


@dataclass(frozen=True)
class Garment:
    """How one garment is made: from a MakeHuman suit's proxy or by a function of our own (exactly one of the two).

    ``material`` is the kind of cloth; ``sex`` whom it fits: woman, man or any; ``texture``: whether the suit's map
    may shade it (no logo on it); ``islands`` give other colours to parts of the suit by the box (u0, v0, u1, v1) of
    their texture coordinates; ``trousers`` is the colour of the suit's lower part, None where it has none.
    """

    material: str
    sex: str = "any"
    proxy: str | None = None
    build: Callable[[Body], tuple[list[Piece], np.ndarray]] | None = None
    texture: bool = False
    trousers: RGB | None = DENIM
    islands: Mapping[str, tuple[tuple[float, float, float, float], RGB | None, str]] = field(default_factory=dict)


@functools.cache
def _default_faces() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Centres (F, 3) of the body's faces on the default rest body, the (F, 4) faces, and each one's main bone."""
    body = build_body({})
    quads = base_mesh()[1]["body"][0]
    main = body.bones[np.arange(len(body.rest)), body.weights.argmax(axis=1)]
    return body.rest[quads].mean(axis=1), quads, tuple(body.bone_names[main[q]] for q in quads[:, 0])


def _faces(choose: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray], bones: tuple[str, ...]) -> np.ndarray:
    """Mask (F,) of the body's faces on some bones (by the start of their names) that `choose(x, y, z)` accepts."""
    centres, _, names = _default_faces()
    on_bone = np.array([name.startswith(bones) for name in names])
    return on_bone & choose(np.abs(centres[:, 0]), centres[:, 1], centres[:, 2])


TORSO = ("spine", "breast", "clavicle", "shoulder", "pelvis", "root", "upperleg01")
ARMS = ("upperarm", "lowerarm")
NECK = ("neck", "head", "jaw", "special04", "tongue", "oris")


def _inside(mask: np.ndarray, rings: int = 2) -> np.ndarray:
    """Faces of a mask that are at least `rings` faces from its edge: what its shell surely hides."""
    _, quads, _ = _default_faces()
    for _ in range(rings):
        outside = np.zeros(quads.max() + 1, dtype=bool)
        outside[quads[~mask].ravel()] = True
        mask = mask & ~outside[quads].any(axis=1)
    return mask


def _shell(name: str, body: Body, mask: np.ndarray, material: str, offset=0.006, rounds=6, **more) -> Piece:
    quads = _default_faces()[1][mask]
    vertices, faces = shells.body_shell(body, quads, offset, rounds, more.pop("thickness", 0.002))
    return Piece(name, vertices, faces, material=material, **more)


def _hem(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Above the hips on the default body."""
    return z > -0.08


def _neck_height(y: np.ndarray) -> np.ndarray:
    """Height on the default body of a plane across the neck, higher at the nape than at the throat."""
    return 0.582 + 0.42 * (y + 0.04)


def trousers(body: Body) -> tuple[Piece, np.ndarray]:
    """Plain jeans below a top of our own, and the body's faces that they surely hide."""
    legs = _faces(lambda x, y, z: z < 0.02, ("spine", "pelvis", "root", "upperleg", "lowerleg"))
    return _shell("garment trousers", body, legs, "denim", 0.004, 4, colour=DENIM), _inside(legs, 3)


def _with_trousers(body: Body, pieces: list[Piece], hidden: np.ndarray) -> tuple[list[Piece], np.ndarray]:
    piece, under = trousers(body)
    return [*pieces, piece], hidden | under


def turtleneck(body: Body) -> tuple[list[Piece], np.ndarray]:
    """A long-sleeved jumper with a folded collar."""
    sweater = _faces(_hem, TORSO + ARMS) | _faces(lambda x, y, z: z < _neck_height(y), NECK)
    collar = _faces(lambda x, y, z: (z < _neck_height(y) + 0.004) & (z > _neck_height(y) - 0.042), NECK + TORSO)
    pieces = [
        _shell("garment", body, sweater, "wool", 0.008, 40),
        _shell("garment collar", body, collar, "wool", 0.016, 4, thickness=0.007),
    ]
    return _with_trousers(body, pieces, _inside(sweater, 3))


def tank_top(body: Body) -> tuple[list[Piece], np.ndarray]:
    """A sleeveless top with straps."""

    def cut(x, y, z):
        scoop = np.where(y < -0.03, 0.42, 0.46) + 3.0 * np.clip(x - 0.045, 0, None)
        armhole = np.interp(z, [0.33, 0.38, 0.43, 0.50], [0.25, 0.150, 0.122, 0.122])
        return (z < scoop) & (x < armhole) & (z > -0.08)

    mask = _faces(cut, (*TORSO, "upperarm01", *NECK))
    return _with_trousers(body, [_shell("garment", body, mask, "jersey", 0.006, 20)], _inside(mask, 2))


def crew_sweater(body: Body) -> tuple[list[Piece], np.ndarray]:
    """A loose long-sleeved sweater with a ribbed round neck."""

    def cut(x, y, z):
        return ((z < _neck_height(y) - 0.040) | (x > 0.072)) & (z > -0.08) & (z < 0.58)

    sweater = _faces(cut, TORSO + ARMS + NECK)
    ribs = sweater & _faces(lambda x, y, z: (z > _neck_height(y) - 0.058) & (x < 0.080), NECK + TORSO)
    pieces = [
        _shell("garment", body, sweater, "wool", 0.011, 40),
        _shell("garment neckband", body, ribs, "wool", 0.015, 2, thickness=0.006),
    ]
    return _with_trousers(body, pieces, _inside(sweater, 3))


def scarf_over_sweater(body: Body) -> tuple[list[Piece], np.ndarray]:
    """A crew-neck sweater with a scarf wound around the neck."""
    pieces, hidden = crew_sweater(body)
    return [*pieces, *accessories.scarf(body)], hidden


SUIT_ISLANDS: dict[str, tuple[tuple[float, float, float, float], RGB | None, str]] = {
    "shirt collar": ((0.34, 0.81, 0.50, 0.99), WHITE_SHIRT, "cotton"),
    "shirt cuffs": ((0.32, 0.62, 0.40, 0.90), WHITE_SHIRT, "cotton"),
    "collar back": ((0.32, 0.53, 0.37, 0.64), WHITE_SHIRT, "cotton"),
}

JACKET_ISLANDS: dict[str, tuple[tuple[float, float, float, float], RGB | None, str]] = {
    "shirt left": ((0.58, 0.70, 0.80, 0.99), WHITE_SHIRT, "cotton"),
    "shirt right": ((0.84, 0.45, 0.96, 0.75), WHITE_SHIRT, "cotton"),
    "shirt collar": ((0.61, 0.37, 0.80, 0.44), WHITE_SHIRT, "cotton"),
    "shirt collar back": ((0.01, 0.78, 0.21, 0.82), WHITE_SHIRT, "cotton"),
}
DUNGAREES_ISLANDS: dict[str, tuple[tuple[float, float, float, float], RGB | None, str]] = {
    "shirt": ((0.43, 0.63, 0.72, 1.0), WHITE_SHIRT, "jersey"),
}

GARMENTS: dict[str, Garment] = {
    "t-shirt": Garment("jersey", "man", "male_casualsuit04"),
    "fitted t-shirt": Garment("jersey", "woman", "female_casualsuit01"),
    "long-sleeved top": Garment("jersey", "man", "male_casualsuit02"),
    "shirt": Garment("cotton", "man", "male_casualsuit03", texture=False),
    "casual jacket": Garment("denim", "man", "male_casualsuit05", islands=JACKET_ISLANDS),
    "loose t-shirt": Garment("cotton", "man", "male_casualsuit06"),
    "open-necked shirt": Garment("cotton", "man", "male_casualsuit01", trousers=None),
    "suit jacket": Garment("wool", "man", "male_elegantsuit01", trousers=DARK_TROUSERS, islands=SUIT_ISLANDS),
    "dungarees": Garment("denim", "any", "male_worksuit01", trousers=None, islands=DUNGAREES_ISLANDS),
    "blouse": Garment("satin", "woman", "female_elegantsuit01", trousers=DARK_TROUSERS),
    "sports top": Garment("jersey", "woman", "female_sportsuit01", trousers=DARK_TROUSERS),
    "turtleneck": Garment("wool", build=turtleneck),
    "tank top": Garment("jersey", build=tank_top),
    "sweater": Garment("wool", build=crew_sweater),
    "sweater and scarf": Garment("wool", build=scarf_over_sweater),
}


def dress(name: str, body: Body, data_folder: Path) -> tuple[list[Piece], np.ndarray]:
    """The posed pieces of a garment and a mask (F,) of the body's faces that it hides.

    ValueError for an unknown garment, FileNotFoundError where its proxy is missing.
    """
    if name not in GARMENTS:
        raise ValueError(f"Unknown garment '{name}'; known are {', '.join(GARMENTS)}.")
    garment = GARMENTS[name]
    if garment.build is not None:
        return garment.build(body)
    proxy = load_proxy(Path(data_folder) / "proxies" / "clothes" / garment.proxy / f"{garment.proxy}.json")
    quads = base_mesh()[1]["body"][0]
    hidden = np.isin(quads, proxy.delete_vertices).all(axis=1)
    return _proxy_pieces(garment, proxy, body), hidden


def _proxy_pieces(garment: Garment, proxy: Proxy, body: Body) -> list[Piece]:
    """A suit's posed mesh cut into top, trousers and the islands that the garment names."""
    vertices = fit_proxy(proxy, body)
    default = (build_body({}).rest[proxy.reference] * proxy.weights[:, :, None]).sum(axis=1) + proxy.offsets
    part = _components(proxy.quads, len(vertices))[proxy.quads[:, 0]]
    highest = np.array([default[np.unique(proxy.quads[part == p]), 2].max() for p in range(part.max() + 1)])
    lower = highest[part] < TROUSERS_TOP
    label = np.where(lower & (garment.trousers is not None), "trousers", "")
    label = label.astype(object)
    island = _components(proxy.uv_quads, len(proxy.uv))[proxy.uv_quads[:, 0]]
    for name, (box, _, _) in garment.islands.items():
        for number in range(island.max() + 1):
            corners = proxy.uv[np.unique(proxy.uv_quads[island == number])]
            if (corners >= box[:2]).all() and (corners <= box[2:]).all():
                label[island == number] = name
    pieces = []
    for name in dict.fromkeys(label):
        chosen = label == name
        colour, material = None, garment.material
        if name == "trousers":
            colour, material = garment.trousers, "denim" if garment.trousers == DENIM else "cotton"
        elif name:
            _, colour, material = garment.islands[name]
        texture = proxy.textures[0] if garment.texture and proxy.textures else None
        pieces.append(
            Piece(
                f"garment {name}".strip(),
                vertices,
                proxy.quads[chosen],
                proxy.uv,
                proxy.uv_quads[chosen],
                texture,
                material,
                colour,
            )
        )
    return pieces


def _components(quads: np.ndarray, count: int) -> np.ndarray:
    """Number (count,) of the connected part that each vertex belongs to."""
    edges = shells.edges_of(quads)
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]
