"""The command train_matting: it trains, goes on after a kill, and says what is wrong."""

import csv
import hashlib
import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stages
import torch
import typer
from conftest import SCRIPTS
from PIL import Image
from safetensors.torch import load_file
from test_augment import portrait

import train_matting
from ldportrait import images, models, shards, training, training_data

SMALL = {"steps": 8, "batch_size": 2, "crop": 32, "checkpoint_every": 3, "validation": 2}


COMMAND = [sys.executable, str(SCRIPTS / "train_matting.py")]


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)


def train(*arguments: object, **options: object) -> None:
    """The command in this process: Lightning takes seconds to import."""
    train_matting.main(*arguments, **(SMALL | options))


def write_dataset(folder: Path, count: int = 8, val: int = 2) -> Path:
    """A data set of small portraits, each of a persona of its own."""
    rows = []
    for split, ids in (("train", range(count)), ("val", range(count, count + val))):
        tar = folder / split / "shard-0000000.tar"
        tar.parent.mkdir(parents=True)
        with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as archive:
            for i in ids:
                content = shards.encode(portrait(64, colour=(i * 20, 120, 90)))
                row = {"id": f"x-{i:09d}", "persona": f"p{i}", "split": split, "width": 64, "height": 64}
                row |= {"variant": "truth", "shard": f"{split}/{tar.name}"}
                row |= {"sha256": hashlib.sha256(content).hexdigest()}
                shards.add_member(archive, f"{row['id']}.rgba.webp", content)
                shards.add_member(archive, f"{row['id']}.json", shards.member_json(row))
                rows.append(row)
    shards.write_table(pd.DataFrame(rows), folder / "metadata.parquet")
    return folder


def write_backgrounds(folder: Path) -> Path:
    folder.mkdir()
    for i in range(2):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (50, 60, 3), dtype=np.uint8)).save(
            folder / f"{i}.png"
        )
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    write_dataset(folder / "truth")
    write_backgrounds(folder / "grounds")
    return folder


def as_options(settings: dict[str, object]) -> list[str]:
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(scope="module")
def trained(place):
    train(place / "truth", place / "model", backgrounds=place / "grounds", fraction=50)
    return place / "model"


def test_it_writes_a_model_that_loads(trained):
    assert sorted(path.name for path in trained.iterdir()) == ["log.csv", "model.json", "model.safetensors"]
    _, info = models.load(trained)
    assert info["model"] == "small-trimap"
    assert info["variant"] == "truth"
    assert (info["fraction"], info["seed"], info["ids"], info["plan"]["steps"]) == (50, 0, 4, 8)
    assert 0 < info["val"]["unknown_mad"] < 1


def test_the_log_has_a_row_a_step(trained):
    rows = list(csv.DictReader((trained / "log.csv").open()))
    assert [int(row["step"]) for row in rows] == list(range(1, 9))
    assert list(rows[0]) == ["step", "loss", "unknown", "laplacian", "learning_rate", "skipped"]
    for row in rows:
        assert float(row["loss"]) == pytest.approx(float(row["unknown"]) + 0.5 * float(row["laplacian"]), rel=1e-4)


def test_a_killed_training_goes_on_and_ends_alike(place, trained, capsys):
    """Killed by signal 9 at its second checkpoint, a training is taken up at its first and ends in the same weights."""
    output, checkpoint = place / "again", place / "again" / ".checkpoints" / "last.ckpt"
    options = as_options(SMALL | {"backgrounds": place / "grounds", "fraction": 50})
    assert stages.call_killed(checkpoint, 2, "train_matting.py", place / "truth", output, *options) == ""
    assert [path.name for path in output.iterdir()] == [".checkpoints"]
    train(place / "truth", output, backgrounds=place / "grounds", fraction=50)
    assert "going on from step" in capsys.readouterr().out
    assert not checkpoint.exists()
    assert (output / "log.csv").read_text() == (trained / "log.csv").read_text()
    weights = [load_file(folder / "model.safetensors") for folder in (output, trained)]
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


def test_one_that_a_scheduler_stops_asks_to_be_started_again(place, tmp_path, monkeypatch, capsys):
    """SIGTERM amid a step: exit status 143, a checkpoint, nothing else; the same command then goes on to the end."""
    options = {"backgrounds": place / "grounds", "ema": 0.9, "validate_every": 4, "keep": "best"}
    train(place / "truth", tmp_path / "whole", **options)
    sample = training_data.Composites.bytes

    def signalled(self: training_data.Composites, index: int) -> dict[str, torch.Tensor]:
        if index == 9:  # of the fifth step
            os.kill(os.getpid(), signal.SIGTERM)
        return sample(self, index)

    monkeypatch.setattr(training_data.Composites, "bytes", signalled)
    with pytest.raises(typer.Exit) as stop:
        train(place / "truth", tmp_path / "model", **options)
    monkeypatch.undo()
    assert stop.value.exit_code == 143
    assert "goes on from there" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "model").iterdir()] == [".checkpoints"]
    train(place / "truth", tmp_path / "model", **options)
    assert "going on from step 5" in capsys.readouterr().out
    for name in ("model.safetensors", "log.csv"):
        assert (tmp_path / "model" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    info = models.read_info(tmp_path / "model")
    assert info["skipped"] == 0
    assert info["best"]["mad"] == info["val"]["mad"]


def test_tensorboard_s_files_hold_the_log(place, tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    train(place / "truth", tmp_path / "model", backgrounds=place / "grounds", steps=3, tensorboard=True)
    (file,) = (tmp_path / "model" / "events").glob("events.*")
    found = {}
    stream = io.BytesIO(file.read_bytes())
    while header := stream.read(12):  # TensorFlow's records: a length and its checksum, the content and its checksum
        event = Event.FromString(stream.read(struct.unpack("<Q", header[:8])[0]))
        stream.read(4)
        for value in event.summary.value:
            found[event.step, value.tag] = value.simple_value
    for row in csv.DictReader((tmp_path / "model" / "log.csv").open()):
        assert found[int(row["step"]), "loss"] == pytest.approx(float(row["loss"]), rel=1e-4)


def test_a_damaged_checkpoint_is_thrown_away(place, capsys):
    folder = place / "old"
    folder.mkdir()
    (folder / "last.ckpt").write_bytes(b"no checkpoint")
    (folder / "mine.txt").touch()
    train(place / "truth", place / "fresh", backgrounds=place / "grounds", steps=1, checkpoints=folder)
    printed = capsys.readouterr().out
    assert "last.ckpt is damaged" in printed
    assert "going on" not in printed
    assert [path.name for path in folder.iterdir()] == [
        "mine.txt"
    ]  # of a folder that is given, nothing else is removed


def test_another_cache_is_another_order_of_samples(place, tmp_path, monkeypatch, capsys):
    sample = training_data.Composites.bytes

    def signalled(self: training_data.Composites, index: int) -> dict[str, torch.Tensor]:
        if index == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return sample(self, index)

    monkeypatch.setattr(training_data.Composites, "bytes", signalled)
    with pytest.raises(typer.Exit):
        train(place / "truth", tmp_path / "model", backgrounds=place / "grounds", cache=1000)
    monkeypatch.undo()
    train(place / "truth", tmp_path / "model", backgrounds=place / "grounds", cache=900)
    assert "going on" not in capsys.readouterr().out


def test_a_checkpoint_of_another_run_is_not_used(tmp_path):
    torch.save({"digest": "another", "global_step": 5}, tmp_path / "last.ckpt")
    assert training.Keeper(tmp_path, "this one", 1).found() == 0
    assert not (tmp_path / "last.ckpt").exists()
    torch.save({"digest": "this one", "global_step": 5}, tmp_path / "last.ckpt")
    assert training.Keeper(tmp_path, "this one", 1).found() == 5


def test_parts_are_nested(place):
    parts = [set(train_matting.part(place / "truth", "train", percent, 0).id) for percent in (25, 50, 100)]
    assert parts[0] < parts[1] < parts[2]
    assert [len(part) for part in parts] == [2, 4, 8]


def test_a_banks_backgrounds_are_those_of_its_training_split(place, tmp_path):
    rows = [
        {"kind": kind, "split": split, "path": f"{split}-{kind}.webp"}
        for kind in ("background", "green")
        for split in ("train", "test")
    ]
    shards.write_table(pd.DataFrame(rows), tmp_path / "bank.parquet")
    for row in rows:
        images.write_webp(tmp_path / row["path"], np.zeros((700, 800, 3), np.uint8))
    for place in (tmp_path, tmp_path / "bank.parquet"):
        (name, picture), *others = train_matting.read_backgrounds(place).items()
        assert name == "train-background.webp"
        assert not others
        assert min(picture.shape[:2]) == train_matting.LIMIT


def test_a_mistake_is_told_in_one_line(place, tmp_path):
    result = run(place / "truth", tmp_path / "model", "--backgrounds", place / "grounds", "--model", "huge")
    assert result.returncode == 2
    assert result.stderr == f"There is no network named huge; there are {', '.join(models.NETWORKS)}.\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gpus": 64}, "64 GPUs.*--gpus 0"),
        ({"crop": 3}, "crop.*3"),
        ({"steps": 0}, "steps.*0"),
        ({"fraction": 0}, "0"),
        ({"backgrounds": Path("nowhere")}, "nowhere"),
        ({"precision": "8"}, "precision.*32-true"),
        ({"learning_rate": 1e30, "steps": 20}, "not a finite number in 10 steps in a row"),
        ({"validate_every": 2, "validation": 0}, "validate_every"),
        ({"model": "vitmatte-s", "init": "dino"}, "dino.*SHA-256"),
    ],
)
def test_a_bad_option_is_refused(place, tmp_path, options, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        train(place / "truth", tmp_path / "model", **({"backgrounds": place / "grounds"} | options))
    assert not (tmp_path / "model" / "model.json").exists()


def test_bad_data_are_refused(place, tmp_path):
    options = {"backgrounds": place / "grounds", "steps": 1}
    with pytest.raises(FileNotFoundError, match="absent"):
        train(tmp_path / "absent", tmp_path / "model", **options)
    shutil.copytree(place / "truth", tmp_path / "cut")
    tar = tmp_path / "cut" / "train" / "shard-0000000.tar"
    tar.write_bytes(tar.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"shard-0000000\.tar"):
        train(tmp_path / "cut", tmp_path / "model", **options)
    tar.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-0000000\.tar"):
        train(tmp_path / "cut", tmp_path / "model", **options)
    assert not (tmp_path / "model" / "model.json").exists()
