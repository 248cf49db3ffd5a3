"""The command predict_mattes: every item of a benchmark, whole or not at all."""

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SCRIPTS
from PIL import Image
from test_augment import portrait

from ldportrait import images, inference, models

INFO = {"model": "small-trimap", "settings": {"widths": [4, 8]}, "variant": "truth", "fraction": 100.0, "seed": 1}


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, SCRIPTS / "predict_mattes.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A bank of three test portraits and two backgrounds, and a model of random weights."""
    folder = tmp_path_factory.mktemp("predict")
    rows = []
    for i in range(3):
        images.write_webp(
            folder / "bank" / f"portrait-{i}.webp", portrait(48 + i, colour=(60 * i, 90, 120)), lossless=True
        )
        rows.append({"id": f"portrait-{i}", "kind": "portrait", "split": "test", "path": f"portrait-{i}.webp"})
    for i in range(2):
        picture = np.random.default_rng(i).integers(0, 256, (60, 60, 3), dtype=np.uint8)
        images.write_webp(folder / "bank" / f"background-{i}.webp", picture, lossless=True)
        rows.append({"id": f"background-{i}", "kind": "background", "split": "test", "path": f"background-{i}.webp"})
    pd.DataFrame(rows).to_parquet(folder / "bank" / "bank.parquet")
    torch.manual_seed(0)
    network = models.get("small-trimap").build(**INFO["settings"])
    torch.nn.init.normal_(network.unet.head.weight, std=0.3)
    models.save(network, folder / "model", INFO)
    return folder


def test_every_item_is_predicted(place, tmp_path):
    result = run(place / "model", tmp_path / "out", "--root", place / "bank", "--run", "trial")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert list(table["item"]) == ["portrait-0", "portrait-1", "portrait-2"]
    assert set(table.columns) == set(
        "run model variant fraction seed benchmark item path sha256 width height seconds".split()
    )
    assert table[["run", "model", "variant", "fraction", "seed", "benchmark"]].iloc[0].tolist() == [
        "trial",
        "small-trimap",
        "truth",
        100,
        1,
        "bank",
    ]
    network, _ = models.load(place / "model")
    for row in table.itertuples():
        path = tmp_path / "out" / row.path
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
        alpha = np.array(Image.open(path))
        assert alpha.dtype == np.uint8
        assert alpha.shape == (row.height, row.width)
        image, _, trimap, *_ = load(place, row.item)
        expected = inference.matte(network, image, trimap)
        assert np.abs(alpha.astype(int) - expected).max() <= 1
        assert (alpha[trimap == 255] == 255).all()
        assert (alpha[trimap == 0] == 0).all()
        assert alpha[trimap == 128].std() > 1
    assert len(list((tmp_path / "out").iterdir())) == 4


def load(place, item):
    from ldportrait.benchmarks import bank

    return bank.load(next(sample for sample in bank.items(place / "bank") if sample.item == item))


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    return result.stderr


def test_bad_input_is_refused(place, tmp_path):
    out = tmp_path / "out"
    assert "model.json" in refused(tmp_path / "no-model", out, "--root", place / "bank")
    assert "videos" in refused(place / "model", out, "--benchmark", "videos", "--root", place / "bank")
    assert "nowhere" in refused(place / "model", out, "--root", tmp_path / "nowhere")
    assert not out.exists()


def test_nothing_is_left_of_a_failed_prediction(place, tmp_path):
    import shutil

    shutil.copytree(place / "bank", tmp_path / "bank")
    (tmp_path / "bank" / "portrait-2.webp").write_bytes(b"broken")
    assert "portrait-2.webp" in refused(place / "model", tmp_path / "out", "--root", tmp_path / "bank")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_missing_gpu_is_told(place, tmp_path):
    assert "--gpus 0" in refused(place / "model", tmp_path / "out", "--root", place / "bank", "--gpus", 1)
