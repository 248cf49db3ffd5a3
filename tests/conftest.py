import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, settings

from ldportrait import images
from ldportrait.rendering import casting

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"

# The same random cases at every run; HYPOTHESIS_PROFILE=search looks at new ones.
LOAD = [HealthCheck.too_slow]  # what is slow on a busy machine is no fault of the test
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=LOAD)
settings.register_profile("search", derandomize=False, deadline=None, suppress_health_check=LOAD)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

PERSONA = {
    "gender": "woman",
    "age": 31,
    "ancestry": {},
    "build": {},
    "face": {},
    "skin": ["young_caucasian_female/young_lightskinned_female_diffuse.png"],
    "mix": 0.0,
    "tint": [1.0, 1.0, 1.0],
    "freckles": 0.0,
    "eyes": "brown",
    "brows": "eyebrow003",
    "hair": "long straight",
    "hair_colour": "dark brown",
    "facial_hair": "none",
}
LOOK = {
    "garment": "shirt",
    "garment_colour": "navy",
    "accessory": "none",
    "expression": "neutral",
    "framing": "close-up",
    "light": "softbox",
}
TURN = {"pose": "relaxed", "yaw": 10, "pitch": 0, "roll": 0}


def small_config() -> dict:
    """A configuration like config/bank.yaml with three portraits and one item of each other kind."""
    person = {"persona": "persona-00"}
    portraits = [{"id": f"portrait-{i:03d}", "seed": i, **person, **LOOK, **TURN} for i in range(3)]
    return {
        "work": ".bank",
        "output": "resources/bank",
        "sizes": {"portraits": 32, "clips": 16, "green": 32, "backgrounds": 40},
        "frames": 24,
        "samples": {kind: {"alpha": 64, "colour": 16} for kind in ("portraits", "clips", "green", "backgrounds")},
        "personas": [{"id": "persona-00", "split": "test", **PERSONA}],
        "portraits": portraits,
        "clips": [{"id": "clip-00", "seed": 1, "motion": "nod", **person, **LOOK}],
        "green": [{"id": "green-00", "seed": 2, **person, **LOOK, **TURN}],
        "backgrounds": [{"id": "background-00", "split": "test", "family": "room", "layout": "office", "seed": 3}],
    }


def write_config(config: dict, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def disc(size: int) -> np.ndarray:
    """A soft disc as (size, size, 4) RGBA."""
    y, x = np.mgrid[:size, :size] - size / 2
    alpha = np.clip((0.4 * size - np.hypot(y, x)) / 4, 0, 1) * 255
    return np.dstack([np.full((size, size, 3), 128), np.rint(alpha)]).astype(np.uint8)


def finish(config: dict, work: Path) -> None:
    """Put into `work` what the render jobs of `config` would leave there."""
    for spec in casting.cast(config).values():
        section = next(name for name, kind in casting.KINDS.items() if kind == spec["kind"])
        picture = disc(spec["size"])
        if spec["kind"] == "clip":
            picture = np.concatenate([picture] * 24)
        if spec["kind"] == "background":
            picture = picture[..., :3]
        folder = work / section
        images.write_webp(folder / f"{spec['id']}.webp", picture)
        if spec["kind"] == "green":
            images.write_webp(folder / f"{spec['id']}-shot.webp", picture[..., :3])
        record = {"spec": spec, "seconds": 2.5, "versions": {"bpy": "4.2.23"}}
        (folder / f"{spec['id']}.json").write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, Path]:
    """The small configuration's file, and a work folder with everything rendered."""
    config = small_config()
    finish(config, tmp_path / "work")
    return write_config(config, tmp_path / "bank.yaml"), tmp_path / "work"


@pytest.fixture
def one_thread():
    """Small networks on a busy machine: several threads wait for each other, hundreds of times as long as they work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
