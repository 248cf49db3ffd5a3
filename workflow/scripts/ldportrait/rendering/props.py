"""Solids, furniture, plants and house parts that the rendered rooms and streets are put together from (needs bpy)."""

from collections.abc import Sequence

import bpy
import numpy as np

from ldportrait.rendering.surfaces import GREENS, Vector, foliage, glass, glow, linear, material

FACES = np.array([[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])
CORNERS = np.array([[x, y, z] for z in (-0.5, 0.5) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))])


def mesh(vertices: np.ndarray, faces: np.ndarray, made: bpy.types.Material, tint=None, smooth: bool = False):
    """An object from (N, 3) vertices and (F, k) faces; `tint`: (F, 3) linear colours, one per face."""
    data = bpy.data.meshes.new("mesh")
    data.from_pydata(np.asarray(vertices, float).tolist(), [], np.asarray(faces).tolist())
    if tint is not None:
        colours = np.repeat(np.c_[tint, np.ones(len(tint))], np.asarray(faces).shape[1], axis=0)
        data.color_attributes.new("tint", "FLOAT_COLOR", "CORNER").data.foreach_set("color", colours.ravel())
    if smooth:
        data.polygons.foreach_set("use_smooth", [True] * len(data.polygons))
    data.materials.append(made)
    thing = bpy.data.objects.new("thing", data)
    bpy.context.collection.objects.link(thing)
    return thing


def box(size: Vector, centre: Vector, made: bpy.types.Material, bevel: float = 0.006, turn: float = 0.0):
    """A box with rounded edges; `turn`: degrees about Z."""
    angle = np.deg2rad(turn)
    spin = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    thing = mesh(CORNERS * size @ spin.T + centre, FACES, made, smooth=True)
    edge = thing.modifiers.new("edge", "BEVEL")
    edge.width, edge.segments, edge.harden_normals = min(bevel, 0.49 * min(size)), 5 if bevel > 0.03 else 2, True
    return thing


def boxes(sizes: np.ndarray, centres: np.ndarray, colours: np.ndarray, made: bpy.types.Material):
    """Many boxes of (N, 3) sizes and centres in one mesh, each in its own linear colour (N, 3)."""
    sizes, centres = np.asarray(sizes, float), np.asarray(centres, float)
    vertices = (CORNERS[None] * sizes[:, None] + centres[:, None]).reshape(-1, 3)
    faces = (FACES[None] + 8 * np.arange(len(sizes))[:, None, None]).reshape(-1, 4)
    return mesh(vertices, faces, made, tint=np.repeat(np.asarray(colours, float), 6, axis=0))


def turned(profile: Sequence[tuple[float, float]], base: Vector, made: bpy.types.Material, sides: int = 24):
    """A lathe: `profile` of (radius, height) above `base`. Vases, pots, bulbs, posts, lampshades, cups."""
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    rings = [np.c_[r * np.cos(angles), r * np.sin(angles), np.full(sides, z)] for r, z in profile]
    index = np.arange(sides)
    faces = [
        np.c_[
            k * sides + index,
            k * sides + (index + 1) % sides,
            (k + 1) * sides + (index + 1) % sides,
            (k + 1) * sides + index,
        ]
        for k in range(len(profile) - 1)
    ]
    return mesh(np.concatenate(rings) + base, np.concatenate(faces), made, smooth=True)


def post(radius: float, height: float, base: Vector, made: bpy.types.Material):
    return turned([(1e-4, 0), (radius, 0), (radius, height), (1e-4, height)], base, made)


def bulb(radius: float, centre: Vector, made: bpy.types.Material):
    angles = np.linspace(-np.pi / 2, np.pi / 2, 9)
    return turned([(max(radius * np.cos(a), 1e-4), radius * np.sin(a)) for a in angles], centre, made, 16)


def leaves(rng: np.random.Generator, points: np.ndarray, length: float, greens: Sequence[str], upright: float = 0.0):
    """A leaf (bent quad) at each of (N, 3) points, randomly turned; `upright` 0..1 draws them towards +Z."""
    n = len(points)
    along = rng.normal(size=(n, 3)) * (1 - upright) + np.array([0, 0, 1.0]) * upright * 2
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, rng.normal(size=(n, 3)))
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    size = (length * rng.uniform(0.6, 1.3, n))[:, None]
    width = size * (0.08 if upright > 0.5 else 0.27)
    vertices = np.stack(
        [
            points,
            points + along * size * 0.5 + across * width,
            points + along * size,
            points + along * size * 0.5 - across * width,
        ],
        axis=1,
    )
    palette = np.array([linear(c) for c in greens])
    tint = palette[rng.integers(len(palette), size=n)] * rng.uniform(0.6, 1.3, (n, 1))
    return mesh(vertices.reshape(-1, 3), np.arange(4 * n).reshape(n, 4), foliage(), tint=tint)


def panel(centre, size: tuple[float, float], towards, strength: float, colour: str = "#ffffff") -> None:
    """An area light of `strength` watts at `centre` that shines towards a point and is itself unseen."""
    light = bpy.data.lights.new("panel", "AREA")
    light.shape, light.size, light.size_y = "RECTANGLE", *size
    light.energy, light.color = strength, linear(colour)
    lamp = bpy.data.objects.new("panel", light)
    lamp.location = centre
    lamp.rotation_euler = look(np.subtract(towards, centre))
    lamp.visible_camera = False
    bpy.context.collection.objects.link(lamp)


def look(direction) -> tuple[float, float, float]:
    """Euler angles that turn -Z (where lamps and cameras look) to `direction`, with +Z up."""
    x, y, z = np.asarray(direction, float) / np.linalg.norm(direction)
    return float(np.arccos(np.clip(-z, -1, 1))), 0.0, float(np.arctan2(-x, y))


def crown(rng: np.random.Generator, centre: Vector, radius: float, count: int) -> np.ndarray:
    """(count, 3) leaf points in a crown of several lobes."""
    lobes = rng.normal(size=(9, 3)) * radius * (0.45, 0.45, 0.35) + centre
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return lobes[rng.integers(9, size=count)] + direction * radius * 0.5 * rng.uniform(0.5, 1, (count, 1)) ** 0.5


def tree(
    rng: np.random.Generator, base: Vector, height: float, greens: Sequence[str] = GREENS, count: int = 5000
) -> None:
    bark = material("#5b4a3a", pattern="grain", plane="zx", contrast=0.5, bump=0.5, roughness=0.9)
    turned([(0.045 * height, 0), (0.028 * height, 0.3 * height), (0.015 * height, 0.75 * height)], base, bark, 12)
    radius = height * 0.3
    leaves(rng, crown(rng, np.add(base, (0, 0, height * 0.72)), radius, count), 0.035 * height, greens)


def pot_plant(
    rng: np.random.Generator, base: Vector, height: float, pot: str = "#b0643c", greens: Sequence[str] = GREENS
) -> None:
    """A pot with long leaves that rise and droop."""
    r = height * 0.13
    turned(
        [(1e-4, 0), (r * 0.75, 0), (r, height * 0.26), (r * 0.88, height * 0.26), (r * 0.8, height * 0.2)],
        base,
        material(pot),
    )
    n, k = int(rng.integers(26, 40)), 7
    t = np.linspace(0, 1, k)[None, :, None]
    angle = rng.uniform(0, 2 * np.pi, n)
    out = np.c_[np.cos(angle), np.sin(angle), np.zeros(n)][:, None] * rng.uniform(0.15, 0.42, (n, 1, 1)) * height
    rise = np.array([0, 0, 1.0]) * rng.uniform(0.45, 0.8, (n, 1, 1)) * height
    spine = np.add(base, (0, 0, height * 0.2)) + out * t**1.6 + rise * (t - 0.35 * t**3)
    side = np.c_[-np.sin(angle), np.cos(angle), np.zeros(n)][:, None] * height * 0.05 * np.sin(np.pi * t**0.7) ** 0.8
    strip = np.stack([spine - side, spine + side], axis=2).reshape(-1, 3)
    start = (np.arange(n)[:, None] * k + np.arange(k - 1)).ravel() * 2
    palette = np.array([linear(c) for c in greens])
    tint = np.repeat(palette[rng.integers(len(palette), size=n)] * rng.uniform(0.6, 1.2, (n, 1)), k - 1, axis=0)
    mesh(strip, np.c_[start, start + 1, start + 3, start + 2], foliage(0.25), tint=tint, smooth=True)


def books(
    rng: np.random.Generator, left: Vector, width: float, height: float, palette: Sequence[str], gaps: float = 0.08
) -> None:
    """A row of books along +X whose spines face -Y; some places on the shelf stay empty."""
    sizes, centres, x = [], [], 0.0
    while x < width - 0.05:
        thick, tall = rng.uniform(0.015, 0.05), height * rng.uniform(0.6, 0.93)
        if rng.random() < gaps:
            x += rng.uniform(0.05, 0.2)
            continue
        deep = rng.uniform(0.13, 0.2)
        sizes.append((thick * 0.94, deep, tall))
        centres.append((left[0] + x + thick / 2, left[1] + 0.02 + deep / 2, left[2] + tall / 2))
        x += thick
    colours = np.array([linear(c) for c in palette])[rng.integers(len(palette), size=len(sizes))]
    boxes(
        sizes, centres, colours * rng.uniform(0.7, 1.2, (len(sizes), 1)), material(tinted=True, roughness=0.7, scale=6)
    )


def bookcase(
    rng: np.random.Generator, left: Vector, width: float, height: float, wood: bpy.types.Material, palette
) -> None:
    """Shelves filled with books; `left` is the front lower left corner."""
    rows = max(int(height / 0.36), 2)
    step = height / rows
    for side in (0, width):
        box((0.03, 0.3, height), (left[0] + side, left[1] + 0.15, left[2] + height / 2), wood)
    box((width, 0.02, height), (left[0] + width / 2, left[1] + 0.3, left[2] + height / 2), wood)
    for row in range(rows + 1):
        box((width, 0.3, 0.03), (left[0] + width / 2, left[1] + 0.15, left[2] + row * step), wood)
        if row < rows:
            books(rng, (left[0] + 0.03, left[1], left[2] + row * step + 0.015), width - 0.05, step - 0.04, palette)


def wall(span: tuple[float, float], height: float, at: float, axis: str, made, openings: Sequence[Vector] = ()) -> None:
    """A wall 0.2 m thick along x (at y=`at`) or y (at x=`at`) with openings (u0, u1, z0, z1), framed and paned."""

    def block(u0: float, u1: float, z0: float, z1: float, look, depth: float = 0.2, bevel: float = 0.0) -> None:
        if u1 - u0 < 1e-3 or z1 - z0 < 1e-3:
            return
        size, centre = [u1 - u0, depth, z1 - z0], [(u0 + u1) / 2, at, (z0 + z1) / 2]
        if axis == "y":
            size[:2], centre[:2] = size[1::-1], centre[1::-1]
        box(size, centre, look, bevel)

    edge = span[0]
    frame = material("#efece6", roughness=0.4, contrast=0.05)
    for u0, u1, z0, z1 in sorted(openings):
        block(edge, u0, 0, height, made)
        block(u0, u1, 0, z0, made)
        block(u0, u1, z1, height, made)
        for u in np.linspace(u0, u1, max(int((u1 - u0) / 0.6), 1) + 1):
            block(u - 0.025, u + 0.025, z0, z1, frame, 0.08, 0.005)
        for z in (z0, (z0 + 2 * z1) / 3, z1):
            block(u0, u1, z - 0.025, z + 0.025, frame, 0.08, 0.005)
        block(u0 - 0.05, u1 + 0.05, z0 - 0.05, z0, frame, 0.34, 0.005)
        edge = u1
    block(edge, span[1], 0, height, made)


def curtain(rng: np.random.Generator, start: Vector, end: Vector, height: float, made: bpy.types.Material) -> None:
    """A hanging cloth in folds from `start` to `end` (x, y), from the floor to `height`."""
    columns = 160
    t = np.linspace(0, 1, columns)
    line = np.outer(1 - t, start) + np.outer(t, end)
    length = float(np.hypot(*np.subtract(end, start)))
    normal = np.array([-(end[1] - start[1]), end[0] - start[0]]) / max(length, 1e-6)
    phase = 2 * np.pi * t * length / 0.13 + np.cumsum(rng.normal(size=columns)) * 0.08
    folds = line + np.outer(np.sin(phase) * 0.045, normal)
    low = line + np.outer(np.sin(phase) * 0.06, normal)
    vertices = np.concatenate([np.c_[low, np.full(columns, 0.02)], np.c_[folds, np.full(columns, height)]])
    i = np.arange(columns - 1)
    mesh(vertices, np.c_[i, i + 1, i + 1 + columns, i + columns], made, smooth=True)


def sofa(centre: Vector, width: float, cloth: bpy.types.Material, cushions: Sequence[bpy.types.Material] = ()) -> None:
    """A sofa that faces -Y, its back at centre y + 0.4."""
    x, y, _ = centre
    box((width, 0.9, 0.3), (x, y, 0.25), cloth, 0.06)
    box((width, 0.25, 0.55), (x, y + 0.38, 0.62), cloth, 0.1)
    for side in (-1, 1):
        box((0.22, 0.92, 0.55), (x + side * (width / 2), y, 0.35), cloth, 0.09)
        box((width / 2 - 0.14, 0.7, 0.2), (x + side * (width / 4 - 0.03), y - 0.07, 0.48), cloth, 0.08)
    for i, look in enumerate(cushions):
        box((0.46, 0.17, 0.46), (x - width / 3 + i * 0.5, y + 0.17, 0.78), look, 0.08, turn=12 * (-1) ** i)


def table(centre: Vector, size: Vector, made: bpy.types.Material) -> None:
    """A table of size (width, depth, height) with four legs."""
    x, y, _ = centre
    box((size[0], size[1], 0.04), (x, y, size[2]), made)
    for i in (-1, 1):
        for j in (-1, 1):
            box((0.05, 0.05, size[2]), (x + i * (size[0] / 2 - 0.06), y + j * (size[1] / 2 - 0.06), size[2] / 2), made)


def chair(centre: Vector, made: bpy.types.Material, turn: float = 0.0) -> None:
    """A chair with a slatted back, `turn` degrees about Z."""
    angle = np.deg2rad(turn)

    def place(x: float, y: float, z: float) -> tuple[float, float, float]:
        return centre[0] + x * np.cos(angle) - y * np.sin(angle), centre[1] + x * np.sin(angle) + y * np.cos(angle), z

    box((0.42, 0.42, 0.04), place(0, 0, 0.45), made, 0.015, turn)
    for x in (-0.18, 0.18):
        box((0.035, 0.035, 0.45), place(x, -0.18, 0.225), made, 0.008, turn)
        box((0.035, 0.035, 0.92), place(x, 0.19, 0.46), made, 0.008, turn)
    for z in (0.62, 0.74, 0.86):
        box((0.36, 0.02, 0.06), place(0, 0.19, z), made, 0.008, turn)


def lamp(base: Vector, height: float, shade: str, strength: float) -> None:
    """A standing or table lamp: foot, stem, glowing shade."""
    metal = material("#6d6258", roughness=0.35, metallic=0.8)
    post(height * 0.1, 0.02, base, metal)
    post(0.012, height * 0.82, base, metal)
    r = min(0.2, height * 0.28)
    turned([(r, 0), (r * 0.7, r * 1.5)], np.add(base, (0, 0, height - r * 1.5)), glow(shade, strength))


def picture(rng: np.random.Generator, centre: Vector, size: tuple[float, float], palette: Sequence[str]) -> None:
    """A framed abstract print on a wall that faces -Y: bands and blocks of a palette."""
    x, y, z = centre
    w, h = size
    box(
        (w + 0.06, 0.03, h + 0.06),
        (x, y, z),
        material(str(rng.choice(["#2b2622", "#8a6a45", "#e8e4dc"])), pattern="grain", plane="xz"),
        0.004,
    )
    box((w, 0.012, h), (x, y - 0.016, z), material("#f1ede4", contrast=0.05), 0.001)
    n = int(rng.integers(4, 9))
    sizes = np.c_[rng.uniform(0.15, 0.7, n) * w, np.full(n, 0.004), rng.uniform(0.1, 0.6, n) * h]
    room = (np.array([w, 0, h]) * 0.86 - sizes).clip(0) / 2
    centres = (
        np.array([x, y - 0.024, z])
        + rng.uniform(-1, 1, (n, 3)) * room * (1, 0, 1)
        - np.c_[np.zeros(n), np.arange(n) * 0.003, np.zeros(n)]
    )
    colours = np.array([linear(c) for c in palette])[rng.integers(len(palette), size=n)]
    boxes(sizes, centres, colours, material(tinted=True, scale=3))


def car(rng: np.random.Generator, centre: Vector, colour: str, along: str = "y") -> None:
    """A parked car in outline: body, cabin, wheels, lamps."""
    paint = material(colour, roughness=0.22, contrast=0.03, bump=0.0)
    dark, red = glass("#14181a"), glow("#ff2a18", 3.0)

    def put(size: Vector, offset: Vector, look, bevel: float) -> None:
        order = (1, 0, 2) if along == "x" else (0, 1, 2)
        box(tuple(size[i] for i in order), tuple(centre[i] + offset[order[i]] for i in range(3)), look, bevel)

    put((1.75, 4.2, 0.55), (0, 0, 0.58), paint, 0.2)
    put((1.5, 2.3, 0.6), (0, 0.1, 1.05), dark, 0.24)
    put((1.3, 1.7, 0.08), (0, 0.1, 1.36), paint, 0.03)
    for x in (-0.8, 0.8):
        for y in (-1.3, 1.3):
            put((0.2, 0.62, 0.62), (x, y, 0.31), material("#17171a", roughness=0.8), 0.09)
        put((0.3, 0.05, 0.12), (x * 0.8, -2.1, 0.68), red, 0.02)
