"""The commands for figures and tables: they write what they say, and say in one sentence what is wrong."""

import hashlib
import inspect
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import pandas as pd
import pytest
import synthetic
from conftest import ROOT, SCRIPTS

from ldportrait import benchmarks, shards

BANK = ROOT / "resources" / "bank"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> synthetic.Results:
    found = synthetic.results(tmp_path_factory.mktemp("run"), count=6, shard_size=3, size=48)
    synthetic.write_scores(found / "scores")
    return found


def call(script: str, *arguments: object, **options: object) -> None:
    """Call a command's main in this process, which spares a start of Python and matplotlib."""
    main = runpy.run_path(str(SCRIPTS / script))["main"]
    main(*arguments, **options)


def run(script: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, SCRIPTS / script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def assert_figure(stem: Path) -> None:
    assert sorted(path.name for path in stem.parent.iterdir()) == [f"{stem.name}.pdf", f"{stem.name}.png"]
    assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert cv2.imread(str(stem.with_suffix(".png"))) is not None


def assert_table(stem: Path) -> None:
    assert sorted(path.suffix for path in stem.parent.iterdir()) == [".csv", ".md", ".tex"]
    assert len(pd.read_csv(stem.with_suffix(".csv"))) > 0


def test_plot_mosaic_by_command_line(made, tmp_path):
    stem = tmp_path / "figures" / "mosaic"
    arguments = [
        made / "refined",
        made / "screened.parquet",
        stem,
        "--shards",
        made.shards,
        "--columns",
        2,
        "--rows",
        1,
    ]
    result = run("plot_mosaic.py", *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert_figure(stem)


def test_tabulate_models_by_command_line(made, tmp_path):
    stem = tmp_path / "models"
    models = ["--model", "small-trimap", "--model", "small-free", "--variant", "raw", "--variant", "refined"]
    result = run(
        "tabulate_models.py", stem, made / "scores", *models, "--seed", 0, "--reference", "raw", "--note", "Short."
    )
    assert result.returncode == 0, result.stderr
    assert_table(stem)
    text = stem.with_suffix(".md").read_text(encoding="utf-8")
    assert "Δ SAD to raw" in text
    assert "Short." in text
    table = pd.read_csv(stem.with_suffix(".csv"))
    assert set(table.variant) == {"raw", "refined"}
    assert set(table.seeds) == {1}
    assert set(table.note) == {"Short."}


@pytest.mark.parametrize(
    ("script", "places"),
    [
        ("plot_attributes.py", ["prompts"]),
        ("plot_refinement.py", ["generated", "refined", "screened.parquet"]),
        ("plot_acceptance.py", ["screened.parquet"]),
        ("plot_variants.py", ["scores/variants.parquet"]),
    ],
)
def test_a_figure_of_the_data_set(made, tmp_path, script, places):
    stem = tmp_path / "figures" / "it"
    main = runpy.run_path(str(SCRIPTS / script))["main"]
    options = {"shard_count": made.shards} if "shard_count" in inspect.signature(main).parameters else {}
    main(*(made / place for place in places), stem, **options)
    assert_figure(stem)


@pytest.mark.parametrize("script", ["plot_models.py", "plot_capacity.py"])
def test_a_figure_of_models(made, tmp_path, script):
    call(script, tmp_path / "it", made / "scores", ["small-trimap"], metric=["sad"])
    assert_figure(tmp_path / "it")


@pytest.mark.parametrize("script", ["tabulate_screening.py", "tabulate_variants.py"])
def test_a_table_of_the_data_set(made, tmp_path, script):
    source = "screened.parquet" if "screening" in script else "scores/variants.parquet"
    call(script, made / source, tmp_path / "it")
    assert_table(tmp_path / "it")


def test_tabulate_capacity(made, tmp_path):
    call("tabulate_capacity.py", tmp_path / "it", made / "scores", ["small-trimap"], fraction=[50, 100])
    assert set(pd.read_csv(tmp_path / "it.csv").fraction) == {50, 100}


def predict(folder: Path, names: list[str], variants: list[str]) -> None:
    for variant in variants:
        home = folder / "bank" / "net" / f"{variant}-f100-s3"
        home.mkdir(parents=True)
        for sample in benchmarks.get("bank").items(BANK):
            if sample.item in names:
                cv2.imwrite(str(home / f"{sample.item}.png"), benchmarks.get("bank").load(sample)[1])
        rows = [{"item": name, "path": f"{name}.png"} for name in names]
        for row in rows:
            row["sha256"] = hashlib.sha256((home / row["path"]).read_bytes()).hexdigest()
        shards.write_table(pd.DataFrame(rows), home / "predictions.parquet")


def test_plot_qualitative(tmp_path):
    names = sorted(sample.item for sample in benchmarks.get("bank").items(BANK))
    predict(tmp_path / "predictions", [names[0], names[-1]], ["raw", "truth"])
    options = {"root": BANK, "model": "net", "variant": ["truth", "raw"], "seed": 3}
    call("plot_qualitative.py", tmp_path / "figures" / "it", tmp_path / "predictions", rows=2, **options)
    assert_figure(tmp_path / "figures" / "it")
    with pytest.raises(ValueError, match=names[1]):
        call("plot_qualitative.py", tmp_path / "it", tmp_path / "predictions", item=[names[1]], **options)
    with pytest.raises(ValueError, match="nobody"):
        call("plot_qualitative.py", tmp_path / "it", tmp_path / "predictions", item=["nobody"], **options)


def test_nobody_accepted_is_a_sentence(made, tmp_path):
    table = shards.read_table(made / "screened.parquet").assign(accepted=False, reasons="scenery")
    shards.write_table(table, tmp_path / "screened.parquet")
    call("plot_mosaic.py", made / "refined", tmp_path / "screened.parquet", tmp_path / "a" / "it", 2)
    call(
        "plot_refinement.py",
        made / "generated",
        made / "refined",
        tmp_path / "screened.parquet",
        tmp_path / "b" / "it",
        2,
    )
    assert_figure(tmp_path / "a" / "it")
    assert_figure(tmp_path / "b" / "it")


def test_a_run_without_exact_alpha_has_its_figures(tmp_path):
    made = synthetic.results(tmp_path / "run", count=3, shard_size=3, size=32, truth=False)
    table = synthetic.score_table("", "raw", 100, -1, [], 1.0)
    shards.write_table(table, tmp_path / "variants.parquet")
    call(
        "plot_refinement.py", made / "generated", made / "refined", made / "screened.parquet", tmp_path / "a" / "it", 1
    )
    call("plot_variants.py", tmp_path / "variants.parquet", tmp_path / "b" / "it")
    call("tabulate_variants.py", tmp_path / "variants.parquet", tmp_path / "c" / "it")
    assert_figure(tmp_path / "a" / "it")
    assert_figure(tmp_path / "b" / "it")
    assert "No exact alpha is known" in (tmp_path / "c" / "it.md").read_text(encoding="utf-8")


def assert_refused(result: subprocess.CompletedProcess, word: str) -> None:
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert word in result.stderr


def test_a_missing_table_is_named(tmp_path):
    assert_refused(run("plot_acceptance.py", tmp_path / "absent.parquet", tmp_path / "it"), "absent.parquet")
    assert not list(tmp_path.iterdir())


def test_an_unknown_metric_is_named(made, tmp_path):
    result = run("tabulate_variants.py", made / "scores" / "variants.parquet", tmp_path / "it", "--metric", "psnr")
    assert_refused(result, "psnr")
    assert not list(tmp_path.iterdir())


def test_an_accepted_portrait_that_no_shard_holds_is_named(made, tmp_path):
    with pytest.raises(ValueError, match=r"demo-00000000[3-5]"):
        call("plot_mosaic.py", made / "refined", made / "screened.parquet", tmp_path / "it", 1)
