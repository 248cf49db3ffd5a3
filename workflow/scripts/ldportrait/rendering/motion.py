"""Clips: a person who turns, nods, speaks or passes an arm through the frame, with hair that lags. Needs bpy.

Time runs from 0 to 1 over a clip. The strands are grown once, in the pose of the first frame, and then follow the head
with a delay that grows from root to tip; what the delay would drive into the body is pushed out of it again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ldportrait.rendering import people, poses, scene

LAG = 0.07  # of the clip's length at the tips
LAGS = 6


@dataclass(frozen=True)
class Moment:
    """What a motion adds to a spec: head angles in degrees, face units in [0, 1] and how far an arm has moved."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    face: Mapping[str, float] | None = None
    arm: float = 0.0


def _wave(time: float, turns: float, phase: float = 0.0) -> float:
    return float(np.sin(2 * np.pi * (turns * time + phase)))


def _blink(time: float, moments: tuple[float, ...]) -> dict[str, float]:
    """Eyelids closing for about a tenth of the clip around each moment."""
    closed = max(max(0.0, 1 - abs(time - moment) / 0.06) for moment in moments)
    return {"eyeBlinkLeft": 0.1 + 0.9 * closed, "eyeBlinkRight": 0.1 + 0.9 * closed}


def _speech(time: float) -> dict[str, float]:
    """A mouth that opens and rounds at the rate of syllables, about five in a clip."""
    open_, round_ = max(0.0, _wave(time, 5)), max(0.0, _wave(time, 3, 0.3))
    lips = {"mouthPucker": 0.4 * round_, "mouthLowerDownLeft": 0.25 * open_, "mouthLowerDownRight": 0.22 * open_}
    return {"jawOpen": 0.32 * open_, **lips, "browInnerUp": 0.25 * max(0.0, _wave(time, 1))}


def head_turn(time: float) -> Moment:
    return Moment(28 * _wave(time, 1), 4 * _wave(time, 2), 3 * _wave(time, 1, 0.1), _blink(time, (0.25, 0.75)))


def nod(time: float) -> Moment:
    return Moment(6 * _wave(time, 0.5), 10 * _wave(time, 2), 2 * _wave(time, 1), _blink(time, (0.5,)))


def speech(time: float) -> Moment:
    face = _blink(time, (0.35, 0.8)) | _speech(time)
    return Moment(9 * _wave(time, 1), 4 * _wave(time, 1.5), 5 * _wave(time, 1, 0.2), face)


def look_around(time: float) -> Moment:
    gaze = _wave(time, 1, 0.05)
    sides = ("eyeLookOutLeft", "eyeLookInRight") if gaze > 0 else ("eyeLookInLeft", "eyeLookOutRight")
    face = _blink(time, (0.5,)) | dict.fromkeys(sides, 0.6 * abs(gaze))
    return Moment(32 * _wave(time, 1), 6 * _wave(time, 1, 0.25), -6 * _wave(time, 1), face)


def arm_across(time: float) -> Moment:
    """An arm rises from the side, passes before the chest and face and is lowered again."""
    reach = float(np.sin(np.pi * np.clip((time - 0.08) / 0.84, 0, 1)) ** 2)
    return Moment(8 * _wave(time, 1), 3 * _wave(time, 1), 0.0, _blink(time, (0.45,)), reach)


MOTIONS: dict[str, Callable[[float], Moment]] = {
    "head turn": head_turn,
    "nod": nod,
    "speech": speech,
    "look around": look_around,
    "arm across": arm_across,
}


def arms_at(reach: float) -> Callable[[Mapping], dict]:
    """Arm rotations for a skeleton's joints: the right arm hangs at `reach` 0 and lies before the face at 1."""
    hanging, across = poses.HANGING, poses.ACROSS
    blend = {
        field.name: (1 - reach) * np.asarray(getattr(hanging, field.name))
        + reach * np.asarray(getattr(across, field.name))
        for field in fields(poses.Arm)
    }
    return lambda heads: poses.solve_arm(hanging, heads) | poses.mirror(poses.solve_arm(poses.Arm(**blend), heads))


def body_at(spec: Mapping, time: float) -> people.Body:
    """The posed body at a time. Raises ValueError for an unknown motion."""
    if spec["motion"] not in MOTIONS:
        raise ValueError(f"{spec['id']}: unknown motion '{spec['motion']}': use one of {', '.join(MOTIONS)}")
    moment = MOTIONS[spec["motion"]](time)
    pose = dict(spec, yaw=moment.yaw, pitch=moment.pitch, roll=moment.roll)
    return scene.build_body(pose, moment.face, arms_at(moment.arm))


def play(spec: Mapping, assets: Path) -> Iterator[int]:
    """Stage the clip and move it on, frame by frame: each number is yielded when that frame is ready to render."""
    first = body_at(spec, 0.0)
    person = scene.stage(spec, assets, first)
    local = {name: into_head(first, strands) for name, strands in person.strands.items()}
    for frame in range(spec["frames"]):
        time = frame / spec["frames"]
        body = body_at(spec, time)
        scene.move_meshes(person, spec, body, assets)
        heads = [body_at(spec, time - LAG * step / (LAGS - 1)).bone_transform("head") for step in range(LAGS)]
        obstacle = scene.obstacle(body)
        for name, strands in local.items():
            moved = follow(strands, heads)
            free = obstacle.push(moved.reshape(-1, 3), 0.0006, reach=0.03).reshape(moved.shape)
            scene.move_strands(person.objects[name], free)
        yield frame


def into_head(body: people.Body, points: np.ndarray) -> np.ndarray:
    """World points `(..., 3)` in the frame of the body's head."""
    head = body.bone_transform("head")
    return (points - head[:3, 3]) @ head[:3, :3]


def follow(strands: np.ndarray, heads: list[np.ndarray]) -> np.ndarray:
    """Strands `(S, K, 3)` from the head's frame to the world: roots with `heads[0]` `(4, 4)`, tips with `heads[-1]`.

    In between each point is the linear mean of its places under the two nearest transforms.
    """
    points = strands.shape[1]
    at = np.linspace(0, len(heads) - 1, points)
    lower = np.minimum(at.astype(int), len(heads) - 2)
    upper_share = (at - lower)[:, None]
    moved = np.empty_like(strands)
    for k in range(points):
        early, late = (strands[:, k] @ heads[lower[k] + i][:3, :3].T + heads[lower[k] + i][:3, 3] for i in (0, 1))
        moved[:, k] = (1 - upper_share[k]) * early + upper_share[k] * late
    return moved
