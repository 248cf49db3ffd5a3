"""Training of a matting network: the stream of composites, the losses, the Lightning module, and going on after a kill.

Which samples a step sees is a function of the seed and the step (see `Composites`), so a run that goes on from its last
checkpoint sees what an undisturbed one would have seen.
"""

import csv
import hashlib
import json
import logging
import os
import tarfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import lightning.pytorch as lightning
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from ldportrait import augment, pictures
from ldportrait.models import losses as terms
from ldportrait.shards import replacing

CHECKPOINT = "last.ckpt"
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true")
MEGABYTE = 10**6


# Data ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shard:
    """One tar of a data set, the ids to use of it in order, and the bytes that a decoded picture takes at most."""

    tar: Path
    ids: tuple[str, ...]
    picture: int


class Composites(Dataset):
    """Composite k of a run, for any k: a function of the seed, k, the order of ids and the pictures.

    An epoch shows every portrait once. Its shards are shuffled and taken in blocks of as many as fit into `cache`
    megabytes when decoded; within a block portraits are shuffled. So memory is bounded (by the cache, or one shard
    if that is larger), shards are read as streams, and a data set that fits is decoded once and shuffled as a whole.
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
        self.shrink = params.scale_low if params.scale_low >= 2 else 1.0
        self.params = replace(
            params, scale_low=params.scale_low / self.shrink, scale_high=params.scale_high / self.shrink
        )
        self.count = sum(len(shard.ids) for shard in shards)
        self.cache = cache
        self._held: tuple[int, ...] = ()
        self._pictures: dict[str, np.ndarray] = {}
        self._plan: tuple[int, list] = (-1, [])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return sample `start + index` as float tensors in [0, 1], channels first."""
        index += self.start
        first, second = self._pair(index)
        made = augment.sample(index, first, second, self.backgrounds, self.params, self.seed)
        return {
            "image": _tensor(made.image.transpose(2, 0, 1)),
            "alpha": _tensor(made.alpha[None]),
            "trimap": trimap_tensor(made.trimap)[None],
            "background": _tensor(made.background.transpose(2, 0, 1)),
        }

    def _pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the portrait of a sample and its neighbour in the order, for a second foreground."""
        epoch, place = divmod(index, self.count)
        if self._plan[0] != epoch:
            self._plan = epoch, blocks(self.shards, self.seed, epoch, self.cache)
        for members, ids in self._plan[1]:
            if place < len(ids):
                held = self._decoded(members)
                return held[ids[place]], held[ids[(place + 1) % len(ids)]]
            place -= len(ids)
        raise AssertionError("the blocks of an epoch hold all of its portraits")

    def _decoded(self, members: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Return the pictures of a block by id; those of the last block are let go first."""
        if self._held != members:
            self._pictures = {}
            self._pictures = {id: self._shrunk(rgba) for member in members for id, rgba in read(self.shards[member])}
            self._held = members
        return self._pictures

    def _shrunk(self, rgba: np.ndarray) -> np.ndarray:
        """Make a portrait as small as the least window allows: for a network that sees whole portraits, much faster."""
        if self.shrink == 1:
            return rgba
        height, width = (max(self.params.crop, round(side / self.shrink)) for side in rgba.shape[:2])
        return pictures.shrink(rgba, width, height)


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


def read(shard: Shard) -> Iterator[tuple[str, np.ndarray]]:
    """Stream the wanted pictures of a shard as (id, (H, W, 4) uint8). ValueError names a damaged or incomplete one."""
    import webdataset

    wanted = set(shard.ids)
    pipeline = webdataset.WebDataset([str(shard.tar)], shardshuffle=False, empty_check=False)
    try:
        for sample in pipeline.select(lambda sample: sample["__key__"] in wanted).decode("pilrgba", only="rgba.webp"):
            wanted.remove(sample["__key__"])
            yield sample["__key__"], np.array(sample["rgba.webp"])
    except (tarfile.TarError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{shard.tar} is damaged; assemble the data set again.") from error
    if wanted:
        raise ValueError(f"{shard.tar} lacks {min(wanted)}, which the data set's metadata lists.")


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


def trimap_tensor(trimap: np.ndarray) -> torch.Tensor:
    """A trimap of {0, 128, 255} as float {0, 0.5, 1}, 0.5 exactly."""
    return torch.from_numpy((np.rint(trimap / 127.5) / 2).astype(np.float32))


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).float() / 255


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


@dataclass(frozen=True)
class Plan:
    """How a network is trained."""

    steps: int = 120
    batch_size: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warm_up: float = 0.3  # share of the steps over which the learning rate rises
    precision: str = "32-true"
    gpus: int = 0
    checkpoint_every: int = 50

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for one out of its range."""
        for name in ("steps", "batch_size", "learning_rate", "checkpoint_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision}.")
        if not 0 < self.warm_up < 1:
            raise ValueError(f"warm_up must lie between 0 and 1, not {self.warm_up}.")


class Matting(lightning.LightningModule):
    """A network with its losses and optimiser; `rows` is the log, one row a step, and travels in the checkpoint."""

    def __init__(
        self, network: nn.Module, weights: Losses | Mapping[str, float], plan: Plan, own: Callable | None = None
    ) -> None:
        """Take what is trained, and how; `own` losses with their weights are those of `models.Network.losses`."""
        super().__init__()
        self.network, self.weights, self.plan, self.own = network, weights, plan, own
        self.rows: list[dict[str, float]] = []

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        """Return the weighted loss and note it; ValueError if it is not a number."""
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        if self.own is None:
            weights, parts = vars(self.weights), losses(self.network(image, batch["trimap"]), batch, self.weights)
        else:
            weights, parts = self.weights, self.own(self.network.predict_all(image, batch["trimap"]), batch)
        total = sum(weights[name] * part for name, part in parts.items())
        values = {name: part.item() for name, part in parts.items()}
        if not np.isfinite(list(values.values())).all():
            raise ValueError(
                f"The loss at step {self.global_step + 1} is not a finite number ({values}); lower the learning rate, "
                f"now {self.plan.learning_rate:g}, or look for broken pictures in the data set."
            )
        rate = self.optimizers().param_groups[0]["lr"]
        self.rows.append({"step": self.global_step + 1, "loss": total.item(), **values, "learning_rate": rate})
        return total

    def configure_optimizers(self) -> dict:
        """AdamW with one cycle of the learning rate (Smith and Topin 2019)."""
        plan = self.plan
        optimiser = torch.optim.AdamW(self.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, plan.learning_rate, total_steps=plan.steps, pct_start=plan.warm_up
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Put the log into the checkpoint."""
        checkpoint["rows"] = self.rows

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Take the log from the checkpoint."""
        self.rows = checkpoint["rows"]


class Checkpoints(lightning.Callback):
    """Keep the last checkpoint, whole, under a digest of what the run depends on; and show progress on a terminal."""

    def __init__(self, folder: Path, digest: str, every: int) -> None:
        """Take the folder, what the checkpoint is good for, and the steps between two."""
        self.path, self.digest, self.every = folder / CHECKPOINT, digest, every
        self.bar: tqdm | None = None

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Open the progress bar."""
        self.bar = tqdm(
            total=trainer.max_steps, initial=trainer.global_step, desc="training", unit="step", disable=None
        )

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Matting, *_: object) -> None:
        """Show the step, and save every so many."""
        self.bar.set_postfix(loss=f"{module.rows[-1]['loss']:.4f}", refresh=False)
        self.bar.update()
        if trainer.global_step % self.every == 0 and trainer.global_step < trainer.max_steps:
            with replacing(self.path) as temporary:
                trainer.save_checkpoint(temporary)

    def on_train_end(self, *_: object) -> None:
        """Close the progress bar."""
        self.bar.close()

    def on_save_checkpoint(self, _: lightning.Trainer, __: lightning.LightningModule, checkpoint: dict) -> None:
        """Say what the checkpoint is good for."""
        checkpoint["digest"] = self.digest

    def found(self) -> int:
        """Return the step that this run can go on from, or 0; a checkpoint of no use to it is removed."""
        try:
            checkpoint = torch.load(self.path, map_location="cpu", weights_only=True)
            if checkpoint["digest"] == self.digest:
                return int(checkpoint["global_step"])
        except FileNotFoundError:
            return 0
        except Exception as error:  # torch names no error of its own for a damaged file
            print(f"{self.path} is damaged and is thrown away: {error}", flush=True)
        self.path.unlink()
        return 0


def fit(module: Matting, composites: Composites, checkpoints: Path, state: Mapping[str, object], workers: int = 0):
    """Train `module` to its plan's end, from the last checkpoint in `checkpoints` if it was made from an equal `state`.

    Returns nothing; the module is trained in place. Raises ValueError if the loss is not a number, or if GPUs are asked
    for that are not there.
    """
    plan = module.plan
    if plan.gpus > torch.cuda.device_count():
        raise ValueError(f"{plan.gpus} GPUs are asked for, but torch finds {torch.cuda.device_count()}; use --gpus 0.")
    _quiet()
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
    keeper = Checkpoints(checkpoints, digest, plan.checkpoint_every)
    start = keeper.found()
    if start:
        print(f"going on from step {start}", flush=True)
    samples = plan.batch_size * max(1, plan.gpus)  # a step
    loader = DataLoader(
        composites,
        batch_size=plan.batch_size,
        sampler=Steps(start * samples, plan.steps * samples),
        num_workers=workers,
        pin_memory=plan.gpus > 0,
        persistent_workers=workers > 0,
    )
    module.to(memory_format=torch.channels_last)  # 1.5 times as fast on a CPU
    module.train()
    trainer = lightning.Trainer(
        accelerator="gpu" if plan.gpus else "cpu",
        devices=plan.gpus or 1,
        precision=plan.precision,
        max_epochs=-1,
        max_steps=plan.steps,
        callbacks=[keeper],
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader, ckpt_path=keeper.path if start else None, weights_only=True)
    module.eval()


def _quiet() -> None:
    """Keep Lightning's advice out of the log: devices found, workers to add, where it stopped."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("lightning", "torch", "webdataset"):
        warnings.filterwarnings("ignore", module=module)


@torch.inference_mode()
def validate(module: Matting, composites: Composites, count: int) -> dict[str, float]:
    """Measure a network on the first `count` composites: mean |a - a*| overall and in the unknown region."""
    network = module.network.eval()
    whole, unknown, pixels = 0.0, 0.0, 0.0
    for index in range(count):
        sample = {name: tensor[None].to(module.device) for name, tensor in composites[index].items()}
        error = (network(sample["image"], sample["trimap"]) - sample["alpha"]).abs()
        mask = terms.unknown_region(sample["trimap"])
        whole += float(error.mean()) / count
        unknown, pixels = unknown + float(error[mask].sum()), pixels + int(mask.sum())
    return {"samples": count, "mad": whole, "unknown_mad": unknown / max(pixels, 1)}


def write_log(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write the log as CSV, whole: step, loss, its parts, learning_rate."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)


def use_threads(count: int) -> None:
    """Let torch use `count` threads, and OpenCV one: its pictures here are small."""
    torch.set_num_threads(count)
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = str(count)
