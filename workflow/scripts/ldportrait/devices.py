"""A GPU of its own for each job of one machine.

A scheduler tells a job its devices by CUDA_VISIBLE_DEVICES. Snakemake by itself only counts: with --resources gpu=4 it
starts four jobs, each of which would use the first device. So a command takes devices before it uses CUDA, by a lock
(flock) on a file for each device, in a folder that all processes of the machine share. The system frees a lock when
its process ends, however it ends (and with it those that it forked, as a loader's workers, which follow it in seconds).
"""

import contextlib
import fcntl
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
NONE = ("-1", "NoDevFiles")  # names that stand for no device: CUDA's, and Slurm's

_held: list[int] = []  # the locks' file descriptors: open until the process ends


def take(count: int) -> list[str]:
    """Take `count` devices until this process ends, let CUDA see these alone, and return their names.

    They are chosen among those that CUDA_VISIBLE_DEVICES names, or else among all of the machine. Where all are taken,
    this waits. A CUDA_VISIBLE_DEVICES of just as many names is the word of a scheduler, or of a user: it is left as it
    is, without a lock; and so is everything where torchrun or srun started one process for each device, or where
    nvidia-smi knows of no device.

    CUDA reads the variable once, so this must be called before anything looks for devices. Raises ValueError if there
    are fewer than `count`.
    """
    if count == 0 or _started_by_another():
        return []
    given = os.environ.get(VISIBLE)
    names = _of_machine() if given is None else _named(given)
    if given is None and not names:
        return []  # torch says what it finds
    if len(names) < count:
        where = "this machine has" if given is None else f"{VISIBLE}={given} names"
        raise ValueError(f"{count} GPUs are asked for, but {where} {len(names)}; ask for fewer, or use --gpus 0.")
    if given is not None and len(names) == count:
        return names
    taken = _wait(_folder(), names, count)
    os.environ[VISIBLE] = ",".join(taken)
    print(f"{VISIBLE}={os.environ[VISIBLE]}", file=sys.stderr, flush=True)
    return taken


def _started_by_another() -> bool:
    """Whether this is one of several processes that torchrun or srun started to share devices."""
    return "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1


def _named(value: str) -> list[str]:
    """The devices that a CUDA_VISIBLE_DEVICES names; as for CUDA, what follows a -1 does not count."""
    names = [name.strip() for name in value.split(",") if name.strip()]
    return list(itertools.takewhile(lambda name: name not in NONE, names))


def _of_machine() -> list[str]:
    """The numbers of the machine's devices, as nvidia-smi lists them; none where there is no such program."""
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.split()


def _folder() -> Path:
    """The folder of the locks. Within an allocation of Slurm, which may number its own devices from 0, another one."""
    words = ["ld-portrait-gpus", os.environ.get("SLURM_JOB_ID")]
    folder = Path(tempfile.gettempdir(), "-".join(filter(None, words)))
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)  # other users' runs have their locks there, too
    return folder


def _wait(folder: Path, names: list[str], count: int) -> list[str]:
    """Lock `count` of the named devices, all at once or none, so that two processes never wait for each other."""
    said = False
    while True:
        locks = {}
        for name in names:
            if len(locks) < count and (lock := _lock(folder / name.replace("/", "-"))) is not None:
                locks[name] = lock
        if len(locks) == count:
            _held.extend(locks.values())
            return list(locks)
        for lock in locks.values():
            os.close(lock)
        if not said:
            free = f"{count} of the GPUs {', '.join(names)} to be free"
            print(f"Other processes are at work; waiting for {free}.", file=sys.stderr, flush=True)
            said = True
        time.sleep(random.uniform(0.3, 0.7))  # not in step with others that wait


def _lock(path: Path) -> int | None:
    """Lock a file without waiting, and return its descriptor; None if another process has it."""
    try:
        # without O_CREAT first: in a folder that all may write to, Linux does not let one create another's file again
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW)
        os.fchmod(descriptor, 0o644)  # whatever the umask: to lock a file one must be able to read it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
