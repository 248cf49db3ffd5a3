"""score_video: mattes with a known error, whose scores are worked out by hand, and one sentence for what is wrong."""

import clip_mattes as mattes
import numpy as np
import pandas as pd
import pytest
import stages
from PIL import Image
from test_scripts import assert_refused

from ldportrait import scores


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return mattes.write_bank(tmp_path_factory.mktemp("bank"))


def flickering(index, frame):
    """Clip 0 is right; clip 1 is 10 levels off in every other frame."""
    return 10 * index * (frame % 2)


@pytest.fixture
def folder(bank, tmp_path):
    return mattes.write_mattes(tmp_path / "mattes", bank, flickering)


def score(folder, bank, output, *more, benchmark="bank-clips"):
    return stages.call("score_video.py", folder, output, "--benchmark", benchmark, "--root", bank, *more)


def values(table, item, metric, protocol="definition"):
    rows = table[(table["item"] == item) & (table.metric == metric) & (table.protocol == protocol)]
    return rows.set_index("frame").value.to_dict()


def test_scores_of_a_known_flicker(folder, bank, tmp_path):
    output = tmp_path / "scores" / "ours.parquet"
    result = score(folder, bank, output)
    assert result.returncode == 0, result.stderr
    table = pd.read_parquet(output)
    assert list(table) == list(scores.VIDEO_TYPES)
    for column, value in (mattes.KEYS | {"method": "ours", "benchmark": "bank-clips", "region": "whole"}).items():
        assert set(table[column]) == {value}
    assert set(values(table, "clip-00", "mad").values()) == {0}
    assert values(table, "clip-01", "mad") == pytest.approx({0: 0, 1: 10 / 255, 2: 0, 3: 10 / 255})
    assert values(table, "clip-01", "mse") == pytest.approx({0: 0, 1: (10 / 255) ** 2, 2: 0, 3: (10 / 255) ** 2})
    # between frames the error changes by 10 levels everywhere, so that the root of the mean square is that
    assert values(table, "clip-01", "dtssd") == pytest.approx(dict.fromkeys((1, 2, 3), 10 / 255))
    assert set(values(table, "clip-00", "dtssd").values()) == {0}
    assert values(table, "clip-01", "messddt") == pytest.approx(dict.fromkeys((1, 2, 3), (10 / 255) ** 2))


def test_a_constant_error_does_not_flicker(bank, tmp_path):
    folder = mattes.write_mattes(tmp_path / "mattes", bank, lambda index, frame: 20)
    assert score(folder, bank, tmp_path / "s.parquet").returncode == 0
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert max(values(table, "clip-00", "dtssd").values()) == 0
    assert min(values(table, "clip-00", "mad").values()) == pytest.approx(20 / 255)


def test_the_scores_of_another_protocol_stand_beside(folder, bank, tmp_path):
    result = score(folder, bank, tmp_path / "s.parquet", "--protocol", "definition", "--protocol", "rvm")
    assert result.returncode == 0, result.stderr
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert values(table, "clip-01", "dtssd", "rvm") == pytest.approx({0: 0} | dict.fromkeys((1, 2, 3), 100 * 10 / 255))
    assert_refused(score(folder, bank, tmp_path / "t.parquet", "--protocol", "p3m"), "p3m")


def test_masks_are_scored_as_mattes(folder, bank, tmp_path):
    mattes.as_segments(folder)
    result = score(folder, bank, tmp_path / "s.parquet", "--run", "mine")
    assert result.returncode == 0, result.stderr
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert set(table.method) == {"mask"}
    assert set(table.run) == {"mine"}
    assert values(table, "clip-01", "mad")[1] == pytest.approx(10 / 255)


def test_the_first_clips_alone(folder, bank, tmp_path):
    table = pd.read_parquet(folder / "mattes.parquet")
    table[table["item"] == "clip-00"].to_parquet(folder / "mattes.parquet")
    assert_refused(score(folder, bank, tmp_path / "s.parquet"), "clip-01")
    assert score(folder, bank, tmp_path / "s.parquet", "--limit", 1).returncode == 0
    assert set(pd.read_parquet(tmp_path / "s.parquet")["item"]) == {"clip-00"}


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda table: table[table.frame != 2], "not one for each"),
        (lambda table: pd.concat([table, table.tail(1)]), "not one for each"),
        (lambda table: table.assign(benchmark="crgnn"), "of the benchmark crgnn"),
        (lambda table: table.drop(columns="sha256"), "no column sha256"),
        (lambda table: table.assign(sha256="0" * 64), "not the file"),
    ],
)
def test_a_wrong_table_is_refused(folder, bank, tmp_path, spoil, word):
    spoil(pd.read_parquet(folder / "mattes.parquet")).to_parquet(folder / "mattes.parquet")
    assert_refused(score(folder, bank, tmp_path / "s.parquet"), word)
    assert not (tmp_path / "s.parquet").exists()


def test_a_missing_or_changed_matte_is_named(folder, bank, tmp_path):
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(folder / "clip-01" / "000003.png")
    assert_refused(score(folder, bank, tmp_path / "s.parquet"), "clip-01/000003.png")
    (folder / "clip-00" / "000001.png").unlink()
    assert_refused(score(folder, bank, tmp_path / "s.parquet"), "clip-00/000001.png is missing")


def test_mattes_of_another_size_are_refused(folder, bank, tmp_path):
    other = mattes.write_bank(tmp_path / "other")
    Image.fromarray(np.zeros((24 * 4, 30, 4), np.uint8)).save(other / "c1.webp", lossless=True)
    assert_refused(score(folder, other, tmp_path / "s.parquet"), "Frame 0 of clip-01 has the shape (24, 30)")


@pytest.mark.parametrize("benchmark", ["bank", "nothing"])
def test_another_benchmark_is_refused(folder, bank, tmp_path, benchmark):
    assert_refused(score(folder, bank, tmp_path / "s.parquet", benchmark=benchmark), benchmark)


def test_nothing_to_score_is_named(bank, tmp_path):
    assert_refused(score(tmp_path / "absent", bank, tmp_path / "s.parquet"), "mattes.parquet")
