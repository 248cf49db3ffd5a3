"""A disk that is full in mid-write, or read-only: for shards, tables, data sets, weights, pictures and figures.

One sentence names the file and says what to do; nothing half-done has a final name; with room, the same command ends as
an undisturbed one.
"""

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from conftest import SCRIPTS
from inputs import COMMANDS
from trouble import Ending, disk, left_over, run, work

from ldportrait import commands, merging, shards

WRITERS = [
    "make_prompts",
    "refine_mattes",
    "refine_pictures",
    "assemble_dataset",
    "train_matting",
    "predict_mattes",
    "plot_acceptance",
    "segment_video",
    "matte_video",
    "make_thumbnails",
    "build_gallery",
]
SCRIPT = {"refine_pictures": "refine_mattes.py"}


def assert_said(ending: Ending, word: str, place: object) -> None:
    assert ending.status == 2, ending.said
    lines = [line for line in ending.said.splitlines() if not line.startswith("Warning:")]
    assert len(lines) == 1, ending.said
    assert word in lines[0]
    assert str(place) in lines[0]
    assert "run the same command again" in lines[0]


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_and_a_read_only_disk(name, tmp_path):
    report, whole, place = tmp_path / "report", tmp_path / "plain" / "out", tmp_path / "disk"
    words, script = COMMANDS[name](tmp_path / "in"), SCRIPT.get(name, f"{name}.py")
    undisturbed = run(script, *words(whole), report=report)
    assert undisturbed.status == 0, undisturbed.said
    expected = work(whole)
    sizes = [-(-path.stat().st_size // 4096) * 4 for path in whole.rglob("*") if path.is_file()]
    with disk(place, max(4, sum(sizes) // 2)) as remount:
        out = place / "out"
        assert_said(run(script, *words(out), report=report), "no room for", out)
        assert work(out).items() <= expected.items()
        assert [path for path in left_over(out) if "/.partial/" not in f"/{path}"] == []
        remount("size=64m,ro")
        assert_said(run(script, *words(out), report=report), "Read-only file system", out)
        assert work(out).items() <= expected.items()
        remount("size=64m,rw")
        assert run(script, *words(out), report=report).status == 0
        assert work(out) == expected


def test_a_checkpoint_that_finds_no_room_leaves_the_last_one(tmp_path):
    """The disk fills up while a training runs: its last whole checkpoint is there, and it goes on from that."""
    report, place = tmp_path / "report", tmp_path / "disk"
    words = COMMANDS["train_matting"](tmp_path / "in")
    assert run("train_matting.py", *words(tmp_path / "whole"), report=report).status == 0
    size = (tmp_path / "whole" / "model" / "model.safetensors").stat().st_size
    with disk(place, 5 * size // 1024) as remount:  # a checkpoint has the weights and two moments: room for one
        ending = run("train_matting.py", *words(place), report=report)
        assert_said(ending, "no room for", place / "model" / ".checkpoints" / "last.ckpt")
        assert [path.name for path in (place / "model" / ".checkpoints").iterdir() if path.name != "lock"] == [
            "last.ckpt"
        ]
        remount("size=64m")
        assert run("train_matting.py", *words(place), report=report).status == 0
        assert work(place) == work(tmp_path / "whole")


GOING_DOWN, WITHOUT_ITS_LOG = 0x8004587D, struct.pack("I", 2)  # ext4's: as a power cut, nothing more is written


def test_a_power_cut_leaves_no_name_without_content(tmp_path):
    """A file system that has put a new name on the disk, and would put the content there half a minute later."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as stream:
        stream.truncate(16 << 20)
    mount = ["mount", "-o", "loop,noauto_da_alloc", image, place]
    if not shutil.which("mkfs.ext4") or os.geteuid() != 0:
        pytest.skip("a disk of its own takes root and mkfs.ext4")
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk cannot be mounted here")
    try:
        with shards.replacing(place / "table.csv") as temporary:
            temporary.write_text("content\n" * 1000)
        (place / "plain.csv").write_text("content\n" * 1000)  # what is written in the usual way, for comparison
        folder = os.open(place, os.O_RDONLY)
        os.fsync(folder)
        fcntl.ioctl(folder, GOING_DOWN, WITHOUT_ITS_LOG)
        os.close(folder)
        subprocess.run(["umount", place], check=True)
        subprocess.run(mount, check=True)
        assert [(place / name).stat().st_size for name in ("table.csv", "plain.csv")] == [8000, 0]
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_weights_that_find_no_room_are_said(tmp_path):
    """The ledger of fetched weights stays whole on a full disk: it says what may be used ever after."""
    from ldportrait.layerdiffuse import files

    with disk(tmp_path / "disk", 4) as remount:
        path, ledger = tmp_path / "disk" / "checksums.sha256", {}
        files._add_to_ledger(path, ledger, "a.safetensors", "0" * 64)
        before = path.read_bytes()
        with pytest.raises(OSError, match=r"checksums\.sha256") as full:
            files._add_to_ledger(path, ledger, "b" * 200, "1" * 64)
        assert full.value.errno == errno.ENOSPC
        assert path.read_bytes() == before
        remount("size=1m")
        del ledger["b" * 200]
        files._add_to_ledger(path, ledger, "b" * 200, "1" * 64)
        assert files._read_ledger(path) == ledger


def test_a_merged_set_that_finds_no_room_does_not_call_its_source_damaged(tmp_path):
    tar = tmp_path / "a.tar"
    with tarfile.open(tar, "w") as archive:
        shards.add_member(archive, "x-0.rgba.webp", bytes(100_000))
    with (
        disk(tmp_path / "disk", 64),
        pytest.raises(OSError, match="No space left") as full,
        shards.replacing_folder(tmp_path / "disk" / "set") as new,
    ):
        merging._copy_without(tar, new / "a.tar", [])
    assert commands.of_the_disk(full.value).startswith(f"There is no room for {tmp_path / 'disk' / 'set'} (")


def test_an_error_of_the_disk_names_the_file_and_others_keep_theirs(tmp_path):
    with pytest.raises(OSError, match=r"table\.csv") as full, shards.replacing(tmp_path / "table.csv"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "table.csv" in commands.of_the_disk(full.value)
    assert "free some space" in commands.of_the_disk(full.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match=r"^There is no such picture\.$"), shards.replacing(tmp_path / "a"):
        raise FileNotFoundError("There is no such picture.")
    with pytest.raises(OSError, match="input") as other, shards.replacing(tmp_path / "a"):
        raise OSError(errno.EACCES, "Permission denied", "input")
    assert other.value.filename == "input"


def test_a_user_who_may_not_write_is_told():
    """Nobody, in a folder of root's: the sentence names what cannot be written."""
    nobody = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable]
    script = str(SCRIPTS / "make_prompts.py")
    with tempfile.TemporaryDirectory() as name:  # others may not enter pytest's own
        folder = Path(name)
        folder.chmod(0o755)
        words = map(str, COMMANDS["make_prompts"](folder)(folder / "out"))
        (folder / "out").mkdir()
        probe = [*nobody, "-c", "import sys, typer, pandas; open(sys.argv[1])", script]
        if not shutil.which("setpriv") or subprocess.run(probe, capture_output=True, check=False).returncode:
            pytest.skip("a command cannot be run as nobody here; that needs root, setpriv, and files open to all")
        done = subprocess.run([*nobody, script, *words], capture_output=True, text=True, check=False)
        assert_said(Ending(done.returncode, done.stderr, 0), "Permission denied", folder / "out")
        assert list((folder / "out").iterdir()) == []
