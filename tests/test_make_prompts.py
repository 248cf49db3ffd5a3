"""make_prompts.py: a shard's rows, equal however the shards are cut, and mistakes told in one sentence."""

import pandas as pd
import pytest
from conftest import ROOT
from test_scripts import assert_refused, run

GRAMMAR = ROOT / "config" / "prompts.yaml"


def make(output, *options):
    return run("make_prompts.py", output, "--run", "demo", "--seed", 3, *options)


def test_shards_of_a_grammar_are_pieces_of_one_table(tmp_path):
    parts = []
    for first, count in ((0, 5), (5, 3), (0, 8)):
        result = make(tmp_path / f"{first}-{count}.parquet", "--grammar", GRAMMAR, "--first", first, "--count", count)
        assert result.returncode == 0, result.stderr
        parts.append(pd.read_parquet(tmp_path / f"{first}-{count}.parquet"))
    pd.testing.assert_frame_equal(pd.concat(parts[:2], ignore_index=True), parts[2])


def test_equal_work_gives_equal_bytes(tmp_path):
    for name in ("a", "b"):
        make(tmp_path / f"{name}.parquet", "--grammar", GRAMMAR, "--first", 900_000, "--count", 4)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_repeated_prompts_are_warned_about(tmp_path):
    (tmp_path / "p.txt").write_text("one\ntwo\none\n")
    result = make(tmp_path / "p.parquet", "--file", tmp_path / "p.txt", "--count", 3, "--negative", "fog")
    assert result.returncode == 0
    assert "Warning: 1 prompt" in result.stderr
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert list(table["prompt"]) == ["one", "two", "one"]
    assert table["seed"].is_unique
    assert (table["negative_prompt"] == "fog").all()


def test_pictures(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.png").write_bytes(b"")
    result = make(tmp_path / "p.parquet", "--pictures", tmp_path / "in", "--count", 1)
    assert result.returncode == 0, result.stderr
    assert list(pd.read_parquet(tmp_path / "p.parquet")["source"]) == ["x.png"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ([], "--grammar"),
        (["--grammar", GRAMMAR, "--pictures", "."], "--grammar"),
        (["--grammar", "absent.yaml"], "absent.yaml"),
        (["--grammar", GRAMMAR, "--train", 0.9, "--val", 0.2], "train and val"),
        (["--grammar", GRAMMAR, "--run", "My.Run"], "My.Run"),
        (["--grammar", GRAMMAR, "--first", 2_000_000], "details"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, options, word):
    result = run("make_prompts.py", tmp_path / "p.parquet", *options)
    assert_refused(result, word)
    assert not list(tmp_path.iterdir())
