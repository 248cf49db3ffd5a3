"""The video sets: right frames in a fixed order, one at a time, and one sentence for whatever is wrong."""

import shutil
import tracemalloc

import cv2
import numpy as np
import pandas as pd
import pytest
import trees
from conftest import ROOT

from ldportrait import benchmarks, images
from ldportrait.benchmarks import bank_clips, bank_clips_moving, clips, crgnn

BANK = ROOT / "resources" / "bank"
SETS = {
    "videomatte-240k": ("videomatte_512x288", "com", (288, 512), ".png"),
    "videomatte-240k-hd": ("videomatte_1920x1080", "com", (1080, 1920), ".jpg"),
    "youtubematte": ("youtubematte_512x288", "har", (288, 512), ".png"),
    "youtubematte-hd": ("youtubematte_1920x1080", "har", (1080, 1920), ".jpg"),
}
SMALL = (12, 16)
COUNTS = {"test": 4}


@pytest.fixture(params=sorted(SETS))
def name(request):
    return request.param


@pytest.fixture
def root(tmp_path, name, monkeypatch):
    """Two clips of three small frames in each folder."""
    base, frame, _, suffix = SETS[name]
    module = benchmarks.get(name)
    monkeypatch.setattr(module, "LAYOUT", clips.Layout(**{**vars(module.LAYOUT), "size": SMALL, "length": 3}))
    return trees.video(tmp_path, base, frame, SMALL, suffix)


def clip_home(root, name, clip="0000", subset="static"):
    base = SETS[name][0]
    return root / base / f"{base.partition('_')[0]}_{subset}" / clip


@pytest.mark.parametrize("name", sorted(SETS))
def test_the_layout_is_the_published_one(name):
    base, frame, size, _ = SETS[name]
    layout = benchmarks.get(name).LAYOUT
    assert (layout.base, layout.image, layout.alpha, layout.size) == (base, frame, "pha", size)
    assert layout.length == (100 if name.startswith("videomatte") else 0)


def test_values_and_order(name, root):
    module = benchmarks.get(name)
    samples = module.items(root, counts=COUNTS)
    assert [sample.item for sample in samples] == ["static-0000", "static-0001", "motion-0000", "motion-0001"]
    for sample, seed in zip(samples, (3, 2, 1, 0), strict=True):
        assert module.frames(sample) == 3
        found = list(module.load_clip(sample))
        assert len(found) == 3
        for number, (image, alpha) in enumerate(found):
            np.testing.assert_allclose(image.astype(int), trees.picture(seed), atol=2)
            lossy = SETS[name][3] == ".jpg"
            np.testing.assert_allclose(alpha.astype(int), trees.matte(number), atol=3 if lossy else 0)


def test_the_base_itself_may_be_the_root(name, root):
    module = benchmarks.get(name)
    assert module.items(root / SETS[name][0], counts=COUNTS) == module.items(root, counts=COUNTS)


def test_another_number_of_clips_is_refused(name, root):
    with pytest.raises(ValueError, match=f"has {trees.PUBLISHED[name, 'test']} clips .* has 4; scores of a part"):
        benchmarks.get(name).items(root)


@pytest.mark.parametrize("missing", ["subset", "image", "alpha"])
def test_a_missing_folder_is_named(name, root, missing):
    home = clip_home(root, name)
    gone = {"subset": home.parent, "image": home / SETS[name][1], "alpha": home / "pha"}[missing]
    shutil.rmtree(gone)
    with pytest.raises(FileNotFoundError, match="which is missing") as error:
        benchmarks.get(name).items(root, counts=COUNTS)
    assert str(gone) in str(error.value)


@pytest.mark.parametrize("part", ["image", "pha"])
def test_a_missing_frame_is_named(name, root, part):
    home = clip_home(root, name) / (SETS[name][1] if part == "image" else part)
    (home / f"0001{SETS[name][3]}").unlink()
    with pytest.raises(FileNotFoundError, match="is missing") as error:
        benchmarks.get(name).items(root, counts=COUNTS)
    assert str(home / "0001") in str(error.value)


def test_another_length_is_refused(name, root):
    for part in (SETS[name][1], "pha"):
        (clip_home(root, name) / part / f"0002{SETS[name][3]}").unlink()
    with pytest.raises(ValueError, match=r"has 3 frames, but .*0000 has 2"):
        benchmarks.get(name).items(root, counts=COUNTS)


def test_an_empty_clip_is_named(name, root):
    for part in (SETS[name][1], "pha"):
        for path in (clip_home(root, name) / part).iterdir():
            path.unlink()
    with pytest.raises(ValueError, match=r"There are no pictures in .*0000"):
        benchmarks.get(name).items(root, counts=COUNTS)


def frame_of(name, root, part):
    return clip_home(root, name) / (SETS[name][1] if part == "image" else part) / f"0001{SETS[name][3]}"


@pytest.mark.parametrize("part", ["image", "pha"])
def test_another_size_is_refused(name, root, part):
    path = frame_of(name, root, part)
    trees.write((trees.picture if part == "image" else trees.matte)(0, (14, 16)), path)
    module = benchmarks.get(name)
    with pytest.raises(ValueError, match=r"16 x 14 pixels, but .*16 x 12") as error:
        list(module.load_clip(module.items(root, counts=COUNTS)[0]))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("part", ["image", "pha"])
def test_an_unreadable_frame_is_named(name, root, part):
    path = frame_of(name, root, part)
    path.write_bytes(b"broken")
    module = benchmarks.get(name)
    with pytest.raises(ValueError, match="not a readable picture") as error:
        list(module.load_clip(module.items(root, counts=COUNTS)[0]))
    assert str(path) in str(error.value)


def test_junk_is_passed_over(name, root):
    home = clip_home(root, name)
    (home.parent / "__MACOSX").mkdir()
    (home.parent / ".hidden").mkdir()
    trees.junk(home / "pha")
    assert len(benchmarks.get(name).items(root, counts=COUNTS)) == 4


def test_the_memory_does_not_grow_with_the_clip(tmp_path):
    frame = tmp_path / "f.png"
    trees.write(np.zeros((256, 256, 3), np.uint8), frame)
    peaks = []
    for length in (4, 40):
        clip = clips.Clip("c", (frame,) * length, (None,) * length)
        tracemalloc.start()
        assert sum(1 for _ in clips.load_clip(clip)) == length
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 256 * 256 * 3


@pytest.fixture
def real(tmp_path):
    """Two videos of 25 frames with truth at the 1st, 11th and 21st."""
    for seed, clip in enumerate(("production ID_2", "production ID_1")):
        for number in range(1, 26):
            trees.write(trees.picture(seed), tmp_path / "image_allframe" / clip / f"frame{number:05d}.jpg")
        for number in (1, 11, 21):
            trees.write(trees.matte(number % 3), tmp_path / "alpha" / clip / f"frame{number:05d}.png")
    return tmp_path


def test_real_videos_have_truth_at_every_tenth_frame(real):
    samples = crgnn.items(real, counts={"test": 2})
    assert [sample.item for sample in samples] == ["production ID_1", "production ID_2"]
    assert crgnn.frames(samples[0]) == 25
    found = list(crgnn.load_clip(samples[0]))
    assert [number for number, (_, alpha) in enumerate(found) if alpha is not None] == [0, 10, 20]
    np.testing.assert_array_equal(found[10][1], trees.matte(11 % 3))
    np.testing.assert_allclose(found[3][0].astype(int), trees.picture(1), atol=2)


def test_real_videos_count(real):
    with pytest.raises(ValueError, match=r"CRGNN has 19 clips .* has 2; scores of a part"):
        crgnn.items(real)


@pytest.mark.parametrize("gone", ["image_allframe", "alpha", "alpha/production ID_1"])
def test_a_missing_folder_of_real_videos_is_named(real, gone):
    shutil.rmtree(real / gone)
    with pytest.raises(FileNotFoundError, match="which is missing") as error:
        crgnn.items(real, counts={"test": 2})
    assert str(real / gone) in str(error.value)


def test_a_gap_in_the_truth_is_named(real):
    (real / "alpha" / "production ID_1" / "frame00011.png").unlink()
    with pytest.raises(ValueError, match="that of frame00011 is missing"):
        crgnn.items(real, counts={"test": 2})


def test_truth_without_a_frame_is_named(real):
    (real / "image_allframe" / "production ID_1" / "frame00021.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"frame00021.png has no frame"):
        crgnn.items(real, counts={"test": 2})


@pytest.mark.parametrize("folder", ["image_allframe", "alpha"])
def test_a_real_video_without_frames_is_named(real, folder):
    for path in (real / folder / "production ID_1").iterdir():
        path.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=r"no pictures in .*ID_1"):
        crgnn.items(real, counts={"test": 2})


def test_real_frames_that_differ_in_size_or_are_broken_are_named(real):
    path = real / "image_allframe" / "production ID_1" / "frame00002.jpg"
    trees.write(trees.picture(0, (14, 16)), path)
    sample = crgnn.items(real, counts={"test": 2})[0]
    with pytest.raises(ValueError, match=r"frame00002.jpg is 16 x 14 pixels, but .*frame00001.jpg is 16 x 12"):
        list(crgnn.load_clip(sample))
    path.write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"frame00002.jpg is not a readable picture"):
        list(crgnn.load_clip(sample))


def test_the_clips_of_the_bank():
    table = pd.read_parquet(BANK / "bank.parquet")
    expected = table[(table.kind == "clip") & (table.split == "test")].sort_values("id")
    samples = bank_clips.items(BANK)
    assert [sample.item for sample in samples] == list(expected.id)
    assert len(samples) == 6
    behind = table[(table.kind == "background") & (table.split == "test")].sort_values("id").path
    assert [sample.background for sample in samples] == [BANK / path for path in behind.iloc[:6]]
    assert bank_clips.frames(samples[1]) == 24
    found = list(bank_clips.load_clip(samples[1]))
    stack = images.read_rgba(BANK / expected.path.iloc[1])
    assert stack.shape == (24 * 320, 320, 4)
    assert len(found) == 24
    for number, (image, alpha) in enumerate(found):
        rgba = stack[320 * number : 320 * (number + 1)]
        np.testing.assert_array_equal(alpha, rgba[..., 3])
        np.testing.assert_array_equal(image[alpha == 255], rgba[..., :3][alpha == 255])
    empty = np.all([alpha == 0 for _, alpha in found], axis=0)
    assert empty.any()
    assert np.ptp([image[empty] for image, _ in found], axis=0).max() == 0  # the background does not move


def test_a_bank_without_clips_is_refused():
    with pytest.raises(ValueError, match="no clips or no backgrounds of the split 'train'"):
        bank_clips.items(BANK, "train")


def test_a_missing_bank_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"bank\.parquet"):
        bank_clips.items(tmp_path)


def test_the_moving_clips_have_the_same_people_and_mattes():
    still, moving = bank_clips.items(BANK)[2], bank_clips_moving.items(BANK)[2]
    assert still == moving
    assert bank_clips_moving.frames(moving) == 24
    found = list(bank_clips_moving.load_clip(moving))
    assert len(found) == 24
    for (image, alpha), (before, exact) in zip(found, bank_clips.load_clip(still), strict=True):
        np.testing.assert_array_equal(alpha, exact)
        np.testing.assert_array_equal(image[alpha == 255], before[alpha == 255])
        assert (image[alpha == 0] != before[alpha == 0]).any()
    again = bank_clips_moving.load_clip(moving)
    assert all((image == same).all() for (image, _), (same, _) in zip(found, again, strict=True))


def test_the_background_moves_by_what_the_path_says(tmp_path):
    """Phase correlation finds the motion between two frames, whatever way they were made."""
    shutil.copyfile(bank_clips.items(BANK)[0].background, tmp_path / "b.webp")
    images.write_webp(tmp_path / "c.webp", np.zeros((24 * 320, 320, 4), np.uint8), lossless=True)
    sample = bank_clips.Sample("clip-05", tmp_path / "c.webp", 24, tmp_path / "b.webp")
    pictures = [image.mean(axis=2) for image, _ in bank_clips_moving.load_clip(sample)]
    maps = bank_clips_moving.path("clip-05", 24, (320, 320), (416, 416))
    weight = cv2.createHanningWindow((320, 320), cv2.CV_64F)
    centre = maps[:, :, :2] @ [159.5, 159.5] + maps[:, :, 2]
    for t in range(1, 24):
        (x, y), _ = cv2.phaseCorrelate(pictures[t - 1], pictures[t], weight)
        expected = (centre[t] - centre[t - 1]) / maps[t, 0, 0]
        np.testing.assert_allclose([-x, -y], expected, atol=0.5)  # the zoom blurs the peak
    steps = np.hypot(*np.diff(centre, axis=0).T)
    assert 0.5 < steps.mean() < 6
    assert (np.abs(centre % 1 - 0.5) < 0.4).any()  # between pixels


def test_the_path_shows_no_border_and_depends_on_the_clip_alone():
    for index in range(40):
        maps = bank_clips_moving.path(f"clip-{index:02d}", 200, (320, 240), (416, 312))
        for corner in ([0, 0], [239, 319]):
            place = maps[:, :, :2] @ corner + maps[:, :, 2]
            assert place.min() >= 1
            assert (place <= [310, 414]).all()
        assert 1 / maps[:, 0, 0].min() <= bank_clips_moving.ZOOM
        np.testing.assert_array_equal(maps, bank_clips_moving.path(f"clip-{index:02d}", 200, (320, 240), (416, 312)))
    shorter = bank_clips_moving.path("clip-01", 24, (320, 320), (416, 416))
    assert (shorter != bank_clips_moving.path("clip-02", 24, (320, 320), (416, 416))).any()
    jerk = np.abs(np.diff(shorter[:, :, 2], n=2, axis=0))
    assert jerk.max() < 4  # pixels a frame a frame: smooth, with a slight shake


def test_nothing_shows_beyond_the_background(tmp_path):
    images.write_webp(tmp_path / "b.webp", np.full((64, 96, 3), 255, np.uint8), lossless=True)
    images.write_webp(tmp_path / "c.webp", np.zeros((24 * 30, 40, 4), np.uint8), lossless=True)
    for index in range(10):
        sample = bank_clips.Sample(f"clip-{index:02d}", tmp_path / "c.webp", 24, tmp_path / "b.webp")
        assert all((image == 255).all() for image, _ in bank_clips_moving.load_clip(sample))
