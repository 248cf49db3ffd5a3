"""Training of a matting network: the stream of composites, the losses, the Lightning module, and going on after a kill.

Which samples a step sees, and what is drawn in it, is a function of the seed and the step (see `Composites`), so a run
that goes on from its last checkpoint ends in the weights of an undisturbed one, to the last bit on the same machine.
"""

import contextlib
import csv
import ctypes
import functools
import hashlib
import importlib.util
import io
import json
import logging
import math
import multiprocessing
import os
import shutil
import signal
import tarfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from ldportrait import augment, commands, images, pictures, recipes
from ldportrait.models import losses as terms
from ldportrait.recipes import Plan
from ldportrait.shards import content_of, locked, replacing

CHECKPOINT, BEST = "last.ckpt", "best.safetensors"
MEGABYTE = 10**6
IN_A_ROW = 10  # steps without a finite loss and gradient after which a run stops
SET_ASIDE = 20  # batches without a finite loss that are kept for inspection at most


# Data ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shard:
    """One tar of a data set, the ids to use of it in order, and the bytes that a decoded picture takes at most.

    With `sha256`, one per id, the pictures are checked when they are read.
    """

    tar: Path
    ids: tuple[str, ...]
    picture: int
    sha256: tuple[str, ...] = ()


@dataclass(frozen=True)
class Portrait:
    """A decoded portrait (H, W, 4) uint8, and where its rim is (`augment.places`)."""

    rgba: np.ndarray
    rim: np.ndarray


class Composites(Dataset):
    """Composite k of a run, for any k: a function of the seed, k, the order of ids, the pictures and the cache.

    An epoch shows every portrait once. Its shards are shuffled and taken in blocks of as many as fit into `cache`
    megabytes when decoded; within a block portraits are shuffled. So memory is bounded (by the cache, or one shard
    if that is larger), shards are read as streams, and a data set that fits is decoded once and shuffled as a whole.
    A portrait is decoded when a sample needs it: of several workers, each decodes its own samples' portraits alone.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        backgrounds: Sequence[np.ndarray],
        params: augment.Params,
        seed: int,
        cache: float,
        start: int = 0,
    ) -> None:
        """Take the shards, the pictures to lay portraits over, and the sample that index 0 stands for."""
        self.shards, self.backgrounds, self.seed, self.start = shards, backgrounds, seed, start
        self.given = params
        self.shrink = params.scale_low if params.scale_low >= 2 else 1.0
        self.params = replace(
            params, scale_low=params.scale_low / self.shrink, scale_high=params.scale_high / self.shrink
        )
        self.count = sum(len(shard.ids) for shard in shards)
        self.cache = cache
        self._held: tuple[int, ...] = ()
        self._stored: dict[str, tuple[Path, bytes]] = {}
        self._decoded: dict[str, Portrait] = {}
        self._plan: tuple[int, list] = (-1, [])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return sample `start + index` as float tensors in [0, 1], channels first."""
        return floats(self.bytes(index))

    def bytes(self, index: int) -> dict[str, torch.Tensor]:
        """Return sample `start + index` as uint8 tensors, channels first: a quarter of the memory to move."""
        index += self.start
        first, second = self._pair(index)
        made = augment.sample(
            index, first.rgba, second.rgba, self.backgrounds, self.params, self.seed, (first.rim, second.rim)
        )
        return {
            "image": torch.from_numpy(np.ascontiguousarray(made.image.transpose(2, 0, 1))),
            "alpha": torch.from_numpy(made.alpha[None]),
            "trimap": torch.from_numpy(made.trimap[None]),
            "background": torch.from_numpy(np.ascontiguousarray(made.background.transpose(2, 0, 1))),
        }

    def _pair(self, index: int) -> tuple[Portrait, Portrait]:
        """Return a sample's portrait, and its neighbour in the order if it has a second foreground, else itself."""
        epoch, place = divmod(index, self.count)
        if self._plan[0] != epoch:
            self._plan = epoch, blocks(self.shards, self.seed, epoch, self.cache)
        for members, ids in self._plan[1]:
            if place < len(ids):
                self._hold(members)
                two = augment.has_second(self.params, augment.generator(self.seed, index, 2))
                return self._portrait(ids[place]), self._portrait(ids[(place + two) % len(ids)])
            place -= len(ids)
        raise AssertionError("the blocks of an epoch hold all of its portraits")

    def _hold(self, members: tuple[int, ...]) -> None:
        """Read the files of a block, which are small, once; those of the last block are let go first."""
        if self._held != members:
            self._stored, self._decoded = {}, {}
            for shard in (self.shards[member] for member in members):
                self._stored.update((id, (shard.tar, content)) for id, content in read(shard))
            self._held = members

    def _portrait(self, id: str) -> Portrait:
        """Return a portrait of the block; its file is let go when it is decoded."""
        if id not in self._decoded:
            tar, content = self._stored.pop(id)
            rgba = self._shrunk(decode(content, f"{id} in {tar}"))
            self._decoded[id] = Portrait(rgba, augment.places(rgba[..., 3]))
        return self._decoded[id]

    def _shrunk(self, rgba: np.ndarray) -> np.ndarray:
        """Make a portrait as small as the least window allows: for a network that sees whole portraits, much faster."""
        if self.shrink == 1:
            return rgba
        height, width = (max(self.params.crop, round(side / self.shrink)) for side in rgba.shape[:2])
        return pictures.shrink(rgba, width, height)


class Batches(Dataset):
    """Composites as uint8 tensors, for a loader."""

    def __init__(self, composites: Composites) -> None:
        """Take the composites."""
        self.composites = composites

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return a sample."""
        return self.composites.bytes(index)


def blocks(shards: Sequence[Shard], seed: int, epoch: int, cache: float) -> list[tuple[tuple[int, ...], list[str]]]:
    """Order an epoch: blocks of shards (sorted numbers) that fit into `cache` megabytes, each with its ids shuffled."""
    stream = augment.generator(seed, epoch, 7)
    groups, used = [], np.inf
    for number in stream.permutation(len(shards)):
        size = len(shards[number].ids) * shards[number].picture
        if used + size > cache * MEGABYTE:
            groups.append([])
            used = 0
        groups[-1].append(int(number))
        used += size
    plan = []
    for group in groups:
        ids = [id for number in sorted(group) for id in shards[number].ids]
        plan.append((tuple(sorted(group)), [ids[i] for i in stream.permutation(len(ids))]))
    return plan


def read(shard: Shard) -> Iterator[tuple[str, bytes]]:
    """Stream the wanted pictures of a shard as (id, file). ValueError names a damaged or incomplete one.

    Not by webdataset, which would take compressed tars, and names that are commands, from whoever made the data set.
    """
    wanted = dict(zip(shard.ids, shard.sha256 or [None] * len(shard.ids), strict=True))
    try:
        with tarfile.open(shard.tar, "r:") as archive:
            for member in archive:
                id, _, suffix = member.name.partition(".")
                if suffix != "rgba.webp" or id not in wanted:
                    continue
                content, sha256 = content_of(archive, member), wanted.pop(id)
                if sha256 and hashlib.sha256(content).hexdigest() != sha256:
                    raise EOFError(f"{id} is not what the metadata says")
                yield id, content
    except (tarfile.TarError, OSError, EOFError) as error:
        commands.pass_on(error, shard.tar)
        raise ValueError(f"{shard.tar} is damaged ({error}); assemble the data set again.") from error
    if wanted:
        raise ValueError(f"{shard.tar} lacks {min(wanted)}, which the data set's metadata lists.")


def decode(content: bytes, name: str) -> np.ndarray:
    """Decode a portrait's file to (H, W, 4) uint8, faster than Pillow does. ValueError, with its name, if it cannot be.

    WebP leaves out an alpha that is 255 everywhere.
    """
    images.check_size(content, f"The picture {name}")
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 3:
        raise ValueError(f"The picture {name} is damaged; assemble the data set again.")
    return cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGBA)


class Steps(Sampler):
    """The samples of the steps from `start` on, in order; of several processes, each takes every n-th."""

    def __init__(self, start: int, stop: int) -> None:
        """Take the first sample's number and the one after the last."""
        self.start, self.stop = start, stop

    def __iter__(self) -> Iterator[int]:
        """Yield this process's sample numbers."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if distributed else 0
        return iter(range(self.start + rank, self.stop, torch.distributed.get_world_size() if distributed else 1))

    def __len__(self) -> int:
        """The samples of the whole run: Lightning counts its steps from the run's beginning."""
        return self.stop


def floats(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A sample or batch of uint8 as floats in [0, 1]; a trimap of {0, 128, 255} becomes {0, 0.5, 1}, 0.5 exactly."""
    return {
        name: (tensor.float() / 127.5).round() / 2 if name == "trimap" else tensor.float() / 255
        for name, tensor in batch.items()
    }


# Losses --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Losses:
    """Weights of the small networks' losses; a weight of 0 leaves the loss out."""

    unknown: float = 1.0
    known: float = 0.0
    laplacian: float = 0.5
    composition: float = 0.0


def losses(alpha: torch.Tensor, batch: Mapping[str, torch.Tensor], weights: Losses) -> dict[str, torch.Tensor]:
    """Compute the small networks' losses whose weight is not 0, unweighted, of alpha (B, 1, H, W).

    `unknown`, `known`: mean |a - a*| over the trimap's regions (each by its own area, as ViTMatte, Yao et al. 2023).
    `composition`: mean |a F + (1 - a) B - I| in the unknown region (Xu et al. 2017), where that can be told.
    """
    true = batch["alpha"]
    unknown = terms.unknown_region(batch["trimap"]).to(alpha.dtype)
    error = (alpha - true).abs()
    parts = {}
    if weights.unknown:
        parts["unknown"] = terms.masked_mean(error, unknown)
    if weights.known:
        parts["known"] = terms.masked_mean(error, 1 - unknown)
    if weights.laplacian:
        parts["laplacian"] = terms.laplacian(alpha, true)
    if weights.composition:
        composed, valued = terms.composition_error(alpha, true, batch["image"], batch["background"])
        parts["composition"] = terms.masked_mean(composed, unknown * valued)
    return parts


# The run -------------------------------------------------------------------------------------------------------------


class Matting(lightning.LightningModule):
    """A network with its losses, optimiser and average; `rows` is the log, one row a step.

    A step whose loss or gradient is not finite changes no weight. The log, and how many steps were skipped, travel in
    the checkpoint.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: Losses | Mapping[str, float],
        plan: Plan,
        own: Callable | None = None,
        seed: int = 0,
        inspection: Path | None = None,
    ) -> None:
        """Take what is trained, and how; `own` losses with their weights are those of `models.Network.losses`.

        Batches without a finite loss are written to the folder `inspection`, if there is one.
        """
        super().__init__()
        self.network, self.weights, self.plan, self.own = network, weights, plan, own
        self.seed, self.inspection = seed, inspection
        self.average = None
        if plan.ema:
            average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(plan.ema), use_buffers=True)
            self.average = average.requires_grad_(False)
        self.rows: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self.skipped = self.in_a_row = 0
        self._parts: list[dict[str, float]] = []  # of the batches of a step that is not over yet
        self._before: list[torch.Tensor] = []  # the network's buffers before a batch whose loss is not finite
        self._finite = True

    @property
    def trained(self) -> nn.Module:
        """The network that is the result: with averaged weights, if there are."""
        return self.network if self.average is None else self.average.module

    @property
    def amid_step(self) -> bool:
        """Whether batches were seen since the last step, as when gradients are accumulated."""
        return bool(self._parts)

    def on_after_batch_transfer(self, batch: dict[str, torch.Tensor], _: int) -> dict[str, torch.Tensor]:
        """Make floats of bytes, on the device."""
        return floats(batch)

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        """Return the weighted loss and note it.

        Where it is not finite, neither shall be the gradient, on any GPU: so all of them skip the step.
        """
        draws = augment.generator(self.seed, index * self.trainer.world_size + self.global_rank, 8)
        torch.manual_seed(int(draws.integers(2**62)))  # for networks that draw: the same after a kill
        before = [buffer.clone() for buffer in self.network.buffers()]
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        weights = vars(self.weights) if self.own is None else self.weights
        parts = self._losses(image, batch)
        total = sum(weights[name] * part for name, part in parts.items())
        self._parts.append({"loss": total.item(), **{name: part.item() for name, part in parts.items()}})
        if not all(map(math.isfinite, self._parts[-1].values())):
            self._before = before
            self._set_aside(batch)
            total = total * math.nan
        return total

    def _losses(self, image: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Run the network in the plan's precision, and compute its losses in full: errors are small."""
        predict = self.network if self.own is None else self.network.predict_all
        found = predict(image, batch["trimap"])
        with torch.autocast(self.device.type, enabled=False):
            if self.own is None:
                return losses(found.float(), batch, self.weights)
            return self.own({name: part.float() for name, part in found.items()}, batch)

    def on_after_backward(self) -> None:
        """Take back what batch normalisation made of a batch without a finite loss."""
        if self._before:
            for buffer, value in zip(self.network.buffers(), self._before, strict=True):
                buffer.copy_(value)
            self._before = []

    def on_before_optimizer_step(self, _: torch.optim.Optimizer) -> None:
        """Drop gradients that are not finite, so that the step changes nothing."""
        weights = [weight for weight in self.network.parameters() if weight.grad is not None]
        self._finite = bool(torch.nn.utils.get_total_norm([weight.grad for weight in weights]).isfinite())
        if not self._finite:
            for weight in weights:
                weight.grad = None

    def optimizer_step(self, *arguments: object) -> None:
        """Make a step, move the average, and note it in the log. ValueError if too many in a row were not finite."""
        super().optimizer_step(*arguments)
        if self._finite:
            self.in_a_row = 0
            if self.average is not None:
                self.average.update_parameters(self.network)
        else:
            self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
        means = {name: float(np.mean([parts[name] for parts in self._parts])) for name in self._parts[0]}
        rate = max(group["lr"] for group in self.optimizers().param_groups)
        step = self.global_step + 1
        self.rows.append({"step": step, **means, "learning_rate": rate, "skipped": self.skipped})
        self._parts = []
        if self.in_a_row == IN_A_ROW:
            raise ValueError(
                f"The loss or its gradient was not a finite number in {IN_A_ROW} steps in a row, the last of them "
                f"{step} ({means}); lower the learning rate, now {self.plan.learning_rate:g}, or look for broken "
                f"pictures in the data set{f', as in {self.inspection}' if self.inspection else ''}."
            )

    def _set_aside(self, batch: Mapping[str, torch.Tensor]) -> None:
        """Keep a batch without a finite loss for inspection, with its losses; but not too many of them."""
        if self.inspection is None or len(list(self.inspection.glob("*.safetensors"))) >= SET_ASIDE:
            return
        self.inspection.mkdir(parents=True, exist_ok=True)
        name = f"step-{self.global_step + 1:09d}-rank-{self.global_rank}.safetensors"
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in batch.items()}
        with replacing(self.inspection / name) as temporary:
            temporary.write_bytes(serialise(tensors, {name: str(value) for name, value in self._parts[-1].items()}))

    def configure_optimizers(self) -> dict:
        """Make the optimiser and the schedule of the plan."""
        optimiser = recipes.optimiser(self.network, self.plan)
        schedule = {"scheduler": recipes.scheduler(optimiser, self.plan), "interval": "step"}
        return {"optimizer": optimiser, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Put the log into the checkpoint."""
        checkpoint["rows"], checkpoint["best"] = self.rows, self.best
        checkpoint["skipped"], checkpoint["in_a_row"] = self.skipped, self.in_a_row

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Take the log from the checkpoint."""
        self.rows, self.best = checkpoint["rows"], checkpoint["best"]
        self.skipped, self.in_a_row = checkpoint["skipped"], checkpoint["in_a_row"]


@dataclass(frozen=True)
class HeldOut:
    """The composites that a network is validated on: the first `count`, always the same."""

    composites: Composites
    count: int


class WholeFiles(TorchCheckpointIO):
    """Write a checkpoint beside where it belongs, and let it take the place of the last one when it is whole.

    Lightning's own way goes through the system's folder for temporary files, which may be small.
    """

    def save_checkpoint(self, checkpoint: dict, path: Path, storage_options: object = None) -> None:
        """Write a checkpoint. OSError if the disk is full or read-only; the last one is there then as it was."""
        stream = io.BytesIO()
        torch.save(checkpoint, stream)
        with replacing(path) as temporary:
            temporary.write_bytes(stream.getbuffer())


class Checkpoints(lightning.Callback):
    """Keep the last checkpoint, whole, under a digest of what the run depends on, and the best weights in validation.

    A run that is told to stop by SIGTERM does so at the end of a step, with a checkpoint of it. Progress is shown on a
    terminal.
    """

    def __init__(self, folder: Path, digest: str, every: int, held_out: HeldOut | None = None) -> None:
        """Take the folder, what the checkpoint is good for, the steps between two, and what to validate on."""
        self.path, self.best, self.digest, self.every = folder / CHECKPOINT, folder / BEST, digest, every
        self.held_out = held_out
        self.bar: tqdm | None = None
        self.asked = self.stopped = False

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Open the progress bar, and listen for SIGTERM in place of Lightning, which would lose the steps since."""
        with contextlib.suppress(ValueError):  # only a main thread may listen; Lightning puts the old listener back
            signal.signal(signal.SIGTERM, self._ask)
        self.bar = tqdm(
            total=trainer.max_steps,
            initial=trainer.global_step,
            desc="training",
            unit="step",
            disable=None if trainer.is_global_zero else True,
        )

    def _ask(self, *_: object) -> None:
        self.asked = True

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Matting, *_: object) -> None:
        """At the end of a step: show it, validate and save every so many, and stop if that was asked for."""
        if module.amid_step:
            return
        step, last, row = trainer.global_step, trainer.global_step == trainer.max_steps, module.rows[-1]
        self.bar.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
        self.bar.update()
        every = module.plan.validate_every
        if every and (step % every == 0 or last) and trainer.is_global_zero:
            self._validate(module)
        if trainer.logger:
            trainer.logger.log_metrics({name: value for name, value in row.items() if name != "step"}, step)
        stop = trainer.strategy.reduce_boolean_decision(self.asked, all=False) and not last
        if (step % self.every == 0 or stop) and not last:
            trainer.save_checkpoint(self.path)  # every process takes part
        if stop:
            self.stopped = trainer.should_stop = True

    def _validate(self, module: Matting) -> None:
        """Measure the network, note it in the log, and keep its weights if it is the best so far."""
        found = validate(module, self.held_out)
        module.train()
        module.rows[-1] |= {f"val_{name}": found[name] for name in ("mad", "unknown_mad")}
        if found["mad"] < module.best.get("mad", math.inf):
            module.best = {"step": module.rows[-1]["step"], "mad": found["mad"], "unknown_mad": found["unknown_mad"]}
            with replacing(self.best) as temporary:
                weights = {name: tensor.contiguous() for name, tensor in module.trained.state_dict().items()}
                temporary.write_bytes(serialise(weights))

    def on_train_end(self, *_: object) -> None:
        """Close the progress bar."""
        self.bar.close()

    def on_save_checkpoint(self, _: lightning.Trainer, __: lightning.LightningModule, checkpoint: dict) -> None:
        """Say what the checkpoint is good for."""
        checkpoint["digest"] = self.digest

    def found(self) -> int:
        """Return the step that this run can go on from, or 0; a checkpoint of no use to it is removed."""
        checkpoint = read_checkpoint(self.path, self.digest)
        return int(checkpoint["global_step"]) if checkpoint else 0


def clear(folder: Path) -> None:
    """Remove the checkpoints of a run that is over, and their folder if nothing else is in it."""
    for name in (CHECKPOINT, BEST):
        (folder / name).unlink(missing_ok=True)
        (folder / f".{name}.part").unlink(missing_ok=True)  # of a process that was killed
    (folder / "lock").unlink(missing_ok=True)  # so that who waited for it looks again
    with contextlib.suppress(OSError):
        folder.rmdir()


def read_checkpoint(path: Path, digest: str) -> dict | None:
    """Read a checkpoint with that digest; None without one. A damaged one, or one of another run, is removed."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if checkpoint["digest"] == digest:
            return checkpoint
    except FileNotFoundError:
        return None
    except Exception as error:  # torch names no error of its own for a damaged file
        commands.pass_on(error, path)
        print(f"{path} is damaged and is thrown away: {error}", flush=True)
    path.unlink(missing_ok=True)
    return None


def digest_of(state: Mapping[str, object]) -> str:
    """A digest of what a run depends on."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def alone(checkpoints: Path) -> Iterator[tuple[int | None, str]]:
    """Hold a run's folder as `shards.locked` does; of several processes of one run, the first holds it for all.

    What another run left is told only to a run of one process: several must all go on, or none.
    """
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    if any(int(os.environ.get(name) or 0) for name in ranks):
        yield None, ""
        return
    with locked(checkpoints) as (lock, left):
        several = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1) > 1
        yield lock, "" if several else left


def fit(
    module: Matting,
    composites: Composites,
    checkpoints: Path,
    state: Mapping[str, object],
    workers: int = 0,
    held_out: HeldOut | None = None,
    events: Path | None = None,
) -> bool:
    """Train `module` to its plan's end, from the last checkpoint in `checkpoints` if it was made from an equal `state`.

    Returns whether the end was reached: False if SIGTERM stopped the run, which then has a checkpoint. The module is
    trained in place; with `keep` best, it ends with the weights that were best on `held_out`. TensorBoard's event files
    go to the folder `events`, if there is one. Raises ValueError if too many losses in a row are not finite, if a shard
    is damaged, or if GPUs are asked for that are not there.
    """
    plan = module.plan
    if plan.gpus > torch.cuda.device_count():
        raise ValueError(f"{plan.gpus} GPUs are asked for, but torch finds {torch.cuda.device_count()}; use --gpus 0.")
    if plan.validate_every and held_out is None:
        raise ValueError("validate_every asks for validation, but there are no val portraits, or validation is 0.")
    _quiet()
    cv2.setNumThreads(1)  # its threads would not survive the fork of a worker, which would wait for them forever
    devices = plan.gpus or int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # on CPUs, as many processes as torchrun started
    basis = dict(state) | {"processes": devices * plan.nodes}  # which share out the samples
    keeper = Checkpoints(checkpoints, digest_of(basis), plan.checkpoint_every, held_out)
    start = keeper.found()
    trainer = lightning.Trainer(
        accelerator="gpu" if plan.gpus else "cpu",
        devices=devices,
        num_nodes=plan.nodes,
        strategy="ddp" if devices * plan.nodes > 1 else "auto",
        plugins=[WholeFiles(), *_environment(devices * plan.nodes)],
        precision=plan.precision,
        max_epochs=-1,
        max_steps=plan.steps,
        accumulate_grad_batches=plan.accumulate,
        gradient_clip_val=plan.clip or None,
        callbacks=[keeper],
        use_distributed_sampler=False,
        logger=_logger(events),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if start and trainer.is_global_zero:
        print(f"going on from step {start}", flush=True)
    elif trainer.is_global_zero and module.inspection:
        shutil.rmtree(module.inspection, ignore_errors=True)  # an earlier run's
    samples = plan.batch_size * plan.accumulate * trainer.world_size  # a step
    over = multiprocessing.RawValue(ctypes.c_bool, False)
    loader = DataLoader(
        Batches(composites),
        batch_size=plan.batch_size,
        sampler=Steps(start * samples, plan.steps * samples),
        num_workers=workers,
        pin_memory=plan.gpus > 0,
        worker_init_fn=functools.partial(_outlive_sigterm, over),
    )
    module.to(memory_format=torch.channels_last)  # 1.5 times as fast on a CPU
    module.train()
    try:
        trainer.fit(module, loader, ckpt_path=keeper.path if start else None, weights_only=True)
    except ValueError as error:
        raise ValueError(_own_words(error)) from error
    finally:
        over.value = True
    if plan.keep == "best" and not keeper.stopped and trainer.is_global_zero:
        module.trained.load_state_dict(load_file(keeper.best))
    module.eval()
    return not keeper.stopped


def _environment(processes: int) -> list[ClusterEnvironment]:
    """Say who starts the processes: torchrun or srun if they have started as many, else this one starts the others.

    A job of Slurm's with one task is no reason to wait for tasks that nobody starts. Slurm is not told to requeue the
    job either: whoever submitted it sees its exit status.
    """
    if TorchElasticEnvironment.detect():
        return []
    if processes > 1 and int(os.environ.get("SLURM_NTASKS", 1)) == processes:
        return [SLURMEnvironment(auto_requeue=False)]
    return [LightningEnvironment()]


def _logger(events: Path | None) -> TensorBoardLogger | bool:
    if events is None:
        return False
    if not any(importlib.util.find_spec(name) for name in ("tensorboardX", "tensorboard")):
        raise ValueError("TensorBoard's files need the package tensorboardX, which is not installed.")
    return TensorBoardLogger(events, name="", version="")


def _outlive_sigterm(over: ctypes.c_bool, _: int) -> None:
    """Let a worker work on when the whole job gets SIGTERM while the run is not `over`: its step is still to end.

    After that SIGTERM ends it, which is how Python lets go of workers that are left at exit.
    """

    def listen(*_: object) -> None:
        if over.value:
            os._exit(0)

    signal.signal(signal.SIGTERM, listen)


def _own_words(error: ValueError) -> str:
    """The message of an error, without the traceback that torch puts before one of a worker."""
    return str(error).rpartition(f"{ValueError.__name__}: ")[2].strip()


def _quiet() -> None:
    """Keep Lightning's advice out of the log: devices found, workers to add, where it stopped."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("lightning", "torch"):
        warnings.filterwarnings("ignore", module=module)


@torch.inference_mode()
def validate(module: Matting, held_out: HeldOut) -> dict[str, float]:
    """Measure a network on held-out composites: mean |a - a*| overall and in the unknown region."""
    network, count = module.trained.eval(), held_out.count
    whole, unknown, pixels = 0.0, 0.0, 0.0
    for index in range(count):
        sample = {name: tensor[None].to(module.device) for name, tensor in held_out.composites[index].items()}
        error = (network(sample["image"], sample["trimap"]) - sample["alpha"]).abs()
        mask = terms.unknown_region(sample["trimap"])
        whole += float(error.mean()) / count
        unknown, pixels = unknown + float(error[mask].sum()), pixels + int(mask.sum())
    return {"samples": count, "mad": whole, "unknown_mad": unknown / max(pixels, 1)}


def write_log(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write the log as CSV, whole: step, loss, its parts, learning_rate, skipped, and what was measured in validation.

    `skipped` counts the steps so far that were skipped; what was not measured at a step is empty.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        numbers = ({name: v if isinstance(v, int) else f"{v:.6g}" for name, v in row.items()} for row in rows)
        writer.writerows(numbers)


def use_threads(count: int) -> None:
    """Let torch use `count` threads, and OpenCV one: its pictures here are small."""
    torch.set_num_threads(count)
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = str(count)
