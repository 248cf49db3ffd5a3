"""The workflow on a real Slurm, by profiles/slurm: to its end, one GPU job after the other, and through kills.

A small demo runs on a single node with a stand-in for a GPU, for which its generation jobs ask. One of these is killed
and one is put back in the queue, both in mid-work. A program named python, first on the PATH, notes what each command
gets.
"""

import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import single_node
import yaml
from stages import call
from test_demo import project
from test_devices import overlaps

CONFIG = {
    "run": "tiny",
    "prompts": {"count": 24, "shard_size": 12, "seed": 3},
    "generate": {"size": 256, "gross": 0.1},
    "assemble": {"variants": ["raw", "refined"], "shard_size": 8},
    "train": {"steps": 4, "batch_size": 2, "crop": 64, "checkpoint_every": 2},
    "compare": {"seeds": [0], "variants": ["refined"], "fractions": [100], "others": []},
    "video": {"benchmarks": []},
    "figures": {"mosaic_columns": 4, "mosaic_rows": 2, "rows": 2},
}
RESULTS = Path("results") / "tiny"
# what the profile leaves to the user, as a user would write it; and what makes a test quick
KNOBS = {"slurm_partition": "main", "gpu_model": "a100", "gpu": 1}
QUICK = {"latency-wait": 10, "slurm-init-seconds-before-status-checks": 5, "seconds-between-status-checks": 2}

NOTING = """\
#!/bin/sh
# stands for python: notes when a command begins and ends, its shard, its job, and the devices that it was given
name=$(basename "$1" .py)
shard=$(printf '%s' "$*" | grep -o 'shard-[0-9]*' | head -n 1)
note() {{
  printf '%s %s %s %s %s %s\\n' "$1" "$(date +%s.%N)" "$name" "${{shard:--}}" "${{SLURM_JOB_ID:--}}" \\
    "${{CUDA_VISIBLE_DEVICES:--}}" >> {notes}
}}
note start
{python} "$@"
status=$?
note end
exit $status
"""


def reason_against() -> str:
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "Snakemake's plugin for Slurm is not installed; make test-slurm installs it."
    return single_node.reason_against()


pytestmark = pytest.mark.skipif(bool(reason_against()), reason=reason_against())


class Run:
    """A copy of the workflow, whose jobs go to Slurm and note what they do."""

    def __init__(self, folder: Path) -> None:
        self.folder = project(folder)
        self.notes = folder / "notes.txt"
        self.output = folder / "output.txt"
        (folder / "config" / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
        profile = folder / "profiles" / "slurm" / "config.yaml"
        settings = yaml.safe_load(profile.read_text(encoding="utf-8")) | QUICK
        settings["set-resources"]["generate_portraits"] |= KNOBS
        profile.write_text(yaml.safe_dump(settings), encoding="utf-8")
        (folder / "bin").mkdir()
        noting = folder / "bin" / "python"
        noting.write_text(NOTING.format(notes=self.notes, python=sys.executable))
        noting.chmod(0o755)

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "snakemake", *arguments]
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        with self.output.open("a") as stream:
            return subprocess.Popen(
                command, cwd=self.folder, stdout=stream, stderr=subprocess.STDOUT, env=os.environ | {"PATH": path}
            )

    def noted(self) -> pd.DataFrame:
        """What the commands noted: a row for each start and each end, in order."""
        lines = self.notes.read_text().splitlines() if self.notes.is_file() else []
        names = ["what", "time", "command", "shard", "job", "devices"]
        return pd.DataFrame([line.split() for line in lines], columns=names).astype({"time": float})

    def caught_at_work(self, process: subprocess.Popen, but_not: str = "") -> tuple[str, str]:
        """Wait until a generation has finished a picture of its shard; return the shard and the job."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            assert process.poll() is None, self.output.read_text()[-3000:]
            for row in (self.folder / RESULTS / ".partial" / "generated").glob("*/*.row"):
                if row.parent.name != but_not:
                    table = self.noted()
                    return row.parent.name, table[table.shard == row.parent.name].job.iloc[-1]
            time.sleep(0.02)
        raise TimeoutError("no generation was seen at work")


def state(job: str) -> str:
    return single_node.call("squeue", "--noheader", "--format=%T", "--jobs", job)


def machine() -> tuple[list[Path], list[str]]:
    """What a Slurm changes on the machine: its configuration, and its daemons that run."""
    names = single_node.call("ps", "-eo", "comm=").splitlines()
    return sorted(single_node.ETC.glob("*")), sorted(name for name in names if name in single_node.PROGRAMS)


def spans(table: pd.DataFrame, stopped: dict[str, float] | None = None) -> list[tuple[float, float]]:
    """When each command began and ended; `stopped` says when a job was, whose command could not note that it ended."""
    found = []
    for (job, _), rows in table.groupby(["job", "command"]):
        starts, ends = (rows[rows.what == what].time.tolist() for what in ("start", "end"))
        ends += [stopped[job]] if job in (stopped or {}) else []
        found += zip(starts, sorted(ends), strict=True)
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that went to its end though a generation was killed and another was requeued."""
    before = machine()
    run = Run(tmp_path_factory.mktemp("slurm"))
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(single_node.running())
        except (TimeoutError, PermissionError) as error:
            pytest.skip(f"Slurm is installed, but does not start here. {error}")
        process = run.start("--workflow-profile", "profiles/slurm")
        stack.callback(process.kill)
        killed, first = run.caught_at_work(process)
        queue = single_node.call("squeue", "--noheader", "--format=%T %r")
        subprocess.run(["scancel", "--signal=KILL", first], check=True)
        stopped = {first: time.time()}
        requeued, second = run.caught_at_work(process, but_not=killed)
        subprocess.run(["scontrol", "requeue", second], check=True)
        single_node.wait(lambda: state(second) == "PENDING", "the requeued job")
        stopped[second] = time.time()
        # Slurm would let it wait for two minutes
        subprocess.run(["scontrol", "update", f"jobid={second}", "starttime=now"], check=True)
        status = process.wait(timeout=1800)
        assert status == 0, run.output.read_text()[-6000:]
        memory = {
            job: re.search(r"TRES=\S*mem=(\w+)", single_node.call("scontrol", "show", "job", job)).group(1)
            for job in run.noted().job.unique()
        }
        found = {"killed": killed, "requeued": requeued, "stopped": stopped, "queue": queue, "memory": memory}
        yield SimpleNamespace(run=run, first=first, second=second, **found)
        assert machine() != before
    for there, earlier in zip(machine(), before, strict=True):
        assert set(there) <= set(earlier)  # less, where an earlier test was killed: what that left is removed as well


def test_it_runs_to_its_end(finished):
    results = finished.run.folder / RESULTS
    for name in ("index.html", "figures/refinement.png", "tables/models.md", "scores/variants.parquet"):
        assert (results / name).stat().st_size > 0, name
    screened = pd.read_parquet(results / "screened.parquet")
    assert len(screened) == 24
    table = finished.run.noted()
    assert len(set(table.command)) > 20  # each command by a job of its own
    assert (table.job != "-").all()


def test_gpu_jobs_get_their_device_and_others_get_none(finished):
    table = finished.run.noted()
    given = table[table.what == "start"].groupby("command").devices.unique().map(list)
    assert given.pop("generate_portraits") == ["0"]
    assert all(devices == ["-"] for devices in given)


def test_gpu_jobs_queue_one_after_the_other_and_others_do_not(finished):
    assert finished.queue.split("\n").count("RUNNING None") >= 1
    assert "PENDING Resources" in finished.queue  # the other shard, since there are CPUs and memory for both
    table = finished.run.noted()
    on_gpu = table.command == "generate_portraits"
    assert overlaps(spans(table[on_gpu], finished.stopped)) == 0
    assert overlaps(spans(table[~on_gpu])) > 0


def test_a_killed_job_is_tried_again_with_more_memory(finished):
    table = finished.run.noted()
    of_shard = table[(table.command == "generate_portraits") & (table.shard == finished.killed)]
    assert of_shard.what.tolist() == ["start", "start", "end"]
    first, again = of_shard[of_shard.what == "start"].job
    assert first == finished.first != again
    assert [finished.memory[job] for job in (first, again)] == ["2000M", "4000M"]


def test_a_requeued_job_begins_again_as_the_same_job(finished):
    table = finished.run.noted()
    of_shard = table[(table.command == "generate_portraits") & (table.shard == finished.requeued)]
    assert of_shard.what.tolist() == ["start", "start", "end"]
    assert set(of_shard.job) == {finished.second}
    assert finished.memory[finished.second] == "2000M"


def test_shards_are_what_an_undisturbed_command_makes(finished, tmp_path):
    folder = finished.run.folder / RESULTS
    bank = finished.run.folder / "resources" / "bank"
    for shard in (finished.killed, finished.requeued):
        tar = tmp_path / f"{shard}.tar"
        words = ["--size", 256, "--gross", 0.1, "--bank", bank]
        made = call("generate_portraits.py", folder / "prompts" / f"{shard}.parquet", tar, *words)
        assert made.returncode == 0, made.stderr
        assert tar.read_bytes() == (folder / "generated" / tar.name).read_bytes()


def test_nothing_is_left_to_do_on_another_machine(finished):
    run = finished.run
    before = len(run.output.read_text())
    assert run.start("--dry-run").wait(timeout=120) == 0
    assert "Nothing to be done" in run.output.read_text()[before:]


def test_shards_go_as_an_array_where_that_is_asked_for(finished):
    run = finished.run
    before = len(run.output.read_text())
    targets = [f"results/array/prompts/shard-{shard:07d}.parquet" for shard in range(2)]
    words = ["--workflow-profile", "profiles/slurm", "--slurm-array-jobs", "make_prompts", "--config", "run=array"]
    assert run.start(*words, "--", *targets).wait(timeout=300) == 0, run.output.read_text()[-3000:]
    assert "Submitted array job" in run.output.read_text()[before:]
    assert all((run.folder / target).is_file() for target in targets)
