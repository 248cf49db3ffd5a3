"""The figures hold what they are given, are told apart in print, and are equal byte for byte when drawn again."""

import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.colors import to_rgb
from PIL import Image

from ldportrait import figures, figures_counts, figures_errors, figures_portraits, pictures, scores, verdicts


def texts(figure) -> list[str]:
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [axes.get_title(loc="left"), axes.get_ylabel(), axes.get_xlabel()]
        found += [label.get_text() for label in [*axes.get_yticklabels(), *axes.get_xticklabels()]]
    return [" ".join(text.split()) for text in found if text]


def overflow(figure) -> float:
    """By how many inches what is drawn sticks out of the figure."""
    figure.draw_without_rendering()  # lays it out
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return max(-box.x0, -box.y0, box.x1 - width, box.y1 - height)


@pytest.fixture(scope="module")
def models() -> pd.DataFrame:
    items = [f"item-{index}" for index in range(6)]
    tables = [
        synthetic.score_table("small-trimap", variant, fraction, seed, items, 2 + level)
        for variant, level in synthetic.LEVELS.items()
        for seed in (0, 1)
        for fraction in (50, 100)
    ]
    return pd.concat([*tables, synthetic.score_table("small-free", "refined", 100, 0, items, 9)], ignore_index=True)


@pytest.fixture(scope="module")
def mattes(models) -> pd.DataFrame:
    chosen = (models.model == "small-trimap") & (models.seed == 0) & (models.fraction == 100)
    return models[chosen].assign(model="", seed=-1)


@pytest.fixture(scope="module")
def screened() -> pd.DataFrame:
    reasons = ["", "", "", "scenery", "scenery,no-face"]
    return pd.DataFrame({"accepted": [not r for r in reasons], "reasons": reasons, "reviewed": [False] * 4 + [True]})


def drawn(models, mattes, screened) -> dict:
    portrait = synthetic.bust(40)
    pair = {"raw": portrait, "refined": portrait, "truth": portrait}
    cell = pictures.grey(portrait[..., 3])
    sample = (portrait[..., :3], portrait[..., 3], portrait[..., 3], {"raw": portrait[..., 3]})
    prompts = pd.DataFrame({"gender": ["woman"] * 3 + ["man"], "hair_style": ["afro", "bob", "pixie", "locs"]})
    whole = models[models.fraction == 100]
    return {
        "mosaic": figures_portraits.mosaic([cell] * 24, [cell] * 24, 12),
        "refinement": figures_portraits.refinement(
            [pair, pair, {"raw": portrait, "refined": portrait}], side=32, note="a note"
        ),
        "qualitative": figures_portraits.qualitative([sample, sample], ["raw"], side=32),
        "attributes": figures_counts.attributes(prompts),
        "acceptance": figures_counts.acceptance(screened),
        "variants": figures_errors.variants(mattes, scores.SHOWN),
        "models": figures_errors.models(whole, scores.SHOWN, "unknown", "truth", "not converged"),
        "capacity": figures_errors.capacity(models[models.variant == "refined"], scores.SHOWN, "unknown"),
    }


@pytest.fixture(scope="module")
def all_figures(models, mattes, screened) -> dict:
    return drawn(models, mattes, screened)


def test_every_figure_has_the_width_of_a_column_or_of_the_text(all_figures):
    widths = {name: figure.get_size_inches()[0] for name, figure in all_figures.items()}
    assert set(widths.values()) == {figures.COLUMN, figures.TEXT}


def test_no_text_is_cut_off(all_figures):
    assert {name: cut for name, figure in all_figures.items() if (cut := overflow(figure)) > 0.01} == {}


def test_type_is_not_smaller_than_six_points(all_figures):
    sizes = [
        text.get_fontsize()
        for figure in all_figures.values()
        for axes in figure.axes
        for text in [*figure.texts, *axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
    ]
    assert min(sizes) >= 6


def test_drawing_again_gives_the_same_bytes(tmp_path, mattes, screened):
    portrait = synthetic.bust(40)
    for folder in ("first", "second"):
        figures.save(figures_errors.variants(mattes, ["sad"]), tmp_path / folder / "variants")
        figures.save(
            figures_portraits.refinement([{"raw": portrait, "refined": portrait}], 32), tmp_path / folder / "refinement"
        )
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == ["refinement.pdf", "refinement.png", "variants.pdf", "variants.png"]
    for name in files:
        content = (tmp_path / "first" / name).read_bytes()
        assert content == (tmp_path / "second" / name).read_bytes()
        assert b"CreationDate" not in content
        assert b"Matplotlib" not in content


def test_the_style_does_not_depend_on_the_callers(all_figures, models, mattes, screened):
    with matplotlib.rc_context({"font.size": 30, "axes.titlesize": 40}):
        again = figures_counts.acceptance(screened)
    pngs = []
    for figure in (all_figures["acceptance"], again):
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        pngs.append(stream.getvalue())
    assert pngs[0] == pngs[1]


def test_a_png_has_300_dots_per_inch(tmp_path, all_figures):
    figures.save(all_figures["acceptance"], tmp_path / "acceptance")
    with Image.open(tmp_path / "acceptance.png") as picture:
        assert picture.width == 1020


def luminance(colour: str) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


# Viénot, Brettel and Mollon 1999: linear sRGB as a protanope and a deuteranope sees it.
SIGHT = {
    "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


@pytest.mark.parametrize("sight", SIGHT)
def test_the_colours_of_variants_differ_for_the_colour_blind(sight):
    seen = {}
    for name, colour in figures.COLOURS.items():
        linear = np.array([v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)])
        seen[name] = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1) ** (1 / 2.2)
    names = list(seen)
    gaps = [np.abs(seen[a] - seen[b]).max() for i, a in enumerate(names) for b in names[i + 1 :]]
    assert min(gaps) > 0.1
    assert len(set(figures.MARKERS.values())) == len(figures.MARKERS) == len(figures.COLOURS)


def test_colours_can_be_read_on_white():
    assert all(1.05 / (luminance(colour) + 0.05) > 3 for colour in figures.COLOURS.values())


def test_variants_writes_the_means(mattes):
    found = texts(figures_errors.variants(mattes, ["sad"]))
    values = mattes[(mattes.metric == "sad") & (mattes.region == "whole") & (mattes.variant == "raw")].value
    assert f"{values.mean():.1f}" in found or f"{values.mean():.2f}" in found
    assert {"raw", "keyed", "refined", "SAD /1000"} <= set(found)
    assert "truth" not in found  # its error is 0 by definition
    assert any("over 6 accepted portraits" in text for text in found)


def test_models_says_what_the_interval_is_over_and_carries_the_note(all_figures):
    found = " ".join(texts(all_figures["models"]))
    assert "over 2 seeds and 6 benchmark pictures, both drawn anew (over fewer seeds for small-free)" in found
    assert "not converged" in found
    assert "small-trimap minus truth" in found


def test_single_seeds_are_explained_where_they_are_drawn(models):
    whole, parts = models[models.fraction == 100], models[models.variant == "refined"]
    for draw, table in ((figures_errors.models, whole), (figures_errors.capacity, parts)):
        assert "Small open" in " ".join(texts(draw(table, ["sad"], "unknown")))
        assert "Small open" not in " ".join(texts(draw(table[table.seed == 0], ["sad"], "unknown")))


def test_models_draws_the_paired_difference():
    fixed = {"model": "m", "fraction": 100, "seed": 0, "region": "unknown", "metric": "sad"}
    hard = {"a": 1.0, "b": 10.0, "c": 100.0}
    gaps = {"raw": 2.0, "truth": 0.0}
    rows = [
        {"variant": variant, "item": item, "value": value + gap, **fixed}
        for variant, gap in gaps.items()
        for item, value in hard.items()
    ]
    figure = figures_errors.models(pd.DataFrame(rows), ["sad"], "unknown", "truth")
    below = figure.axes[1]
    interval = below.lines[1].get_xdata()  # line 0 is the line at zero
    np.testing.assert_allclose(interval, [2, 2])  # every pair differs by 2, however different the items are
    assert "+2.00" in texts(figure)


def test_capacity_has_a_tick_for_each_size(all_figures):
    axes = all_figures["capacity"].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["50", "100"]


def test_lines_of_capacity_are_named_by_what_differs(models):
    more = pd.concat([models, models[models.variant == "refined"].assign(variant="p3m-10k")])
    more = more[more.variant.isin(["refined", "p3m-10k"]) & (more.model == "small-trimap")]
    legend = figures_errors.capacity(more, ["sad"], "unknown").axes[0].get_legend()
    assert [text.get_text().partition(" ")[0] for text in legend.get_texts()] == ["refined", "p3m-10k"]
    assert figures_errors.capacity(more[more.variant == "refined"], ["sad"], "unknown").axes[0].get_legend() is None


def test_large_differences_get_a_logarithmic_axis(mattes):
    far = mattes.assign(value=mattes.value.where(mattes.variant != "raw", mattes.value * 100))
    assert figures_errors.variants(far, ["sad"]).axes[0].get_xscale() == "log"
    assert figures_errors.variants(mattes, ["sad"]).axes[0].get_xscale() == "linear"


def test_no_exact_alpha_is_a_sentence(mattes):
    for table in (mattes.iloc[:0], mattes[mattes.variant == "truth"]):
        assert any("No exact alpha is known" in text for text in texts(figures_errors.variants(table, scores.SHOWN)))


def test_nothing_known_is_a_sentence(models, screened):
    assert "No attributes are known for these prompts." in texts(
        figures_counts.attributes(pd.DataFrame({"gender": ["", ""]}))
    )
    assert "No portraits were screened." in texts(figures_counts.acceptance(screened.iloc[:0]))
    assert texts(figures_errors.models(models.iloc[:0], scores.SHOWN, "unknown"))
    assert texts(figures_errors.capacity(models.iloc[:0], scores.SHOWN, "unknown"))


def test_acceptance_counts(all_figures, screened):
    found = texts(all_figures["acceptance"])
    assert {"3 accepted (60 %)", "2 rejected (40 %)", "1 decided by review", "2 (40 % of all)"} <= set(found)
    everybody = figures_counts.acceptance(screened[screened.accepted])
    assert "3 accepted (100 %)" in texts(everybody)


def test_reasons_count_each_reason_of_a_portrait(screened):
    assert verdicts.reasons(screened).to_dict() == {"scenery": 2, "no-face": 1}


def test_shares_are_sorted_and_complete():
    found = figures_counts.shares(pd.Series(["b", "a", "b", "", "c"]))
    assert found.to_dict() == {"b": 0.4, "a": 0.2, "c": 0.2, "not said": 0.2}
    assert found.index[0] == "b"
    many = figures_counts.shares(pd.Series([f"v{i:02d}" for i in range(30)]), most=12)
    assert many.index[-1] == "18 others"
    assert many.sum() == pytest.approx(1)


def test_years_are_counted_by_decades():
    assert figures_counts.shares(pd.Series([str(age) for age in range(20, 40)])).to_dict() == {
        "20–29": 0.5,
        "30–39": 0.5,
    }
    adults = figures_counts.shares(pd.Series([str(age) for age in range(18, 38)]))
    assert adults.index.tolist() == ["18–19", "20–29", "30–39"]


def test_refinement_has_a_row_per_variant(all_figures):
    # 3 portraits in 2 blocks of 3 rows, 8 pictures a row; the place of the fourth stays blank.
    assert len(all_figures["refinement"].axes) == 2 * 3 * 8
    without = figures_portraits.refinement([{"raw": synthetic.bust(40), "refined": synthetic.bust(40)}], side=32)
    assert len(without.axes) == 2 * 4
    assert "truth" not in texts(without)
