"""Means, intervals and the tables made of them, against numbers worked out by hand."""

import math
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from ldportrait import gallery, scores, tables


def table(values: dict[tuple[str, int, str], float], metric: str = "sad", region: str = "whole") -> pd.DataFrame:
    """Scores of one model from {(variant, seed, item): value}."""
    rows = [{"variant": v, "seed": s, "item": i, "value": value} for (v, s, i), value in values.items()]
    fixed = {
        "run": "r",
        "model": "m",
        "fraction": 100,
        "benchmark": "b",
        "protocol": "definition",
        "region": region,
        "metric": metric,
    }
    return pd.DataFrame(rows).assign(**fixed)


def test_the_mean_and_interval_of_two_values_by_hand():
    # Means of two draws from {0, 1}: 0 (1/4), 1/2 (1/2), 1 (1/4): both tails are heavier than 2.5 %.
    found = scores.estimate(np.array([[0.0, 1.0]]))
    assert (found.mean, found.low, found.high) == (0.5, 0, 1)
    assert (found.items, found.seeds, found.half) == (2, 1, 0.5)


def test_the_interval_of_many_items_is_the_normal_one():
    values = np.random.default_rng(5).normal(3, 2, (1, 400))
    found = scores.estimate(values, draws=20000)
    expected = 1.959964 * values.std() / math.sqrt(400)
    assert found.half == pytest.approx(expected, rel=0.03)
    assert found.mean == pytest.approx(values.mean())


def test_seeds_and_items_are_drawn_crosswise():
    # Seeds differ by 10, items not at all: drawing two seeds gives 0, 5 or 10, whatever the number of items.
    found = scores.estimate(np.array([[0.0] * 50, [10.0] * 50]))
    assert (found.mean, found.low, found.high) == (5, 0, 10)


def test_crossed_draws_against_loops():
    values = np.arange(6.0).reshape(2, 3) ** 2
    generator = np.random.default_rng(9)
    means = []
    for _ in range(20000):
        seeds, items = generator.integers(0, 2, 2), generator.integers(0, 3, 3)
        means.append(np.mean([[values[s, i] for i in items] for s in seeds]))
    found = scores.estimate(values, draws=20000)
    np.testing.assert_allclose([found.low, found.high], np.percentile(means, [2.5, 97.5]), atol=0.35)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8))
def test_the_interval_lies_within_the_values(values):
    found = scores.estimate(np.array([values]), draws=200)
    slack = 1e-9
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack


def test_an_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        scores.estimate(np.zeros((0, 3)))


def test_estimates_repeat():
    values = np.random.default_rng(1).normal(size=(2, 9))
    assert scores.estimate(values) == scores.estimate(values)


def test_paired_differences_use_what_both_have():
    values = {("raw", 0, "a"): 3.0, ("raw", 0, "b"): 103.0, ("raw", 1, "a"): 4.0, ("raw", 1, "b"): 99.0}
    values |= {("truth", 0, "a"): 1.0, ("truth", 0, "b"): 101.0}
    summary = scores.summarise(table(values), ["sad"], "whole", "truth").set_index("variant")
    assert summary.loc["raw", "mean"] == pytest.approx((3 + 103 + 4 + 99) / 4)
    assert summary.loc["raw", ["difference", "difference_low", "difference_high"]].tolist() == [2, 2, 2]
    assert math.isnan(summary.loc["truth", "difference"])


def test_means_are_in_the_unit_that_the_header_names():
    found = scores.summarise(table({("raw", 0, "a"): 0.004}, "mse"), ["mse"], "whole").iloc[0]
    assert found["mean"] == pytest.approx(4)
    assert found.unit == "×10³"


def test_items_that_a_seed_lacks_are_left_out():
    values = {("raw", 0, "a"): 1.0, ("raw", 0, "b"): 9.0, ("raw", 1, "a"): 3.0}
    assert scores.cells(table(values), "sad", "whole").to_numpy().tolist() == [[1], [3]]


def test_a_score_told_twice_is_refused():
    twice = pd.concat([table({("raw", 0, "a"): 1.0})] * 2)
    with pytest.raises(ValueError, match="item a, seed 0"):
        scores.cells(twice, "sad", "whole")


def test_only_the_runs_asked_for_are_read(tmp_path):
    synthetic.write_scores(tmp_path)
    found = scores.read_models(tmp_path, "bank", ["small-trimap"], ["refined"], [25, 100], [1])
    assert set(found.variant) == {"refined"}
    assert set(found.fraction) == {25, 100}
    assert set(found.seed) == {1}
    with pytest.raises(FileNotFoundError, match="small-free"):
        scores.read_models(tmp_path, "bank", ["small-trimap", "small-free"], ["raw"])
    with pytest.raises(FileNotFoundError, match="no-such"):
        scores.read_models(tmp_path, "bank", ["no-such"])


def test_another_table_is_refused(tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet .* no column run"):
        scores.read(tmp_path / "x.parquet")


def test_unknown_metrics_and_regions_are_refused():
    with pytest.raises(ValueError, match="sdd"):
        scores.check(["sad", "sdd"])
    with pytest.raises(ValueError, match="edge"):
        scores.check(["sad"], "edge")


@pytest.mark.parametrize(
    ("halves", "digits"), [([0.4], 2), ([0.04, 3], 3), ([12], 0), ([1.5], 1), ([0], 2), ([1e-9], 4), ([], 2)]
)
def test_decimals_show_two_digits_of_the_half_interval(halves, digits):
    assert tables.decimals(halves) == digits


def test_plus_minus():
    assert tables.plus_minus(12.345, 0.44, 2) == "12.35 ± 0.44" or tables.plus_minus(12.345, 0.44, 2) == "12.34 ± 0.44"
    assert tables.plus_minus(-1.0, 0.5, 1, signed=True) == "−1.0 ± 0.5"
    assert tables.plus_minus(1.0, 0.5, 1, signed=True) == "+1.0 ± 0.5"


def variants_table() -> tables.Table:
    values = {("raw", -1, "a"): 4.0, ("raw", -1, "b"): 6.0, ("refined", -1, "a"): 1.0, ("refined", -1, "b"): 3.0}
    return tables.of_variants(table(values).assign(model=""), ["sad"], "A word: 5 % & more_.")[1]


def test_the_best_is_bold_and_the_note_is_there():
    text = tables.markdown(variants_table())
    assert "| whole | raw | 5.0 ± 1.0 |" in text
    assert "| whole | refined | **2.0 ± 1.0** |" in text
    assert "over 2 accepted portraits. A word: 5 % & more_. Bold: better than each other one, by a paired" in text


def test_a_lead_within_noise_is_not_bold():
    # refined is ahead by 1 on average; on one of three pictures it is behind by 2, and the interval holds 0
    values = {("raw", -1, item): 5.0 for item in "abc"} | {
        ("refined", -1, item): v for item, v in zip("abc", (2, 3, 7), strict=True)
    }
    made = tables.of_variants(table(values).assign(model=""), ["sad"])[1]
    assert not made.bold
    assert "Bold" not in made.note


def test_a_clear_best_beats_every_rival():
    frame = {name: pd.DataFrame([values], index=[0], columns=list("abc")) for name, values in
             {"x": [1.0, 2.0, 3.0], "y": [1.1, 2.2, 3.1], "z": [9.0, 9.0, 9.0]}.items()}  # fmt: skip
    assert scores.clear_best(frame) == "x"
    frame["y"] = pd.DataFrame([[1.3, 1.9, 3.1]], index=[0], columns=list("abc"))
    assert scores.clear_best(frame) is None  # y is better on b
    assert scores.clear_best({"x": frame["x"]}) is None
    assert scores.clear_best({"x": frame["x"], "w": frame["z"].rename(columns=str.upper)}) is None  # nothing in common


def test_seeds_that_agree_by_chance_lend_no_table_their_decimals():
    values = {("raw", 0): 3.0, ("raw", 1): 3.3, ("truth", 0): 2.706, ("truth", 1): 2.7087}
    scored = table({(name, seed, "a"): value for (name, seed), value in values.items()}, region="unknown")
    made = tables.of_models(scored, ["sad"], "unknown", "truth")
    assert [row[2] for row in made[1].rows] == ["3.15 ± 0.21", "2.71 ± 0.00"]


def test_seeds_spread_by_their_standard_deviation():
    # the seeds' means are 2 and 4: their standard deviation is the root of 2
    values = {("raw", 0, "a"): 1.0, ("raw", 0, "b"): 3.0, ("raw", 1, "a"): 3.0, ("raw", 1, "b"): 5.0}
    values |= {("truth", seed, item): 0.5 for seed in (0, 1) for item in "ab"}
    summary, made = tables.of_models(table(values, region="unknown"), ["sad"], "unknown", "truth")
    raw = summary[(summary.variant == "raw") & (summary.region == "unknown")].iloc[0]
    assert raw.deviation == pytest.approx(math.sqrt(2))
    assert made.rows[0][2] == "3.0 ± 1.4"
    assert "standard deviation of 2 seeds" in made.note
    assert made.rows[0][3].startswith("+2.5 [")


def law_values(exponent: float, noise: float = 0.0) -> list[np.ndarray]:
    """Errors 3 (n / 100) ^ -exponent of two seeds and five items at four sizes."""
    generator = np.random.default_rng(3)
    return [3 * share**-exponent * np.exp(noise * generator.standard_normal((2, 5))) for share in (0.125, 0.25, 0.5, 1)]


def test_a_power_law_is_found_again():
    law = scores.power_law([0.125, 0.25, 0.5, 1], law_values(0.3))
    assert (law.scale, law.exponent, law.explained) == pytest.approx((3, 0.3, 1))
    assert law.low == pytest.approx(0.3)
    assert law.fits


def test_no_power_law_fits_noise_or_a_rise():
    assert not scores.power_law([0.125, 0.25, 0.5, 1], law_values(0, noise=0.5)).fits
    assert not scores.power_law([0.125, 0.25, 0.5, 1], law_values(-0.3)).fits


def test_a_power_law_needs_three_sizes_and_errors():
    with pytest.raises(ValueError, match="three or more sizes"):
        scores.power_law([0.5, 1], law_values(0.3)[:2])
    with pytest.raises(ValueError, match="errors above 0"):
        scores.power_law([0.25, 0.5, 1], [np.zeros((1, 2))] * 3)


def test_the_law_of_a_table_uses_what_all_sizes_have():
    parts = [
        table({("refined", s, i): 2 * (f / 100) ** -0.5 for s in (0, 1) for i in "ab"}).assign(fraction=f)
        for f in (25, 50, 100)
    ]
    parts.append(table({("refined", 2, "a"): 77.0}).assign(fraction=100))
    found = pd.concat(parts)
    assert scores.capacity_law(found, "sad", "whole", model="m", variant="refined").exponent == pytest.approx(0.5)
    assert scores.capacity_law(found[found.fraction > 25], "sad", "whole", model="m", variant="refined") is None


def test_only_rows_of_the_protocol_asked_for_are_read(tmp_path):
    rows = table({("raw", 0, "a"): 1.0})[scores.COLUMNS]
    pd.concat([rows, rows.assign(protocol="p3m", value=9.0)]).to_parquet(tmp_path / "x.parquet")
    assert scores.read(tmp_path / "x.parquet").value.tolist() == [1]
    assert scores.read(tmp_path / "x.parquet", "p3m").value.tolist() == [9]


def test_latex_is_escaped_and_ruled():
    text = tables.latex(variants_table())
    assert r"\textbf{\boldmath 2.0 $\pm$ 1.0} \\" in text
    assert r"5 \% \& more\_." in text
    assert all(rule in text for rule in ("\\toprule", "\\midrule", "\\bottomrule"))
    body = [line for line in text.splitlines() if line.endswith("\\\\") and "multicolumn" not in line]
    assert {line.count(" & ") for line in body} == {2}


def test_latex_of_bars_and_brackets():
    """In text a bar would print as a dash, and a bracket after a line break be taken for its option."""
    text = tables.latex(tables.Table(["|F|"], [["[a]"]]))
    assert "\\textbar{}F\\textbar{}" in text
    assert "{[}a]" in text


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    text = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + tables.latex(variants_table())
    (tmp_path / "t.tex").write_text(text + "\\end{document}", encoding="utf-8")
    result = subprocess.run(["pdflatex", "-interaction=batchmode", "t.tex"], cwd=tmp_path, check=False)
    assert result.returncode == 0


def test_the_truth_is_not_a_rival():
    values = {("raw", 0, "a"): 2.0, ("refined", 0, "a"): 1.5, ("truth", 0, "a"): 1.0}
    made = tables.of_models(table(values, region="unknown"), ["sad"], "unknown", "truth")[1]
    assert [made.rows[row][1] for row, _ in made.bold] == ["refined"]
    assert made.rows[0][-1] == "+1.00 [+1.00, +1.00]"
    assert made.rows[2][-1] == "–"


def test_one_row_alone_is_not_bold():
    made = tables.of_models(table({("raw", 0, "a"): 2.0}, region="unknown"), ["sad"], "unknown", "truth")[1]
    assert not made.bold
    assert made.headings == ["model", "mattes", "SAD /1000"]


def test_no_exact_alpha_is_a_sentence(tmp_path):
    empty = table({("raw", 0, "a"): 2.0}).iloc[:0]
    tables.write(tmp_path / "variants", *tables.of_variants(empty, ["sad"]))
    assert "No exact alpha is known" in (tmp_path / "variants.md").read_text()
    assert pd.read_csv(tmp_path / "variants.csv").empty
    assert "\\end{tabular}" in (tmp_path / "variants.tex").read_text()


def test_screening_counts_by_split():
    screened = pd.DataFrame(
        {
            "split": ["train", "train", "train", "val"],
            "accepted": [True, False, False, False],
            "reasons": ["", "scenery", "scenery,no-face", "no-face"],
        }
    )
    numbers, made = tables.screening(screened)
    assert made.headings == ["", "train", "val", "all"]
    assert made.rows == [
        ["screened", "3", "1", "4"],
        ["accepted", "1 (33.3 %)", "0", "1 (25.0 %)"],
        ["rejected", "2 (66.7 %)", "1 (100.0 %)", "3 (75.0 %)"],
        ["– no-face", "1 (33.3 %)", "1 (100.0 %)", "2 (50.0 %)"],
        ["– scenery", "2 (66.7 %)", "0", "2 (50.0 %)"],
    ]
    assert numbers[numbers.reason == "scenery"]["count"].tolist() == [2, 0, 2]


def test_capacity_lists_sizes_in_order():
    parts = [
        table({("refined", s, "a"): 1.0 / f + s}, region="unknown").assign(fraction=f)
        for f in (100, 25)
        for s in (0, 1)
    ]
    made = tables.of_capacity(pd.concat(parts), ["sad"], "unknown")[1]
    assert [row[2] for row in made.rows] == ["25 %", "100 %"]
    assert "power law" not in made.note
    assert made.note.endswith(".")  # nothing is begun that two sizes cannot tell


def test_capacity_says_whether_a_power_law_fits():
    parts = [
        table({("refined", s, i): level * (f / 100) ** -0.5 for s in (0, 1) for i, level in [("a", 1), ("b", 2)]},
              region="unknown").assign(fraction=f) for f in (25, 50, 100)
    ]  # fmt: skip
    assert "SAD falls with the size n as n^(−0.50)" in tables.of_capacity(pd.concat(parts), ["sad"], "unknown")[1].note
    flat = [part.assign(value=1 + 0.1 * (part.fraction == 50)) for part in parts]
    assert "no power law fits SAD" in tables.of_capacity(pd.concat(flat), ["sad"], "unknown")[1].note


@given(st.lists(st.lists(st.text("ab|*<_ ", max_size=6), min_size=2, max_size=2), min_size=1, max_size=3))
def test_the_page_reads_back_what_markdown_wrote(rows):
    stripped = [[cell.strip() for cell in row] for row in rows]
    made = tables.Table(["a", "b"], stripped, bold=frozenset({(0, 1)}) if len(stripped[0][1]) else frozenset())
    found = gallery.read_markdown(tables.markdown(made))
    assert [[cell.text for cell in row] for row in found["rows"]] == stripped
    assert found["sides"] == ["left", "right"]
