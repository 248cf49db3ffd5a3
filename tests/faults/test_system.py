"""A system that is not well: a disk that drops out, too many open files, no memory, no locks, names that cannot be.

What cannot be read now may be as good as ever: it is not called damaged, and nothing that was finished is thrown away.
"""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import stages
import synthetic
from conftest import SCRIPTS
from inputs import COMMANDS

import train_matting
from ldportrait import checkpoints, commands, datasets, images, merging, shards, training_data

SHARD = "shard-0000000.tar"
FAILING = "/proc/self/mem"  # a plain file that opens, and whose first byte gives EIO, as a disk that drops out does


@pytest.fixture
def root(tmp_path) -> Path:
    """A shard, and a data set that names one."""
    if not Path(FAILING).is_file():
        pytest.skip("no file of this system fails to be read")
    made = synthetic.results(tmp_path, count=2, shard_size=2, size=16).folder
    stages.make(tmp_path / "run", count=4, per_shard=4)
    words = [*stages.folders(tmp_path / "run"), made / "set", "--shards", 1, "--run", "demo"]
    done = stages.call("assemble_dataset.py", *words)
    assert done.returncode == 0, done.stderr
    return made


def fail(path: Path) -> Path:
    """Let a file fail to be read."""
    path.unlink(missing_ok=True)
    path.symlink_to(FAILING)
    return path


READERS = {
    "shard": lambda root, tar: list(shards.read_shard(tar)),
    "data set": lambda root, tar: list(datasets.read(root / "set", "train")),
    "training": lambda root, tar: [list(training_data.read(part)) for part in parts(root)],
    "merging": lambda root, tar: merging._copy_without(tar, root / "new.tar", []),
    "picture": lambda root, tar: images.read_rgba(tar),
    "checkpoint": lambda root, tar: checkpoints.read_checkpoint(tar, ""),
}


def parts(root: Path) -> list:
    return train_matting.shards_of(train_matting.part(root / "set", "train", 100, 0), root / "set")


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_cannot_be_read_now_is_not_called_damaged(root, reader):
    """Its reader passes the error on with the file's name, instead of advising to delete it, or deleting it."""
    tar = root / "generated" / SHARD if reader == "shard" else root / "set" / "train" / SHARD
    fail(tar)
    with pytest.raises(OSError, match=str(tar)) as failed:
        READERS[reader](root, tar)
    assert failed.value.errno == errno.EIO
    assert tar.is_symlink()


@pytest.fixture
def no_more_files() -> Iterator[None]:
    """A process that may open no more files."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    os.close(lowest)


def test_a_table_is_not_called_damaged_where_too_many_files_are_open(root, no_more_files):
    with pytest.raises(OSError, match=r"shard-0000000\.parquet") as failed:
        shards.read_manifest(root / "generated" / SHARD)
    assert failed.value.errno == errno.EMFILE


def test_finished_items_are_kept_where_their_record_cannot_be_read_now(root, tmp_path):
    tar, partial, made = tmp_path / "s" / SHARD, tmp_path / "partial", []

    def make(id: str) -> shards.Item:
        made.append(id)
        if made == ["x-0", "x-1"]:
            raise KeyboardInterrupt
        return shards.Item({"id": id}, np.full((8, 8, 4), 9, np.uint8))

    jobs = [(id, lambda id=id: make(id)) for id in ("x-0", "x-1")]
    with pytest.raises(KeyboardInterrupt):
        shards.make_shard(tar, partial, {}, jobs)
    record = (partial / "state.json").read_bytes()
    fail(partial / "state.json")
    with pytest.raises(OSError, match="Input/output error"):
        shards.make_shard(tar, partial, {}, jobs)
    (partial / "state.json").unlink()
    (partial / "state.json").write_bytes(record)  # the disk is back
    shards.make_shard(tar, partial, {}, jobs)
    assert made == ["x-0", "x-1", "x-1"]


def test_a_command_says_it_in_one_line(root):
    tar = fail(root / "generated" / SHARD)
    done = stages.call("refine_mattes.py", tar, root / "again" / SHARD)
    assert done.returncode == 2
    assert done.stderr == (
        f"{tar} cannot be read or written (Input/output error); it may well be whole, so keep it, see to the disk or "
        "the machine, and run the same command again.\n"
    )


@pytest.mark.parametrize(("kind", "said"), [("file", "Not a directory"), ("link", "File exists"), ("long", "too long")])
def test_a_place_that_cannot_be_one_is_named(tmp_path, kind, said):
    """A file where a folder should be; a link to a disk that is not mounted; a name that is too long."""
    place = tmp_path / ("x" * 300 if kind == "long" else "results")
    if kind == "file":
        place.write_text("")
    if kind == "link":
        place.symlink_to(tmp_path / "not mounted")
    done = stages.call("make_prompts.py", *COMMANDS["make_prompts"](tmp_path)(place / "demo"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert str(place) in done.stderr
    assert said in done.stderr


def test_too_little_memory_is_said_in_one_line():
    source = "from ldportrait import commands\ndef main():\n    '''x'''\n    bytearray(1 << 62)\ncommands.run(main)"
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("The memory does not suffice; give this command more of it")
    assert done.stderr.count("\n") == 1


def test_a_disk_without_locks_gives_none(tmp_path, monkeypatch):
    """As some network file systems answer to flock; another error of theirs is said."""

    def refuse(number: int):
        def flock(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        return flock

    monkeypatch.setattr(shards.fcntl, "flock", refuse(errno.ENOLCK))
    with shards.replacing(tmp_path / "a") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "a").read_text() == "whole"
    monkeypatch.setattr(shards.fcntl, "flock", refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output error") as failed, shards.replacing(tmp_path / "a"):
        pass
    assert commands.of_the_disk(failed.value).startswith(f"{tmp_path / 'a'} cannot be read or written")
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["a"]
