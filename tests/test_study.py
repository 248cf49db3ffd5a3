"""The refinement study: its rivals on drawn mattes with a known answer, its regions, and its tables and commands."""

import dataclasses
import runpy

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, SCRIPTS, disc
from test_scripts import assert_refused, run

from ldportrait import scores, study, tables
from ldportrait.connectivity import RefineParams

BANK = ROOT / "resources" / "bank" / "bank.parquet"


@pytest.fixture
def dusty() -> tuple[np.ndarray, np.ndarray]:
    """A disc of 256 pixels with an island, haze and a hole: the picture, and the exact one."""
    exact = disc(256)
    damaged = exact.copy()
    damaged[10:20, 10:20, 3] = 220  # an island
    damaged[230:250, :40, 3] = 20  # haze
    damaged[120:124, 120:124, 3] = 60  # a hole
    return damaged, exact


def test_thresholds_touch_only_the_ends(dusty):
    damaged, _ = dusty
    alpha = study.thresholds(damaged)
    changed = alpha != damaged[..., 3]
    assert not alpha[240, 5]
    assert (damaged[..., 3][changed] < study.LOW * 255).any()
    assert set(np.unique(alpha[changed])) <= {0, 255}


def test_the_largest_component_alone_stays(dusty):
    damaged, exact = dusty
    alpha = study.largest_component(damaged)
    assert not alpha[:30, :30].any()
    assert alpha[122, 122] == 60  # holes are none of its business
    assert alpha[exact[..., 3] == 255].min() == 60
    assert not study.largest_component(np.zeros((8, 8, 4), np.uint8)).any()


def test_morphology_removes_what_a_disc_does_not_fit_into(dusty):
    damaged, exact = dusty
    damaged[60:62, 10:12, 3] = 255  # smaller than the opening
    alpha = study.morphology(damaged)
    assert not alpha[61, 11]
    assert alpha[128, 60] == 255
    edge = (exact[..., 3] > 0) & (exact[..., 3] < 255)
    assert (alpha[edge] == damaged[..., 3][edge]).all()  # the generated edge is kept


def test_the_guided_filter_follows_the_guide():
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[:, 32:] = 255
    step = study.guided_filter(picture)  # guide and alpha share the edge, and it stays sharp
    assert step[:, :31].max() <= 2
    assert step[:, 33:].min() >= 253


def test_closed_form_changes_the_band_alone(dusty):
    pytest.importorskip("pymatting")
    _, exact = dusty
    small = np.dstack([exact[96:160, 0:64, :3], exact[96:160, 0:64, 3]])  # the disc's left edge
    known = study.refined(RefineParams())(small)
    solved = study.closed_form(small, RefineParams())
    sure = (known == 0) | (known == 255)
    assert (solved[sure] == known[sure]).all()
    assert np.abs(solved.astype(int) - small[..., 3]).mean() < 5


def test_the_regions_are_the_band_and_the_rest():
    truth = disc(256)[..., 3]
    masks = study.regions(truth)
    assert masks["whole"] is None
    fractional = ((truth > 0) & (truth < 255)).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))  # 4 pixels of 1024 are 1 here
    assert (masks["band"] == (cv2.dilate(fractional, cross) > 0)).all()
    assert (masks["absolute"] == ~masks["band"]).all()


def test_the_methods_are_ours_and_ours_less_each_step():
    names = list(study.methods(RefineParams()))
    assert names[0] == "raw"
    assert names.index("ours") == len(names) - 1 - len(study.steps())
    (first, *_) = study.steps()
    without = study.methods(dataclasses.replace(RefineParams(), **{first: False}))
    assert len(without) == len(names) - 1  # a step that is off cannot be left out


def test_the_parameters_of_the_configuration_are_those_of_the_refinement():
    schema = yaml.safe_load((ROOT / "config" / "schema.yaml").read_text(encoding="utf-8"))
    section = {key: part["default"] for key, part in schema["properties"]["refine"]["properties"].items()}
    section.pop("clean")  # colour, no parameter
    assert study.params_of(f"{name}={value}" for name, value in section.items()) == RefineParams()


@pytest.mark.parametrize("text", ["colour=3", "core=high", "level=3"])
def test_a_wrong_parameter_is_named(text):
    with pytest.raises(ValueError, match=text.partition("=")[0]):
        study.params_of([text])


def test_an_alpha_near_one_is_varied_by_its_distance_to_one():
    params = dataclasses.replace(RefineParams(), core=0.9)
    setting, chosen = study.varied(params, "core", 0.5)
    assert setting == pytest.approx(0.95)
    assert chosen == dataclasses.replace(params, core=setting)
    assert study.varied(params, "core", 1.0)[1].core == pytest.approx(0.9)
    assert study.varied(params, "core", 100.0)[1] is None


def test_the_cases_are_the_same_at_every_call_and_without_gross_faults():
    (first,) = study.cases(BANK, "val", 1.0, seed=3, limit=1)
    (again,) = study.cases(BANK, "val", 1.0, seed=3, limit=1)
    assert (first.rgba == again.rgba).all()
    (clean,) = study.cases(BANK, "val", 0.0, seed=3, limit=1)
    assert (clean.rgba[..., 3] == clean.truth).all()
    with pytest.raises(ValueError, match="holiday"):
        list(study.cases(BANK, "holiday", 1.0, 0))


def made_up() -> pd.DataFrame:
    values = {"raw": [4.0, 8.0], "ours": [1.0, 4.0], "less level": [0.5, 0.5], "slow": [2.0]}
    rows = [
        {"run": "r", "severity": 1.0, "method": name, "item": f"i{i}", "region": "whole", "metric": "sad", "value": v}
        for name, found in values.items()
        for i, v in enumerate(found)
    ]
    return pd.DataFrame(rows, columns=scores.STUDY)


def test_the_table_holds_means_and_falls_by_hand():
    numbers, table = tables.of_study(made_up())
    ours = numbers[numbers.method == "ours"].iloc[0]
    assert (ours["mean"], ours["raw"], ours.fall_mean, ours.fall_worst) == (2.5, 6.0, 62.5, 50.0)
    slow = numbers[numbers.method == "slow"].iloc[0]
    assert (slow["mean"], slow["raw"], slow.fall_mean, slow.pictures) == (2.0, 4.0, 50.0, 1)
    assert [row[1] for row in table.rows] == ["raw", "ours", "less level", "slow"]
    assert table.rows[1][2:] == ["2.5", "62.5", "50.0"]
    assert table.bold == {(3, 2)}  # the least mean of the methods, ours less a step aside
    assert "slow at 1: the first 1, whose raw SAD is 4" in table.note


def call(script: str, *arguments: object, **options: object) -> None:
    runpy.run_path(str(SCRIPTS / script))["main"](*arguments, **options)


def test_the_commands_one_after_the_other(tmp_path):
    methods, curves = tmp_path / "methods.parquet", tmp_path / "sensitivity.parquet"
    call("study_refinement.py", BANK, methods, run="r", limit=2, closed_form_limit=0)
    found = scores.read_study([methods], scores.STUDY)
    assert found.item.nunique() == 2
    assert study.CLOSED_FORM not in set(found.method)
    whole = found[(found.region == "whole") & (found.metric == "sad")].groupby("method").value.mean()
    parts = found[(found.region != "whole") & (found.metric == "sad")].groupby("method").value.sum() / 2
    assert parts.to_dict() == pytest.approx(whole.to_dict())
    assert whole["ours"] < whole["raw"]
    call("study_sensitivity.py", BANK, curves, run="r", factor=[1.0, 2.0], limit=1)
    found = scores.read_study([curves], scores.CURVES)
    assert set(found.parameter) == set(study.parameters())
    assert found[(found.factor == 1) & (found.region == "whole")].value.nunique() == 1
    call("plot_study.py", curves, [methods], output=tmp_path / "figures")
    call("tabulate_study.py", [methods], output=tmp_path / "tables" / "study")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.{suffix}" for name in ("study", "sensitivity") for suffix in ("pdf", "png")
    }
    assert "ours" in (tmp_path / "tables" / "study.md").read_text(encoding="utf-8")


def test_a_table_of_something_else_is_refused(tmp_path):
    pd.DataFrame({"severity": [1.0]}).to_parquet(tmp_path / "other.parquet")
    result = run("tabulate_study.py", tmp_path / "other.parquet", "--output", tmp_path / "study")
    assert_refused(result, "other.parquet")
