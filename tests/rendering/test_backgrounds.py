import importlib.util
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from conftest import ROOT, SCRIPTS, small_config, write_config

from ldportrait.rendering import backgrounds

EXTRA = {
    "colours": ["#9aa3a8", "#5d666b", "#3d464b", "#e0e0d0"],
    "ground": "#101418",
}


def entries() -> list[dict]:
    return yaml.safe_load((ROOT / "config" / "bank.yaml").read_text(encoding="utf-8"))["backgrounds"]


def texture(name: str, seed: int) -> np.ndarray:
    return backgrounds.make_background(
        {"id": "x", "family": "procedural", "source": name, "seed": seed, **EXTRA}, Path(".")
    )


@pytest.mark.parametrize("name", sorted(backgrounds.TEXTURES))
def test_texture_has_the_size_and_follows_its_seed(name):
    first, again, other = texture(name, 1), texture(name, 1), texture(name, 2)
    assert first.shape == (640, 640, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.std() > 1.5


def directions(height: int = 256) -> np.ndarray:
    """A panorama whose colour is the viewing direction (right, up, ahead)."""
    latitude = (0.5 - (np.arange(height) + 0.5) / height)[:, None] * np.pi
    longitude = ((np.arange(2 * height) + 0.5) / (2 * height) - 0.5)[None] * 2 * np.pi
    right, ahead = np.cos(latitude) * np.sin(longitude), np.cos(latitude) * np.cos(longitude)
    return np.stack([right, np.sin(latitude) * np.ones_like(longitude), ahead], axis=-1).astype(np.float32)


@pytest.mark.parametrize(
    ("yaw", "pitch", "expected"),
    [(0, 0, (0, 0, 1)), (90, 0, (1, 0, 0)), (180, 0, (0, 0, -1)), (-90, 0, (-1, 0, 0)), (0, 60, (0, 0.866, 0.5))],
)
def test_the_middle_of_a_crop_looks_where_yaw_and_pitch_say(yaw, pitch, expected):
    crop = backgrounds.perspective_crop(directions(), yaw, pitch, 60, size=65)
    assert np.allclose(crop[32, 32], expected, atol=0.01)


def test_the_edges_of_a_crop_lie_half_the_field_of_view_off():
    crop = backgrounds.perspective_crop(directions(), 0, 0, 90, size=512)
    right, up = crop[256, -1], crop[0, 256]
    assert np.rad2deg(np.arctan2(right[0], right[2])) == pytest.approx(45, abs=0.5)
    assert np.rad2deg(np.arctan2(up[1], up[2])) == pytest.approx(45, abs=0.5)


def test_a_crop_across_the_seam_has_no_seam():
    crop = backgrounds.perspective_crop(directions(), 180, 10, 70, size=256)
    assert np.abs(np.diff(crop, axis=1)).max() < 0.02


def test_a_crop_refuses_what_is_no_panorama_and_no_angle():
    with pytest.raises(ValueError, match="twice as wide"):
        backgrounds.perspective_crop(np.zeros((10, 10, 3), np.float32), 0, 0, 60)
    with pytest.raises(ValueError, match="field of view"):
        backgrounds.perspective_crop(directions(), 0, 0, 180)


@pytest.mark.parametrize("crop", [(0, 0, 1, 1), (0.5, 0.2, 1, 0.9), (0, 0.5, 0.3, 1), (0.31, 0.07, 0.99, 0.98)])
def test_a_photo_crop_is_a_square_inside_the_picture(crop):
    left, top, right, bottom = backgrounds.crop_box(crop, 741, 500)
    assert right - left == bottom - top > 0
    assert min(left, top) >= 0
    assert right <= 741
    assert bottom <= 500


@pytest.mark.parametrize("crop", [(-0.1, 0, 1, 1), (0, 0, 1.2, 1), (0.6, 0, 0.5, 1)])
def test_a_photo_crop_outside_the_picture_is_refused(crop):
    with pytest.raises(ValueError, match="does not lie inside"):
        backgrounds.crop_box(crop, 741, 500)


def test_defocus_keeps_the_light_and_turns_a_point_into_a_disc():
    light = np.zeros((65, 65, 3), np.float32)
    light[32, 32] = 100
    disc = backgrounds.defocus(light, 6)
    assert disc.sum() == pytest.approx(light.sum(), rel=1e-4)
    assert disc[32, 27].min() > 0
    assert disc[32, 40].max() < 1e-4


def test_srgb_round_trip():
    codes = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    assert np.array_equal(backgrounds.to_bytes(backgrounds.to_linear(codes / 255.0)), codes)


def test_a_photo_and_a_panorama_become_a_background(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "pack").mkdir()
    cv2.imwrite(str(tmp_path / "pack" / "photo.png"), rng.integers(0, 255, (300, 400, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "sky.exr"), np.abs(directions()))
    photo = {"id": "a", "family": "photo", "source": "pack/photo.png", "crop": [0, 0, 1, 1], "blur": 3, "seed": 0}
    sky = {"id": "b", "family": "hdri", "source": "sky", "yaw": 0, "pitch": 0, "fov": 60, "blur": 2, "seed": 0}
    for entry in (photo, {**photo, "tone": ["#000000", "#ff8800"]}, sky):
        made = backgrounds.make_background(entry, tmp_path, tmp_path)
        assert made.shape == (640, 640, 3)
        assert made.dtype == np.uint8


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"family": "painting"}, "unknown family"),
        ({"family": "procedural", "source": "lava", "seed": 0}, "unknown texture"),
        ({"family": "room", "layout": "office"}, "Blender"),
        ({"family": "procedural", "source": "paper", "seed": 0}, "lacks colours"),
    ],
)
def test_a_bad_entry_is_one_clear_error(entry, message):
    with pytest.raises(ValueError, match=message):
        backgrounds.make_background({"id": "x", **entry}, Path("."))


def test_the_config_has_60_backgrounds_in_splits_that_share_nothing():
    found = entries()
    assert len({entry["id"] for entry in found}) == len(found) == 60
    splits = {name: [entry for entry in found if entry["split"] == name] for name in ("train", "val", "test")}
    assert [len(part) for part in splits.values()] == [40, 8, 12]
    sources = {name: {backgrounds.source(entry) for entry in part} for name, part in splits.items()}
    assert not sources["train"] & sources["val"]
    assert not sources["train"] & sources["test"]
    assert not sources["val"] & sources["test"]
    assert sum(entry["family"] in backgrounds.PLACES for entry in found) >= 24
    assert {entry["family"] for entry in found} == set(backgrounds.FAMILIES)


def command(folder: Path, name: str, entry: dict) -> subprocess.CompletedProcess:
    config = small_config() | {"backgrounds": [{"id": "background-00", "split": "val", "seed": 3, **entry}]}
    config["sizes"]["backgrounds"] = 640
    path = write_config(config, folder / "bank.yaml")
    line = [sys.executable, SCRIPTS / "render_backgrounds.py", "--config", path, "--id", name]
    return subprocess.run([*line, "--output", folder / "b.webp"], capture_output=True, text=True, check=False)


def test_the_command_writes_picture_and_json(tmp_path):
    done = command(tmp_path, "background-00", {"family": "procedural", "source": "paper", **EXTRA})
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(tmp_path / "b.webp")).shape == (640, 640, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json", "b.webp", "bank.yaml"]
    record = yaml.safe_load((tmp_path / "b.json").read_text())
    assert record["spec"]["id"] == "background-00"
    assert record["licence"] == "CC0-1.0"


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("background-99", {"family": "procedural", "source": "paper"}),
        ("background-00", {"family": "painting"}),
        ("background-00", {"family": "procedural", "source": "lava"}),
        ("background-00", {"family": "photo", "source": "no/such.png", "crop": [0, 0, 1, 1], "blur": 1}),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(tmp_path, name, entry):
    done = command(tmp_path, name, entry)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "b.webp").exists()


def tarball(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 2
            archive.addfile(member, io.BytesIO(b"ok"))
    return path


def test_unpack_keeps_to_its_folder(tmp_path):
    fetch = importlib.import_module("fetch_assets")
    fetch.unpack(tarball(tmp_path / "good.tgz", "package/data/a.txt"), tmp_path / "good")
    assert (tmp_path / "good" / "data" / "a.txt").read_bytes() == b"ok"
    for bad in ("package/../../evil", "/evil"):
        with pytest.raises(ValueError, match="not safe"):
            fetch.unpack(tarball(tmp_path / "bad.tgz", "package/fine", bad), tmp_path / "bad")
        assert not (tmp_path / "bad").exists()


def test_fetch_refuses_another_tarball_and_goes_on_where_it_was(tmp_path):
    fetch = importlib.import_module("fetch_assets")
    made = tarball(tmp_path / "some-1.tgz", "package/a")
    digest = fetch.sha256(made)
    with pytest.raises(ValueError, match="expected"):
        fetch.fetch_package("some@1", tmp_path / "out" / "some", "0" * 64, tmp_path)
    assert fetch.fetch_package("some@1", tmp_path / "out" / "some", digest, tmp_path) == "fetched"
    assert fetch.fetch_package("some@1", tmp_path / "out" / "some", digest, tmp_path) == "there"


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="bpy (Blender as a module) is not installed")
def test_a_small_room_is_rendered(tmp_path):
    # In a process of its own: bpy keeps one global scene, and other tests must not find it loaded.
    code = (
        "import sys; from ldportrait.rendering import rooms; "
        "rooms.render_place({'family': 'room', 'layout': 'bedroom', 'seed': 1}, 64, 2, sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "room.png"], cwd=SCRIPTS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    picture = cv2.imread(str(tmp_path / "room.png"))
    assert picture.shape == (64, 64, 3)
    assert picture.std() > 5
