"""Devices of a machine: each process has its own, waits where there is none, and frees them however it ends.

The devices are pretended: names in CUDA_VISIBLE_DEVICES, or numbers that a stand-in for nvidia-smi lists.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, SCRIPTS
from stages import BANK, call
from test_generate_portraits import prompts
from test_train_matting import write_backgrounds, write_dataset

from ldportrait import devices

# Takes devices, notes when it had which, and holds them for some time; for a negative one, until its input is closed.
HOLD = f"""
import json, os, sys, time
sys.path.insert(0, {str(SCRIPTS)!r})
from ldportrait import devices
taken = devices.take(int(sys.argv[1]))
start = time.monotonic()
hold = float(sys.argv[2])
assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(taken)
print("taken", *taken, flush=True)
sys.stdin.read() if hold < 0 else time.sleep(hold)
with open(sys.argv[3], "a") as stream:
    print(json.dumps([taken, start, time.monotonic()]), file=stream)
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Pretend a machine with so many GPUs, and a folder for its locks."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # TMPDIR is read anew
    monkeypatch.setattr(devices, "_held", [])

    def pretend(count: int) -> Path:
        listing = "".join(f"echo {number}\n" for number in range(count)) or "exit 9\n"
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "nvidia-smi").write_text(f"#!/bin/sh\n{listing}")
        (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
        return tmp_path

    yield pretend
    for lock in devices._held:
        os.close(lock)


def hold(folder: Path, count: int, seconds: float) -> subprocess.Popen:
    words = [sys.executable, "-c", HOLD, str(count), str(seconds), str(folder / "held.jsonl")]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def held(folder: Path) -> list[tuple[list[str], float, float]]:
    return [json.loads(line) for line in (folder / "held.jsonl").read_text().splitlines()]


def overlaps(spans: list[tuple[float, float]]) -> int:
    """Count the spans that begin before an earlier one has ended."""
    spans = sorted(spans)
    return sum(later[0] < earlier[1] for earlier, later in zip(spans, spans[1:], strict=False))


def by_device(folder: Path) -> dict[str, list[tuple[float, float]]]:
    found = {}
    for names, start, end in held(folder):
        for name in names:
            found.setdefault(name, []).append((start, end))
    return found


def test_processes_share_the_devices_out_and_never_meet_on_one(machine):
    folder = machine(3)
    first = [hold(folder, 1, -1) for _ in range(3)]
    assert sorted(process.stdout.readline() for process in first) == ["taken 0\n", "taken 1\n", "taken 2\n"]
    others = [hold(folder, 1, 0.1) for _ in range(4)]
    assert all("waiting for 1 of the GPUs" in process.stderr.readline() for process in others)
    for process in first:
        process.stdin.close()
    assert [process.wait(timeout=120) for process in first + others] == [0] * 7
    spans = by_device(folder)
    assert sorted(spans) == ["0", "1", "2"]
    assert sum(map(len, spans.values())) == 7
    assert all(overlaps(of_one) == 0 for of_one in spans.values())


def test_processes_that_want_two_of_three_devices_do_not_lock_each_other_out(machine):
    folder = machine(3)
    processes = [hold(folder, 2, 0.2) for _ in range(4)] + [hold(folder, 1, 0.2) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 6
    assert all(overlaps(of_one) == 0 for of_one in by_device(folder).values())
    assert sorted(len(names) for names, _, _ in held(folder)) == [1, 1, 2, 2, 2, 2]


def test_a_process_waits_says_so_and_goes_on_when_the_other_is_killed(machine):
    folder = machine(1)
    first = hold(folder, 1, 600)
    assert first.stdout.readline() == "taken 0\n"
    second = hold(folder, 1, 0)
    assert second.stderr.readline() == "Other processes are at work; waiting for 1 of the GPUs 0 to be free.\n"
    time.sleep(0.8)
    assert second.poll() is None
    os.kill(first.pid, signal.SIGKILL)
    assert second.wait(timeout=120) == 0
    assert first.wait() == -signal.SIGKILL
    assert len(held(folder)) == 1  # the first got no further


def test_what_a_scheduler_gave_is_left_as_it_is(machine, monkeypatch):
    folder = machine(8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,MIG-3")
    assert devices.take(2) == ["5", "MIG-3"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,MIG-3"
    assert [path.name for path in folder.iterdir()] == ["bin"]  # no lock: others may hold one


def test_one_is_chosen_of_those_that_a_user_gave(machine, monkeypatch):
    folder = machine(8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6, 3")
    other = hold(folder, 1, 600)
    assert other.stdout.readline() == "taken 6\n"
    assert devices.take(1) == ["3"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert devices.take(1) == ["3"]  # asked again, a process keeps what it has
    other.kill()
    other.wait()


def test_an_allocation_has_locks_of_its_own(machine, monkeypatch):
    folder = machine(1)
    other = hold(folder, 1, 600)
    assert other.stdout.readline() == "taken 0\n"
    monkeypatch.setenv("SLURM_JOB_ID", "17")  # whose device 0 is another one
    assert devices.take(1) == ["0"]
    other.kill()
    other.wait()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "3 GPUs are asked for, but this machine has 2; "),
        ("0,1", "3 GPUs are asked for, but CUDA_VISIBLE_DEVICES=0,1 names 2; "),
        ("", "3 GPUs are asked for, but CUDA_VISIBLE_DEVICES= names 0; "),
        ("NoDevFiles", "3 GPUs are asked for, but CUDA_VISIBLE_DEVICES=NoDevFiles names 0; "),
        ("0,-1,1,2", "3 GPUs are asked for, but CUDA_VISIBLE_DEVICES=0,-1,1,2 names 1; "),
    ],
)
def test_more_than_there_are_is_refused(machine, monkeypatch, given, said):
    machine(2)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    with pytest.raises(ValueError, match="GPUs are asked for") as error:
        devices.take(3)
    assert str(error.value).startswith(said)


def test_nothing_is_taken_where_nothing_is_to_be_shared_out(machine, monkeypatch):
    folder = machine(0)  # nvidia-smi fails, as without a driver
    assert devices.take(1) == []
    assert devices.take(0) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    for name, value in (("LOCAL_RANK", "0"), ("SLURM_STEP_NUM_TASKS", "2")):  # torchrun, and srun with two tasks
        with monkeypatch.context() as started:
            started.setenv(name, value)
            assert devices.take(1) == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1,2"
    assert [path.name for path in folder.iterdir()] == ["bin"]


def test_a_link_in_the_shared_folder_is_not_followed(machine):
    folder = machine(1)
    (folder / "ld-portrait-gpus").mkdir()
    (folder / "ld-portrait-gpus" / "0").symlink_to(folder / "precious")
    with pytest.raises(OSError, match="symbolic link"):
        devices.take(1)
    assert not (folder / "precious").exists()


def test_snakemake_runs_as_many_shards_at_a_time_as_it_is_told_devices(machine):
    folder = machine(4)
    (folder / "hold.py").write_text(HOLD)
    (folder / "Snakefile").write_text(
        'rule all:\n    input: expand("{shard}.done", shard=range(5))\n'
        'rule generate:\n    output: "{shard}.done"\n    resources: gpu=1\n'
        f'    shell: "{sys.executable} hold.py 1 1 held.jsonl && touch {{output}}"\n'
    )
    command = [sys.executable, "-m", "snakemake", "--cores", "8", "--resources", "gpu=2"]
    command += ["--workflow-profile", ROOT / "profiles" / "default"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    spans = by_device(folder)
    assert sum(map(len, spans.values())) == 5
    assert len(spans) >= 2
    assert all(overlaps(of_one) == 0 for of_one in spans.values())
    starts = sorted((start, end) for _, start, end in held(folder))
    assert all(a[1] <= c[0] for a, c in zip(starts, starts[2:], strict=False))  # never three at a time


@pytest.mark.parametrize(
    "command", ["generate_portraits", "train_matting", "predict_mattes", "segment_video", "matte_video"]
)
def test_the_gpu_commands_take_devices_before_torch_looks_for_them(machine, monkeypatch, tmp_path, command):
    words = {
        "generate_portraits": lambda: [prompts(tmp_path), tmp_path / "shard.tar", "--backend", "layerdiffuse"],
        "train_matting": lambda: [
            write_dataset(tmp_path / "set"),
            tmp_path / "model",
            "--backgrounds",
            write_backgrounds(tmp_path / "grounds"),
        ],
        "predict_mattes": lambda: [ROOT / "resources" / "models" / "portrait", tmp_path / "out", "--root", BANK],
        "segment_video": lambda: [tmp_path / "out", "--benchmark", "bank-clips", "--root", BANK],
        "matte_video": lambda: [tmp_path / "out", "--benchmark", "bank-clips", "--root", BANK],
    }
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    result = call(f"{command}.py", *words[command](), "--gpus", 1)
    assert result.returncode == 2
    assert "CUDA_VISIBLE_DEVICES= names 0" in result.stderr  # torch would say otherwise that it finds none
