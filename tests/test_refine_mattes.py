from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from PIL import Image
from test_connectivity import levels, person, soft_disc
from test_scripts import assert_refused, run

import refine_mattes
from ldportrait import images, shards
from ldportrait.connectivity import RefineParams, clean_foreground, refine


@pytest.fixture(autouse=True)
def alike() -> Iterator[None]:
    """What is expected is computed as the command computes."""
    optimized = cv2.useOptimized()
    images.compute_alike()
    yield
    cv2.setUseOptimized(optimized)


def picture(index: int) -> np.ndarray:
    """A figure with an island, (128, 128, 4)."""
    alpha = np.maximum(person(128), soft_disc(128, 15, 15 + index, 6))
    colour = np.random.default_rng(index).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    return np.dstack([colour, levels(alpha)])


def make_shard(tar, count: int = 3) -> list[shards.Item]:
    truth = levels(person(128))
    items = [
        shards.Item({"id": f"run-{i:09d}", "prompt": "a person", "split": "train", "seconds": 9.0}, picture(i), truth)
        for i in range(count)
    ]
    jobs = ((item.row["id"], lambda item=item: item) for item in items)
    shards.make_shard(tar, tar.parent / ".partial", {"test": count}, jobs)
    return items


def test_a_shard_is_refined(tmp_path):
    items = make_shard(tmp_path / "raw" / "shard-0000000.tar")
    output = tmp_path / "refined" / "shard-0000000.tar"
    result = run("refine_mattes.py", tmp_path / "raw" / "shard-0000000.tar", output, "--partial", tmp_path / "p")
    assert result.returncode == 0, result.stderr
    for item, refined in zip(items, shards.read_shard(output), strict=True):
        colour, raw = item.rgba[..., :3], item.rgba[..., 3]
        expected = refine(raw)
        assert np.array_equal(refined.rgba[..., 3], expected.alpha)
        assert np.array_equal(refined.rgba[..., :3], clean_foreground(colour, expected.alpha, raw))
        assert np.array_equal(refined.truth, item.truth)
        assert refined.row["prompt"] == "a person"
        assert refined.row["seconds"] < 9
        for name in ("removed_background", "filled_foreground", "band"):
            assert refined.row[name] == pytest.approx(getattr(expected, name).mean())
        assert refined.row["removed_background"] > 0
    assert sorted(file.name for file in output.parent.iterdir()) == ["shard-0000000.parquet", "shard-0000000.tar"]
    assert not (tmp_path / "p").exists()


def test_options_reach_the_method(tmp_path):
    items = make_shard(tmp_path / "shard-0000000.tar", 1)
    output = tmp_path / "out" / "shard-0000000.tar"
    options = ["--no-remove-detached", "--fade", "5", "--no-clean"]
    assert run("refine_mattes.py", tmp_path / "shard-0000000.tar", output, *options).returncode == 0
    (refined,) = shards.read_shard(output)
    params = RefineParams(remove_detached=False, fade=5)
    assert np.array_equal(refined.rgba[..., 3], refine(items[0].rgba[..., 3], params=params).alpha)
    assert np.array_equal(refined.rgba[..., :3], items[0].rgba[..., :3])
    assert refined.rgba[15, 15, 3] == 255


def test_a_folder_is_refined(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "in" / "a.png")
    images.write_webp(tmp_path / "in" / "b.webp", picture(1), lossless=True)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    result = run("refine_mattes.py", tmp_path / "in", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.png", "b.webp"]
    for name, raw in (("a.png", picture(0)), ("b.webp", picture(1))):
        assert np.array_equal(images.read_rgba(tmp_path / "out" / name)[..., 3], refine(raw[..., 3]).alpha)


def test_what_is_no_input_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "opaque").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "opaque" / "rgb.png")
    make_shard(tmp_path / "shard-0000000.tar", 1)
    assert_refused(run("refine_mattes.py", tmp_path / "opaque", tmp_path / "out"), "rgb.png")
    for source, output, word in [
        ("absent", "out", "absent"),
        ("absent.tar", "out.tar", "absent"),
        ("empty", "out", "empty"),
        ("opaque", "opaque", "overwritten"),
        ("shard-0000000.tar", "out", ".tar"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=word):
            refine_mattes.main(tmp_path / source, tmp_path / output)
    with pytest.raises(ValueError, match="floor"):
        refine_mattes.main(tmp_path / "shard-0000000.tar", tmp_path / "out.tar", floor=2.0)
    assert not (tmp_path / "out.tar").exists()


def test_a_killed_run_goes_on(tmp_path, monkeypatch):
    make_shard(tmp_path / "shard-0000000.tar")
    output, partial = tmp_path / "out" / "shard-0000000.tar", tmp_path / "partial"
    refined_item, calls = refine_mattes.refined_item, []

    def dying(item, params, clean):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(item.row["id"])
        return refined_item(item, params, clean)

    monkeypatch.setattr(refine_mattes, "refined_item", dying)
    with pytest.raises(KeyboardInterrupt):
        refine_mattes.main(tmp_path / "shard-0000000.tar", output, partial)
    assert not output.exists()
    calls[:] = ["already"]
    refine_mattes.main(tmp_path / "shard-0000000.tar", output, partial)
    assert calls == ["already", "run-000000002"]
    undisturbed = tmp_path / "again" / "shard-0000000.tar"
    monkeypatch.setattr(refine_mattes, "refined_item", refined_item)
    refine_mattes.main(tmp_path / "shard-0000000.tar", undisturbed)
    assert undisturbed.read_bytes() == output.read_bytes()
