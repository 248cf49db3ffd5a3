"""The stream of composites, the losses, and the run: against closed forms, and against a run undisturbed."""

import ctypes
import functools
import io
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import SCRIPTS
from PIL import Image
from safetensors.torch import load_file
from test_augment import grounds, portrait
from torch import nn
from torch.utils.data import DataLoader

from ldportrait import augment, checkpoints, models, shards, training, training_data, training_module
from ldportrait.models import losses as terms
from ldportrait.recipes import Plan
from ldportrait.training_data import Batches, Composites, Shard, Steps
from ldportrait.training_module import HeldOut, Losses, Matting

PARAMS = augment.Params(crop=32)


def write_tars(folder: Path, count: int, per_tar: int, size: int = 64) -> list[Shard]:
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
        found.append(Shard(tar, tuple(ids), 4 * size * size))
    return found


def composites(found: list[Shard], start: int = 0, cache: float = 100, seed: int = 0) -> Composites:
    return Composites(found, grounds(), PARAMS, seed, cache, start)


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
        plan = training_data.blocks(found, 0, epoch, cache)
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
    some = Shard(shard.tar, shard.ids[1:3], shard.picture)
    read = dict(training_data.read(some))
    assert list(read) == ["x-000000001", "x-000000002"]
    assert np.array_equal(training_data.decode(read["x-000000001"], "it"), portrait(64, colour=(7, 100, 100)))


def test_a_damaged_or_incomplete_shard_is_named(tmp_path):
    (shard,) = write_tars(tmp_path, 3, 3)
    with pytest.raises(ValueError, match=r"shard-0000000.tar lacks x-9"):
        list(training_data.read(Shard(shard.tar, (*shard.ids, "x-9"), 1)))
    shard.tar.write_bytes(shard.tar.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"shard-0000000.tar"):
        list(training_data.read(shard))


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
    parts = training_module.losses(alpha + 0.1, batch(alpha, trimap), Losses(1, 1, 1, 1))
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
    parts = training_module.losses(wrong, batch(alpha, trimap), Losses(1, 1, 0, 0))
    assert parts["unknown"].item() == pytest.approx(1 / 2)
    assert parts["known"].item() == pytest.approx(0.49 / 98)
    assert set(parts) == {"unknown", "known"}


def test_an_empty_region_costs_nothing():
    alpha = torch.rand(1, 1, 8, 8)
    parts = training_module.losses(alpha / 2, batch(alpha, torch.ones_like(alpha)), Losses(1, 0, 0, 1))
    assert parts["unknown"] == 0
    assert parts["composition"] == 0


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
    stream = Composites(write_tars(tmp_path, 4, 4, size=96), grounds(), params, 0, 100)
    plan = Plan(steps=4, batch_size=2, learning_rate=1e-3, warm_up=0.5)
    module = Matting(network.build(**LARGE[name]), weights, plan, losses)
    training.fit(module, stream, tmp_path, {})
    row = module.rows[-1]
    assert row.keys() == {"step", "loss", "learning_rate", "skipped", *weights}
    assert row["loss"] == pytest.approx(sum(weight * row[key] for key, weight in weights.items()), rel=1e-5)


# The stream


def test_a_portrait_is_decoded_as_pillow_does(tmp_path):
    """Also its colour under alpha 0; and a picture that is opaque all over, of which WebP drops the alpha."""
    soft = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    soft[:20, :, 3] = 0
    opaque = soft.copy()
    opaque[..., 3] = 255
    for picture in (soft, opaque):
        content = shards.encode(picture)
        with Image.open(io.BytesIO(content)) as expected:
            assert np.array_equal(training_data.decode(content, "it"), np.array(expected.convert("RGBA")))
    with pytest.raises(ValueError, match="x-1 in here"):
        training_data.decode(b"no picture", "x-1 in here")


def test_bytes_become_floats_exactly(tmp_path):
    stream = composites(write_tars(tmp_path, 2, 2))
    whole, bytes = stream[1], stream.bytes(1)
    assert {tensor.dtype for tensor in bytes.values()} == {torch.uint8}
    assert np.array_equal(whole["image"].numpy(), bytes["image"].numpy().astype(np.float32) / 255)
    levels = torch.tensor([0, 128, 255], dtype=torch.uint8)
    assert training_data.floats({"trimap": levels})["trimap"].tolist() == [0, 0.5, 1]


def test_workers_give_the_same_samples_in_the_same_order(tmp_path):
    cv2.setNumThreads(1)  # as `fit` does, before it starts workers
    found = write_tars(tmp_path, 9, 4)
    batches = []
    for workers in (0, 2):
        stream = Batches(composites(found, cache=4 * 64 * 64 * 8 / 1e6))
        loader = DataLoader(stream, batch_size=3, sampler=Steps(6, 30), num_workers=workers)
        batches.append(list(loader))
    assert len(batches[0]) == 8
    assert all(equal(one, other) for one, other in zip(*batches, strict=True))


def test_a_sample_decodes_what_it_shows_alone(tmp_path, monkeypatch):
    decoded = []
    decode = training_data.decode
    monkeypatch.setattr(training_data, "decode", lambda content, name: decoded.append(name) or decode(content, name))
    found = write_tars(tmp_path, 8, 8)
    params = replace(PARAMS, two_foregrounds=0)
    stream = Composites(found, grounds(), params, 0, 100)
    for index in (0, 1, 8, 9, 0):
        stream[index]
    order = [training_data.blocks(found, 0, epoch, 100)[0][1] for epoch in (0, 1)]
    shown = {*order[0][:2], *order[1][:2]}
    assert sorted(name.split()[0] for name in decoded) == sorted(shown)


# The run


class Tiny(nn.Module):
    """A matting network of a few weights, with batch normalisation and something drawn at random.

    It gives no finite alpha where the image's first pixel is one of `broken`, nor a finite gradient where it is one of
    `steep`.
    """

    def __init__(self, broken: tuple[float, ...] = (), steep: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Conv2d(6, 1, 1)
        self.zero = nn.Parameter(torch.zeros(1))
        self.broken, self.steep = broken, steep

    def forward(self, image: torch.Tensor, trimap: torch.Tensor) -> torch.Tensor:
        place = image[0, 0, 0, 0].item()
        if place in self.broken:
            image = image * torch.nan
        alpha = torch.sigmoid(self.head(self.layers(torch.cat([image, trimap], 1))))
        return alpha + self.zero.abs().sqrt() * 1.0 if place in self.steep else alpha + 0 * self.zero


class Recorded(Composites):
    """Composites that note which of them are made, and may ask the run to stop at one."""

    def __init__(self, *arguments: object, stop: int | None = None) -> None:
        super().__init__(*arguments)
        self.seen: list[int] = []
        self.stop = stop

    def bytes(self, index: int) -> dict[str, torch.Tensor]:
        self.seen.append(index)
        if index == self.stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().bytes(index)


PLAN = Plan(steps=6, batch_size=2, learning_rate=0.01, checkpoint_every=4)


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    return write_tars(tmp_path_factory.mktemp("tars"), 10, 4)


def stream_of(tars: list[Shard], seed: int = 0, **options: object) -> Recorded:
    return Recorded(tars, grounds(), PARAMS, seed, 100, **options)


def fitted(tars: list[Shard], folder: Path, plan: Plan = PLAN, network: nn.Module | None = None, **options) -> Matting:
    torch.manual_seed(0)
    module = Matting(network or Tiny(), Losses(1, 1, 0.5, 0), plan, inspection=folder / "skipped", seed=3)
    training.fit(module, stream_of(tars), folder, {}, **options)
    return module


def first_pixel(tars: list[Shard], step: int) -> float:
    """What tells the batch of a step: the first value of its first picture."""
    return stream_of(tars)[(step - 1) * PLAN.batch_size]["image"][0, 0, 0].item()


def weights_of(module: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in module.state_dict().values()]


def alike(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights_of(one), weights_of(other), strict=True))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_stopped_by_a_scheduler_goes_on_and_ends_alike(tars, tmp_path, workers):
    """SIGTERM in the third step: a checkpoint of it, and then the weights, average and log of an undisturbed run."""
    plan = replace(PLAN, ema=0.8, schedule="cosine", clip=0.1, accumulate=2)
    whole = fitted(tars, tmp_path / "whole", plan)
    folder, stop = tmp_path / "stopped", 2 * 2 * 2 + 1
    torch.manual_seed(0)
    module = Matting(Tiny(), Losses(1, 1, 0.5, 0), plan, seed=3)
    before = signal.getsignal(signal.SIGTERM)
    assert not training.fit(module, stream_of(tars, stop=stop), folder, {})
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(module.rows) == 3
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 3
    torch.manual_seed(1)
    again = Matting(Tiny(), Losses(1, 1, 0.5, 0), plan, seed=3)
    stream = stream_of(tars)
    assert training.fit(again, stream, folder, {}, workers)
    if not workers:
        assert stream.seen[0] == 12  # the first sample of the fourth step
    assert again.rows == whole.rows
    assert alike(again, whole)


@pytest.mark.usefixtures("one_thread")
def test_the_average_is_that_of_the_weights(tars, tmp_path, monkeypatch):
    seen = []
    step = Matting.optimizer_step
    monkeypatch.setattr(
        Matting,
        "optimizer_step",
        lambda self, *arguments: (step(self, *arguments), seen.append(self.network.head.weight.detach().clone())),
    )
    module = fitted(tars, tmp_path, replace(PLAN, ema=0.75))
    expected = seen[0]
    for weight in seen[1:]:
        expected = 0.75 * expected + 0.25 * weight
    assert torch.allclose(module.trained.head.weight, expected, atol=1e-7)
    assert not torch.allclose(module.network.head.weight, expected, atol=1e-4)


@pytest.mark.usefixtures("one_thread")
def test_a_batch_without_a_finite_loss_changes_nothing_and_is_kept(tars, tmp_path, monkeypatch):
    states = []
    step = Matting.optimizer_step
    monkeypatch.setattr(
        Matting,
        "optimizer_step",
        lambda self, *arguments: (step(self, *arguments), states.append(weights_of(self.network))),
    )
    broken = Tiny(broken=(first_pixel(tars, 3),), steep=(first_pixel(tars, 5),))
    module = fitted(tars, tmp_path, network=broken)
    assert [row["skipped"] for row in module.rows] == [0, 0, 1, 1, 2, 2]
    assert [np.isfinite(row["loss"]) for row in module.rows] == [True, True, False, True, True, True]
    assert all(torch.equal(a, b) for a, b in zip(states[1], states[2], strict=True))  # batch normalisation's too
    weights = [name for name, _ in broken.named_parameters()]
    same = {name: torch.equal(a, b) for name, a, b in zip(broken.state_dict(), states[3], states[4], strict=True)}
    assert all(same[name] for name in weights)
    (kept,) = (tmp_path / "skipped").iterdir()
    assert kept.name == "step-000000003-rank-0.safetensors"
    assert torch.equal(load_file(kept)["image"][1], stream_of(tars)[5]["image"])


@pytest.mark.usefixtures("one_thread")
def test_batches_that_an_earlier_run_kept_are_removed(tars, tmp_path):
    fitted(tars, tmp_path, network=Tiny(broken=(first_pixel(tars, 3),)))
    assert list((tmp_path / "skipped").iterdir())
    checkpoints.clear(tmp_path)
    assert fitted(tars, tmp_path).skipped == 0
    assert not (tmp_path / "skipped").exists()


@pytest.mark.usefixtures("one_thread")
def test_losses_are_computed_in_full_precision(tars, tmp_path):
    """Against double precision: in bfloat16, differences of gradients would be wrong by percents."""
    found = []

    def own(parts: dict[str, torch.Tensor], batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        alpha, true = parts["alpha"], batch["alpha"]
        pair = [terms.gradient_penalty(*(x.to(kind) for x in (alpha, true, torch.ones_like(true))))
                for kind in (alpha.dtype, torch.double)]  # fmt: skip
        found.append([penalty.item() for penalty in pair])
        return {"penalty": pair[0]}

    network = Tiny()
    network.predict_all = lambda image, trimap: {"alpha": network(image, trimap)}
    module = Matting(network, {"penalty": 1}, replace(PLAN, precision="bf16-mixed"), own, seed=3)
    training.fit(module, stream_of(tars), tmp_path, {})
    assert len(found) == PLAN.steps
    for penalty, exact in found:
        assert penalty == pytest.approx(exact, rel=1e-5)


def test_the_log_has_whole_numbers_of_steps(tmp_path):
    training.write_log([{"step": 1234567, "loss": 0.123456789, "skipped": 1000001}], tmp_path / "log.csv")
    assert (tmp_path / "log.csv").read_text().split() == ["step,loss,skipped", "1234567,0.123457,1000001"]


@pytest.mark.usefixtures("one_thread")
def test_ten_such_batches_in_a_row_stop_the_run(tars, tmp_path):
    """Nine do not."""
    plan = replace(PLAN, steps=14)
    nine = tuple(first_pixel(tars, step) for step in range(3, 12))
    assert fitted(tars, tmp_path / "nine", plan, Tiny(broken=nine)).skipped == 9
    ten = (*nine, first_pixel(tars, 12))
    with pytest.raises(ValueError, match=r"10 steps in a row, the last of them 12 .*lower the learning rate"):
        fitted(tars, tmp_path / "ten", plan, Tiny(broken=ten))


@pytest.mark.usefixtures("one_thread")
def test_accumulated_batches_are_as_one(tars, tmp_path):
    """With a loss that is a mean over samples, and no batch normalisation, twice two samples are as four at once."""

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 1, 3, padding=1)

        def predict_all(self, image: torch.Tensor, _: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"alpha": self.layer(image)}

    found = []
    for batch_size, accumulate in ((4, 1), (2, 2)):
        torch.manual_seed(0)
        plan = replace(PLAN, batch_size=batch_size, accumulate=accumulate, optimiser="sgd", momentum=0)
        loss = lambda parts, batch: {"mse": (parts["alpha"] - batch["alpha"]).square().mean()}  # noqa: E731
        module = Matting(Plain(), {"mse": 1.0}, plan, loss)
        stream = stream_of(tars)
        training.fit(module, stream, tmp_path / str(accumulate), {})
        assert stream.seen[:24] == list(range(24))
        assert len(module.rows) == 6
        found.append(module)
    assert torch.allclose(found[0].network.layer.weight, found[1].network.layer.weight, atol=1e-6)
    losses = [[row["loss"] for row in module.rows] for module in found]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_the_gradient_is_clipped(tars, tmp_path):
    """One step of plain gradient descent at a rate of 1 moves the weights by the gradient."""
    network = Tiny()
    before = torch.cat([weight.detach().flatten().clone() for weight in network.parameters()])
    plan = replace(PLAN, steps=1, learning_rate=1, optimiser="sgd", momentum=0, weight_decay=0, schedule="step")
    fitted(tars, tmp_path, replace(plan, clip=0.01), network)
    after = torch.cat([weight.detach().flatten() for weight in network.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.usefixtures("one_thread")
def test_validation_on_the_way_keeps_the_best(tars, tmp_path, monkeypatch):
    held_out = HeldOut(stream_of(tars, seed=99), 3)
    plan = replace(PLAN, validate_every=2, keep="best")
    states, measured = {}, iter([0.3, 0.1, 0.2])

    def measure(module: Matting, _: HeldOut) -> dict[str, float]:
        states[len(module.rows)] = weights_of(module.trained.eval())
        return {"mad": next(measured), "unknown_mad": 0.5}

    monkeypatch.setattr(training, "validate", measure)
    module = fitted(tars, tmp_path, plan, held_out=held_out)
    assert list(states) == [2, 4, 6]
    assert [row.get("val_mad") for row in module.rows] == [None, 0.3, None, 0.1, None, 0.2]
    assert module.best == {"step": 4, "mad": 0.1, "unknown_mad": 0.5}
    assert all(torch.equal(a, b) for a, b in zip(weights_of(module.trained), states[4], strict=True))
    with pytest.raises(ValueError, match="val portraits"):
        fitted(tars, tmp_path / "none", plan)


@pytest.mark.usefixtures("one_thread")
def test_validation_changes_no_training(tars, tmp_path):
    held_out = HeldOut(stream_of(tars, seed=99), 2)
    plain = fitted(tars, tmp_path / "plain")
    watched = fitted(tars, tmp_path / "watched", replace(PLAN, validate_every=2), held_out=held_out)
    assert alike(plain, watched)
    assert watched.rows[3]["val_mad"] == pytest.approx(training_module.validate(watched, held_out)["mad"], rel=0.5)
    assert watched.rows[5]["val_mad"] == training_module.validate(watched, held_out)["mad"]


def test_validation_is_a_mean_over_pixels(tars):
    """A network that says 0.5 everywhere."""

    class Half(nn.Module):
        def forward(self, image: torch.Tensor, trimap: torch.Tensor) -> torch.Tensor:
            return torch.full_like(trimap, 0.5)

    held_out = HeldOut(stream_of(tars), 4)
    found = training_module.validate(Matting(Half(), Losses(), PLAN), held_out)
    samples = [held_out.composites[index] for index in range(4)]
    errors = [(sample["alpha"] - 0.5).abs() for sample in samples]
    assert found["mad"] == pytest.approx(np.mean([float(error.mean()) for error in errors]))
    inside = [error[sample["trimap"] == 0.5] for error, sample in zip(errors, samples, strict=True)]
    assert found["unknown_mad"] == pytest.approx(torch.cat(inside).mean().item())


def test_a_worker_s_error_is_told_in_its_own_words(tars, tmp_path):
    cut = tmp_path / "cut.tar"
    cut.write_bytes(tars[0].tar.read_bytes()[:3000])
    broken = [replace(tars[0], tar=cut)]
    module = Matting(Tiny(), Losses(), PLAN)
    with pytest.raises(ValueError, match=r"^\S*cut.tar lacks x-000000001, which the data set's metadata lists.$"):
        training.fit(module, stream_of(broken), tmp_path, {}, workers=1)


def test_a_worker_outlives_sigterm_until_the_run_is_over(tars):
    """A scheduler's signal to all processes stops no step; but at exit Python must be able to end what is left."""
    cv2.setNumThreads(1)
    over = multiprocessing.RawValue(ctypes.c_bool, False)
    options = {"num_workers": 1, "worker_init_fn": functools.partial(training._outlive_sigterm, over)}
    before = set(multiprocessing.active_children())
    batches = iter(DataLoader(Batches(stream_of(tars)), sampler=Steps(0, 40), **options))
    next(batches)
    (worker,) = set(multiprocessing.active_children()) - before
    worker.terminate()
    assert len([next(batches) for _ in range(20)]) == 20
    assert worker.is_alive()
    over.value = True
    worker.terminate()
    worker.join(30)
    assert worker.exitcode == 0


def test_two_processes_see_other_samples_and_end_in_equal_weights(tars, tmp_path):
    """As two GPUs would be used: every sample of the plain order once, and one set of weights."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
    ]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"}
    arguments = [Path(__file__).with_name("two_processes.py"), tmp_path, *(shard.tar for shard in tars)]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    results = [torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1)]
    samples = [result["seen"][: 2 * PLAN.steps] for result in results]
    assert not set(samples[0]) & set(samples[1])
    assert sorted(samples[0] + samples[1]) == list(range(4 * PLAN.steps))
    assert results[0]["weights"].keys() == results[1]["weights"].keys()
    for name, tensor in results[0]["weights"].items():
        assert torch.equal(tensor, results[1]["weights"][name]), name
    assert results[0]["skipped"] == results[1]["skipped"] == 1  # one process alone had a broken batch
    assert sorted(path.name for path in tmp_path.glob("skipped/*")) == ["step-000000002-rank-1.safetensors"]


def free_port() -> str:
    with socket.socket() as place:
        place.bind(("localhost", 0))
        return str(place.getsockname()[1])
