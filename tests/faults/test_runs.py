"""Whole runs in trouble: two at once, SIGTERM, a job that outlives its Snakemake, a damaged shard, a read-only disk.

One small shard of the workflow is made through all of it, and is in the end what an undisturbed command makes.
"""

import contextlib
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import stages
import yaml
from test_demo import project
from trouble import disk, finished, wait_for, work

from ldportrait import shards

CONFIG = {
    "run": "tiny",
    "prompts": {"count": 3, "shard_size": 3, "seed": 3},
    "generate": {"size": 64, "gross": 0.2},
}
TARS = {stage: f"results/tiny/{stage}/shard-0000000.tar" for stage in ("generated", "refined")}
GRACE = 30  # seconds between a scheduler's SIGTERM and its SIGKILL


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """The workflow with a configuration for one shard."""
    place = project(tmp_path_factory.mktemp("run"))
    (place / "config" / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    yield place
    for word in ("snakemake", "generate_portraits.py"):  # of a test that failed amid its work
        for process in processes(place, word):
            os.kill(process, signal.SIGKILL)


def make(folder: Path, target: str) -> subprocess.Popen:
    line = ["make", "--old-file=.venv/stamp", "run", f"FLAGS={target}", "CORES=1"]
    with (folder / "output.txt").open("w") as stream:
        return subprocess.Popen(line, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)


ON_A_TERMINAL = """
import fcntl, os, signal, sys, termios
for name in (signal.SIGINT, signal.SIGHUP):  # what is started in the background, or by nohup, ignores them
    signal.signal(name, signal.SIG_DFL)
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("bash", ["bash", "-c", sys.argv[1] + "; exit $?"])  # a shell, which waits and is the session's first
"""


def make_on_a_terminal(folder: Path, target: str) -> tuple[subprocess.Popen, int]:
    """Start a run as in a window of its own; gives what types into that, and closes it."""
    window, end = pty.openpty()
    line = f"make --old-file=.venv/stamp run FLAGS={target} CORES=1"
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, line], cwd=folder, stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    return process, window


def watch(window: int, closed: threading.Event) -> None:
    """Read what a terminal shows, so that nobody waits to write there, until its window is closed."""
    with contextlib.suppress(OSError):  # nobody has the terminal open any more
        while not closed.is_set():
            if select.select([window], [], [], 0.05)[0]:
                os.read(window, 65536)
    os.close(window)


def finish(folder: Path, target: str) -> tuple[int, str]:
    status = make(folder, target).wait(timeout=300)
    return status, (folder / "output.txt").read_text(encoding="utf-8")


def snakemake(folder: Path, target: str) -> subprocess.CompletedProcess:
    """Snakemake alone, as one starts it by hand."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    line = [sys.executable, "-m", "snakemake", "--cores", "1", target]
    return subprocess.run(
        line, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"PATH": path}
    )


def processes(folder: Path, word: str) -> list[int]:
    """The processes in a folder whose command line has a word as the name of what Python runs."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().split(b"\0")
            if (entry / "cwd").readlink() == folder and any(part.endswith(word.encode()) for part in line[1:3]):
                found.append(int(entry.name))
        except OSError:  # gone by now, or another user's
            continue
    return found


def stopped_job(folder: Path) -> int:
    """Stop the job that generates at once when it has made a picture, so that it stays amid its work."""
    rows = folder / "results" / "tiny" / ".partial" / "generated" / "shard-0000000"
    before = len(list(rows.glob("*.row")))
    wait_for(lambda: len(list(rows.glob("*.row"))) > before)
    (job,) = processes(folder, "generate_portraits.py")
    os.kill(job, signal.SIGSTOP)
    return job


def undisturbed(folder: Path, place: Path) -> Path:
    words = "--size 64 --gross 0.2 --severity 1.0 --splits train --splits val --bank".split()
    prompts = folder / "results" / "tiny" / "prompts" / "shard-0000000.parquet"
    done = stages.call("generate_portraits.py", prompts, place / "shard.tar", *words, stages.BANK)
    assert done.returncode == 0, done.stderr
    return place / "shard.tar"


def test_two_at_once_and_sigterm(folder):
    """A second run is refused while the first is at work; SIGTERM to all of the first ends it well within the grace."""
    first = make(folder, TARS["generated"])
    job = stopped_job(folder)
    line = ["make", "--old-file=.venv/stamp", "run"]
    second = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert "another run is at work in this folder" in second.stderr
    by_hand = snakemake(folder, TARS["generated"])
    assert by_hand.returncode == 1
    assert "cannot be locked" in by_hand.stderr
    started = time.monotonic()
    os.killpg(first.pid, signal.SIGTERM)
    os.kill(job, signal.SIGCONT)
    first.wait(GRACE)
    wait_for(lambda: not processes(folder, "generate_portraits.py") and not processes(folder, "snakemake"))
    assert time.monotonic() - started < GRACE
    assert not (folder / TARS["generated"]).exists()
    assert any(folder.glob("results/tiny/.partial/generated/*/*.row"))


def test_without_flock_no_live_run_is_unlocked(folder, tmp_path):
    """Where there is no flock, or the disk has no locks, nothing tells a killed run from one that is at work."""
    (tmp_path / "flock").write_text("#!/bin/sh\nexit 66\n")  # as util-linux says that a disk has no locks
    (tmp_path / "flock").chmod(0o755)
    (folder / ".snakemake").mkdir(exist_ok=True)
    (folder / ".snakemake" / "run.running").write_text("running\n")
    line = ["make", "--old-file=.venv/stamp", "run", f"FLAGS=--dry-run {TARS['generated']}"]
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "without flock nothing tells a killed run from a live one" in done.stderr
    assert "its lock is removed" not in done.stderr


@pytest.mark.parametrize("how", ["Ctrl-C", "closed"])
def test_ctrl_c_and_a_closed_terminal_stop_all_of_a_run(folder, how):
    """Nothing works on unseen, what is finished is kept, and the same command may be given again at once."""
    shutil.rmtree(folder / "results" / "tiny" / ".partial", ignore_errors=True)
    run, window = make_on_a_terminal(folder, TARS["generated"])
    closed = threading.Event()
    watching = threading.Thread(target=watch, args=(window, closed))
    watching.start()
    job = stopped_job(folder)
    if how == "Ctrl-C":
        os.write(window, b"\x03")
    else:
        closed.set()
        watching.join()
    os.kill(job, signal.SIGCONT)
    assert run.wait(GRACE) != 0
    wait_for(lambda: not processes(folder, "generate_portraits.py") and not processes(folder, "snakemake"))
    closed.set()
    watching.join()
    assert not (folder / TARS["generated"]).exists()
    assert any(folder.glob("results/tiny/.partial/generated/*/*.row"))
    shutil.rmtree(folder / "results" / "tiny" / ".partial")  # of three pictures, some must be left to others


def test_a_job_that_outlives_its_snakemake_is_waited_for(folder, tmp_path):
    """Snakemake alone is killed by signal 9: the next run waits for the job that works on, and takes what it makes."""
    make(folder, TARS["generated"])
    job = stopped_job(folder)
    for run in processes(folder, "snakemake"):
        os.kill(run, signal.SIGKILL)
    wait_for(lambda: not processes(folder, "snakemake"))
    assert processes(folder, "generate_portraits.py") == [job]
    again = make(folder, TARS["refined"])
    log = folder / "results" / "tiny" / "logs" / "generate_portraits" / "0000000.log"
    wait_for(lambda: again.poll() is not None or (log.is_file() and "waiting for it" in log.read_text("utf-8")))
    os.kill(job, signal.SIGCONT)
    output = f"{again.wait(300)} {(folder / 'output.txt').read_text(encoding='utf-8')}"
    assert output.startswith("0 "), output
    assert "the last run was killed" in output
    assert finished(folder / TARS["generated"]) == finished(undisturbed(folder, tmp_path))
    assert not [path for path in (folder / "results" / "tiny" / ".partial").rglob("*") if path.is_file()]


def test_a_damaged_shard_is_named_and_the_way_out_works(folder, tmp_path):
    tar = folder / TARS["generated"]
    before = work(folder / "results" / "tiny" / "generated")
    (folder / TARS["refined"]).unlink()
    content, stamp = bytearray(tar.read_bytes()), tar.stat().st_mtime
    content[700] ^= 1  # within the first picture
    tar.write_bytes(content)
    os.utime(tar, (stamp, stamp))
    status, output = finish(folder, TARS["refined"])
    assert status == 2, output
    (sentence,) = {line for line in output.splitlines() if line.startswith(f"{TARS['generated']} is damaged")}
    assert sentence.endswith(f"make it anew by: snakemake --cores all {TARS['generated']}.")
    assert not (folder / TARS["refined"]).exists()
    tar.unlink()
    assert snakemake(folder, TARS["generated"]).returncode == 0
    assert work(folder / "results" / "tiny" / "generated") == before


def test_a_read_only_results_folder_is_named(folder, tmp_path):
    place = folder / "results"
    with disk(tmp_path / "disk", 64000) as remount:
        shutil.copytree(place, tmp_path / "disk", dirs_exist_ok=True)
        shutil.rmtree(place)
        place.symlink_to(tmp_path / "disk")
        remount("ro")
        status, output = finish(folder, TARS["refined"])
        assert status == 2
        assert "ld-portrait: results/tiny/provenance.json cannot be read or written (Read-only file system)" in output
        remount("rw")
        status, output = finish(folder, TARS["refined"])
        assert status == 0, output
        list(shards.read_shard(folder / TARS["refined"]))
