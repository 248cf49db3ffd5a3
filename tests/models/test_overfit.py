"""The small networks can learn four portraits by heart: what they cannot learn so, they could not learn at all."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from torch.nn import functional

from ldportrait import benchmarks, models, training_data
from ldportrait.models.losses import laplacian

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 64
LIMIT = 0.004
SMALL = {  # network: settings, steps, learning rate
    "small-trimap": ({}, 450, 1e-2),
    "small-free": ({"side": SIDE}, 400, 1e-2),
    "portrait": ({"side": SIDE, "fine": SIDE}, 1000, 1e-2),
}


def four(root: Path) -> dict[str, torch.Tensor]:
    """Four portraits of the bank over backgrounds, SIDE pixels large, with their trimaps."""
    bank = benchmarks.get("bank")
    found = {"image": [], "alpha": [], "trimap": []}
    for sample in bank.items(root, "train")[::18]:
        image, alpha, *_ = bank.load(sample)
        image, alpha = (cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for p in (image, alpha))
        found["image"].append(torch.from_numpy(image.transpose(2, 0, 1).copy()))
        found["alpha"].append(torch.from_numpy(alpha)[None])
        found["trimap"].append(torch.from_numpy(bank.trimap(alpha))[None])
    return training_data.floats({name: torch.stack(pictures) for name, pictures in found.items()})


@pytest.mark.parametrize("name", SMALL)
def test_a_small_network_learns_four_portraits_by_heart(name):
    settings, steps, rate = SMALL[name]
    batch = four(ROOT / "resources" / "bank")
    assert len(batch["image"]) == 4
    torch.manual_seed(0)
    network = models.get(name).build(**settings).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        alpha = network(batch["image"], batch["trimap"])
        entropy = functional.binary_cross_entropy(alpha.clamp(1e-5, 1 - 1e-5), batch["alpha"])
        loss = (alpha - batch["alpha"]).abs().mean() + laplacian(alpha, batch["alpha"]) + 0.5 * entropy
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        cycle.step()
    with torch.inference_mode():
        found = network.eval()(batch["image"], batch["trimap"])
    error = (found - batch["alpha"]).abs()
    assert error.mean() < LIMIT
    assert error.mean((1, 2, 3)).max() < 2 * LIMIT  # each of the four
    assert (found.round() - batch["alpha"].round()).abs().mean() < LIMIT
    assert np.isfinite(found.numpy()).all()
