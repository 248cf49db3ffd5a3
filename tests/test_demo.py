"""The whole workflow on a small configuration: it ends, its numbers are right, and a kill loses nothing."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

CONFIG = {
    "run": "tiny",
    "prompts": {"count": 12, "shard_size": 6, "seed": 3},
    "generate": {"size": 256, "gross": 0.2},
    "assemble": {"shard_size": 4},
    "train": {"steps": 12, "batch_size": 4, "crop": 64, "checkpoint_every": 4},
    "compare": {"seeds": [0], "variants": ["raw", "refined"], "fractions": [50, 100], "others": []},
    "video": {"benchmarks": ["bank-clips-moving"], "limit": 1, "others": ["mask"]},
    "figures": {"mosaic_columns": 4, "mosaic_rows": 2, "rows": 2},
}
RESULTS = Path("results") / "tiny"
SHARDS = ["generated", "refined", "keyed"]
VARIANTS = ["raw", "refined", "keyed", "truth"]


def project(folder: Path) -> Path:
    """A copy of the workflow with a configuration of its own, in the environment of the tests."""
    for name in ("workflow", "envs", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "Makefile"):
        shutil.copyfile(ROOT / name, folder / name)
    (folder / "config").mkdir()
    for name in ("schema.yaml", "prompts.yaml"):
        shutil.copyfile(ROOT / "config" / name, folder / "config" / name)
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    (folder / "resources").symlink_to(ROOT / "resources")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def make_run(folder: Path) -> subprocess.Popen:
    with (folder / "output.txt").open("a") as stream:
        return subprocess.Popen(
            ["make", "--old-file=.venv/stamp", "run"],
            cwd=folder,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(folder: Path) -> str:
    status = make_run(folder).wait(timeout=600)
    output = (folder / "output.txt").read_text(encoding="utf-8")
    assert status == 0, output[-6000:]
    return output


def kill_when(folder: Path, condition) -> None:
    """Start a run and kill it and all its jobs, with no warning, as soon as the condition holds."""
    process = make_run(folder)
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = project(tmp_path_factory.mktemp("undisturbed"))
    finish(folder)
    return folder


def scores(folder: Path, name: str) -> pd.Series:
    table = pd.read_parquet(folder / RESULTS / "scores" / name)
    return table[table.metric == "mad"].groupby(["variant", "region"]).value.mean()


def test_it_names_the_files_to_open_first(undisturbed):
    output = (undisturbed / "output.txt").read_text(encoding="utf-8")
    first = output.split("Open first:")[1].split()[:3]
    assert len(first) == 3
    assert all((undisturbed / file).is_file() for file in first)


def test_the_archives_hold_what_the_prompts_ask_for(undisturbed):
    for stage in SHARDS:
        tables = [pd.read_parquet(path) for path in sorted((undisturbed / RESULTS / stage).glob("*.parquet"))]
        assert pd.concat(tables).id.tolist() == [f"tiny-{index:09d}" for index in range(12)]


def test_refined_mattes_are_nearest_to_truth(undisturbed):
    error = scores(undisturbed, "variants.parquet")
    assert error["refined", "whole"] < 0.5 * error["raw", "whole"]
    assert error["refined", "whole"] < error["keyed", "whole"]


def test_all_variants_hold_the_same_accepted_portraits(undisturbed):
    screened = pd.read_parquet(undisturbed / RESULTS / "screened.parquet")
    accepted = screened.id[screened.accepted].tolist()
    assert 0 < len(accepted) <= 12
    for variant in VARIANTS:
        table = pd.read_parquet(undisturbed / RESULTS / "datasets" / variant / "metadata.parquet")
        assert sorted(table.id) == accepted


def test_the_checksums_hold(undisturbed):
    for variant in VARIANTS:
        folder = undisturbed / RESULTS / "datasets" / variant
        lines = (folder / "checksums.sha256").read_text(encoding="utf-8").splitlines()
        named = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert files - {"checksums.sha256"} == set(named)
        for name, digest in named.items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_every_model_is_scored_on_every_test_portrait(undisturbed):
    for variant in CONFIG["compare"]["variants"]:
        table = pd.read_parquet(
            undisturbed / RESULTS / "scores" / "bank" / "small-trimap" / f"{variant}-f100-s0.parquet"
        )
        assert table.item.nunique() == 32
        assert set(table.region) == {"whole", "unknown"}
        assert set(table.metric) == {"sad", "mse", "mad", "grad", "conn"}
        assert np.isfinite(table.value).all()


def test_a_clip_is_matted_in_each_way_and_shown(undisturbed):
    for method in ("frames", "mask", "ours"):
        table = pd.read_parquet(undisturbed / RESULTS / "scores" / "video" / "bank-clips-moving" / f"{method}.parquet")
        assert (set(table.method), set(table["item"])) == ({method}, {"clip-02"})
        assert np.isfinite(table.value).all()
        assert table[table.metric == "mad"].value.mean() < 0.1  # of a portrait; an empty matte has 0.4
    page = (undisturbed / RESULTS / "index.html").read_text(encoding="utf-8")
    for name in ("figures/video_preview.webp", "figures/video_dtssd.pdf", "tables/video.csv"):
        assert name in page
        assert (undisturbed / RESULTS / name).is_file()


def test_the_run_says_what_made_it(undisturbed):
    about = json.loads((undisturbed / RESULTS / "provenance.json").read_text(encoding="utf-8"))
    assert about["config"]["prompts"]["seed"] == 3
    assert about["config"]["refine"]["depth"] > 0  # defaults are written out
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["packages"]["torch"].split("+")[0])


def test_a_second_run_does_nothing(undisturbed):
    before = {path: path.stat().st_mtime_ns for path in (undisturbed / RESULTS).rglob("*.tar")}
    assert "Nothing to be done" in finish(undisturbed)
    assert before == {path: path.stat().st_mtime_ns for path in (undisturbed / RESULTS).rglob("*.tar")}


def test_a_run_killed_three_times_ends_as_if_it_was_not(undisturbed, tmp_path):
    folder = project(tmp_path)
    partial = folder / RESULTS / ".partial"
    kill_when(folder, lambda: any(partial.glob("generated/*/*.row")))
    kill_when(folder, lambda: any(partial.glob("refined/*/*.row")))
    kill_when(folder, lambda: any((folder / RESULTS / "models").rglob("*.ckpt")))
    output = finish(folder)
    assert output.count("the last run was killed") == 3
    assert not any(path.is_file() for path in partial.rglob("*"))
    for stage in SHARDS:
        for tar in sorted((undisturbed / RESULTS / stage).glob("*.tar")):
            again = folder / tar.relative_to(undisturbed)
            assert again.read_bytes() == tar.read_bytes(), again
            tables = [pd.read_parquet(path.with_suffix(".parquet")).drop(columns="seconds") for path in (tar, again)]
            pd.testing.assert_frame_equal(*tables)
    for variant in VARIANTS:
        name = RESULTS / "datasets" / variant / "checksums.sha256"
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    for variant in CONFIG["compare"]["variants"]:
        name = f"bank/small-trimap/{variant}-f100-s0.parquet"
        np.testing.assert_allclose(scores(folder, name), scores(undisturbed, name), rtol=0.05)


def test_the_report_holds_the_figures(undisturbed):
    command = [sys.executable, "-m", "snakemake", "--report", "report.zip", "--cores", "1"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command, cwd=undisturbed, capture_output=True, text=True, check=False, env=os.environ | {"PATH": path}
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert (undisturbed / "report.zip").stat().st_size > 100_000
