"""The keying study: cases and methods on the bank, its errors and intervals by hand, and its commands."""

import numpy as np
import pandas as pd
import pytest
import stages
from conftest import ROOT
from test_scripts import assert_refused

from ldportrait import chroma, figures_keying, images, keying, scores, study, tables, tables_keying

BANK = ROOT / "resources" / "bank" / "bank.parquet"


@pytest.fixture(scope="module")
def val() -> list[keying.Case]:
    return list(keying.cases(BANK, "val", 1.0, seed=3, limit=2))


# Cases


def test_a_green_shot_is_the_banks_own_and_a_composite_is_shot(val):
    table = pd.read_parquet(BANK).set_index("id")
    assert [case.row["set"] for case in val] == ["green shots"] * 2 + ["composites"] * 2
    for case in val:
        row = table.loc[case.row["item"]]
        assert row.split == "val"
        assert (case.exact == images.read_rgba(BANK.parent / row.path)).all()
        assert case.row["hair_style"] == row.hair_style
    green, composite = val[0], val[2]
    assert (green.shot == images.read_rgb(BANK.parent / table.loc[green.row["item"]].shot_path)).all()
    assert green.pair is None
    away = composite.exact[..., 3] == 0
    noise = composite.shot.astype(float)[away] - 255 * composite.pair.walls[0][away]
    assert noise.std() == pytest.approx(2, rel=0.1)
    assert composite.pair.walls[1][..., 2].mean() > composite.pair.walls[1][..., 1].mean()  # blue


def test_forest_green_is_green_ish(val):
    assert [case.row["clothes"] for case in keying.cases(BANK, "val", 0, 0, limit=3)][:3] == [
        "other", "other", "green-ish",
    ]  # fmt: skip


def test_the_generated_mattes_are_those_of_the_refinement_study(val):
    other = list(study.cases(BANK, "val", 1.0, seed=3, limit=2))
    for one, two in zip(val[2:], other, strict=True):
        assert (one.generated == two.rgba).all()


def test_a_seed_gives_the_cases(val):
    again = next(keying.cases(BANK, "val", 1.0, seed=3, limit=1))
    assert (again.generated == val[0].generated).all()
    other = list(keying.cases(BANK, "val", 1.0, seed=4, limit=1))
    assert (other[1].shot != val[2].shot).any()


def test_a_split_without_pictures_is_refused():
    with pytest.raises(ValueError, match="holiday"):
        list(keying.cases(BANK, "holiday", 1.0, 0))


def test_the_levels_were_tuned_on_val_alone():
    table = pd.read_parquet(BANK).set_index("id")
    shots = list(keying.tuning_shots(BANK))
    val_items = table[(table.split == "val") & table.kind.isin(["green", "portrait"])]
    assert len(shots) == len(val_items) == 19
    assert (shots[0][1] == images.read_rgba(BANK.parent / table.loc["green-00"].path)[..., 3]).all()


# Methods and errors


def test_the_methods_keep_their_order_of_quality(val):
    case = val[2]
    made = keying.made(case)
    assert list(made) == list(keying.methods())
    assert scores.TRIANGULATION not in keying.made(val[0])
    truth = case.exact[..., 3].astype(float)
    errors = {name: np.abs(rgba[..., 3] - truth).mean() for name, rgba in made.items()}
    for keyer in chroma.KEYERS:
        assert errors[keyer] < errors[f"{keyer}, plain"] / 2
    assert errors["refined"] < errors["raw"]
    assert (made["raw"] == case.generated).all()


def test_the_colour_error_by_hand():
    exact = np.zeros((1, 3, 4), np.uint8)
    exact[0, :, 3] = 255, 51, 0
    rgba = exact.copy()
    rgba[0, 0, :3] = 30, 0, 0  # 10 on average, of weight 1
    rgba[0, 1, :3] = 60, 60, 60  # 60, of weight 0.2
    rgba[0, 2, :3] = 255  # of none
    rgba[..., 3] = 7  # no matter
    assert keying.colour_error(rgba, exact) * 255 == pytest.approx((10 + 0.2 * 60) / 1.2)
    assert keying.colour_error(rgba, exact, np.array([[False, True, True]])) * 255 == pytest.approx(60)
    assert np.isnan(keying.colour_error(rgba, exact, np.array([[False, False, True]])))


def test_the_scores_are_those_of_the_exact_picture(val):
    rows = pd.DataFrame(keying.scores_of(val[0], val[0].exact))
    assert set(rows.metric) == {"sad", "mse", "mad", "grad", "conn", "colour"}
    assert set(rows.region) == {"whole", "unknown"}
    assert (rows.value == 0).all()


# The table


def made_up(values: dict[str, list[float]], metric: str = "sad") -> list[dict]:
    """Scores by method on items i0, i1 ... of one set, in the whole picture."""
    known = {"run": "r", "set": "s", "hair_style": "bob", "hair_colour": "red", "clothes": "other", "region": "whole"}
    return [
        known | {"item": f"i{place}", "method": method, "metric": metric, "value": value}
        for method, found in values.items()
        for place, value in enumerate(found)
    ]


def test_no_winner_is_named_within_noise():
    clear = {"a": [1.0, 2.0, 3.0], "b": [2.0, 3.1, 4.0], "triangulation": [0.0, 0.0, 0.0]}
    assert tables_keying.winner(pd.DataFrame(clear)) == "a"  # each item 1 apart, though the means' intervals overlap
    assert tables_keying.winner(pd.DataFrame(clear | {"b": [0.5, 3.0, 3.0]})) is None
    assert tables_keying.winner(pd.DataFrame(clear | {"b": clear["a"]})) is None
    assert tables_keying.winner(pd.DataFrame({"a": [1.0], "triangulation": [0.0]})) is None


def test_the_table_by_hand():
    values = {"vlahos": [3.0, 5.0], "refined": [1.0, 1.0], "raw": [2.0, 0.0]}
    rows = made_up(values) + made_up({name: [0.0, v[1] / 255] for name, v in values.items()}, "colour")
    numbers, table = tables_keying.of_keying(pd.DataFrame(rows, columns=scores.KEYING), "A note.")
    assert [row[:3] for row in table.rows] == [["s", "whole", name] for name in values]
    found = numbers[numbers.attribute == "all"].set_index(["method", "metric"])
    vlahos = found.loc[("vlahos", "sad")]
    assert (vlahos["mean"], vlahos.low, vlahos.high, vlahos["items"]) == (4, 3, 5, 2)
    assert (vlahos.difference, vlahos.difference_low, vlahos.difference_high) == (3, 2, 4)
    assert found.loc[("vlahos", "colour"), "mean"] == pytest.approx(2.5)
    assert table.rows[0][3:] == ["4.0 ± 1.0", "2.50 ± 2.50", "+3.0 ± 1.0"]  # two digits of the smallest half
    assert table.rows[1][5] == "–"
    assert not table.bold  # refined and raw have one mean in SAD; raw is always 0 in colour, refined on one of two
    assert table.note.endswith("A note.")
    by_hair = numbers[numbers.attribute == "hair_style"]
    assert set(by_hair.value) == {"bob"}
    text = tables.markdown(table)
    assert "Δ SAD to refined" in text


def test_unpaired_scores_are_refused():
    rows = made_up({"vlahos": [3.0, 5.0], "refined": [1.0]})
    with pytest.raises(ValueError, match="sad of refined on i1"):
        tables_keying.of_keying(pd.DataFrame(rows, columns=scores.KEYING))
    rows = made_up({"vlahos": [3.0]}) * 2
    with pytest.raises(ValueError, match="vlahos on i0"):
        tables_keying.of_keying(pd.DataFrame(rows, columns=scores.KEYING))


def test_the_pictures_shown_are_the_extremes_and_the_median():
    values = {keying.BEST: [5.0, 1.0, 2.0, 9.0, 3.0], "refined": [0.0, 0.0, 0.0, 0.0, 0.0]}
    assert keying.telling(pd.DataFrame(made_up(values), columns=scores.KEYING)) == ["i1", "i4", "i3"]
    few = {keying.BEST: [5.0, 1.0], "refined": [0.0, 0.0]}
    assert keying.telling(pd.DataFrame(made_up(few), columns=scores.KEYING)) == ["i1", "i0"]


def test_the_views_of_a_picture():
    exact = np.zeros((64, 64, 4), np.uint8)
    exact[:, 32:] = (10, 20, 30, 255)
    exact[:, 31:33, 3] = 128
    keyed = exact.copy()
    keyed[..., 3] = np.clip(exact[..., 3].astype(int) + 10, 0, 255)
    cells = figures_keying._views({"shot": exact[..., :3], "keyed": keyed, "refined": exact, "exact": exact})
    assert len(cells) == 9
    assert set(np.unique(cells[7])) == {0, 40}  # four times the error, none where it was 255
    assert not cells[8].any()
    assert (cells[3] == cells[2]).all()  # exact and refined on white
    assert cells[3].max() == 255
    assert not cells[6][0, 0].any()


# The commands


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keying")
    table, examples = folder / "keying.parquet", folder / "keying.npz"
    result = stages.call("study_keying.py", BANK, table, "--run", "r", "--examples", examples, "--limit", 2)
    assert result.returncode == 0, result.stderr
    return table, examples


def test_the_commands_one_after_the_other(studied, tmp_path):
    table, examples = studied
    found = scores.read_study([table], scores.KEYING)
    assert found.groupby("set").item.nunique().to_dict() == {"green shots": 2, "composites": 2}
    assert set(found[found["set"] == "composites"].method) == set(keying.methods())
    assert (found.run == "r").all()
    assert found.value.notna().all()
    result = stages.call("plot_keying.py", table, examples, "--output", tmp_path / "figures")
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.{suffix}" for name in ("keying", "keying_pictures") for suffix in ("pdf", "png")
    }
    result = stages.call("tabulate_keying.py", table, "--output", tmp_path / "tables" / "keying", "--note", "Mine.")
    assert result.returncode == 0, result.stderr
    assert "Mine." in (tmp_path / "tables" / "keying.md").read_text(encoding="utf-8")
    numbers = pd.read_csv(tmp_path / "tables" / "keying.csv")
    assert {"hair_style", "hair_colour", "clothes", "all"} == set(numbers.attribute)
    assert len(list((tmp_path / "tables").iterdir())) == 3


def test_severity_and_seed_matter(studied, tmp_path):
    def errors(path):
        found = pd.read_parquet(path)
        first = found[found["set"] == "composites"].item.min()
        return (
            found[(found.metric == "sad") & (found.region == "whole") & (found.item == first)].set_index("method").value
        )

    usual, (exact, other) = errors(studied[0]), (tmp_path / "exact.parquet", tmp_path / "other.parquet")
    for output, *options in ((exact, "--severity", 0), (other, "--seed", 1)):
        assert not stages.call("study_keying.py", BANK, output, "--run", "r", "--limit", 1, *options).returncode
    exact, other = errors(exact), errors(other)
    assert exact["raw"] == 0 < usual["raw"]
    assert exact["vlahos"] == usual["vlahos"] != other["vlahos"]
    assert usual["raw"] != other["raw"]


def test_bad_input_is_refused(studied, tmp_path):
    table, examples = studied
    result = stages.call("study_keying.py", tmp_path / "absent.parquet", tmp_path / "o.parquet", "--run", "r")
    assert_refused(result, "absent.parquet")
    other = tmp_path / "other.parquet"
    pd.DataFrame({"method": ["a"]}).to_parquet(other)
    assert_refused(stages.call("tabulate_keying.py", other, "--output", tmp_path / "t"), "other.parquet")
    assert_refused(stages.call("plot_keying.py", other, examples, "--output", tmp_path / "f"), "other.parquet")
    assert_refused(stages.call("plot_keying.py", table, table, "--output", tmp_path / "f"), "keying.parquet")
    assert_refused(stages.call("plot_keying.py", table, tmp_path / "no.npz", "--output", tmp_path / "f"), "no.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.parquet"]
