"""Body poses, expressions and face shapes as plain data over the MakeHuman skeleton. Degrees, metres; see people.py.

A pose is given by where the wrist is and where the elbow points; two-bone inverse kinematics turns it into rotations.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
# Rest joints of the left arm of anny's default body (metres); the right arm mirrors them.
DEFAULT_HEADS: dict[str, tuple[float, float, float]] = {
    "clavicle.L": (0.022, -0.026, 0.493),
    "shoulder01.L": (0.101, -0.027, 0.511),
    "upperarm01.L": (0.162, -0.017, 0.467),
    "lowerarm01.L": (0.329, -0.021, 0.279),
    "wrist.L": (0.446, -0.179, 0.164),
    "finger2-1.L": (0.473, -0.273, 0.125),
    "finger3-1.L": (0.488, -0.256, 0.114),
    "finger5-1.L": (0.497, -0.220, 0.098),
    "head": (0.0, -0.042, 0.657),
}


def axis_rotation(axis: np.ndarray, degrees: float) -> np.ndarray:
    """(3, 3) right-handed rotation about a (3,) axis by Rodrigues' formula."""
    x, y, z = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation(axis: str, degrees: float) -> np.ndarray:
    """(3, 3) right-handed rotation about the "x", "y" or "z" axis."""
    if axis not in AXES:
        raise ValueError(f"The axis must be x, y or z, not '{axis}'.")
    return axis_rotation(np.array(AXES[axis]), degrees)


@dataclass(frozen=True)
class Arm:
    """Goal of one arm, as for the left arm (the right one mirrors it).

    ``wrist`` is relative to the rest shoulder joint in units of the straight arm's length; ``elbow`` is the direction
    in which the elbow points; ``raise_`` lifts the collar bone; ``twist`` turns the forearm (positive: thumb
    outwards); ``bend`` flexes the wrist towards the palm and ``tilt`` towards the little finger; ``curl`` bends each
    finger joint, ``thumb`` the thumb; ``spread`` opens the fingers. All angles in degrees.
    """

    wrist: tuple[float, float, float]
    elbow: tuple[float, float, float]
    raise_: float = -4.0
    twist: float = 0.0
    bend: float = 0.0
    tilt: float = 0.0
    curl: float = 18.0
    thumb: float = 8.0
    spread: float = 0.0


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def solve_arm(arm: Arm, heads: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rotations of the left arm's bones that bring the wrist to its goal; an unreachable goal is moved closer."""
    joint = {name: np.asarray(place, dtype=float) for name, place in heads.items()}
    shoulder, elbow, wrist = joint["upperarm01.L"], joint["lowerarm01.L"], joint["wrist.L"]
    upper0, fore0 = _unit(elbow - shoulder), _unit(wrist - elbow)
    upper_length, fore_length = np.linalg.norm(elbow - shoulder), np.linalg.norm(wrist - elbow)
    reach = upper_length + fore_length
    goal = shoulder + np.array(arm.wrist) * reach

    # The collar bone turns about the front-to-back axis; negative y rotation lifts +X.
    clavicle, blade = rotation("y", -0.6 * arm.raise_), rotation("y", -0.4 * arm.raise_)
    carried = clavicle @ blade
    pivot = joint["shoulder01.L"]
    start = joint["clavicle.L"] + clavicle @ (pivot + blade @ (shoulder - pivot) - joint["clavicle.L"])

    way = goal - start
    distance = np.clip(np.linalg.norm(way), 0.3 * reach, 0.985 * reach)
    way = _unit(way)
    along = (upper_length**2 - fore_length**2 + distance**2) / (2 * distance)
    pole = np.array(arm.elbow, dtype=float)
    pole = _unit(pole - (pole @ way) * way)
    bent = along * way + np.sqrt(upper_length**2 - along**2) * pole
    upper, fore = _unit(bent), _unit(distance * way - bent)

    hinge0, hinge = _unit(np.cross(upper0, fore0)), _unit(np.cross(upper, fore))
    frame0 = np.stack([upper0, hinge0, np.cross(upper0, hinge0)], axis=1)
    frame = np.stack([upper, hinge, np.cross(upper, hinge)], axis=1)
    whole = carried.T @ frame @ frame0.T
    # Half of the turn about the arm's own axis is left to the lower half of the upper arm, as skin would do.
    moved = whole @ upper0
    swing = _minimal_rotation(upper0, moved)
    rest_twist = swing.T @ whole
    turn = np.rad2deg(np.arctan2(_vee(rest_twist) @ upper0, (np.trace(rest_twist) - 1) / 2))
    half = axis_rotation(upper0, turn / 2)
    flex = np.rad2deg(np.arccos(np.clip(upper @ fore, -1, 1)) - np.arccos(np.clip(upper0 @ fore0, -1, 1)))
    return {
        "clavicle.L": clavicle,
        "shoulder01.L": blade,
        "upperarm01.L": whole @ half.T,
        "upperarm02.L": half,
        "lowerarm01.L": axis_rotation(hinge0, flex) @ axis_rotation(fore0, 0.2 * arm.twist),
        "lowerarm02.L": axis_rotation(fore0, 0.45 * arm.twist),
        **_hand(arm, joint, fore0),
    }


def _vee(matrix: np.ndarray) -> np.ndarray:
    """Half the axial vector of a rotation: sin(angle) times its axis."""
    return np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]) / 2


def _minimal_rotation(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Smallest rotation that takes one unit vector to another (not its opposite)."""
    axis = np.cross(start, end)
    if np.linalg.norm(axis) < 1e-12:
        return np.eye(3)
    return axis_rotation(axis, np.rad2deg(np.arctan2(np.linalg.norm(axis), start @ end)))


def _hand(arm: Arm, joint: Mapping[str, np.ndarray], fore: np.ndarray) -> dict[str, np.ndarray]:
    """Rotations of the left wrist and fingers."""
    along = _unit(joint["finger3-1.L"] - joint["wrist.L"])
    across = _unit(joint["finger2-1.L"] - joint["finger5-1.L"])
    palm = _unit(np.cross(along, across))
    flexion = np.cross(along, palm)
    pose = {
        "wrist.L": axis_rotation(fore, 0.35 * arm.twist)
        @ axis_rotation(flexion, arm.bend)
        @ axis_rotation(palm, arm.tilt)
    }
    # The outer fingers of a resting hand curl more, and fan about the palm's normal.
    for finger, (more, fan) in {2: (0.75, 1.0), 3: (0.95, 0.25), 4: (1.1, -0.4), 5: (1.2, -1.1)}.items():
        for knuckle, share in {1: 0.8, 2: 1.1, 3: 0.7}.items():
            bend = axis_rotation(flexion, arm.curl * more * share)
            pose[f"finger{finger}-{knuckle}.L"] = (
                axis_rotation(palm, -arm.spread * fan) @ bend if knuckle == 1 else bend
            )
    for knuckle in (2, 3):
        pose[f"finger1-{knuckle}.L"] = axis_rotation(across, -arm.thumb)
    return pose


def mirror(pose: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A pose of the other side: reflected in the plane x = 0, with .L and .R exchanged."""
    flip = np.diag([-1.0, 1.0, 1.0])
    swap = {"L": "R", "R": "L"}
    return {
        (bone[:-1] + swap[bone[-1]] if bone[-2:] in (".L", ".R") else bone): flip @ matrix @ flip
        for bone, matrix in pose.items()
    }


HANGING = Arm(wrist=(0.16, -0.10, -0.92), elbow=(0.45, 0.9, 0.0), twist=-10)
HANGING_CLOSE = Arm(wrist=(0.08, -0.20, -0.92), elbow=(0.5, 0.85, 0.0), twist=-15, curl=22)
AWAY = Arm(wrist=(0.45, -0.08, -0.82), elbow=(0.6, 0.8, 0.3), raise_=-2, twist=-10)
ON_HIP = Arm(wrist=(0.12, -0.02, -0.66), elbow=(1.0, 0.45, 0.0), raise_=0, twist=20, bend=45)
BEHIND_HEAD = Arm(wrist=(-0.06, 0.16, 0.50), elbow=(1.0, 0.0, 0.25), raise_=22, twist=0, bend=20)
ON_HEAD = Arm(wrist=(-0.06, -0.02, 0.66), elbow=(1.0, -0.1, 0.1), raise_=22, twist=0, bend=50, curl=14)
AT_CHIN = Arm(wrist=(-0.12, -0.36, 0.10), elbow=(0.5, -0.3, -0.85), raise_=0, twist=0, curl=45)
AT_HAIR = Arm(wrist=(0.02, -0.12, 0.46), elbow=(0.85, -0.45, -0.45), raise_=8, twist=0, curl=30)
WAVING = Arm(wrist=(0.34, -0.30, 0.22), elbow=(0.35, 0.1, -0.95), raise_=0, twist=0, curl=6, spread=6)
CLASPED = Arm(wrist=(-0.26, -0.36, -0.42), elbow=(0.8, 0.5, -0.2), raise_=-2, twist=0, curl=35)
ACROSS = Arm(wrist=(-0.30, -0.42, 0.22), elbow=(0.7, -0.3, -0.65), raise_=4, twist=0, curl=14)

# name -> (left arm, right arm)
ARMS: dict[str, tuple[Arm, Arm]] = {
    "relaxed": (HANGING, HANGING_CLOSE),
    "arms slightly away": (AWAY, AWAY),
    "hand on left hip": (ON_HIP, HANGING),
    "hand on right hip": (HANGING, ON_HIP),
    "hands on hips": (ON_HIP, ON_HIP),
    "hand behind head": (BEHIND_HEAD, HANGING),
    "hands on head": (ON_HEAD, ON_HEAD),
    "hand at chin": (HANGING, AT_CHIN),
    "hand touching hair": (AT_HAIR, HANGING),
    "waving": (HANGING_CLOSE, WAVING),
    "hands together": (CLASPED, CLASPED),
}


def pose_for(name: str, heads: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A named body pose solved for a skeleton: rest joints by bone name (at least those of ``DEFAULT_HEADS``)."""
    if name not in ARMS:
        raise ValueError(f"Unknown pose '{name}'; known are {', '.join(ARMS)}.")
    left, right = ARMS[name]
    return solve_arm(left, heads) | mirror(solve_arm(right, heads))


POSES: dict[str, dict[str, np.ndarray]] = {name: pose_for(name, DEFAULT_HEADS) for name in ARMS}

# Values of anny's ARKit face units, 0 to 1. Left and right differ a little: exactly even faces look like masks.
EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {
        "eyeBlinkLeft": 0.10,
        "eyeBlinkRight": 0.12,
        "mouthSmileLeft": 0.08,
        "mouthSmileRight": 0.05,
        "browInnerUp": 0.06,
        "eyeLookInLeft": 0.04,
        "eyeLookOutRight": 0.04,
    },
    "smiling": {
        "mouthSmileLeft": 0.62,
        "mouthSmileRight": 0.55,
        "cheekSquintLeft": 0.42,
        "cheekSquintRight": 0.38,
        "eyeSquintLeft": 0.25,
        "eyeSquintRight": 0.28,
        "eyeBlinkLeft": 0.10,
        "eyeBlinkRight": 0.11,
        "mouthDimpleLeft": 0.15,
        "browInnerUp": 0.10,
    },
    "serious": {
        "browDownLeft": 0.30,
        "browDownRight": 0.24,
        "mouthPressLeft": 0.25,
        "mouthPressRight": 0.20,
        "eyeBlinkLeft": 0.10,
        "eyeBlinkRight": 0.10,
        "eyeSquintLeft": 0.12,
        "eyeSquintRight": 0.10,
    },
    "surprised": {
        "browInnerUp": 0.60,
        "browOuterUpLeft": 0.55,
        "browOuterUpRight": 0.62,
        "eyeWideLeft": 0.45,
        "eyeWideRight": 0.42,
        "jawOpen": 0.30,
        "mouthFunnel": 0.12,
    },
    "laughing": {
        "mouthSmileLeft": 0.75,
        "mouthSmileRight": 0.70,
        "jawOpen": 0.28,
        "mouthUpperUpLeft": 0.25,
        "mouthUpperUpRight": 0.22,
        "mouthLowerDownLeft": 0.15,
        "mouthLowerDownRight": 0.18,
        "cheekSquintLeft": 0.60,
        "cheekSquintRight": 0.56,
        "eyeSquintLeft": 0.40,
        "eyeSquintRight": 0.44,
        "eyeBlinkLeft": 0.20,
        "eyeBlinkRight": 0.22,
        "browOuterUpLeft": 0.12,
    },
    "slight smile": {
        "mouthSmileLeft": 0.38,
        "mouthSmileRight": 0.24,
        "cheekSquintLeft": 0.22,
        "cheekSquintRight": 0.14,
        "eyeBlinkLeft": 0.13,
        "eyeBlinkRight": 0.11,
        "browOuterUpLeft": 0.10,
        "eyeLookOutLeft": 0.06,
        "eyeLookInRight": 0.06,
    },
    "pensive": {
        "browInnerUp": 0.35,
        "browDownRight": 0.12,
        "eyeLookUpLeft": 0.30,
        "eyeLookUpRight": 0.30,
        "eyeLookOutLeft": 0.40,
        "eyeLookInRight": 0.40,
        "mouthPucker": 0.18,
        "mouthLeft": 0.20,
        "mouthPressRight": 0.15,
    },
    "speaking": {
        "jawOpen": 0.16,
        "mouthFunnel": 0.22,
        "mouthLowerDownLeft": 0.20,
        "mouthLowerDownRight": 0.14,
        "mouthUpperUpLeft": 0.10,
        "browOuterUpRight": 0.22,
        "browInnerUp": 0.15,
        "eyeBlinkLeft": 0.08,
        "eyeBlinkRight": 0.08,
    },
    "winking": {
        "eyeBlinkLeft": 0.95,
        "cheekSquintLeft": 0.60,
        "eyeSquintLeft": 0.50,
        "mouthSmileLeft": 0.60,
        "mouthSmileRight": 0.30,
        "browDownLeft": 0.18,
        "browOuterUpRight": 0.25,
        "eyeBlinkRight": 0.06,
    },
    "looking aside": {
        "eyeLookInLeft": 0.55,
        "eyeLookOutRight": 0.55,
        "mouthSmileLeft": 0.22,
        "mouthSmileRight": 0.30,
        "eyeBlinkLeft": 0.12,
        "eyeBlinkRight": 0.14,
        "browOuterUpRight": 0.12,
    },
    "sceptical": {
        "browDownLeft": 0.38,
        "browOuterUpRight": 0.50,
        "browInnerUp": 0.08,
        "mouthFrownLeft": 0.20,
        "mouthPressLeft": 0.22,
        "mouthDimpleRight": 0.22,
        "eyeSquintLeft": 0.28,
        "eyeBlinkRight": 0.06,
    },
}

# Local changes of anny that make faces differ: name without side -> (standard deviation, limit); "l-"/"r-" for pairs.
# Limits were chosen by eye: beyond them faces turn into caricatures.
FACE_CHANGES: dict[str, tuple[float, float]] = {
    "nose-scale-vert-incr": (0.30, 0.6),
    "nose-scale-horiz-incr": (0.30, 0.6),
    "nose-scale-depth-incr": (0.25, 0.5),
    "nose-hump-incr": (0.25, 0.6),
    "nose-point-up": (0.25, 0.5),
    "nose-point-width-incr": (0.25, 0.5),
    "nose-curve-convex": (0.20, 0.5),
    "nose-flaring-incr": (0.20, 0.4),
    "nose-width2-incr": (0.25, 0.5),
    "chin-width-incr": (0.35, 0.7),
    "chin-height-incr": (0.30, 0.6),
    "chin-prominent-incr": (0.25, 0.5),
    "chin-bones-incr": (0.25, 0.5),
    "chin-jaw-drop-incr": (0.30, 0.6),
    "chin-cleft-incr": (0.15, 0.5),
    "mouth-scale-horiz-incr": (0.30, 0.6),
    "mouth-upperlip-volume-incr": (0.30, 0.6),
    "mouth-lowerlip-volume-incr": (0.30, 0.6),
    "mouth-upperlip-height-incr": (0.20, 0.4),
    "mouth-lowerlip-height-incr": (0.20, 0.4),
    "mouth-cupidsbow-incr": (0.25, 0.6),
    "mouth-trans-up": (0.20, 0.4),
    "eyebrows-trans-up": (0.25, 0.5),
    "eyebrows-angle-up": (0.25, 0.5),
    "forehead-scale-vert-incr": (0.25, 0.5),
    "forehead-temple-incr": (0.25, 0.5),
    "forehead-trans-forward": (0.20, 0.4),
    "head-scale-horiz-incr": (0.25, 0.5),
    "head-scale-vert-incr": (0.20, 0.4),
    "head-fat-incr": (0.25, 0.6),
    "pair:cheek-bones-incr": (0.35, 0.7),
    "pair:cheek-volume-incr": (0.35, 0.7),
    "pair:cheek-inner-incr": (0.20, 0.5),
    "pair:eye-scale-incr": (0.20, 0.4),
    "pair:eye-trans-out": (0.20, 0.4),
    "pair:eye-corner1-up": (0.20, 0.4),
    "pair:eye-corner2-up": (0.25, 0.5),
    "pair:eye-eyefold-up": (0.20, 0.5),
    "pair:eye-height2-incr": (0.20, 0.4),
    "pair:eye-bag-incr": (0.20, 0.4),
    "pair:ear-scale-incr": (0.20, 0.4),
    "pair:ear-wing-incr": (0.25, 0.5),
    "pair:ear-lobe-incr": (0.30, 0.6),
}


# The mesh's own face looks stern: brows that rise a little for everybody, as a mean of the random change.
MEAN_CHANGES = {"eyebrows-angle-up": 0.45, "eyebrows-trans-up": 0.15}


def random_face_shape(rng: np.random.Generator) -> dict[str, float]:
    """anny local changes for a plausible face of its own; both sides of a pair get the same value."""
    shape: dict[str, float] = {}
    for name, (deviation, limit) in FACE_CHANGES.items():
        value = float(np.clip(rng.normal(0.0, 0.7 * deviation), -limit, limit)) + MEAN_CHANGES.get(name, 0.0)
        if name.startswith("pair:"):
            shape |= {f"{side}-{name.removeprefix('pair:')}": value for side in "lr"}
        else:
            shape[name] = value
    return shape
