"""A real Slurm of one node on this machine, for tests: Debian's slurm-wlm and munge, with a stand-in for a GPU.

Snakemake's plugin strips SLURM_* variables from its jobs, so that the configuration must lie in /etc/slurm. It is put
there for the tests' time alone, and never over one that is not the tests' own. The daemons die with this process.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ETC = Path("/etc/slurm")
MARK = "# Written by LD-Portrait's tests, which remove it at their end.\n"
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "setpriv")
LOCK = Path(tempfile.gettempdir(), "ld-portrait-test-slurm.lock")
CPUS = 4  # more than a small machine has: what queues, queues for the GPU

SLURM = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1
SwitchType=switch/none
GresTypes=gpu
ReturnToService=2
KillWait=2
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} CoresPerSocket={cpus} RealMemory=32000 Gres=gpu:a100:1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
GRES = "AutoDetect=off\nNodeName={host} Name=gpu Type=a100 File={folder}/gpu0 Flags=nvidia_gpu_env\n"
CGROUP = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n"


def reason_against() -> str:
    """Say in a sentence why no Slurm can be started here; "" if it can."""
    if os.geteuid() != 0:
        return "Starting a Slurm takes root."
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        return f"Slurm is not installed ({missing[0]} is missing); make test-slurm installs it from Debian's packages."
    if (ETC / "slurm.conf").is_file() and not (ETC / "slurm.conf").read_text().startswith(MARK):
        return f"{ETC}/slurm.conf is there: this machine belongs to a cluster, which is left alone."
    return ""


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Run munged, slurmctld and slurmd; yield when the node is ready for jobs. One at a time: another waits.

    Raises TimeoutError, with the end of the daemons' logs, where it does not come up, and PermissionError where root is
    not allowed to make a device.
    """
    with LOCK.open("w") as lock, tempfile.TemporaryDirectory(prefix="slurm-") as name:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with _running(Path(name)):
                yield
        except TimeoutError as error:
            logs = [f"{path.name}: {path.read_text()[-800:]}" for path in sorted(Path(name).glob("*.log"))]
            raise TimeoutError("\n".join([str(error), *logs])) from error


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[None]:
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    folder.chmod(0o755)  # munge wants its socket reachable for all, and so the folders above it
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    # numbers 1, 3 are those of /dev/null: a node that every Linux has, under a name that ends in a digit
    os.mknod(folder / "gpu0", 0o020666, os.makedev(1, 3))
    _remove_configuration()
    ETC.mkdir(exist_ok=True)
    values = {"host": host, "folder": folder, "ports": _free_ports(2), "cpus": CPUS}
    for name, text in zip(FILES, (SLURM, GRES, CGROUP), strict=True):
        (ETC / name).write_text(MARK + text.format(**values))
    daemons = []
    try:
        munge = [f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"]
        munge += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"]
        daemons.append(_start(folder, "munged", "--foreground", *munge))
        wait(lambda: (folder / "munge.socket").exists(), "munged")
        daemons.append(_start(folder, "slurmctld", "-D", "-c"))
        daemons.append(_start(folder, "slurmd", "-D", "-N", host))
        wait(lambda: call("sinfo", "--noheader", "--format=%T") == "idle", "the node")
        try:
            yield
        finally:
            call("scancel", "--user=root")
            wait(lambda: call("squeue", "--noheader") == "", "the end of the last job")
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=10)
            daemon.kill()
        _remove_configuration()


def call(*command: str) -> str:
    """Run a command and return what it prints, stripped; "" where it gets no answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip()
    except subprocess.TimeoutExpired:
        return ""


def _start(folder: Path, program: str, *arguments: str) -> subprocess.Popen:
    """Start a daemon that dies with this process, however this process ends."""
    with (folder / f"{program}.out").open("w") as stream:
        command = ["setpriv", "--pdeathsig", "KILL", shutil.which(program), *arguments]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)


def wait(ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until something is so; TimeoutError, naming it, if it does not come about."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {seconds:.0f} s for {what}.")
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _remove_configuration() -> None:
    """Remove the tests' own files, also those of a run that was killed; the folder too, if it is empty then."""
    for name in FILES:
        path = ETC / name
        if path.is_file() and path.read_text().startswith(MARK):
            path.unlink()
    with contextlib.suppress(OSError):
        ETC.rmdir()
