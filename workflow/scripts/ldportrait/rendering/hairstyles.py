"""Data of the hair generator: the fields of a style, the named styles, beards and hair colours.

Lengths are metres. Every entry is plain data, so that `dataclasses.asdict` gives JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Style:
    """How one hair style grows.

    The first three fields are words for the catalogue; the others steer `hair.grow`.
    """

    length: str
    texture: str
    parting: str = "none"
    # how many strands, and of how many points
    strands: int = 23000
    guides: int = 1400
    points: int = 28
    # lengths: at the sides and the back, on the top of the head, of the fringe (None: no fringe)
    side_length: float = 0.30
    top_length: float | None = None
    fringe_length: float | None = None
    length_spread: float = 0.10
    tip_spread: float = 0.10
    cut: float | None = None  # strands end this far below the middle of the head, measured along gravity
    # direction: comb is part, back, forward, crown, ball, gather, down or moustache
    comb: str = "part"
    part_x: float = 0.0
    part_softness: float = 0.0028
    backward: float = 0.5
    lift: float = 0.35
    comb_weight: float = 0.35
    comb_reach: float = 0.12  # metres of strand over which the comb fades
    weight: float = 0.5  # pull of gravity per step against the strand's own direction
    wind: tuple[float, float, float] = (0.0, 0.0, 0.0)  # added to gravity, grows towards the tip
    gap: float = 0.0015
    volume: float = 0.012
    wander: float = 0.04
    clear_face: bool = True
    region: str = "all"  # all, or ring: the sides and the back, thin on the top
    ball_radius: float = 0.16
    tail: str = "none"  # for comb="gather": tail or bun
    # locks and texture
    locks: int = 160
    lock_pull: float = 0.35
    clump: float = 0.55
    clump_power: float = 1.2
    clump_radius: float = 0.0
    wave: float = 0.0
    wave_length: float = 0.08
    curl: float = 0.0
    curl_length: float = 0.03
    curl_disorder: float = 0.4
    frizz: float = 0.003
    # fly-aways: share of the strands, sideways amplitude, outward reach
    flyaway: float = 0.04
    fly_amplitude: float = 0.010
    fly_reach: float = 0.012


_LONG = Style(
    "long",
    "straight",
    "middle",
    strands=25000,
    points=32,
    side_length=0.46,
    cut=0.29,
    lift=0.12,
    weight=0.75,
    volume=0.014,
    clump=0.5,
    frizz=0.0022,
    tip_spread=0.16,
    comb_weight=0.5,
    comb_reach=0.14,
)
_SHORT = Style(
    "short",
    "straight",
    "none",
    strands=21000,
    points=14,
    side_length=0.022,
    top_length=0.045,
    comb="crown",
    lift=0.6,
    weight=0.05,
    volume=0.004,
    clump=0.55,
    frizz=0.0022,
    clear_face=False,
    locks=260,
    lock_pull=0.3,
    fly_amplitude=0.004,
    fly_reach=0.005,
    comb_weight=0.25,
    comb_reach=0.2,
)

_BOB = replace(
    _LONG,
    length="medium",
    strands=24000,
    points=28,
    side_length=0.30,
    cut=0.125,
    volume=0.014,
    lift=0.15,
    tip_spread=0.08,
)
_COILY = Style(
    "medium",
    "coily",
    strands=30000,
    points=44,
    comb="ball",
    volume=0.0,
    clump=0.25,
    curl=0.0035,
    curl_length=0.012,
    curl_disorder=1.4,
    frizz=0.006,
    clear_face=False,
    flyaway=0.05,
    fly_amplitude=0.008,
    fly_reach=0.014,
    guides=2200,
    lock_pull=0.15,
    tip_spread=0.06,
    weight=0.03,
    comb_weight=0.1,
)
_GATHERED = Style(
    "long",
    "straight",
    strands=17000,
    points=40,
    side_length=0.34,
    comb="gather",
    tail="tail",
    weight=0.40,
    frizz=0.0016,
    flyaway=0.05,
    fly_amplitude=0.010,
    fly_reach=0.010,
    tip_spread=0.14,
    locks=90,
)
_BUZZ = replace(
    _SHORT,
    strands=30000,
    points=6,
    side_length=0.0035,
    top_length=0.005,
    lift=1.6,
    volume=0.0,
    clump=0.1,
    lock_pull=0.0,
    frizz=0.0006,
    fly_amplitude=0.001,
    fly_reach=0.001,
)

STYLES: dict[str, Style] = {
    "long straight": _LONG,
    "long straight left parting": replace(_LONG, parting="left", part_x=0.028),
    "long wavy": replace(
        _LONG,
        texture="wavy",
        side_length=0.48,
        wave=0.009,
        wave_length=0.085,
        lift=0.2,
        volume=0.018,
        frizz=0.004,
        lock_pull=0.6,
        points=40,
    ),
    "long curly": replace(
        _LONG,
        texture="curly",
        parting="none",
        strands=21000,
        points=48,
        side_length=0.42,
        cut=0.25,
        lift=0.5,
        weight=0.32,
        volume=0.030,
        part_softness=0.022,
        curl=0.0085,
        curl_length=0.034,
        curl_disorder=0.45,
        clump=0.75,
        lock_pull=0.5,
        frizz=0.005,
        fly_reach=0.025,
        locks=420,
    ),
    "long with fringe": replace(_LONG, fringe_length=0.085, parting="fringe"),
    "bob with fringe": replace(_BOB, fringe_length=0.085, parting="fringe"),
    "wavy bob": replace(
        _BOB,
        texture="wavy",
        parting="left",
        part_x=0.022,
        cut=0.14,
        lift=0.3,
        volume=0.02,
        wave=0.008,
        wave_length=0.06,
        frizz=0.004,
        lock_pull=0.5,
        tip_spread=0.14,
    ),
    "shoulder-length tousled": replace(
        _BOB,
        texture="tousled",
        parting="right",
        part_x=-0.015,
        part_softness=0.006,
        side_length=0.34,
        cut=0.185,
        lift=0.35,
        volume=0.022,
        wave=0.008,
        wave_length=0.075,
        frizz=0.006,
        lock_pull=0.7,
        tip_spread=0.26,
        wander=0.08,
        fly_amplitude=0.014,
        locks=240,
    ),
    "afro": _COILY,
    "short coily": replace(
        _COILY,
        length="short",
        ball_radius=0.124,
        curl=0.0026,
        curl_length=0.009,
        points=28,
        fly_reach=0.006,
        fly_amplitude=0.004,
        frizz=0.003,
    ),
    "short curly": replace(
        _SHORT,
        texture="curly",
        strands=20000,
        points=32,
        side_length=0.045,
        top_length=0.085,
        lift=1.4,
        weight=0.10,
        curl=0.0050,
        curl_length=0.026,
        curl_disorder=0.35,
        clump=0.8,
        volume=0.012,
        frizz=0.003,
        locks=420,
        fly_amplitude=0.008,
        fly_reach=0.012,
    ),
    "crop": _SHORT,
    "swept back": replace(
        _SHORT,
        side_length=0.03,
        top_length=0.085,
        comb="back",
        lift=0.9,
        comb_weight=0.4,
        points=18,
        volume=0.008,
        fly_amplitude=0.006,
    ),
    "short side parting": replace(
        _SHORT,
        parting="left",
        side_length=0.026,
        top_length=0.075,
        comb="part",
        part_x=0.034,
        backward=0.25,
        lift=0.45,
        comb_weight=0.45,
        points=18,
        volume=0.008,
        weight=0.10,
    ),
    "pixie": replace(
        _SHORT,
        side_length=0.045,
        top_length=0.075,
        comb="part",
        part_x=0.03,
        backward=-0.35,
        lift=0.45,
        comb_weight=0.4,
        weight=0.18,
        points=18,
        volume=0.008,
        tip_spread=0.22,
        lock_pull=0.6,
        part_softness=0.006,
        wander=0.06,
    ),
    "ponytail": _GATHERED,
    "high bun": replace(_GATHERED, tail="bun", length="gathered", frizz=0.0022, points=48),
    "locs": replace(
        _LONG,
        texture="locs",
        parting="none",
        strands=17000,
        guides=190,
        locks=190,
        lock_pull=0.0,
        clump=1.0,
        clump_power=0.15,
        clump_radius=0.0034,
        part_softness=0.02,
        side_length=0.36,
        cut=0.22,
        lift=0.7,
        weight=0.42,
        volume=0.022,
        frizz=0.0008,
        tip_spread=0.05,
        fly_amplitude=0.005,
        fly_reach=0.004,
        flyaway=0.03,
        wander=0.06,
    ),
    "wind-blown long": replace(
        _LONG,
        texture="tousled",
        parting="right",
        part_x=-0.02,
        cut=None,
        side_length=0.38,
        wind=(0.30, 0.08, 0.10),
        weight=0.40,
        lift=0.35,
        volume=0.026,
        wave=0.007,
        wave_length=0.12,
        frizz=0.005,
        lock_pull=0.6,
        wander=0.08,
        tip_spread=0.25,
        fly_amplitude=0.012,
        fly_reach=0.02,
        flyaway=0.05,
        points=40,
        part_softness=0.006,
    ),
    "buzz cut": _BUZZ,
    "bald": replace(_SHORT, length="none", strands=0, guides=0),
    "receding": replace(
        _SHORT,
        side_length=0.022,
        top_length=0.028,
        comb="back",
        lift=0.4,
        strands=16000,
        region="ring",
        comb_weight=0.4,
    ),
}

_BEARD = Style(
    "short",
    "straight",
    strands=11000,
    guides=900,
    points=14,
    side_length=0.014,
    comb="down",
    lift=0.8,
    weight=0.05,
    comb_weight=0.2,
    volume=0.003,
    gap=0.0008,
    clump=0.4,
    lock_pull=0.2,
    frizz=0.0016,
    fly_amplitude=0.002,
    fly_reach=0.002,
    clear_face=False,
    locks=120,
)
BEARDS: dict[str, Style] = {
    "none": replace(_BEARD, length="none", strands=0, guides=0),
    "stubble": replace(
        _BEARD,
        strands=12000,
        points=6,
        side_length=0.0016,
        lift=1.4,
        volume=0.0,
        gap=0.0004,
        clump=0.0,
        lock_pull=0.0,
        frizz=0.0002,
        fly_amplitude=0.0004,
        fly_reach=0.0,
    ),
    "moustache": replace(_BEARD, strands=5000, guides=400, side_length=0.014, comb="moustache", lift=0.5),
    "goatee": replace(_BEARD, strands=9000, guides=600, side_length=0.016),
    "short beard": replace(_BEARD, side_length=0.009, strands=13000),
    "full beard": replace(
        _BEARD,
        length="medium",
        side_length=0.034,
        strands=16000,
        volume=0.012,
        lift=0.9,
        weight=0.12,
        points=18,
        frizz=0.004,
        clump=0.6,
        lock_pull=0.35,
        tip_spread=0.2,
    ),
}

# Melanin and redness as Blender's Principled Hair BSDF takes them (parametrisation MELANIN); a dye is a base colour
# (parametrisation COLOR, linear RGB), as are grey and white, which melanin would make yellow. root_rgb is the linear
# RGB by which the scalp below the hair is tinted.
COLOURS: dict[str, dict] = {
    "black": {"melanin": 0.985, "redness": 0.15, "root_rgb": (0.10, 0.09, 0.085)},
    "dark brown": {"melanin": 0.90, "redness": 0.35, "root_rgb": (0.15, 0.11, 0.085)},
    "brown": {"melanin": 0.72, "redness": 0.45, "root_rgb": (0.24, 0.16, 0.11)},
    "auburn": {"melanin": 0.60, "redness": 0.85, "root_rgb": (0.30, 0.14, 0.08)},
    "red": {"melanin": 0.38, "redness": 0.95, "root_rgb": (0.42, 0.20, 0.10)},
    "blond": {"melanin": 0.22, "redness": 0.45, "root_rgb": (0.52, 0.40, 0.26)},
    "grey": {"dye": (0.30, 0.29, 0.28), "root_rgb": (0.45, 0.43, 0.41)},
    "white": {"dye": (0.80, 0.79, 0.77), "root_rgb": (0.68, 0.64, 0.60)},
    "blue": {"dye": (0.03, 0.10, 0.42), "root_rgb": (0.16, 0.18, 0.26)},
    "pink": {"dye": (0.75, 0.16, 0.34), "root_rgb": (0.50, 0.28, 0.30)},
}
