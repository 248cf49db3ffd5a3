"""Commands in trouble: killed at a step of theirs, stopped in the middle of a file, on a full disk.

Each command runs in a process of its own, forked from one in which the libraries are imported already.
"""

import contextlib
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import stages
from conftest import SCRIPTS

HEAVY = "ldportrait.training ldportrait.metrics.protocols matplotlib.backends.backend_pdf stages".split()
COMMANDS = "measure_portraits plot_acceptance score_mattes score_variants build_gallery predict_mattes".split()
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


@dataclass(frozen=True)
class Ending:
    """How a command ended: its status (negative: the signal that killed it), what it said, the steps that it took."""

    status: int
    said: str
    steps: int

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


def context() -> multiprocessing.context.BaseContext:
    """Where processes are forked from: one that has imported what takes long, and has no threads."""
    made = multiprocessing.get_context("forkserver")
    places = [str(SCRIPTS), str(Path(stages.__file__).parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, os.pathsep.join(places).split(os.pathsep))))
    made.set_forkserver_preload(HEAVY + COMMANDS)
    return made


def start(script: str, *words: object, report: Path, **trouble: object) -> multiprocessing.Process:
    """Start a command; it writes how it ended to `report`. For `trouble` see `_command`."""
    process = context().Process(target=_command, args=(script, [str(word) for word in words], report), kwargs=trouble)
    process.start()
    return process


def run(script: str, *words: object, report: Path, **trouble: object) -> Ending:
    """Run a command to its end, whatever that is."""
    report.unlink(missing_ok=True)
    process = start(script, *words, report=report, **trouble)
    process.join(120)
    assert process.exitcode is not None, f"{script} does not end"
    if process.exitcode:
        return Ending(process.exitcode, "", 0)
    return Ending(**json.loads(report.read_text(encoding="utf-8")))


def _command(
    script: str,
    words: list[str],
    report: Path,
    folder: Path | None = None,
    step: int = 0,
    by: int = signal.SIGKILL,
    size: int = 0,
) -> None:
    """Run a command in this process, which is another one's child.

    It gets the signal `by` just before its `step`-th change to what lies in `folder`, and SIGXFSZ, which kills it, when
    a file grows beyond `size` bytes.
    """
    taken = [0]

    def watch(event: str, details: tuple) -> None:
        if event in EVENTS and _changes(event, details, folder):
            taken[0] += 1
            if taken[0] == step:
                os.kill(os.getpid(), by)

    if folder is not None:
        sys.addaudithook(watch)
    if size:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    done = stages.call(script, *words)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ending = {"status": done.returncode, "said": done.stderr, "steps": taken[0]}
    report.write_text(json.dumps(ending), encoding="utf-8")


def _changes(event: str, details: tuple, folder: Path) -> bool:
    """Whether an audit event is a change to what lies in a folder."""
    place = details[0]
    if not isinstance(place, str | bytes | os.PathLike) or not os.fsdecode(place).startswith(str(folder)):
        return False
    return event != "open" or bool(details[2] & WRITING)


def wait_for(condition: Callable[[], object]) -> object:
    """Wait until a condition gives something, and return that."""
    deadline = time.monotonic() + 240
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def work(folder: Path) -> dict[str, object]:
    """What finished files say, by name, less the time that it took: that is all in which equal work may differ."""
    return {
        path.relative_to(folder).as_posix(): finished(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def finished(path: Path) -> object:
    """What a file says, less the time that it took."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path).drop(columns="seconds", errors="ignore").to_json()
    if path.name == "model.json":
        return {key: value for key, value in json.loads(path.read_bytes()).items() if key != "seconds"}
    return path.read_bytes()


def left_over(folder: Path) -> list[str]:
    """Hidden files: what is unfinished has hidden names."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob(".*") if path.is_file()]


@contextlib.contextmanager
def disk(place: Path, kilobytes: int) -> Iterator[Callable[..., None]]:
    """A small disk at `place`; gives what mounts it anew: with another `size`, or read-only (`ro`). Needs root."""
    place.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place):
        pytest.skip("a small disk cannot be mounted here; that needs root and the right to mount")
    try:
        yield lambda options: _mount("-o", f"remount,{options}", place)
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def _mount(*words: object) -> int:
    return subprocess.run(["mount", *map(str, words)], capture_output=True, check=False).returncode
