"""Streets, gardens and other outdoor places, each built from a Generator round a camera at the origin (needs bpy)."""

from collections.abc import Callable

import numpy as np

from ldportrait.rendering import props
from ldportrait.rendering.props import box, boxes, bulb, turned, wall
from ldportrait.rendering.surfaces import GREENS, glass, glow, linear, material, pick, wood


def _front(
    rng: np.random.Generator,
    axis: str,
    at: float,
    span: tuple[float, float],
    height: float,
    night: bool = False,
    shop: bool = True,
) -> None:
    """One house front: windows in rows, a shop below, a cornice; along x (faces -Y) or y (faces the street)."""
    plane = axis + "z"
    if rng.random() < 0.55:
        brick = pick(rng, ("#8c4f3b", "#a3664a", "#b89a78", "#6e4236"))
        skin = material(brick, pattern="bricks", plane=plane, second="#b0a596", contrast=0.35, bump=0.5, roughness=0.9)
    else:
        skin = material(
            pick(rng, ("#d8c6a4", "#c9cfc9", "#d9a98c", "#e6e0d2", "#a9b7bd")),
            plane=plane,
            contrast=0.15,
            roughness=0.95,
            scale=0.8,
        )
    inward = -1.0 if axis == "x" else -float(np.sign(at))

    def put(u: float, z: float, size: tuple[float, float, float], out: float, look, bevel: float = 0.004) -> None:
        along, depth, tall = size
        spot = (u, at + inward * out, z) if axis == "x" else (at + inward * out, u, z)
        box((along, depth, tall) if axis == "x" else (depth, along, tall), spot, look, bevel)

    middle, width = sum(span) / 2, span[1] - span[0]
    put(middle, height / 2, (width, 1.0, height), -0.5, skin, 0.0)
    put(middle, height, (width + 0.1, 0.5, 0.35), 0.1, material("#d5cfc2", contrast=0.1))
    stone, pane = material("#e2dccf", contrast=0.1), glass()
    lit = [glow(c, s) for c, s in (("#ffcf8f", 5.0), ("#ffe2b5", 3.0), ("#ffb45e", 4.0))]
    columns = max(int(width / 1.7), 1)
    for z in np.arange(3.9 if shop else 1.7, height - 1.4, 2.9):
        for u in span[0] + (np.arange(columns) + 0.5) * width / columns:
            put(u, z + 0.7, (1.12, 0.1, 1.72), 0.03, stone)
            put(
                u,
                z + 0.7,
                (0.95, 0.1, 1.55),
                0.045,
                lit[int(rng.integers(3))] if night and rng.random() < 0.45 else pane,
            )
            put(u, z + 0.7, (0.05, 0.1, 1.55), 0.06, stone)
            put(u, z - 0.2, (1.25, 0.3, 0.08), 0.1, stone)
    if shop:
        trim = material(
            pick(rng, ("#22382f", "#5a2426", "#20304a", "#2b2b2b", "#7b5a2c", "#2f6f73")),
            roughness=0.35,
            contrast=0.06,
        )
        put(middle, 1.6, (width - 0.3, 0.16, 3.1), 0.0, trim)
        put(middle, 3.0, (width - 0.3, 0.3, 0.45), 0.1, trim)
        for k in range(columns):
            u = span[0] + (k + 0.5) * width / columns
            door = k == columns // 2
            w = width / columns - 0.25
            put(
                u,
                1.3 if door else 1.65,
                (w, 0.16, 2.5 if door else 1.9),
                0.03,
                glow("#ffd9a0", 1.2) if night else pane,
            )
            for side in (-1, 1):
                put(u + side * w / 2, 1.6, (0.06, 0.2, 2.6), 0.05, trim)
        if rng.random() < 0.7 and axis == "x":
            _awning(rng, at, span)


def _awning(rng: np.random.Generator, at: float, span: tuple[float, float]) -> None:
    n = max(int((span[1] - span[0]) / 0.2), 3)
    x = np.linspace(span[0] + 0.2, span[1] - 0.2, n + 1)
    vertices = np.concatenate(
        [
            np.c_[x, np.full(n + 1, at - 0.1), np.full(n + 1, 2.95)],
            np.c_[x, np.full(n + 1, at - 1.15), np.full(n + 1, 2.5)],
        ]
    )
    i = np.arange(n)
    stripes = np.array([linear(pick(rng, ("#b23a2e", "#2f6f73", "#27437a", "#c98a2b"))), linear("#efe9dc")])
    props.mesh(
        vertices, np.c_[i, i + 1, i + n + 2, i + n + 1], material(tinted=True, roughness=0.9), tint=stripes[i % 2]
    )


def _lantern(base, lit: float) -> None:
    iron = material("#1d2422", roughness=0.4, metallic=0.6)
    turned([(0.11, 0), (0.08, 0.5), (0.05, 0.6), (0.04, 3.2), (0.12, 3.25)], base, iron, 12)
    turned([(0.1, 3.25), (0.17, 3.65), (0.02, 3.85)], base, glow("#ffd08a", lit) if lit else glass("#c9cbb8"), 8)


def street(rng: np.random.Generator, night: bool = False) -> None:
    """Down a street: fronts on both sides, pavement, lamps, trees, parked cars."""
    asphalt = material("#4a4b4d", scale=20, contrast=0.3, roughness=0.28 if night else 0.9)
    box((40, 120, 0.1), (0, 50, -0.17), asphalt, 0.0)
    for side in (-1, 1):
        box(
            (3.2, 110, 0.14),
            (side * 5.2, 50, -0.07),
            material(
                "#9a948a",
                pattern="bricks",
                second="#6b665e",
                brick=(0.6, 0.6, 0.012),
                contrast=0.2,
                roughness=0.5 if night else 0.9,
            ),
            0.02,
        )
        y = 2.0
        while y < 70:
            width = rng.uniform(5, 9)
            _front(rng, "y", side * 6.8, (y, y + width), rng.uniform(8, 13), night)
            y += width
        for y in np.arange(6 + 2 * (side > 0), 44, 9.0):
            _lantern((side * 4.0, y, 0), 40.0 if night else 0.0)
            if not night:
                props.tree(rng, (side * 4.3, y + 4.2, 0), rng.uniform(4.5, 6.5), count=4500)
        for y in np.arange(7.5, 40, 5.6):
            if rng.random() < 0.6:
                props.car(
                    rng, (side * 2.9, y, -0.12), pick(rng, ("#8d1f1f", "#1f3a5f", "#c9c9c6", "#23262a", "#5d6b62"))
                )
    if night:
        for x, y in rng.uniform((-1.8, 18), (1.8, 60), (14, 2)):
            bulb(0.09, (x, y, 0.7), glow("#ff3a22" if x > 0 else "#fff0d0", 60 if x > 0 else 120))
    else:
        _front(rng, "x", 72, (-14, 14), 12)


def night_street(rng: np.random.Generator) -> None:
    street(rng, night=True)
    n = 26
    for x, y, z in zip(rng.uniform(-5, 5, n), rng.uniform(5, 30, n), rng.uniform(2.7, 4.2, n), strict=True):
        bulb(0.035, (x, y, z), glow(pick(rng, ("#ffb45e", "#ffd9a0", "#ff8f5a", "#9fd0ff")), 90))


def shopfront(rng: np.random.Generator) -> None:
    """Across a pavement at shop fronts, with pots, a bench or a bicycle rack before them."""
    distance = rng.uniform(5.0, 7.5)
    box(
        (40, 40, 0.1),
        (0, 10, -0.05),
        material("#a49d92", pattern="bricks", second="#6f6a61", brick=(0.4, 0.4, 0.01), contrast=0.25, roughness=0.85),
        0.0,
    )
    edges = np.cumsum(np.r_[-9, rng.uniform(3.2, 5, 5)])
    for left, right in zip(edges[:-1], edges[1:], strict=True):
        _front(rng, "x", distance, (left, right), rng.uniform(8, 11))
    # What the panes mirror: the other side of the street, behind the camera.
    box((12, 6, 9), (-7, -11, 4.5), material("#b9835f", contrast=0.3), 0.0)
    box((13, 6, 11), (7, -11, 5.5), material("#d5c6ab", contrast=0.3), 0.0)
    props.tree(rng, (1, -6, 0), 6.0)
    for x in (-2.2, 1.9):
        props.pot_plant(rng, (x + rng.normal() * 0.3, distance - 0.9, 0), rng.uniform(1.0, 1.5))
    timber = wood(rng, "xz")
    for z in (0.45, 0.72, 0.88):
        box((1.5, 0.1 if z > 0.5 else 0.4, 0.05), (0.2, distance - 0.75, z), timber)
    props.tree(rng, (-3.3, distance - 2, 0), 5.0)
    _lantern((2.7, distance - 1.9, 0), 0.0)


def park(rng: np.random.Generator) -> None:
    box((80, 90, 0.1), (0, 40, -0.05), material("#5f7d3a", scale=3, contrast=0.4, bump=0.8, roughness=1.0), 0.0)
    blades = np.c_[rng.uniform(-9, 9, 26000), rng.uniform(3, 20, 26000), np.zeros(26000)]
    props.leaves(rng, blades, 0.09, ("#6f8f3c", "#5d7d33", "#86a04e"), upright=0.8)
    path = material("#b3a084", scale=8, contrast=0.25, roughness=1.0)
    for k, y in enumerate(np.arange(0, 40, 0.8)):
        box(
            (2.0, 0.9, 0.02),
            (1.6 + 2.2 * np.sin(y / 9 + 0.4), y, 0.005 + 1e-4 * k),
            path,
            0.0,
        )
    autumn = rng.random() < 0.5
    greens = ("#b5792a", "#c99a35", "#8a5a24", "#7c8a3a") if autumn else GREENS
    for y in (9, 12, 15, 19, 24, 30):
        for side in (-1, 1):
            props.tree(rng, (side * rng.uniform(2.5, 8), y + rng.normal(), 0), rng.uniform(5.5, 9), greens, 7000)
    shrubs = np.concatenate([props.crown(rng, (x, 34 + rng.normal(), 1.2), 2.6, 2500) for x in np.arange(-20, 21, 2.5)])
    props.leaves(rng, shrubs, 0.3, GREENS)
    iron, timber = material("#22282a", metallic=0.6, roughness=0.4), wood(rng)
    for x, y in ((-1.3, 6.5), (4.2, 11)):
        for z, d in ((0.45, -0.1), (0.45, 0.08), (0.66, 0.2), (0.84, 0.23)):
            box((1.6, 0.14 if z < 0.5 else 0.03, 0.03 if z < 0.5 else 0.12), (x, y + d, z), timber)
        for side in (-0.7, 0.7):
            box((0.05, 0.4, 0.45), (x + side, y + 0.02, 0.22), iron)
    _lantern((3.2, 9, 0), 0.0)


def garden(rng: np.random.Generator) -> None:
    """A courtyard wall with ivy, a door, pots and flowers."""
    back = rng.uniform(4.2, 5.4)
    box(
        (30, 30, 0.1),
        (0, 8, -0.05),
        material("#a88a6c", pattern="bricks", second="#7d6b57", brick=(0.3, 0.15, 0.012), contrast=0.3, roughness=0.9),
        0.0,
    )
    wall(
        (-8, 8),
        3.2,
        back,
        "x",
        material(
            pick(rng, ("#d9b48c", "#c98d6b", "#e0d6c2")),
            plane="xz",
            contrast=0.22,
            scale=0.9,
            bump=0.5,
            roughness=0.95,
        ),
    )
    x = rng.uniform(0.4, 1.2)
    box(
        (1.0, 0.1, 2.15),
        (x, back - 0.16, 1.07),
        material(
            pick(rng, ("#2f6f73", "#5a3a24", "#3d5a80")),
            pattern="bricks",
            plane="zx",
            second="#141414",
            brick=(3.0, 0.16, 0.008),
        ),
    )
    box((1.25, 0.16, 2.3), (x, back - 0.07, 1.12), material("#cfc6b4", contrast=0.15))
    n = 9000
    height = rng.uniform(0, 3.3, n)
    spread = -1.1 + rng.normal(size=n) * (0.35 + 0.35 * height)
    keep = np.abs(spread - x) > 0.7
    ivy = np.c_[spread, back - 0.12 - rng.uniform(0, 0.22, n) ** 1.5, height][keep]
    props.leaves(rng, ivy, 0.09, GREENS)
    for px in np.r_[rng.uniform(-2.3, -0.3, 3), x - 0.85, x + 0.9, x + 1.4]:
        size = rng.uniform(0.5, 1.0)
        props.pot_plant(rng, (px, back - rng.uniform(0.4, 0.8), 0), size)
        bloom = np.add((px, back - 0.6, size * 0.75), rng.normal(size=(70, 3)) * size * 0.16)
        props.leaves(rng, bloom, 0.06, (pick(rng, ("#c8304a", "#e7b7c8", "#f2c14e", "#8a5bb0", "#e8663c")),))
    props.tree(rng, (3.2, back + 1.5, 0), 6)
    props.tree(rng, (-3.5, back + 2.5, 0), 7)


def waterfront(rng: np.random.Generator) -> None:
    """A railing, water, and a far bank of houses."""
    box(
        (60, 9, 0.2),
        (0, 2, -0.1),
        material("#a39b8d", pattern="bricks", second="#77716a", brick=(0.8, 0.4, 0.012), contrast=0.2),
        0.0,
    )
    box((400, 300, 0.1), (0, 150, -2.0), material("#2f4a55", scale=1.2, contrast=0.3, bump=1.0, roughness=0.12), 0.0)
    iron = material(pick(rng, ("#23302f", "#dfe3e2", "#2b4a5f")), metallic=0.3, roughness=0.4)
    for z in (0.35, 0.7, 1.08):
        box((30, 0.04, 0.05 if z > 1 else 0.025), (0, 5.5, z), iron)
    for x in np.arange(-15, 15, 1.5):
        box((0.07, 0.07, 1.15), (x, 5.5, 0.55), iron)
    n = 90
    sizes = np.c_[rng.uniform(4, 13, n), np.full(n, 8), rng.gamma(4, 2.6, n) + 4]
    far = np.c_[rng.uniform(-95, 95, n), rng.uniform(85, 130, n), sizes[:, 2] / 2 - 2]
    tones = np.array([linear(c) for c in ("#c9b8a0", "#9aa5ab", "#b5795c", "#d9d3c6", "#6f7d86")])[
        rng.integers(5, size=n)
    ]
    boxes(sizes, far, tones, material(tinted=True, contrast=0.15))
    panes = []
    for (w, _, h), (x, y, z) in zip(sizes, far, strict=True):
        u, v = np.meshgrid(np.arange(-w / 2 + 1.1, w / 2 - 0.8, 1.9), np.arange(-h / 2 + 1.5, h / 2 - 1, 2.7))
        panes.append(np.c_[x + u.ravel(), np.full(u.size, y - 4.03), z + v.ravel()])
    panes = np.concatenate(panes)
    dark = np.repeat([linear("#2a3238")], len(panes), 0) * rng.uniform(0.5, 3, (len(panes), 1))
    boxes(np.tile((0.9, 0.1, 1.3), (len(panes), 1)), panes, dark, material(tinted=True, roughness=0.2))
    hedge = np.concatenate([props.crown(rng, (x, 82, 1), 3.5, 400) for x in rng.uniform(-60, 60, 22)])
    props.leaves(rng, hedge, 0.9, GREENS)
    for x in (-3.8, 4.4):
        _lantern((x, 5.0, 0), 0.0)


def arcade(rng: np.random.Generator) -> None:
    """A colonnade seen along its walk, sun between the columns."""
    stone = material("#d6c5a6", contrast=0.2, scale=1.5, bump=0.3, roughness=0.85)
    box(
        (30, 60, 0.1),
        (0, 25, -0.05),
        material("#b9a88d", pattern="bricks", second="#6f6455", brick=(0.8, 0.8, 0.01), contrast=0.2, roughness=0.4),
        0.0,
    )
    wall((-2, 50), 4.2, -2.2, "y", material("#c98d5f", plane="yz", contrast=0.2, scale=0.8, roughness=0.95))
    box((5.0, 60, 0.3), (0, 25, 4.3), stone, 0.0)
    for y in np.arange(2.5, 48, 2.6):
        turned([(0.34, 0), (0.34, 0.25), (0.24, 0.35), (0.21, 2.9), (0.33, 3.1), (0.33, 3.3)], (2.0, y, 0), stone)
        box((0.75, 0.75, 0.18), (2.0, y, 3.4), stone, 0.02)
        box(
            (0.08, 1.0, 2.3),
            (-2.08, y + 1.2, 1.15),
            material(pick(rng, ("#3f5a45", "#4a3222", "#2d4a63")), pattern="grain", plane="zy"),
        )
    box((0.6, 60, 0.9), (2.0, 25, 3.9), stone, 0.02)
    for y in (4.5, 9.7, 14.9):
        props.pot_plant(rng, (1.2, y, 0), 1.4)
    for y in np.arange(6, 45, 6.0):
        props.tree(rng, (6.5 + rng.normal(), y, 0), 6.5)
    _front(rng, "x", 50, (-8, 10), 10)


STREETS: dict[str, Callable] = {
    f.__name__: f for f in (street, night_street, shopfront, park, garden, waterfront, arcade)
}
