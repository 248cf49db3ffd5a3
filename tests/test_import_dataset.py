"""The command import_dataset: other data sets as ours, with colour exact where it is known and estimated elsewhere."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stages
import webdataset
from PIL import Image

import train_matting
from ldportrait import assembling, data_card, datasets, images, shards

SIZE = 48


def write(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **({"quality": 98} if path.suffix == ".jpg" else {}))


def subject(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A shaded cut-out with a soft rim (SIZE, SIZE, 4), and its picture before a wall of another colour."""
    y, x = np.mgrid[:SIZE, :SIZE]
    alpha = np.clip((18 - np.hypot(x - SIZE / 2, y - SIZE / 2 - seed)) / 6 + 0.5, 0, 1)
    colour = np.stack([90 + 2 * x, 160 - 2 * y, np.full_like(x, 40 + 30 * seed)], axis=-1)
    cut = np.dstack([colour, np.rint(255 * alpha)]).astype(np.uint8)
    return cut, images.composite(cut, np.array([30, 60, 200], np.uint8))


def pairs(home: Path, stems: tuple[str, ...] = ("b", "a", "c"), suffix: str = ".png") -> Path:
    """Pictures and mattes; a stem's place is its seed."""
    for seed, stem in enumerate(stems):
        cut, picture = subject(seed)
        write(picture, home / "image" / f"{stem}{suffix}")
        write(cut[..., 3], home / "alpha" / f"{stem}.png")
    return home


def call(root: Path, output: Path, *options: object):
    return stages.call("import_dataset.py", root, output, "--name", "theirs", "--run", "r", *options)


def imported(root: Path, output: Path, *options: object) -> list[shards.Item]:
    result = call(root, output, *options)
    assert result.returncode == 0, result.stderr
    return list(datasets.read(output, "train"))


def assert_refused(result, *words: str) -> None:
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert all(word in result.stderr for word in words), result.stderr


def test_a_folder_becomes_a_data_set(tmp_path):
    """Ids count in order of name, in tars of the size asked for; nothing is said that is not known."""
    pairs(tmp_path / "mine" / "train")
    items = imported(tmp_path / "mine", tmp_path / "out", "--shard-size", 2)
    assert [item.row["id"] for item in items] == [f"r-theirs-{index:09d}" for index in range(3)]
    assert [item.row["source"] for item in items] == ["a", "b", "c"]
    table = datasets.metadata(tmp_path / "out")
    assert table.shard.tolist() == ["train/shard-0000000.tar"] * 2 + ["train/shard-0000001.tar"]
    assert set(table.split) == {"train"}
    assert set(table.variant) == {"theirs"}
    assert set(table.persona) == {""}
    assert set(table.width) == set(table.height) == {SIZE}
    assert assembling.checksums(tmp_path / "out") == (tmp_path / "out" / "checksums.sha256").read_text(encoding="utf-8")


def test_known_colour_is_kept_exactly(tmp_path):
    home = pairs(tmp_path / "mine" / "train")
    known = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    for stem in "abc":
        write(known, home / "foreground" / f"{stem}.png")
    for item, seed in zip(imported(tmp_path / "mine", tmp_path / "out"), (1, 0, 2), strict=True):
        assert (item.rgba[..., :3] == known).all()  # under alpha 0, too
        assert (item.rgba[..., 3] == subject(seed)[0][..., 3]).all()


def test_cutouts_keep_their_colour_exactly(tmp_path):
    home = tmp_path / "mine" / "train"
    for seed in range(2):
        write(subject(seed)[0], home / "cutout" / f"{seed}.png")
    write(np.full((5, 7, 3), 90, np.uint8), home / "background" / "wall.jpg")
    items = imported(tmp_path / "mine", tmp_path / "out")
    assert len(items) == 2
    assert all((item.rgba == subject(seed)[0]).all() for seed, item in enumerate(items))


def test_estimated_colour_makes_the_picture_again(tmp_path):
    """Before the wall that is known here; where the subject is solid the colour is the picture's own."""
    pairs(tmp_path / "mine" / "train")
    for item, seed in zip(imported(tmp_path / "mine", tmp_path / "out"), (1, 0, 2), strict=True):
        cut, picture = subject(seed)
        assert (item.rgba[..., 3] == cut[..., 3]).all()
        again = images.composite(item.rgba, np.array([30, 60, 200], np.uint8)).astype(int)
        soft, solid = (cut[..., 3] > 0) & (cut[..., 3] < 255), cut[..., 3] == 255
        assert np.abs(again - picture)[soft].mean() < 4
        assert np.abs(item.rgba[..., :3].astype(int) - picture)[solid].max() <= 2
        naive = np.dstack([picture, cut[..., 3]])  # what it would be without an estimate
        off = [np.abs(rgba[..., :3].astype(int) - cut[..., :3])[soft].mean() for rgba in (item.rgba, naive)]
        assert off[0] < 0.5 * off[1]


def test_a_benchmarks_train_split(tmp_path, monkeypatch):
    from ldportrait.benchmarks import p3m_500_p

    for seed, stem in enumerate(("p_b", "p_a")):
        cut, picture = subject(seed)
        write(picture, tmp_path / "P3M-10k" / "train" / "blurred_image" / f"{stem}.jpg")
        write(cut[..., 3], tmp_path / "P3M-10k" / "train" / "mask" / f"{stem}.png")
    options = ("--benchmark", "p3m-500-p")
    assert_refused(call(tmp_path / "P3M-10k", tmp_path / "out", *options), "9421", "has 2")
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(p3m_500_p.COUNTS, "train", 2)
    items = imported(tmp_path / "P3M-10k", tmp_path / "out", *options)
    assert [item.row["source"] for item in items] == ["p_a", "p_b"]
    assert (items[0].rgba[..., 3] == subject(1)[0][..., 3]).all()


def test_the_card_says_whose_licence_it_is(tmp_path):
    pairs(tmp_path / "mine" / "train")
    imported(tmp_path / "mine", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "license: other" in card
    assert data_card.OTHERS.text in card
    assert datasets.IMPORTED in card
    assert "imagined adults" not in card
    assert "Variant **theirs**" in card
    assert json.loads((tmp_path / "out" / "croissant.json").read_text(encoding="utf-8"))["license"]


def test_it_loads_with_webdataset_and_trains(tmp_path, one_thread):
    pairs(tmp_path / "mine" / "train")
    items = imported(tmp_path / "mine", tmp_path / "out")
    tar = str(tmp_path / "out" / "train" / "shard-0000000.tar")
    found = list(webdataset.WebDataset(tar, shardshuffle=False).decode("pilrgba"))
    assert [sample["json"]["id"] for sample in found] == [item.row["id"] for item in items]
    assert all((np.array(sample["rgba.webp"]) == item.rgba).all() for sample, item in zip(found, items, strict=True))
    write(np.full((SIZE, SIZE, 3), 90, np.uint8), tmp_path / "walls" / "wall.png")
    small = {"steps": 2, "batch_size": 2, "crop": 32, "checkpoint_every": 1}
    train_matting.main(tmp_path / "out", tmp_path / "model", backgrounds=tmp_path / "walls", **small)
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_importing_again_gives_equal_bytes(tmp_path):
    pairs(tmp_path / "mine" / "train")
    for name in ("one", "two", "two"):
        imported(tmp_path / "mine", tmp_path / name)
    first, second = ((tmp_path / name / "checksums.sha256").read_text(encoding="utf-8") for name in ("one", "two"))
    assert first == second


def test_bad_input_leaves_what_was_there(tmp_path):
    """The second import finds its last picture damaged."""
    home = pairs(tmp_path / "mine" / "train")
    imported(tmp_path / "mine", tmp_path / "sets" / "out")
    before = (tmp_path / "sets" / "out" / "checksums.sha256").read_text(encoding="utf-8")
    (home / "alpha" / "c.png").write_bytes(b"")
    assert_refused(call(tmp_path / "mine", tmp_path / "sets" / "out"), "c.png", "not a readable picture")
    write(np.zeros((SIZE, SIZE), np.uint8), home / "alpha" / "c.png")
    assert_refused(call(tmp_path / "mine", tmp_path / "sets" / "out"), "alpha of c is 0 throughout")
    write(np.zeros((SIZE, SIZE + 1), np.uint8), home / "alpha" / "c.png")
    assert_refused(call(tmp_path / "mine", tmp_path / "sets" / "out"), "c.png", "49 x 48")
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["out"]
    assert (tmp_path / "sets" / "out" / "checksums.sha256").read_text(encoding="utf-8") == before
    with tarfile.open(tmp_path / "sets" / "out" / "train" / "shard-0000000.tar") as tar:
        assert len(tar.getnames()) == 6
    assert len(pd.read_parquet(tmp_path / "sets" / "out" / "metadata.parquet")) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--benchmark", "p4m"), ("no benchmark 'p4m'", "p3m-500-p")),
        (("--benchmark", "ppm-100"), ("PPM-100", "no split 'train'")),
        (("--benchmark", "videomatte-240k", "--split", "test"), ("kind video",)),
        (("--split", "val"), ("no split 'val'",)),
        (("--name", "My Set"), ("My Set", "[a-z0-9-]+")),
        (("--run", "a.b"), ("a.b", "[a-z0-9-]+")),
    ],
)
def test_bad_options_are_refused(tmp_path, options, words):
    pairs(tmp_path / "mine" / "train")
    assert_refused(call(tmp_path / "mine", tmp_path / "out", *options), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_missing_folder_is_refused(tmp_path):
    assert_refused(call(tmp_path / "absent", tmp_path / "out"), "absent")
    assert not (tmp_path / "out").exists()
