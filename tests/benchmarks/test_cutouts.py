"""PhotoMatte85 and a folder of one's own: cut-outs before backgrounds, and what is wrong with them, in a sentence."""

import shutil

import numpy as np
import pytest
import trees

from ldportrait import benchmarks
from ldportrait.benchmarks import bank, folder, photomatte85

HOMES = {"photomatte85": ("PhotoMatte85", "Backgrounds"), "folder": ("cutout", "background")}


def rgba(seed: int) -> np.ndarray:
    return np.dstack([trees.picture(seed), trees.matte(seed)])


@pytest.fixture(params=sorted(HOMES))
def name(request):
    return request.param


@pytest.fixture
def root(tmp_path, name):
    cutouts, backgrounds = (tmp_path / home for home in HOMES[name])
    for seed, stem in enumerate(trees.STEMS):
        trees.write(rgba(seed), cutouts / f"{stem}.png")
    trees.write(np.full((30, 40, 3), 10, np.uint8), backgrounds / "2.png")
    trees.write(np.full((6, 8, 3), 250, np.uint8), backgrounds / "1.png")
    return tmp_path


def items(name, root):
    return photomatte85.items(root, counts={"test": 3}) if name == "photomatte85" else folder.items(root)


def test_composites(name, root):
    samples = items(name, root)
    assert [sample.item for sample in samples] == ["x_a3", "x_b7", "x_c1"]
    for sample, scene in zip(samples, (250, 10, 250), strict=True):  # background 1, 2, and 1 again
        seed = trees.STEMS.index(sample.item)
        loaded = benchmarks.get(name).load(sample)
        np.testing.assert_array_equal(loaded.alpha, trees.matte(seed))
        np.testing.assert_array_equal(loaded.foreground, trees.picture(seed))
        np.testing.assert_array_equal(loaded.trimap, bank.trimap(trees.matte(seed)))
        share = trees.matte(seed)[..., None] / 255
        expected = share * trees.picture(seed) + (1 - share) * scene
        assert np.abs(loaded.image - expected).max() <= 0.501


@pytest.mark.parametrize("home", [0, 1])
def test_a_missing_folder_is_named(name, root, home):
    gone = root / HOMES[name][home]
    shutil.rmtree(gone)
    gone = root / "image" if gone.name == "cutout" else gone  # without cut-outs, a folder should have pairs
    with pytest.raises(FileNotFoundError, match="needs the folder") as error:
        items(name, root)
    assert str(gone) in str(error.value)


@pytest.mark.parametrize("home", [0, 1])
def test_an_empty_folder_is_named(name, root, home):
    place = root / HOMES[name][home]
    for path in place.iterdir():
        path.unlink()
    with pytest.raises((FileNotFoundError, ValueError), match=r"no pictures|has 0") as error:
        items(name, root)
    assert str(place) in str(error.value)


@pytest.mark.parametrize("home", [0, 1])
def test_an_unreadable_picture_is_named(name, root, home):
    path = sorted((root / HOMES[name][home]).iterdir())[0]
    path.write_bytes(b"broken")
    with pytest.raises(ValueError, match="not a readable picture") as error:
        benchmarks.get(name).load(items(name, root)[0])
    assert str(path) in str(error.value)


def test_a_cutout_without_alpha_is_named(name, root):
    path = root / HOMES[name][0] / "x_a3.png"
    trees.write(trees.picture(0), path)
    with pytest.raises(ValueError, match=r"x_a3.png has no alpha channel"):
        benchmarks.get(name).load(items(name, root)[0])


def test_junk_is_passed_over(name, root):
    for home in HOMES[name]:
        trees.junk(root / home)
    assert len(items(name, root)) == 3


def test_another_count_is_refused(tmp_path):
    for home in HOMES["photomatte85"]:
        trees.write(rgba(0), tmp_path / home / "a.png")
    with pytest.raises(ValueError, match=r"PhotoMatte85 has 85 items .* has 1; scores of a part"):
        photomatte85.items(tmp_path)


def test_a_folder_may_have_splits(tmp_path):
    trees.paired(tmp_path, "folder")
    trees.paired(tmp_path / "train", "folder")
    (tmp_path / "train" / "image" / "x_a3.png").unlink()
    (tmp_path / "train" / "alpha" / "x_a3.png").unlink()
    assert len(folder.items(tmp_path)) == 3  # the root's own
    assert len(folder.items(tmp_path, "train")) == 2
    trees.paired(tmp_path / "test", "folder")
    assert {sample.image.parents[1].name for sample in folder.items(tmp_path)} == {"test"}


def test_a_folder_needs_neither_trimaps_nor_foregrounds(tmp_path):
    trees.paired(tmp_path, "folder")
    for name in ("trimap", "foreground"):
        shutil.rmtree(tmp_path / name)
    loaded = folder.load(folder.items(tmp_path)[0])
    np.testing.assert_array_equal(loaded.trimap, bank.trimap(loaded.alpha))
    assert loaded.foreground is None


def test_a_folder_of_nothing_is_refused(tmp_path):
    for name in ("image", "alpha"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"no pictures in .*image"):
        folder.items(tmp_path)
