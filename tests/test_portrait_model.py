"""The model that is shipped: whole, small, as good as its card says, and the commands that made it."""

import csv
import shutil

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from test_scripts import assert_refused, run

from ldportrait import benchmarks, inference, model_card, models
from ldportrait.metrics import image

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL, BANK = ROOT / "resources" / "models" / "portrait", ROOT / "resources" / "bank"
SHOWN = (0, 13, 26)  # of the bank's test pictures, in their order
LIMIT = 0.03  # of the MAD of each of them; the mean over all is on the card


@pytest.fixture(scope="module")
def network():
    return models.load(MODEL)[0]  # checks the weights' SHA-256


@pytest.fixture(scope="module")
def pictures():
    bank = benchmarks.get("bank")
    samples = bank.items(BANK)
    return {samples[index].item: tuple(bank.load(samples[index]))[:2] for index in SHOWN}


def test_the_folder_is_whole_and_small(network):
    assert isinstance(network, models.get("portrait").build().__class__)
    assert (MODEL / models.WEIGHTS).stat().st_size < 6e6
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 12e6
    info = models.read_info(MODEL)
    assert "test" not in info["splits"]
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    assert info["sha256"] in card
    assert "CC0" in card


def test_it_mattes_test_pictures_far_better_than_the_mean_mask(network, pictures):
    """Truth and baseline are computed here: rendered alpha, and the mean alpha of the training portraits."""
    mean = model_card.mean_mask(BANK)
    for item, (picture, true) in pictures.items():
        alpha = inference.matte(network, picture)
        error = np.abs(alpha / 255.0 - true / 255.0).mean()
        assert error < LIMIT, item
        baseline = np.abs(cv2.resize(mean, true.shape[::-1]) - true / 255.0).mean()
        assert error < baseline / 3, item


def test_the_card_tells_the_truth(network, pictures):
    """The scores beside the weights are those of these weights, and the card's mean is theirs."""
    with (MODEL / "scores.csv").open(encoding="utf-8") as stream:
        rows = {row["item"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 32
    for item, (picture, true) in pictures.items():
        found = image.mad(inference.matte(network, picture), true)
        assert found == pytest.approx(float(rows[item]["mad"]), abs=2e-4)
    mean = 1000 * np.mean([float(row["mad"]) for row in rows.values()])
    assert f"| MAD ×10³ | {mean:.2f} |" in (MODEL / "README.md").read_text(encoding="utf-8")


def test_it_takes_any_size(network):
    for height, width in [(1, 1), (37, 200), (700, 301)]:
        with torch.inference_mode():
            alpha = network(torch.rand(1, 3, height, width))
        assert alpha.shape == (1, 1, height, width)
        assert alpha.isfinite().all()


def test_a_card_without_a_place_for_the_numbers_is_refused():
    with pytest.raises(ValueError, match="no place for the numbers"):
        model_card.filled("# A card", None)


def test_training_and_measuring_in_miniature(tmp_path):
    """Two steps of each stage make a model that loads, is measured, and whose card gets the numbers."""
    few = "--start-steps 2 --steps 2 --detail-steps 2 --batch-size 2 --detail-batch-size 1".split()
    few += "--start-side 32 --side 32 --fine 64 --threads 1 --no-validation --splits val".split()
    made = run("train_portrait_model.py", tmp_path / "model", "--bank", BANK, *few)
    assert made.returncode == 0, made.stderr
    info = models.read_info(tmp_path / "model")
    assert info["ids"] == 16
    assert not (tmp_path / "model" / ".checkpoints").exists()
    for stage in ("start", "coarse", "detail"):
        assert len((tmp_path / "model" / f"{stage}.csv").read_text(encoding="utf-8").splitlines()) == 3
    (tmp_path / "model" / "README.md").write_text(f"# A\n{model_card.BEGIN}\nold\n{model_card.END}\nend\n")
    measured = run("evaluate_portrait_model.py", tmp_path / "model", "--root", BANK)
    assert measured.returncode == 0, measured.stderr
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "MAD ×10³" in card
    assert "old" not in card
    assert card.endswith("end\n")


def test_what_cannot_be_trained_or_measured(tmp_path):
    assert_refused(run("train_portrait_model.py", tmp_path / "m", "--bank", tmp_path), "bank.parquet")
    assert_refused(run("train_portrait_model.py", tmp_path / "m", "--bank", BANK, "--splits", "dev"), "dev")
    assert_refused(run("evaluate_portrait_model.py", tmp_path / "m"), "model.json")
    models.save(models.get("small-trimap").build(), tmp_path / "t", {"model": "small-trimap", "settings": {}})
    assert_refused(run("evaluate_portrait_model.py", tmp_path / "t"), "small-trimap")
    shutil.rmtree(tmp_path / "t")
