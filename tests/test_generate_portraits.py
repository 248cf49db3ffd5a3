"""generate_portraits.py: a whole shard or none, equal bytes after a kill, and mistakes told in one sentence."""

import numpy as np
import pandas as pd
import pytest
import stages
from conftest import ROOT, disc
from PIL import Image
from test_scripts import assert_refused, run

from ldportrait import shards
from ldportrait.prompts import grammar_rows, load_grammar, picture_rows

BANK = ROOT / "resources" / "bank"
GRAMMAR = ROOT / "config" / "prompts.yaml"


def prompts(folder, count: int = 3):
    grammar = load_grammar(GRAMMAR)
    table = grammar_rows(grammar, 2, 0, count, "demo", "bad", {"train": 0.9, "val": 0.05})
    shards.write_table(table, folder / "prompts.parquet")
    return folder / "prompts.parquet"


def test_a_shard_of_the_bank(tmp_path):
    tar = tmp_path / "out" / "shard-0000000.tar"
    result = run("generate_portraits.py", prompts(tmp_path), tar, "--bank", BANK, "--size", 128, "--splits", "val")
    assert result.returncode == 0, result.stderr
    items = list(shards.read_shard(tar))
    assert [item.row["id"] for item in items] == [f"demo-{index:09d}" for index in range(3)]
    assert all(item.rgba.shape == (128, 128, 4) and item.truth.shape == (128, 128) for item in items)
    table = shards.read_manifest(tar)
    assert set(table["split"]) == {"val"}
    assert table["seed"].dtype == "int64"
    assert sorted(path.name for path in tar.parent.iterdir()) == ["shard-0000000.parquet", "shard-0000000.tar"]


def test_a_killed_run_goes_on_and_ends_with_equal_bytes(tmp_path):
    source = prompts(tmp_path, 8)
    whole, killed = tmp_path / "whole.tar", tmp_path / "killed.tar"
    partial = tmp_path / "partial" / "shard"
    options = ["--bank", str(BANK), "--size", "256", "--partial", str(partial)]
    stages.call_killed(partial / "demo-000000003.row", 1, "generate_portraits.py", source, killed, *options)
    assert len(list(partial.glob("*.row"))) == 3
    assert not killed.exists()
    assert run("generate_portraits.py", source, killed, *options).returncode == 0
    assert run("generate_portraits.py", source, whole, *options[:4]).returncode == 0
    assert killed.read_bytes() == whole.read_bytes()
    tables = [shards.read_manifest(tar).drop(columns="seconds") for tar in (killed, whole)]
    pd.testing.assert_frame_equal(*tables)
    assert not partial.exists()


def test_a_folder_of_pictures(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(disc(48)).save(tmp_path / "in" / "b.png")
    Image.fromarray(disc(64)).save(tmp_path / "in" / "a.png")
    table, tar = tmp_path / "p.parquet", tmp_path / "shard.tar"
    shards.write_table(picture_rows(tmp_path / "in", 1, 0, 2, "demo", "", {"train": 1.0, "val": 0.0}), table)
    result = run("generate_portraits.py", table, tar, "--backend", "folder", "--pictures", tmp_path / "in")
    assert result.returncode == 0, result.stderr
    items = list(shards.read_shard(tar))
    assert [item.row["source"] for item in items] == ["a.png", "b.png"]
    assert np.array_equal(items[0].rgba, disc(64))
    assert items[0].truth is None


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--backend", "paint"], "paint"),
        (["--backend", "folder"], "folder of pictures"),
        (["--bank", "absent"], "absent"),
        (["--splits", "training"], "training"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, options, word):
    tar = tmp_path / "out" / "shard.tar"
    options = options if "--bank" in options else [*options, "--bank", BANK]
    assert_refused(run("generate_portraits.py", prompts(tmp_path), tar, *options), word)
    assert not tar.parent.exists()


def test_a_wrong_prompt_table_is_named(tmp_path):
    pd.DataFrame({"prompt": ["a"]}).to_parquet(tmp_path / "p.parquet")
    assert_refused(run("generate_portraits.py", tmp_path / "p.parquet", tmp_path / "s.tar", "--bank", BANK), "'id'")
