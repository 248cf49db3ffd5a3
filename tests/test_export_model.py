"""Export to ONNX: onnxruntime answers as torch does, at any size; a file of other weights is refused."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import SCRIPTS

import export_model
from ldportrait import inference, models
from ldportrait.models import sizes

VIT = {"width": 32, "heads": 2, "depth": 3, "window": 2, "picture": 64, "convstream": [8] * 3, "fusion": [16, 8, 8, 8]}
SMALL = {
    "small-free": {"widths": [4, 8, 8], "depth": 1, "side": 40},
    "small-trimap": {"widths": [4, 8, 8]},
    "vitmatte-s": VIT,
    "modnet": {"width": 0.25, "channels": 8, "side": 64},
    "gfm": {"widths": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "side": 64},
    "portrait": {"widths": [8, 8, 8], "blocks": [1, 0], "detail": 8, "side": 32, "fine": 64},
}


def lively(network, given):
    """Random weights whose alpha tells of every layer: none is zero, and normalisation fits what it sees."""
    for name, parameter in network.named_parameters():
        if "attention" in name or "position" in name or parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.5)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        network.train()(given["image"], given.get("trimap"))
    return network.eval()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model of each network with random weights, exported."""
    folder = tmp_path_factory.mktemp("export")
    for name, settings in SMALL.items():
        torch.manual_seed(0)
        network = lively(models.get(name).build(**settings), export_model.inputs({"model": name}, 2, 128, 96))
        models.save(network, folder / name, {"model": name, "settings": settings})
        export_model.main(folder / name, folder / name / "model.onnx")
    return folder


def test_every_kind_of_network_is_exported():
    kinds = {(network.module, network.name) for network in models.NETWORKS.values()}
    assert {(models.get(name).module, models.get(name).name) for name in SMALL} == kinds


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    "shape", [(1, 33, 70), (3, 200, 131), (1, 2, 5), (1, 40, 40), (1, 1, 1), (1, 1, 60), (2, 60, 1)]
)
def test_onnxruntime_answers_as_torch(place, name, shape):
    """Sizes below and above the network's own, odd ones, and other ones than were traced."""
    network, info = models.load(place / name)
    given = export_model.inputs(info, *shape)
    with torch.inference_mode():
        expected = network(given["image"], given.get("trimap"))
    session = onnxruntime.InferenceSession(place / name / "model.onnx")
    (alpha,) = session.run(["alpha"], {key: tensor.numpy() for key, tensor in given.items()})
    assert alpha.shape == tuple(expected.shape)
    differs = np.abs(alpha - expected.numpy()) > 1e-3
    assert differs.mean() <= getattr(network, "TIES", 0)
    if min(shape[1:]) > 5:
        assert expected.std() > 0.05  # an even alpha would prove nothing


@pytest.mark.parametrize("name", SMALL)
def test_pictures_are_matted_alike(place, name):
    picture = np.random.default_rng(0).integers(0, 256, (90, 61, 3), dtype=np.uint8)
    trimap = np.full((90, 61), 128, np.uint8)
    trimap[:30], trimap[70:] = 0, 255
    network, info = models.load(place / name)
    trimap = trimap if models.get(info["model"]).needs_trimap else None
    alpha = inference.levels(inference.onnx_predictor(place / name)(picture, trimap))
    differs = np.abs(alpha.astype(int) - inference.matte(network, picture, trimap)) > 1
    assert differs.mean() <= getattr(network, "TIES", 0)


def test_vitmattes_alpha_depends_on_what_is_interpolated_for_a_size(place):
    """Or the comparison above would not see an ONNX file whose positions are those of the traced size."""
    network, info = models.load(place / "vitmatte-s")
    given = export_model.inputs(info, 1, 200, 131)
    with torch.inference_mode():
        expected = network(**given)
        for part in ("position_embeddings", "rel_pos"):
            other, _ = models.load(place / "vitmatte-s")
            for name, parameter in other.named_parameters():
                if part in name:
                    parameter.zero_()
            assert (other(**given) - expected).abs().max() > 0.01, part


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (4, 7), (5, 2), (17, 23)])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_pooling_by_matrices_is_adaptive_pooling(monkeypatch, size, count):
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(2))
    plain = torch.nn.functional.adaptive_avg_pool2d(x, count)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert torch.allclose(sizes.pooled(x, count), plain, atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(100, 64, 33), (31, 200, 64), (7, 300, 20), (30, 20, 64), (90, 1, 40), (300, 3, 40), (1, 90, 40)],
)
def test_shrinking_by_matrices_is_shrinking(height, width, side):
    image = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    shrunk = sizes._shrunk_by_matrices(image, side)
    assert torch.allclose(shrunk, sizes.shrunk(image, side), atol=1e-5)


def test_more_levels_of_colour_change_nothing(monkeypatch):
    """In an ONNX file the pyramid of colours has as many levels as the largest picture needs."""
    network = models.get("small-trimap").build()
    torch.nn.init.normal_(network.unet.head.weight, std=0.5)
    given = export_model.inputs({"model": "small-trimap"}, 1, 50, 70)
    with torch.inference_mode():
        plain = network.eval()(**given)
        monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
        assert torch.allclose(network(**given), plain, atol=1e-4)


def test_a_file_of_other_weights_is_refused(place, tmp_path):
    import shutil

    shutil.copytree(place / "small-free", tmp_path / "model")
    info = json.loads((tmp_path / "model" / "model.json").read_text())
    (tmp_path / "model" / "model.json").write_text(json.dumps(info | {"sha256": "0" * 64}))
    with pytest.raises(ValueError, match=r"model\.onnx was not exported from the weights beside it"):
        inference.onnx_predictor(tmp_path / "model")
    (tmp_path / "model" / "model.onnx").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"model\.onnx is not a readable ONNX file"):
        inference.onnx_predictor(tmp_path / "model")


def test_what_differs_is_not_written(place, tmp_path, monkeypatch):
    monkeypatch.setattr(export_model, "largest_difference", lambda *_: 0.5)
    with pytest.raises(ValueError, match="small-free cannot be exported"):
        export_model.main(place / "small-free", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_what_torch_cannot_export_is_told_in_one_line(place, tmp_path):
    result = subprocess.run(
        [sys.executable, str(SCRIPTS / "export_model.py"), str(tmp_path / "absent"), str(tmp_path / "model.onnx")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1


def test_an_unknown_operation_is_told_in_a_sentence(tmp_path, capfd):
    class Odd(torch.nn.Module):
        def forward(self, image):
            return torch.special.bessel_j0(image[:, :1])

    with pytest.raises(ValueError, match=r"small-free cannot be exported.*bessel"):
        export_model.export(Odd(), {"model": "small-free", "sha256": ""}, tmp_path / "model.onnx")
    assert capfd.readouterr().out == ""
