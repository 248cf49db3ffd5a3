"""score_mattes: predictions against a benchmark, on a bank of three small portraits."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import stages
from PIL import Image
from test_scripts import assert_refused

from ldportrait import images, scores
from ldportrait.benchmarks import bank
from ldportrait.metrics import image


@pytest.fixture
def root(tmp_path):
    """A bank with three test portraits and two test backgrounds."""
    folder = tmp_path / "bank"
    rows = []
    for index, (_, rgba) in enumerate(stages.portraits(3)):
        rows.append({"id": f"portrait-{index:03d}", "kind": "portrait", "split": "test", "path": f"p{index}.webp"})
        images.write_webp(folder / f"p{index}.webp", rgba, lossless=True)
    for index in range(2):
        rows.append({"id": f"background-{index:02d}", "kind": "background", "split": "test", "path": f"b{index}.webp"})
        images.write_webp(folder / f"b{index}.webp", np.full((120, 120, 3), 90 * index, np.uint8))
    pd.DataFrame(rows).to_parquet(folder / "bank.parquet")
    return folder


@pytest.fixture
def predictions(root, tmp_path):
    """Predictions that are the truth with haze over it."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    rows = []
    for sample in bank.items(root):
        _, alpha, *_ = bank.load(sample)
        path = folder / f"{sample.item}.png"
        Image.fromarray(stages.worse(alpha, 30)).save(path)
        rows.append(row_of(path, sample.item))
    pd.DataFrame(rows).to_parquet(folder / "predictions.parquet")
    return folder


def row_of(path, item):
    keys = {"run": "demo", "model": "small-free", "variant": "raw", "fraction": 100, "seed": 1, "benchmark": "bank"}
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return keys | {"item": item, "path": path.name, "sha256": sha256, "width": 96, "height": 96, "seconds": 0.1}


def edit(folder, **columns):
    table = pd.read_parquet(folder / "predictions.parquet").assign(**columns)
    table.to_parquet(folder / "predictions.parquet")


def score(predictions, root, output):
    return stages.call("score_mattes.py", predictions, output, "--benchmark", "bank", "--root", root)


def test_scores(predictions, root, tmp_path):
    output = tmp_path / "scores" / "a.parquet"
    result = score(predictions, root, output)
    assert result.returncode == 0, result.stderr
    table = pd.read_parquet(output)
    assert list(table) == scores.COLUMNS
    assert len(table) == 3 * 2 * 5
    for column, value in {"run": "demo", "model": "small-free", "variant": "raw", "fraction": 100, "seed": 1}.items():
        assert set(table[column]) == {value}
    for sample in bank.items(root):
        _, alpha, trimap, *_ = bank.load(sample)
        pred = stages.worse(alpha, 30)
        for region, mask in {"whole": None, "unknown": trimap == 128}.items():
            rows = table[(table.item == sample.item) & (table.region == region)].set_index("metric").value
            for metric in image.METRICS:
                assert rows[metric] == getattr(image, metric)(pred, alpha, mask)
        assert table.value.min() > 0


def test_a_changed_prediction_is_refused(predictions, root, tmp_path):
    Image.new("L", (96, 96)).save(predictions / "portrait-001.png")
    assert_refused(score(predictions, root, tmp_path / "s.parquet"), "portrait-001.png")
    assert not (tmp_path / "s.parquet").exists()


def test_a_missing_file_is_named(predictions, root, tmp_path):
    (predictions / "portrait-002.png").unlink()
    assert_refused(score(predictions, root, tmp_path / "s.parquet"), "portrait-002.png")


def test_a_missing_item_is_named(predictions, root, tmp_path):
    table = pd.read_parquet(predictions / "predictions.parquet")
    table.iloc[:2].to_parquet(predictions / "predictions.parquet")
    assert_refused(score(predictions, root, tmp_path / "s.parquet"), "portrait-002")


def test_another_benchmark_is_refused(predictions, root, tmp_path):
    edit(predictions, benchmark="p3m")
    assert_refused(score(predictions, root, tmp_path / "s.parquet"), "p3m")


def test_an_unknown_benchmark_is_refused(predictions, root, tmp_path):
    result = stages.call("score_mattes.py", predictions, tmp_path / "s.parquet", "--benchmark", "p3m", "--root", root)
    assert_refused(result, "p3m")


@pytest.mark.parametrize(("mode", "size", "word"), [("L", (50, 96), "(96, 50)"), ("RGBA", (96, 96), "RGBA")])
def test_another_picture_is_refused(predictions, root, tmp_path, mode, size, word):
    path = predictions / "portrait-000.png"
    Image.new(mode, size).save(path)
    hashes = [row_of(file, "")["sha256"] for file in sorted(predictions.glob("*.png"))]
    edit(predictions, sha256=hashes)
    assert_refused(score(predictions, root, tmp_path / "s.parquet"), word)


def test_missing_predictions_are_named(root, tmp_path):
    assert_refused(score(tmp_path / "nothing", root, tmp_path / "s.parquet"), "predictions.parquet")
