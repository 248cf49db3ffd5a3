"""Rooms: each function builds one from a Generator, round a camera at the origin that looks along +Y (needs bpy)."""

from collections.abc import Callable

import bpy
import numpy as np

from ldportrait.rendering import props
from ldportrait.rendering.props import box, boxes, bulb, panel, post, turned, wall
from ldportrait.rendering.surfaces import CLOTHS, PRINTS, SPINES, WALLS, WOODS, glow, linear, material, pick, wood


def _floor(made: bpy.types.Material, half: float = 8.0, far: float = 12.0) -> None:
    box((2 * half, far + 3, 0.1), (0, far / 2 - 1.5, -0.05), made, 0.0)


def _ceiling(back: float, height: float = 3.0) -> None:
    box((16, back - 1.5, 0.1), (0, 1.5 + (back - 1.5) / 2, height - 0.05), material("#f2f0ec", contrast=0.03), 0.0)


def _parquet(rng: np.random.Generator) -> bpy.types.Material:
    return material(
        pick(rng, WOODS),
        pattern="bricks",
        plane="yx",
        second="#2a1d14",
        brick=(1.2, 0.12, 0.003),
        contrast=0.3,
        roughness=0.35,
    )


def _outside(rng: np.random.Generator, y: float, x: float = 0.0, width: float = 9.0) -> None:
    """What is seen through a window: a lawn far below eye height and a hedge of trees."""
    box((80, 60, 0.1), (x, y + 25, -2.1), material("#6c8446", scale=0.6, contrast=0.35), 0.0)
    for offset in np.linspace(-width / 2, width / 2, 4):
        props.tree(rng, (x + offset + rng.normal() * 0.4, y + rng.uniform(0, 3), -2), rng.uniform(4.5, 7), count=3500)


def living_room(rng: np.random.Generator) -> None:
    _floor(_parquet(rng))
    back = rng.uniform(4.2, 5.4)
    wall((-6, 6), 3, back, "x", material(pick(rng, WALLS), plane="xz", contrast=0.06, roughness=0.9, scale=3))
    wall((-3, back), 3, -2.6, "y", material("#e9e4da", plane="yz", contrast=0.05), [(back - 2.6, back - 0.9, 0.5, 2.5)])
    props.curtain(
        rng,
        (-2.4, back - 0.85),
        (-2.4, back - 0.4),
        2.7,
        material(pick(rng, CLOTHS), pattern="grain", plane="zx", scale=8),
    )
    _outside(rng, back - 4, -9, 6)
    cushions = [material(pick(rng, PRINTS), scale=30, contrast=0.15) for _ in range(3)]
    props.sofa(
        (rng.uniform(-0.5, 0.5), back - 0.75, 0),
        2.3,
        material(pick(rng, CLOTHS), scale=25, contrast=0.2, roughness=0.95),
        cushions,
    )
    for x in (-0.75, 0.2, 0.95):
        props.picture(
            rng, (x + rng.normal() * 0.05, back - 0.12, 1.75), (rng.uniform(0.35, 0.6), rng.uniform(0.45, 0.8)), PRINTS
        )
    props.lamp((1.7, back - 0.6, 0), 1.65, "#ffd9a0", 9)
    props.pot_plant(rng, (-1.75, back - 0.5, 0), rng.uniform(1.3, 1.8))
    box((3, 2, 0.015), (0, back - 2, 0.01), material(pick(rng, CLOTHS), scale=12, contrast=0.35))
    _ceiling(back)
    panel((-4.2, back - 1.8, 2.2), (2.5, 2.2), (0, back - 1, 1), 320, "#e8f0ff")
    panel((0.5, -1.5, 2.7), (3, 1.5), (0, back, 1), 70)


def office(rng: np.random.Generator) -> None:
    _floor(material("#71767a", scale=30, contrast=0.15, roughness=0.95))
    back = rng.uniform(4.4, 5.6)
    pane = [(-1.9, 1.6, 0.85, 2.5)]
    wall((-6, 6), 3, back, "x", material("#dcdfe0", plane="xz", contrast=0.05), pane)
    _outside(rng, back + 7, 0, 12)
    slats = np.linspace(1.5 if rng.random() < 0.5 else 1.9, 2.45, 22)
    boxes(
        [(3.4, 0.035, 0.004)] * 22,
        [(-0.15, back - 0.14, z) for z in slats],
        [linear("#e6e6e2")] * 22,
        material(tinted=True, contrast=0.05),
    )
    desk = wood(rng)
    props.table((0.3, back - 0.9, 0), (2.2, 0.8, 0.74), desk)
    box((0.75, 0.04, 0.44), (0.1, back - 0.75, 1.15), material("#17181a", roughness=0.3), 0.01)
    box((0.7, 0.005, 0.39), (0.1, back - 0.775, 1.15), glow("#8fb4d8", 0.9), 0.001)
    box((0.05, 0.05, 0.3), (0.1, back - 0.7, 0.88), material("#2b2d30", metallic=0.7))
    props.lamp((1.1, back - 0.7, 0.76), 0.45, "#fff2d8", 5)
    props.chair((-0.9, back - 1.5, 0), material(pick(rng, CLOTHS), roughness=0.8), 200)
    props.bookcase(
        rng,
        (1.75, back - 0.45, 0),
        1.2,
        2.2,
        material("#e9e7e2", contrast=0.05),
        ("#2d5d7b", "#e8e4da", "#40474f", "#b5523b", "#d9a441"),
    )
    props.pot_plant(rng, (-2.1, back - 0.6, 0), 1.5, "#e5e2dc")
    post(0.04, 0.09, (0.75, back - 1.05, 0.76), material(pick(rng, PRINTS)))
    _ceiling(back)
    panel((0, back + 0.6, 2.2), (3.6, 2), (0, 2, 0.8), 200, "#eaf2ff")
    panel((0, 1.5, 2.9), (2, 2), (0, back - 1, 0.8), 70)


def library(rng: np.random.Generator) -> None:
    _floor(_parquet(rng))
    back, timber = rng.uniform(3.8, 4.8), wood(rng, "zx")
    for left in (-4.6, -3.2, -1.8, -0.4, 1.0, 2.4):
        props.bookcase(rng, (left, back, 0), 1.35, 2.9, timber, SPINES)
    box((12, 0.1, 0.35), (0, back + 0.2, 3.05), timber)
    ladder = wood(rng, "zx")
    x = rng.uniform(0.8, 1.5) * (1 if rng.random() < 0.5 else -1)
    for side in (0, 0.42):
        post(0.022, 2.7, (x + side, back - 0.22, 0), ladder)
    for z in np.arange(0.3, 2.7, 0.3):
        box((0.42, 0.03, 0.03), (x + 0.21, back - 0.22, z), ladder)
    props.table((-1.2, back - 1.3, 0), (1.3, 0.7, 0.75), timber)
    props.lamp((-1.3, back - 1.2, 0.77), 0.5, "#ffcf8a", 14)
    props.sofa((1.7, back - 1.1, 0), 1.1, material("#5a2f22", roughness=0.4, scale=8), [])
    warm = pick(rng, ("#ffd9ad", "#ffeeda", "#e9f0ff"))
    panel((-3, 0.5, 2.8), (2.5, 2), (0, back, 1.4), 190, warm)
    panel((2, -1, 2.5), (2, 2), (0, back, 1.4), 50)


def bedroom(rng: np.random.Generator) -> None:
    _floor(_parquet(rng))
    back, tone = rng.uniform(4.3, 5.0), pick(rng, WALLS)
    wall((-6, 6), 3, back, "x", material(tone, plane="xz", contrast=0.07, scale=2, roughness=0.9))
    linen = material("#ebe6dc", scale=4, contrast=0.08, roughness=0.95, bump=0.4)
    cover = material(pick(rng, CLOTHS), scale=5, contrast=0.15, roughness=0.95, bump=0.5)
    box((2.2, 0.12, 1.35), (0, back - 0.18, 0.68), material(pick(rng, CLOTHS), scale=20, roughness=0.95), 0.05)
    box((1.9, 2.1, 0.4), (0, back - 1.3, 0.35), linen, 0.1)
    box((2.0, 1.4, 0.14), (0, back - 1.65, 0.58), cover, 0.06)
    for x, turn in ((-0.48, 4), (0.48, -6)):
        box((0.75, 0.22, 0.5), (x, back - 0.42, 0.8), linen, 0.1, turn)
        box((0.5, 0.16, 0.36), (x * 0.8, back - 0.64, 0.78), cover, 0.07, turn)
    for x in (-1.45, 1.45):
        box((0.5, 0.42, 0.5), (x, back - 0.35, 0.27), wood(rng))
        props.lamp((x, back - 0.3, 0.52), 0.55, "#ffc98c", rng.uniform(10, 18))
    for x in (-0.45, 0.45):
        props.picture(rng, (x, back - 0.12, 1.95), (0.5, 0.62), PRINTS)
    props.curtain(rng, (1.95, back - 0.2), (3.2, back - 0.2), 2.8, material(pick(rng, CLOTHS), scale=6, roughness=0.9))
    _ceiling(back)
    panel((-4, 2.0, 2.3), (2, 2), (0, back, 1), 150 * rng.uniform(0.3, 1.2), "#dfe9ff")
    panel((1, -1, 2.6), (2, 2), (0, back, 1), 35, "#ffe6cc")


def corridor(rng: np.random.Generator) -> None:
    far, half = 16.0, 1.45
    box(
        (2 * half, far + 4, 0.1),
        (0, far / 2 - 2, -0.05),
        material(pick(rng, ("#8b8f91", "#b59c7c", "#55606a")), scale=2, contrast=0.1, roughness=0.12),
    )
    box((2 * half, far + 4, 0.1), (0, far / 2 - 2, 2.85), material("#eeeeea", contrast=0.03), 0.0)
    tone = pick(rng, WALLS)
    doors = pick(rng, WOODS + ("#3f6b7d", "#c8553d"))
    for side in (-1, 1):
        look = material(tone if side < 0 else "#eceae4", plane="yz", contrast=0.06)
        wall((-2, far), 2.8, side * (half + 0.1), "y", look)
        for y in np.arange(2.6 + 0.7 * (side > 0), far, 2.7):
            box(
                (0.06, 0.95, 2.1),
                (side * (half - 0.01), y, 1.05),
                material(doors, pattern="grain", plane="zy", roughness=0.4),
            )
            box((0.05, 1.07, 2.16), (side * (half + 0.005), y, 1.08), material("#f4f2ee", contrast=0.02))
            box(
                (0.06, 0.14, 0.03),
                (side * (half - 0.06), y + 0.36, 1.02),
                material("#aaaaaa", metallic=1.0, roughness=0.25),
            )
        box((0.02, far, 0.1), (side * (half - 0.005), far / 2, 0.05), material("#3c3f42"))
    wall((-2, 2), 2.8, far, "x", material("#e6e2d8", plane="xz"), [(-0.8, 0.8, 0.9, 2.3)])
    box((2.5, 0.05, 2.5), (0, far + 0.4, 1.6), glow("#dcebff", 5.0))
    for y in np.arange(0.8, far, 2.7):
        box((1.2, 0.3, 0.03), (0, y, 2.79), glow("#fff6e8", 9.0), 0.002)
    props.pot_plant(rng, (-1.1, 4.6, 0), 1.5, "#d7d3cb")


def kitchen(rng: np.random.Generator) -> None:
    _floor(material("#b7a792", pattern="bricks", second="#7d7468", brick=(0.6, 0.6, 0.006), roughness=0.3))
    back = rng.uniform(4.0, 4.8)
    wall((-6, 6), 3, back, "x", material("#ece8e0", plane="xz", contrast=0.04), [(0.4, 1.9, 1.15, 2.3)])
    tile = pick(rng, ("#dfe8e6", "#4f7d78", "#d9b44a", "#f2efe9"))
    box(
        (5, 0.02, 0.55),
        (-2.2, back - 0.11, 1.2),
        material(
            tile,
            pattern="bricks",
            plane="xz",
            second="#c9c4ba",
            brick=(0.15, 0.075, 0.004),
            roughness=0.12,
            contrast=0.06,
        ),
        0.0,
    )
    front, top = (
        material(pick(rng, ("#2f4a4a", "#e8e4dc", "#7b8c7d", "#33475e")), roughness=0.4, contrast=0.05),
        wood(rng, "xy"),
    )
    for x in np.arange(-3.6, 3.0, 0.62):
        box((0.6, 0.6, 0.86), (x, back - 0.4, 0.45), front, 0.006)
        box((0.16, 0.02, 0.015), (x, back - 0.715, 0.76), material("#c9a463", metallic=1.0, roughness=0.25))
        if x < 0:
            box((0.6, 0.35, 0.72), (x, back - 0.28, 1.85), front, 0.006)
    box((6.8, 0.64, 0.04), (-0.3, back - 0.41, 0.9), top)
    for x in rng.uniform(-1.6, 2.1, 9):
        h = rng.uniform(0.12, 0.3)
        turned(
            [(h * 0.2, 0), (h * 0.22, h * 0.6), (h * 0.07, h * 0.8), (h * 0.07, h)],
            (x, back - rng.uniform(0.22, 0.55), 0.92),
            material(pick(rng, PRINTS + ("#e9e4d8", "#2f4d2c")), roughness=0.2),
        )
    props.pot_plant(rng, (1.2, back - 0.3, 0.92), 0.5)
    _outside(rng, back + 5, 1, 7)
    for x in (-0.9, 0.1):
        post(0.006, 1.0, (x, back - 1.3, 2.0), material("#222222"))
        turned(
            [(0.16, 0), (0.06, 0.16), (0.02, 0.2)],
            (x, back - 1.3, 1.9),
            material("#c8553d" if rng.random() < 0.5 else "#2b2b2b", roughness=0.3),
        )
        bulb(0.05, (x, back - 1.3, 1.92), glow("#ffdca8", 30))
    _ceiling(back)
    panel((1.2, back + 0.5, 2.0), (1.6, 1.4), (0, 2, 0.6), 120, "#eaf2ff")
    panel((-1, 0, 2.8), (2.5, 2), (0, back, 1), 110, "#fff1de")


def cafe(rng: np.random.Generator) -> None:
    _floor(_parquet(rng))
    back = rng.uniform(4.8, 5.8)
    wall(
        (-7, 7),
        3.4,
        back,
        "x",
        material(
            pick(rng, ("#8c4f3b", "#a3664a", "#d8d2c8", "#6e4236")),
            pattern="bricks",
            plane="xz",
            second="#a79c8e",
            contrast=0.4,
            bump=0.6,
            roughness=0.9,
        ),
    )
    timber = wood(rng)
    for z in (1.5, 1.95):
        box((2.6, 0.26, 0.04), (-1.2, back - 0.24, z), timber)
        for x in rng.uniform(-2.4, 0.0, 13):
            h = rng.uniform(0.08, 0.28)
            turned(
                [(h * 0.3, 0), (h * 0.34, h * 0.5), (h * 0.14, h * 0.75), (h * 0.14, h)],
                (x, back - 0.24, z + 0.02),
                material(pick(rng, PRINTS + ("#f0ece2", "#3a2417")), roughness=0.2),
            )
    box((1.5, 0.03, 1.0), (1.25, back - 0.12, 1.75), material("#20272a", scale=4, contrast=0.4, roughness=0.9))
    box((1.58, 0.02, 1.08), (1.25, back - 0.11, 1.75), timber)
    n = 34
    strokes = np.c_[rng.uniform(0.68, 1.7, n), np.full(n, back - 0.14), rng.choice(np.linspace(1.35, 2.15, 9), n)]
    boxes(
        np.c_[rng.uniform(0.05, 0.28, n), np.full(n, 0.004), rng.uniform(0.008, 0.03, n)],
        strokes,
        [linear("#d8d8d0")] * n,
        material(tinted=True, scale=30, contrast=0.5),
    )
    box(
        (3.2, 0.6, 1.05),
        (-1.4, back - 1.1, 0.52),
        material(
            pick(rng, ("#2f4a4a", "#45392f", "#7a3b2e")),
            pattern="bricks",
            plane="zx",
            second="#14110e",
            brick=(2.0, 0.11, 0.006),
            roughness=0.5,
        ),
    )
    box((3.4, 0.7, 0.05), (-1.4, back - 1.1, 1.07), timber)
    for x, y in ((1.3, 3.2), (-1.5, 2.9), (2.2, 4.3)):
        props.table((x, y, 0), (0.7, 0.7, 0.74), timber)
        props.chair((x - 0.55, y, 0), timber, 95)
        props.chair((x + 0.55, y + 0.1, 0), timber, -100)
        turned([(0.03, 0), (0.05, 0.08)], (x, y, 0.77), material("#f4f1ea", roughness=0.2))
    for x in np.linspace(-2.4, 2.4, 6):
        z = rng.uniform(2.15, 2.5)
        post(0.005, 1.2, (x, back - 1.3, z), material("#1a1a1a"))
        bulb(0.055, (x, back - 1.3, z), glow("#ffb765", 60))
    props.pot_plant(rng, (2.5, back - 0.5, 0), 1.7)
    _ceiling(back, 3.4)
    panel((-4, 1.5, 2.8), (2.5, 2.5), (0, back, 1), 240, "#ffe9d0")
    panel((2, -1, 2.5), (2, 2), (0, back, 1), 60)


def lobby(rng: np.random.Generator) -> None:
    _floor(
        material("#cfcac1", pattern="bricks", second="#8d887f", brick=(0.9, 0.9, 0.006), roughness=0.1, contrast=0.15)
    )
    back = 8.0
    wall(
        (-9, 9),
        4.5,
        back,
        "x",
        material("#b9b4aa", plane="xz", contrast=0.15, scale=0.7),
        [(-5, -2.6, 0.1, 4.0), (-1.6, 1.6, 0.1, 4.0), (2.6, 5, 0.1, 4.0)],
    )
    _outside(rng, back + 6, 0, 18)
    for x in (-2.1, 2.1):
        post(0.28, 4.5, (x, back - 1.6, 0), material("#8f8a80", contrast=0.2, scale=2, roughness=0.35))
    props.sofa((-1.1, 6.0, 0), 1.9, material("#b8722c", scale=15, roughness=0.9), [])
    props.sofa((1.9, 5.4, 0), 1.0, material("#3d5a63", scale=15, roughness=0.9), [])
    props.table((0.5, 5.2, 0), (0.9, 0.6, 0.4), material("#d9d4ca", roughness=0.2))
    props.pot_plant(rng, (-2.9, 6.2, 0), 2.1, "#2c2e30")
    props.pot_plant(rng, (2.9, 6.8, 0), 1.9, "#2c2e30")
    for x, y, z in rng.uniform((-2.5, 4.5, 2.5), (2.5, 7, 3.6), (9, 3)):
        bulb(0.11, (x, y, z), glow("#fff0d8", 14))
        post(0.004, 4.5 - z, (x, y, z), material("#333333"))
    _ceiling(back, 4.5)
    panel((0, back + 0.8, 2.5), (9, 4), (0, 3, 0), 500, "#eef4ff")
    panel((0, 0, 4.2), (5, 3), (0, back, 1), 160)


ROOMS: dict[str, Callable] = {
    f.__name__: f for f in (living_room, office, library, bedroom, corridor, kitchen, cafe, lobby)
}
