"""profiles/generic on stand-ins for the commands of Grid Engine, LSF and PBS, which run a job at once and here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from test_demo import project

SCHEDULER = ROOT / "profiles" / "generic" / "scheduler.sh"
# The stand-ins run the script that they are given last, note their words, and print an id as the real ones do.
RUN = 'printf "%s\\n" "$*" >> words; for script; do :; done; "$script" > job.log 2>&1; echo $? > status'
STANDINS = {
    "sge": {
        "qsub": f"{RUN}; echo 17",
        "qstat": "exit 1",
        "qacct": 'echo "jobnumber    17"; echo "failed       0"; echo "exit_status  $(cat status)"',
    },
    "lsf": {
        "bsub": f'{RUN}; echo "Job <17> is submitted to default queue <normal>."',
        "bjobs": '[ "$(cat status)" = 0 ] && echo DONE || echo EXIT',
    },
    "pbs": {
        "qsub": f"{RUN}; echo 17.server",
        "qstat": 'echo "Job Id: 17.server"; echo "    job_state = F"; echo "    Exit_status = $(cat status)"',
    },
}
# what a job of 2 threads, 1500 MB at the first attempt, 90 minutes and one GPU is to be told, at its second attempt
TOLD = {
    "sge": ["-N refine", "-pe smp 2", "mem_free=3000M", "h_rt=5400", "-l gpu=1"],
    "lsf": ["-J refine", "-n 2", "mem=3000MB", "-W 90", "-gpu num=1"],
    "pbs": ["-N refine", "select=1:ncpus=2:mem=3000mb:ngpus=1", "walltime=5400"],
}


@pytest.fixture
def standins(tmp_path, monkeypatch):
    def make(scheduler: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in STANDINS[scheduler].items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        return tmp_path

    return make


def run(folder: Path, *words: object) -> str:
    command = [SCHEDULER, *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("exit_status", [0, 1])
@pytest.mark.parametrize("scheduler", STANDINS)
def test_a_job_is_submitted_with_what_it_needs_and_its_end_is_told(standins, scheduler, exit_status):
    folder = standins(scheduler)
    script = folder / "job.sh"
    script.write_text(f"#!/bin/sh\nexit {exit_status}\n")
    script.chmod(0o755)
    job = run(folder, scheduler, "submit", "refine", 2, 1500, 2, 90, 1, script)
    assert re.fullmatch(r"17(\.server)?", job)
    words = (folder / "words").read_text()
    assert all(told in words for told in TOLD[scheduler])
    assert run(folder, scheduler, "status", job) == ("failed" if exit_status else "success")
    (folder / "words").unlink()
    run(folder, scheduler, "submit", "refine", 1, 1000, 1, 10, 0, script)
    assert "gpu" not in (folder / "words").read_text()


@pytest.mark.parametrize("scheduler", STANDINS)
def test_a_job_of_which_nothing_is_known_yet_is_taken_to_run(standins, scheduler):
    folder = standins(scheduler)
    for name in STANDINS[scheduler]:
        (folder / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
    assert run(folder, scheduler, "status", "17") == "running"


def test_the_workflow_runs_by_the_profile(standins):
    pytest.importorskip(
        "snakemake_executor_plugin_cluster_generic",
        reason="Snakemake's generic plugin is not installed; make cluster installs it.",
    )
    folder = standins("pbs")
    place = project(folder / "project")
    profile = place / "profiles" / "generic" / "config.yaml"
    settings = yaml.safe_load(profile.read_text(encoding="utf-8").replace("scheduler.sh sge", "scheduler.sh pbs"))
    settings |= {"seconds-between-status-checks": 1, "latency-wait": 5}
    profile.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/generic"]
    command += ["results/tiny/prompts/shard-0000000.parquet"]
    result = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (place / "results" / "tiny" / "prompts" / "shard-0000000.parquet").is_file()
    assert "select=1:ncpus=1:mem=1000mb -l walltime=600" in (place / "words").read_text()
