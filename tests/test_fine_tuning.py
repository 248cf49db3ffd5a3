"""A training that starts from a model: its weights, its settings, and no other network."""

import json
import re

import pytest
import torch
import yaml
from conftest import ROOT
from safetensors.torch import load_file
from test_train_matting import train, write_backgrounds, write_dataset

from ldportrait import models, settings


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    write_dataset(folder / "own")
    write_backgrounds(folder / "grounds")
    torch.manual_seed(9)
    network = models.get("small-trimap").build(widths=[4, 8])
    models.save(network, folder / "model", {"model": "small-trimap", "settings": {"widths": [4, 8]}})
    return folder


def test_a_training_starts_from_a_models_weights_and_settings(place):
    """At a learning rate of nearly nothing they come out as they went in."""
    options = {"backgrounds": place / "grounds", "initial": place / "model"}
    train(place / "own", place / "tuned", steps=2, learning_rate=1e-12, **options)
    _, info = models.load(place / "tuned")
    assert info["settings"] == {"widths": [4, 8]}
    assert info["initial"] == json.loads((place / "model" / "model.json").read_text())["sha256"]
    before, after = (load_file(place / name / "model.safetensors") for name in ("model", "tuned"))
    for name in before:
        if "running" not in name and "num_batches" not in name:
            assert torch.allclose(before[name], after[name], atol=1e-6), name
    train(place / "own", place / "moved", steps=4, **options)
    moved = load_file(place / "moved" / "model.safetensors")
    assert not torch.allclose(before["unet.stem.0.weight"], moved["unet.stem.0.weight"], atol=1e-4)


def test_another_network_is_refused(place):
    options = {"backgrounds": place / "grounds", "initial": place / "model", "model": "small-free"}
    with pytest.raises(ValueError, match="is a small-trimap, which a small-free cannot start from"):
        train(place / "own", place / "other", **options)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(place / "own", place / "other", backgrounds=place / "grounds", initial=place / "nowhere")
    assert not (place / "other" / "model.json").exists()


def test_the_documented_configuration_is_one(tmp_path, monkeypatch):
    """The ten lines of docs/matting.md fit the schema, and ask for one training that starts from the model."""
    monkeypatch.chdir(ROOT)
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "matting.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(text.splitlines()) <= 10
    given = yaml.safe_load(text)
    (tmp_path / "image").mkdir()
    (tmp_path / "alpha").mkdir()
    given["external"]["own"]["root"] = str(tmp_path)
    config = settings.complete(given, yaml.safe_load((ROOT / "config" / "schema.yaml").read_text(encoding="utf-8")))
    settings.cross_check(config)
    (training,) = settings.trainings(config)
    assert training.variant == "own"
    assert settings.initial_model(config, training.model) == ["resources/models/trimap/model.json"]
    assert models.read_info(ROOT / "resources" / "models" / "trimap")["model"] == training.model
