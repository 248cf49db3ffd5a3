"""The trimap-based model that is shipped: whole, small, and better than its trimap."""

import numpy as np
import pytest
from conftest import ROOT

from ldportrait import benchmarks, inference, models
from ldportrait.trimaps import UNKNOWN

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL, BANK = ROOT / "resources" / "models" / "trimap", ROOT / "resources" / "bank"
SHOWN = (0, 13, 26)  # of the bank's test pictures, in their order


def test_the_folder_is_whole_and_small():
    info, card = models.read_info(MODEL), (MODEL / "README.md").read_text(encoding="utf-8")
    assert models.get(info["model"]).needs_trimap
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 2e6
    assert info["sha256"] in card
    assert "CC0" in card


def test_it_mattes_the_unknown_region_far_better_than_the_trimap_does():
    """Truth is rendered alpha; the baseline takes a half for unknown."""
    network, _ = models.load(MODEL)  # checks the weights' SHA-256
    bank = benchmarks.get("bank")
    samples = bank.items(BANK)
    for sample in (samples[index] for index in SHOWN):
        picture, true, trimap, *_ = bank.load(sample)
        alpha, unknown = inference.matte(network, picture, trimap), trimap == UNKNOWN
        error = np.abs(alpha / 255 - true / 255)[unknown].mean()
        assert error < np.abs(0.5 - true / 255)[unknown].mean() / 3, sample.item
        assert np.array_equal(alpha[~unknown], trimap[~unknown])
