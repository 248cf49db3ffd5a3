import pandas as pd
import pytest
from test_screening import sound
from test_scripts import assert_refused, run

import screen_portraits


@pytest.fixture
def measured(tmp_path):
    """Two shards of three sound portraits, the last without a face, and a third shard of an older run."""
    table = sound(6)
    table.loc[5, ["faces", "face_size"]] = 0
    folder = tmp_path / "measured"
    folder.mkdir()
    table.iloc[:3].to_parquet(folder / "shard-0000000.parquet")
    table.iloc[3:].to_parquet(folder / "shard-0000001.parquet")
    table.iloc[:1].to_parquet(folder / "shard-0000002.parquet")
    return folder


def test_verdicts_over_all_shards(measured, tmp_path):
    result = run("screen_portraits.py", measured, tmp_path / "screened.parquet", "--shards", 2)
    assert result.returncode == 0, result.stderr
    assert "5 of 6 accepted; no-face 1" in result.stdout
    table = pd.read_parquet(tmp_path / "screened.parquet")
    assert table["id"].tolist() == [f"run-{i:09d}" for i in range(6)]
    assert table.reasons.tolist() == [""] * 5 + ["no-face"]
    assert table.accepted.dtype == bool


def test_thresholds_are_options(measured, tmp_path):
    options = ["--shards", 2, "--face-size", 0.3]
    assert run("screen_portraits.py", measured, tmp_path / "screened.parquet", *options).returncode == 0
    assert pd.read_parquet(tmp_path / "screened.parquet").reasons.tolist() == ["small-face"] * 5 + ["no-face"]


def test_a_review_overrules(measured, tmp_path):
    review = tmp_path / "review.csv"
    review.write_text("id,verdict,why\nrun-000000005,accept,turned away\nrun-000000000,reject,\n")
    result = run("screen_portraits.py", measured, tmp_path / "s.parquet", "--shards", 2, "--review", review)
    assert result.returncode == 0, result.stderr
    table = pd.read_parquet(tmp_path / "s.parquet").set_index("id")
    assert table.accepted["run-000000005"]
    assert table.reasons["run-000000000"] == "review"
    assert table.reviewed.sum() == 2


def test_mistakes_are_told(measured, tmp_path):
    output, review = tmp_path / "s.parquet", tmp_path / "review.csv"
    review.write_text("id,verdict\nrun-000000099,accept\n")
    assert_refused(run("screen_portraits.py", measured, output, "--shards", 2, "--review", review), "run-000000099")
    for count, word in [(4, "shard-0000003.parquet"), (0, "--shards")]:
        with pytest.raises((ValueError, FileNotFoundError), match=word):
            screen_portraits.main(measured, output, count)
    with pytest.raises(FileNotFoundError, match=r"absent\.csv"):
        screen_portraits.main(measured, output, 2, tmp_path / "absent.csv")
    review.write_text("")
    with pytest.raises(ValueError, match=r"review\.csv"):
        screen_portraits.main(measured, output, 2, review)
    assert not output.exists()
