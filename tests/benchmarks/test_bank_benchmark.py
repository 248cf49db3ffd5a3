"""The bank as a benchmark: which items, and that a sample is the composite that it says."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy import ndimage

from ldportrait import benchmarks, images

BANK = ROOT / "resources" / "bank"


@pytest.fixture(scope="module")
def bank():
    return benchmarks.get("bank")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_parquet(BANK / "bank.parquet").set_index("id")


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(ValueError, match="bank"):
        benchmarks.get("p3m")


def test_items(bank, table):
    samples = bank.items(BANK)
    assert len(samples) == 32
    assert [sample.item for sample in samples] == sorted(sample.item for sample in samples)
    assert {table.loc[sample.item].split for sample in samples} == {"test"}
    behind = {str(sample.background.relative_to(BANK)) for sample in samples}
    assert behind == set(table[(table.kind == "background") & (table.split == "test")].path)
    assert samples[0].background == samples[12].background
    assert len(bank.items(BANK, "val")) == 16


def test_a_sample(bank):
    sample = bank.items(BANK)[3]
    image, alpha, trimap, detail, foreground = bank.load(sample)
    rgba, background = images.read_rgba(sample.portrait), images.read_rgb(sample.background)
    assert image.shape == (512, 512, 3)
    assert image.dtype == alpha.dtype == trimap.dtype == np.uint8
    np.testing.assert_array_equal(alpha, rgba[..., 3])
    np.testing.assert_array_equal(foreground, rgba[..., :3])
    assert detail is None
    solid = alpha == 255
    np.testing.assert_array_equal(image[solid], rgba[..., :3][solid])
    # what is behind: the whole width of the background, so that the corner is its corner
    corner = background[:10, :10].reshape(-1, 3).mean(axis=0)
    assert alpha[:8, :8].max() == 0
    assert np.abs(image[:8, :8].reshape(-1, 3).mean(axis=0) - corner).max() < 3


def test_the_trimap_is_true_and_narrow(bank):
    for sample in bank.items(BANK)[::8]:
        _, alpha, trimap, *_ = bank.load(sample)
        assert (alpha[trimap == 255] == 255).all()
        assert (alpha[trimap == 0] == 0).all()
        assert set(np.unique(trimap)) == {0, 128, 255}
        soft = (alpha > 0) & (alpha < 255)
        distance = ndimage.distance_transform_edt(~soft)
        assert distance[trimap == 128].max() <= 7
        assert (trimap[distance <= 3] == 128).all()


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [((640, 640), (512, 512)), ((30, 60), (20, 20)), ((5, 5), (5, 5)), ((4, 6), (12, 12))],
)
def test_cover(bank, shape, wanted):
    picture = np.tile(np.linspace(0, 255, shape[1])[:, None], (shape[0], 1, 3)).astype(np.uint8)
    covered = bank.cover(picture, wanted)
    assert covered.shape == (*wanted, 3)
    assert covered.mean() == pytest.approx(picture.mean(), abs=4)  # the centre of a gradient has its mean
    if shape[1] > shape[0]:
        assert covered[:, 0].mean() > picture[:, 0].mean()


def test_a_missing_bank_is_named(bank, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"bank\.parquet"):
        bank.items(tmp_path)


def test_a_split_without_items_is_refused(bank):
    with pytest.raises(ValueError, match="holdout"):
        bank.items(BANK, "holdout")
