"""The stream of composites and the losses, against closed forms."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from test_augment import grounds, portrait

from ldportrait import augment, models, shards, training

PARAMS = augment.Params(crop=32)


def write_tars(folder: Path, count: int, per_tar: int, size: int = 64) -> list[training.Shard]:
    """Tars of portraits that can be told apart by their colour."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for first in range(0, count, per_tar):
        tar = folder / f"shard-{first // per_tar:07d}.tar"
        ids = [f"x-{i:09d}" for i in range(first, min(first + per_tar, count))]
        with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as archive:
            for id in ids:
                picture = portrait(size, colour=(int(id[2:]) * 7 % 256, 100, 100))
                shards.add_member(archive, f"{id}.rgba.webp", shards.encode(picture))
                shards.add_member(archive, f"{id}.json", b"{}")
        found.append(training.Shard(tar, tuple(ids), 4 * size * size))
    return found


def composites(found: list[training.Shard], start: int = 0, cache: float = 100, seed: int = 0) -> training.Composites:
    return training.Composites(found, grounds(), PARAMS, seed, cache, start)


def equal(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_sample_depends_on_its_number_alone(tmp_path):
    found = write_tars(tmp_path, 10, 4)
    through, jumped = composites(found), composites(found, start=13)
    expected = [through[index] for index in range(25)]
    assert equal(jumped[0], expected[13])
    assert equal(jumped[11], expected[24])
    assert not equal(expected[3], expected[13])
    assert expected[0]["image"].shape == (3, 32, 32)
    assert set(expected[0]["trimap"].unique().tolist()) <= {0.0, 0.5, 1.0}


@pytest.mark.parametrize("cache", [100, 4 * 64 * 64 * 8 / 1e6, 0.001])
def test_an_epoch_shows_every_portrait_once_in_bounded_memory(tmp_path, cache):
    found = write_tars(tmp_path, 11, 4)
    orders = []
    for epoch in range(3):
        plan = training.blocks(found, 0, epoch, cache)
        ids = [id for _, block in plan for id in block]
        assert sorted(ids) == sorted(id for shard in found for id in shard.ids)
        for members, block in plan:
            size = sum(len(found[member].ids) * found[member].picture for member in members)
            assert len(members) == 1 or size <= cache * 1e6
            assert set(block) == {id for member in members for id in found[member].ids}
        orders.append(ids)
    assert orders[0] != orders[1] != orders[2]
    assert {100: 1, 0.001: 3}.get(cache, 2) == len(plan)


def test_a_part_of_a_shard_is_read(tmp_path):
    (shard,) = write_tars(tmp_path, 5, 5)
    some = training.Shard(shard.tar, shard.ids[1:3], shard.picture)
    read = dict(training.read(some))
    assert list(read) == ["x-000000001", "x-000000002"]
    assert np.array_equal(read["x-000000001"], portrait(64, colour=(7, 100, 100)))


def test_a_damaged_or_incomplete_shard_is_named(tmp_path):
    (shard,) = write_tars(tmp_path, 3, 3)
    with pytest.raises(ValueError, match=r"shard-0000000.tar lacks x-9"):
        list(training.read(training.Shard(shard.tar, (*shard.ids, "x-9"), 1)))
    shard.tar.write_bytes(shard.tar.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"shard-0000000.tar"):
        list(training.read(shard))


def batch(alpha: torch.Tensor, trimap: torch.Tensor) -> dict[str, torch.Tensor]:
    shape = (alpha.shape[0], 3, *alpha.shape[2:])
    background, foreground = torch.full(shape, 0.2), torch.full(shape, 0.9)
    image = alpha * foreground + (1 - alpha) * background
    return {"alpha": alpha, "trimap": trimap, "image": image, "background": background}


def test_losses_of_a_constant_error():
    """An error of 0.1 everywhere: L1 is 0.1 in any region, and the composition is off by 0.1 |F - B|."""
    alpha = torch.full((2, 1, 32, 32), 0.5)
    trimap = torch.full_like(alpha, 0.5)
    trimap[..., :8] = 1
    parts = training.losses(alpha + 0.1, batch(alpha, trimap), training.Losses(1, 1, 1, 1))
    assert parts["unknown"].item() == pytest.approx(0.1, abs=1e-6)
    assert parts["known"].item() == pytest.approx(0.1, abs=1e-6)
    assert parts["composition"].item() == pytest.approx(0.1 * 0.7, abs=1e-6)
    assert parts["laplacian"].item() == pytest.approx(0, abs=1e-6)  # every level but the last blur is a band-pass


def test_each_region_counts_by_its_own_area():
    alpha = torch.zeros(1, 1, 10, 10)
    trimap = torch.zeros_like(alpha)
    trimap[..., 0, :2] = 0.5
    wrong = alpha.clone()
    wrong[..., 0, 0] = 1
    wrong[..., 9, 9] = 0.49
    parts = training.losses(wrong, batch(alpha, trimap), training.Losses(1, 1, 0, 0))
    assert parts["unknown"].item() == pytest.approx(1 / 2)
    assert parts["known"].item() == pytest.approx(0.49 / 98)
    assert set(parts) == {"unknown", "known"}


def test_an_empty_region_costs_nothing():
    alpha = torch.rand(1, 1, 8, 8)
    parts = training.losses(alpha / 2, batch(alpha, torch.ones_like(alpha)), training.Losses(1, 0, 0, 1))
    assert parts["unknown"] == 0
    assert parts["composition"] == 0


def test_the_optimiser_follows_one_cycle():
    plan = training.Plan(steps=20, learning_rate=0.01)
    module = training.Matting(torch.nn.Conv2d(1, 1, 1), training.Losses(), plan)
    parts = module.configure_optimizers()
    rates = []
    for _ in range(20):
        rates.append(parts["optimizer"].param_groups[0]["lr"])
        parts["optimizer"].step()
        parts["lr_scheduler"]["scheduler"].step()
    assert max(rates) == pytest.approx(0.01, rel=0.05)
    assert np.argmax(rates) in (5, 6)
    assert rates[-1] < 1e-4


@pytest.mark.parametrize("setting", ["steps", "batch_size", "learning_rate", "checkpoint_every", "warm_up"])
def test_a_setting_out_of_range_is_named(setting):
    with pytest.raises(ValueError, match=setting):
        training.Plan(**{setting: 0})


LARGE = {
    "vitmatte-s": {"width": 32, "heads": 2, "depth": 3, "convstream": [8, 8, 8], "fusion": [16, 8, 8, 8]},
    "modnet": {"width": 0.25, "channels": 8, "side": 64},
    "gfm": {"widths": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "side": 64},
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", LARGE)
def test_a_large_network_is_trained_on_its_own_losses(tmp_path, name):
    network = models.get(name)
    losses, weights = network.losses()
    params = augment.Params(crop=64)
    stream = training.Composites(write_tars(tmp_path, 4, 4, size=96), grounds(), params, 0, 100)
    plan = training.Plan(steps=4, batch_size=2, learning_rate=1e-3, warm_up=0.5)
    module = training.Matting(network.build(**LARGE[name]), weights, plan, losses)
    training.fit(module, stream, tmp_path, {})
    row = module.rows[-1]
    assert row.keys() == {"step", "loss", "learning_rate", *weights}
    assert row["loss"] == pytest.approx(sum(weight * row[key] for key, weight in weights.items()), rel=1e-5)
