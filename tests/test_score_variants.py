"""score_variants: the data set's mattes against exact alpha."""

import pandas as pd
import pytest
import stages
from test_scripts import assert_refused

from ldportrait import scores, shards
from ldportrait.metrics import image


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = stages.make(tmp_path_factory.mktemp("run"), count=5, per_shard=3)
    stages.reject(root, "demo-000000001")
    return root


def score(root, output, *variants, count=2):
    options = [word for variant in variants for word in ("--variants", variant)]
    return stages.call("score_variants.py", *stages.folders(root), output, "--shards", count, "--run", "demo", *options)


def test_scores(root, tmp_path):
    output = tmp_path / "scores" / "variants.parquet"
    result = score(root, output)
    assert result.returncode == 0, result.stderr
    table = pd.read_parquet(output)
    assert list(table) == scores.COLUMNS
    assert len(table) == 4 * 3 * 2 * 5
    assert "demo-000000001" not in set(table.item)
    for column, value in {"run": "demo", "model": "", "fraction": 100, "seed": -1, "benchmark": "dataset"}.items():
        assert set(table[column]) == {value}
    for stage, variant in [("generated", "raw"), ("refined", "refined"), ("keyed", "keyed")]:
        for item in shards.read_shard(root / stage / "shard-0000001.tar"):
            rows = table[(table.item == item.row["id"]) & (table.variant == variant) & (table.region == "whole")]
            values = rows.set_index("metric").value
            for metric in image.METRICS:
                assert values[metric] == getattr(image, metric)(item.rgba[..., 3], item.truth)


def test_the_unknown_region_is_a_narrow_band(root, tmp_path):
    score(root, tmp_path / "s.parquet", "raw")
    table = pd.read_parquet(tmp_path / "s.parquet")
    sums = table[table.metric == "sad"].pivot(index="item", columns="region", values="value")
    assert (sums.unknown < 0.6 * sums.whole).all()  # the haze lies over the whole picture
    assert (sums.unknown > 0).all()


def test_variants_are_those_asked_for(root, tmp_path):
    assert score(root, tmp_path / "s.parquet", "keyed", "refined").returncode == 0
    assert set(pd.read_parquet(tmp_path / "s.parquet").variant) == {"keyed", "refined"}


def test_without_truth_the_table_is_empty(tmp_path):
    result = score(stages.make(tmp_path, count=2, truth=False), tmp_path / "s.parquet", count=1)
    assert result.returncode == 0, result.stderr
    assert "empty" in result.stdout
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert len(table) == 0
    assert list(table) == scores.COLUMNS
    assert table.value.dtype == float


def test_an_unknown_variant_is_refused(root, tmp_path):
    assert_refused(score(root, tmp_path / "s.parquet", "cleaned"), "cleaned")
    assert not (tmp_path / "s.parquet").exists()


def test_a_missing_shard_is_named(root, tmp_path):
    assert_refused(score(root, tmp_path / "s.parquet", count=3), "shard-0000002")
