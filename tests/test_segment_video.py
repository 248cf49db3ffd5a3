"""segment_video: clips and benchmarks, by each segmenter, and what is broken; the network is told apart by colour."""

import shutil
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stages
from PIL import Image
from test_scripts import assert_refused

sys.path.insert(0, str(Path(__file__).parent / "video"))

import clips
import tiny_sam2

from ldportrait import images, models
from ldportrait.video import segmenters

COLUMNS = "item frame seconds share doubt event mask mask_sha256 doubts doubts_sha256".split()
SHAPE = (48, 64)


def red(image, trimap):
    """A network that finds the red square of `clips.moving_square`."""
    return (image[..., 0].astype(int) - image[..., 1] > 80).astype(np.float32)


@pytest.fixture
def by_colour(monkeypatch):
    import segment_video

    monkeypatch.setattr(segment_video, "load", lambda *options: (red, 512))


@pytest.fixture
def video(tmp_path):
    return clips.write(tmp_path / "talk.mp4", clips.moving_square(8))


def segment(*arguments):
    return stages.call("segment_video.py", *arguments)


def squares(count=8):
    """Where the square is."""
    masks = np.zeros((count, *SHAPE), np.uint8)
    for index in range(count):
        masks[index, 12:28, 4 + 4 * index : 20 + 4 * index] = 255
    return masks


def similar(masks, true):
    masks, true = np.array(masks) > 0, np.array(true) > 0
    return (masks & true).sum() / (masks | true).sum()


def test_a_video(by_colour, video, tmp_path):
    result = segment(video, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    table = pd.read_parquet(tmp_path / "out" / "segments.parquet")
    assert list(table) == COLUMNS
    assert set(table["item"]) == {"talk"}
    assert list(table.frame) == list(range(8))
    assert np.allclose(table.seconds, np.arange(8) / 25)
    assert np.allclose(table.share, 256 / (48 * 64), atol=0.02)
    assert list(table["mask"][:2]) == ["talk/masks/000000.png", "talk/masks/000001.png"]
    assert table.doubts[7] == "talk/doubts/000007.png"
    found = list(segmenters.read(tmp_path / "out", "talk"))
    assert similar([mask for mask, _ in found], squares()) > 0.9
    for (mask, doubt), row in zip(found, table.itertuples(), strict=True):
        assert mask.dtype == doubt.dtype == np.uint8
        assert row.share == (mask > 0).mean()
        assert row.doubt == pytest.approx(doubt.mean() / 255)


def test_times_are_the_clips_own(by_colour, tmp_path):
    times = [Fraction(tick, 90_000) for tick in (0, 3600, 4500, 12_000)]
    segment(clips.write(tmp_path / "a.mp4", clips.moving_square(4), times), tmp_path / "out")
    assert list(pd.read_parquet(tmp_path / "out" / "segments.parquet").seconds) == [float(time) for time in times]


def test_a_second_run_replaces_the_first(by_colour, video, tmp_path):
    segment(video, tmp_path / "out")
    before = stages.tree(tmp_path / "out")
    assert segment(clips.write(video, clips.moving_square(5)), tmp_path / "out").returncode == 0
    after = stages.tree(tmp_path / "out")
    assert len(before) == 17
    assert len(after) == 11


def test_a_killed_run_leaves_no_table(by_colour, video, tmp_path, monkeypatch):
    segment(video, tmp_path / "out")
    monkeypatch.setattr(images, "write_grey", lambda *options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        segment(video, tmp_path / "out")
    assert not (tmp_path / "out" / "segments.parquet").exists()
    with pytest.raises(FileNotFoundError, match=r"segments\.parquet"):
        next(segmenters.read(tmp_path / "out", "talk"))


def test_what_was_changed_is_not_read_back(by_colour, video, tmp_path):
    segment(video, tmp_path / "out")
    Image.fromarray(squares()[0]).save(tmp_path / "out" / "talk" / "masks" / "000001.png")
    found = segmenters.read(tmp_path / "out", "talk")
    next(found)
    with pytest.raises(ValueError, match=r"000001\.png"):
        next(found)
    (tmp_path / "out" / "talk" / "doubts" / "000000.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"000000\.png"):
        next(segmenters.read(tmp_path / "out", "talk"))
    with pytest.raises(ValueError, match="no item speech"):
        next(segmenters.read(tmp_path / "out", "speech"))


def test_a_folder_of_frames_with_a_broken_one(by_colour, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, rgb in enumerate(clips.moving_square(4)):
        Image.fromarray(rgb).save(folder / f"{index}.png")
    (folder / "2.png").write_bytes(b"no picture")
    result = segment(folder, tmp_path / "out")
    assert result.returncode == 0
    assert "2.png" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(pd.read_parquet(tmp_path / "out" / "segments.parquet").frame) == [0, 1, 3]
    assert similar([mask for mask, _ in segmenters.read(tmp_path / "out", "frames")], squares(4)[[0, 1, 3]]) > 0.9


def test_a_truncated_video_is_segmented_as_far_as_it_goes(by_colour, tmp_path):
    path = clips.write(tmp_path / "a.mkv", clips.moving_square(40, shape=(48, 200)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    result = segment(path, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "a.mkv" in result.stderr
    assert result.stderr.strip().endswith(".")
    assert 8 < len(pd.read_parquet(tmp_path / "out" / "segments.parquet")) < 36


def test_events_are_logged_and_in_the_table(by_colour, tmp_path):
    frames = clips.moving_square(12)
    empty = clips.moving_square(1)[0]
    empty[12:28, 4:20] = empty[28:44, 4:20]
    frames[4:9] = empty
    result = segment(clips.write(tmp_path / "a.mp4", frames), tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "segments.parquet")
    assert list(table.event[:10]) == ["", "", "", "", "occluded", *["absent"] * 4, "uncovered"]
    lines = [line for line in result.stdout.splitlines() if line.startswith("a, frame")]
    assert lines[0] == "a, frame 4 (0.16 s): most of the person is hidden"
    assert lines[1] == "a, frame 9 (0.36 s): the person is no longer hidden"


@pytest.fixture
def bank(tmp_path):
    """Two test clips of 3 frames, and a background."""
    folder = tmp_path / "bank"
    rows = [{"id": "background-00", "kind": "background", "split": "test", "path": "b.webp", "frames": None}]
    images.write_webp(folder / "b.webp", np.full((64, 64, 3), 90, np.uint8))
    stack = np.zeros((3 * 48, 48, 4), np.uint8)
    for index in range(3):
        stack[48 * index + 10 : 48 * index + 40, 10 + index : 30 + index] = (200, 20, 20, 255)
    for name in ("clip-00", "clip-01"):
        images.write_webp(folder / f"{name}.webp", stack, lossless=True)
        rows.append({"id": name, "kind": "clip", "split": "test", "path": f"{name}.webp", "frames": 3})
    pd.DataFrame(rows).to_parquet(folder / "bank.parquet")
    return folder


@pytest.mark.parametrize(("limit", "items"), [(0, ["clip-00", "clip-01"]), (1, ["clip-00"])])
def test_a_benchmark(by_colour, bank, tmp_path, limit, items):
    result = segment(tmp_path / "out", "--benchmark", "bank-clips", "--root", bank, "--limit", limit)
    assert result.returncode == 0, result.stderr
    table = pd.read_parquet(tmp_path / "out" / "segments.parquet")
    assert list(table["item"]) == [item for item in items for _ in range(3)]
    for item in items:
        found = [mask > 0 for mask, _ in segmenters.read(tmp_path / "out", item)]
        for index, mask in enumerate(found):
            assert mask[12:38, 12 + index : 28 + index].all()
            assert mask.sum() < 700


def test_the_models_of_the_registry_segment(bank, tmp_path):
    """The one that comes with the workflow, and one that it cannot tell the size of."""
    network = models.get("small-free").build(widths=[4, 8])
    models.save(network, tmp_path / "model", {"model": "small-free", "settings": {"widths": [4, 8]}})
    for more in ([], ["--model", tmp_path / "model", "--side", 32]):
        result = segment(tmp_path / "out", "--benchmark", "bank-clips", "--root", bank, "--limit", 1, *more)
        assert result.returncode == 0, result.stderr
        assert len(pd.read_parquet(tmp_path / "out" / "segments.parquet")) == 3


def test_given_masks(video, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for index in (0, 5):
        Image.fromarray(squares()[index]).save(masks / f"{index:06d}.png")
    assert segment(video, tmp_path / "out", "--segmenter", "masks", "--masks", masks).returncode == 0
    found = list(segmenters.read(tmp_path / "out", "talk"))
    assert (found[0][0] == squares()[0]).all()
    assert (found[5][0] == squares()[5]).all()
    assert not found[5][1].any()
    assert found[6][1].any()
    alone = segment(video, tmp_path / "one", "--segmenter", "masks", "--masks", masks / "000000.png")
    assert alone.returncode == 0
    assert (next(segmenters.read(tmp_path / "one", "talk"))[0] == squares()[0]).all()


def test_sam2(by_colour, video, tmp_path, one_thread):
    digest = tiny_sam2.save(tmp_path / "sam2")
    options = ["--segmenter", "sam2", "--weights", tmp_path / "sam2", "--sha256", digest]
    Image.fromarray(squares()[0]).save(tmp_path / "mask.png")
    found = {}
    for name, more in {
        "mask": ["--mask", tmp_path / "mask.png"],
        "box": ["--box", "4,12,20,28"],
        "points": ["--point", "10,20", "--point", "50,4,0"],
        "network": [],
    }.items():
        result = segment(video, tmp_path / name, *options, *more)
        assert result.returncode == 0, result.stderr
        found[name] = list(segmenters.read(tmp_path / name, "talk"))
        assert len(found[name]) == 8
    for name in ("mask", "network"):  # the network finds the same square
        assert similar(found[name][0][0], squares()[0]) > 0.7
    assert_refused(segment(video, tmp_path / "bad", *options[:-1], "0" * 64), "SHA-256")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["talk.mp4"], "Give a clip"),
        (["talk.mp4", "out", "--benchmark", "bank-clips"], "Give a clip"),
        (["absent.mp4", "out"], "absent.mp4"),
        (["empty.mp4", "out"], "empty.mp4"),
        (["talk.mp4", "out", "--segmenter", "guess"], "guess"),
        (["talk.mp4", "out", "--segmenter", "masks"], "--masks"),
        (["talk.mp4", "out", "--segmenter", "masks", "--masks", "absent"], "absent"),
        (["talk.mp4", "out", "--segmenter", "masks", "--masks", "out/talk/masks"], "out/talk/masks"),
        (["talk.mp4", "out", "--segmenter", "sam2"], "--weights"),
        (["talk.mp4", "out", "--segmenter", "sam2", "--weights", "w", "--box", "1,2"], "--box"),
        (["talk.mp4", "out", "--segmenter", "sam2", "--weights", "w", "--point", "a,b"], "--point"),
        (["talk.mp4", "out", "--segmenter", "sam2", "--weights", "w", "--point", "1,2"], "config.json"),
        (["out", "--benchmark", "bank"], "kind"),
        (["out", "--benchmark", "bank-clips", "--root", "absent"], "absent"),
        (["talk.mp4", "out", "--model", "absent"], "absent"),
        (["talk.mp4", "out", "--gpus", "1"], "GPU"),
    ],
)
def test_bad_input_is_refused(video, tmp_path, monkeypatch, arguments, word):
    (tmp_path / "empty.mp4").touch()
    shutil.copytree(stages.BANK.parent / "models" / "portrait", tmp_path / "resources" / "models" / "portrait")
    (tmp_path / "out" / "talk" / "masks").mkdir(parents=True)
    Image.fromarray(squares()[0]).save(tmp_path / "out" / "talk" / "masks" / "000000.png")
    monkeypatch.chdir(tmp_path)
    assert_refused(segment(*arguments), word)
    assert not (tmp_path / "out" / "segments.parquet").exists()
    assert (tmp_path / "out" / "talk" / "masks" / "000000.png").is_file()


def test_a_model_that_needs_a_trimap_is_refused(video, tmp_path):
    network = models.get("small-trimap").build(widths=[4, 8])
    settings = {"model": "small-trimap", "settings": {"widths": [4, 8]}}
    models.save(network, tmp_path / "model", settings)
    assert_refused(segment(video, tmp_path / "out", "--model", tmp_path / "model"), "trimap-free")
