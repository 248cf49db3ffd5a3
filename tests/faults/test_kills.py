"""kill -9 at every stage: at steps all over a command's work, and in the middle of a file.

A command is killed, started again and killed a little later, until it comes to its end. Whatever has a final name in
between is as an undisturbed run makes it, and so is the result.
"""

import itertools
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from inputs import COMMANDS
from trouble import finished, left_over, run, start, wait_for, work

from ldportrait import shards

KILLS = 3  # of a command, spread over its steps


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"refine_pictures"}))
def test_a_command_killed_again_and_again_ends_as_an_undisturbed_one(name, tmp_path):
    report, out, whole = tmp_path / "report", tmp_path / "out", tmp_path / "whole"
    words = COMMANDS[name](tmp_path / "in")
    undisturbed = run(f"{name}.py", *words(whole), report=report, folder=whole)
    assert undisturbed.status == 0, undisturbed.said
    expected = work(whole)
    stride = max(2, undisturbed.steps // KILLS)
    kills = 0
    for step in itertools.count(stride, stride):
        ending = run(f"{name}.py", *words(out), report=report, folder=out, step=step)
        found = work(out) if out.is_dir() else {}
        if not ending.killed:
            break
        kills += 1
        assert found.items() <= expected.items(), f"killed before step {step}"
    assert kills >= min(2, undisturbed.steps // stride)
    assert ending.status == 0, ending.said
    assert found == expected
    assert left_over(out) == []


@pytest.mark.parametrize("name", ["refine_mattes", "assemble_dataset", "predict_mattes", "plot_acceptance"])
def test_a_command_killed_in_the_middle_of_a_file(name, tmp_path):
    report, out, whole = tmp_path / "report", tmp_path / "out", tmp_path / "whole"
    words = COMMANDS[name](tmp_path / "in")
    assert run(f"{name}.py", *words(whole), report=report).status == 0
    expected = work(whole)
    largest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    for size in (100, largest // 2):
        ending = run(f"{name}.py", *words(out), report=report, size=size)
        assert ending.status == -signal.SIGXFSZ
        assert work(out).items() <= expected.items()
    assert run(f"{name}.py", *words(out), report=report).status == 0
    assert work(out) == expected
    assert left_over(out) == []


@pytest.mark.parametrize("name", ["generate_portraits", "refine_mattes"])
def test_a_scheduler_s_sigterm_loses_the_picture_in_flight_at_most(name, tmp_path):
    """SIGTERM ends these commands at once, so that no grace is too short; what is finished is kept."""
    report, out, whole = tmp_path / "report", tmp_path / "out", tmp_path / "whole"
    words = COMMANDS[name](tmp_path / "in")
    undisturbed = run(f"{name}.py", *words(whole), report=report, folder=whole)
    assert undisturbed.status == 0, undisturbed.said
    ending = run(f"{name}.py", *words(out), report=report, folder=out, step=undisturbed.steps // 2, by=signal.SIGTERM)
    assert ending.status == -signal.SIGTERM
    kept = {path.name: path.stat().st_mtime_ns for path in out.rglob(".partial/*/*/*.row")}
    assert 1 <= len(kept) <= 3
    again = run(f"{name}.py", *words(out), report=report, folder=out)
    assert again.status == 0
    assert again.steps < undisturbed.steps  # the finished ones were not made again
    assert work(out) == work(whole)


def test_a_training_that_waited_for_another_takes_what_that_one_made(tmp_path):
    """As where a job outlives its Snakemake: days of training are not done twice."""
    out = tmp_path / "out"
    words = COMMANDS["train_matting"](tmp_path / "in")
    first = start("train_matting.py", *words(out), report=tmp_path / "first")
    wait_for(lambda: (out / "model" / ".checkpoints" / "last.ckpt").is_file())
    os.kill(first.pid, signal.SIGSTOP)
    second = start("train_matting.py", *words(out), report=tmp_path / "second")
    wait_for(lambda: re.search(rf"-> FLOCK .* {second.pid} ", Path("/proc/locks").read_text(encoding="ascii")))
    os.kill(first.pid, signal.SIGCONT)
    first.join(120)
    made = {path: path.stat().st_mtime_ns for path in (out / "model").iterdir() if path.is_file()}
    second.join(120)
    assert (first.exitcode, second.exitcode) == (0, 0)
    assert [path.name for path in sorted(made)] == ["log.csv", "model.json", "model.safetensors"]
    assert {path: path.stat().st_mtime_ns for path in (out / "model").iterdir()} == made


def test_a_data_set_that_was_about_to_be_replaced_is_put_back(tmp_path):
    """Killed between the old one's going and the new one's coming: the next run finds the old one where it was."""
    folder, space = tmp_path / "set", tmp_path / ".set.part"
    (space / "old").mkdir(parents=True)
    (space / "old" / "a").write_text("old")
    with shards.scratch(folder):
        assert (folder / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    with shards.replacing_folder(folder) as new:
        assert list(new.iterdir()) == []
        (new / "a").write_text("new")
    assert (folder / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    with pytest.raises(FileNotFoundError), shards.replacing_folder(folder) as new:
        new.rmdir()  # so that it cannot take the old one's place
    assert (folder / "a").read_text() == "new"


def item(id: str) -> shards.Item:
    rgba = np.random.default_rng(int(id[-1])).integers(0, 256, (12, 10, 4), dtype=np.uint8)
    return shards.Item({"id": id, "seconds": 0.5}, rgba, rgba[..., 3])


def test_finished_items_are_not_made_again_and_damaged_ones_are(tmp_path):
    """What was finished before a kill stays, unless the disk spoilt it meanwhile: then it is made again."""
    ids, made = [f"x-{i}" for i in range(4)], []
    tar, partial = tmp_path / "s" / "shard.tar", tmp_path / "partial"

    def make(id: str, stop: str = "") -> shards.Item:
        if id == stop:
            raise KeyboardInterrupt
        made.append(id)
        return item(id)

    with pytest.raises(KeyboardInterrupt):
        shards.make_shard(tar, partial, {}, [(id, lambda id=id: make(id, "x-3")) for id in ids])
    content = bytearray((partial / "x-1.rgba.webp").read_bytes())
    content[60] ^= 1
    (partial / "x-1.rgba.webp").write_bytes(content)
    (partial / "x-2.row").write_bytes(b"")  # as a power cut may leave it
    shards.make_shard(tar, partial, {}, [(id, lambda id=id: make(id)) for id in ids])
    assert made == ["x-0", "x-1", "x-2", "x-1", "x-2", "x-3"]
    shards.make_shard(
        tmp_path / "whole" / "shard.tar", tmp_path / "p", {}, [(id, lambda id=id: item(id)) for id in ids]
    )
    assert finished(tar) == finished(tmp_path / "whole" / "shard.tar")
    assert Path(partial).exists() is False
