"""Training of the portrait network: first what finds the person, on small pictures, then the head that draws the rim.

The head has few weights and needs large pictures, the rest has many and does not: so each is trained on what it needs,
and the head with the rest held fixed. Weights are averaged over a stage's steps (exponential moving average), and the
average is what is kept.
"""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ldportrait import augment_whole, images, inference, recipes, shards
from ldportrait.benchmarks import bank
from ldportrait.checkpoints import read_checkpoint
from ldportrait.metrics import image as metrics
from ldportrait.models import portrait
from ldportrait.models.losses import laplacian
from ldportrait.shards import replacing
from ldportrait.training_data import Steps

BEHIND = 3  # backgrounds that a portrait of the validation split is put before
RAMP = 10  # the average forgets after (1 + step) / (RAMP + step) at first, so that the fresh weights are soon forgotten


@dataclass(frozen=True)
class Plan:
    """How one stage is trained."""

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.02
    warm_up: float = 0.1  # share of the steps over which the learning rate rises
    average: float = 0.998  # weight of the past in the average of the weights
    bfloat16: bool = True


@dataclass(frozen=True)
class Pictures:
    """What is trained on: portraits (H, W, 4), backgrounds (H, W, 3), uint8, and the digests of their files."""

    portraits: Sequence[np.ndarray]
    backgrounds: Sequence[np.ndarray]
    sha256: Sequence[str]

    def sources(self) -> augment_whole.Sources:
        """Make them ready for composites."""
        return augment_whole.Sources.of(self.portraits, self.backgrounds)


def read_bank(root: Path, splits: Sequence[str]) -> Pictures:
    """Read the bank's portraits and backgrounds of some splits. ValueError if there are none of one."""
    table = shards.read_table(Path(root, "bank.parquet")).sort_values("id")
    wrong = [split for split in splits if split not in set(table.split)]
    if wrong:
        raise ValueError(f"The bank at {root} has no split {wrong[0]!r}; it has {', '.join(sorted(set(table.split)))}.")
    table = table[table.split.isin(splits)]
    portraits, backgrounds = (table[table.kind == kind] for kind in ("portrait", "background"))
    if portraits.empty or backgrounds.empty:
        raise ValueError(f"The bank at {root} has no portraits or no backgrounds of the splits {', '.join(splits)}.")
    return Pictures(
        [images.read_rgba(Path(root, path)) for path in portraits.path],
        [images.read_rgb(Path(root, path)) for path in backgrounds.path],
        [*portraits.sha256, *backgrounds.sha256],
    )


class Composites(Dataset):
    """Composite k at `side` pixels, as tensors."""

    def __init__(self, sources: augment_whole.Sources, side: int, seed: int) -> None:
        """Take the pictures, the side and the run's seed."""
        self.sources, self.side, self.seed = sources, side, seed

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return image (3, side, side) and alpha (1, side, side), float32 in [0, 1]."""
        image, alpha = augment_whole.composite(index, self.sources, self.side, self.seed)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), torch.from_numpy(alpha)[None]


def coarse_loss(
    network: portrait.PortraitNet, image: torch.Tensor, alpha: torch.Tensor, bfloat16: bool
) -> torch.Tensor:
    """Loss of the coarse network on small pictures, at half their side."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits, _ = network.coarse(image)
    return alpha_loss(logits.float(), functional.avg_pool2d(alpha, 2))


def detail_loss(
    network: portrait.PortraitNet, image: torch.Tensor, alpha: torch.Tensor, bfloat16: bool
) -> torch.Tensor:
    """Loss of the detail head on fine pictures; the coarse network is as it is in use."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        with torch.no_grad():
            logits, features = network.coarse(network.shrink(image))
        fine = network.detail(image, logits, features)
    return alpha_loss(fine.float(), alpha)


def alpha_loss(logits: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean |a - a*|, its Laplacian pyramid, and cross-entropy, which still pulls where a is wrong and certain."""
    alpha = torch.sigmoid(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, true)
    return (alpha - true).abs().mean() + laplacian(alpha, true) + 0.5 * entropy


LOSSES: dict[str, Callable] = {"coarse": coarse_loss, "detail": detail_loss}


class Stage:
    """One stage's optimiser, schedule, average and place, all of which a checkpoint holds."""

    def __init__(self, network: portrait.PortraitNet, name: str, plan: Plan) -> None:
        """Take the network, the part of it that is trained, and how."""
        self.network, self.part, self.plan = network, getattr(network, name), plan
        self.loss = LOSSES[name]
        self.step = 0
        self.clock = time.perf_counter()  # when the last step ended
        self.rows: list[dict[str, object]] = []
        recipe = recipes.Plan(
            steps=plan.steps + 1,
            learning_rate=plan.learning_rate,
            weight_decay=plan.weight_decay,
            warm_up=plan.warm_up,
            decay_norms=False,  # offsets and scales are left to themselves
        )
        self.optimiser = recipes.optimiser(self.part, recipe)
        self.cycle = recipes.scheduler(self.optimiser, recipe)
        self.average = {key: value.detach().clone() for key, value in self.part.state_dict().items()}

    def advance(self, image: torch.Tensor, alpha: torch.Tensor) -> float:
        """Take one step; ValueError if the loss is not a number."""
        image = image.contiguous(memory_format=torch.channels_last)
        loss = self.loss(self.network, image, alpha, self.plan.bfloat16)
        if not loss.isfinite():
            raise ValueError(f"The loss at step {self.step + 1} is not a finite number; lower the learning rate.")
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.part.parameters(), 1.0)
        self.optimiser.step()
        rate = self.optimiser.param_groups[0]["lr"]
        self.cycle.step()
        self.step += 1
        keep = min(self.plan.average, self.step / (RAMP + self.step))
        for key, value in self.part.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - keep)
            else:
                self.average[key].copy_(value)
        now = time.perf_counter()
        row = {"step": self.step, "loss": loss.item(), "learning_rate": rate, "seconds": now - self.clock}
        self.rows.append(row)
        self.clock = now
        return loss.item()

    def save(self, path: Path, digest: str) -> None:
        """Write a checkpoint, whole."""
        state = {"digest": digest, "step": self.step, "rows": self.rows, "average": self.average}
        state |= {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        stream = io.BytesIO()  # torch does not say that a disk is full when it writes to one itself
        torch.save(state | {"cycle": self.cycle.state_dict()}, stream)
        with replacing(path) as temporary:
            temporary.write_bytes(stream.getbuffer())

    def load(self, path: Path, digest: str) -> None:
        """Go on from a checkpoint of an equal run, if there is one."""
        state = read_checkpoint(path, digest)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.cycle.load_state_dict(state["cycle"])
        self.step, self.rows, self.average = state["step"], state["rows"], state["average"]


def fit(
    network: portrait.PortraitNet,
    name: str,
    plan: Plan,
    composites: Composites,
    checkpoint: Path,
    digest: str,
    checkpoint_every: int,
    workers: int = 0,
) -> list[dict[str, object]]:
    """Train one part of a network and leave the averaged weights in it; returns the log, a row a step.

    Goes on from `checkpoint` if that is of the same `digest`.
    """
    stage = Stage(network, name, plan)
    stage.load(checkpoint, digest)
    network.to(memory_format=torch.channels_last).eval()
    stage.part.train()
    order = Steps(stage.step * plan.batch_size, plan.steps * plan.batch_size)
    loader = DataLoader(composites, plan.batch_size, sampler=order, num_workers=workers, worker_init_fn=_one_thread)
    bar = tqdm(total=plan.steps, initial=stage.step, desc=name, unit="step", disable=None)
    for image, alpha in loader:
        bar.set_postfix(loss=f"{stage.advance(image, alpha):.4f}", refresh=False)
        bar.update()
        if stage.step % checkpoint_every == 0 or stage.step == plan.steps:
            stage.save(checkpoint, digest)
    bar.close()
    stage.part.load_state_dict(stage.average)
    network.eval()
    return stage.rows


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def validate(network: portrait.PortraitNet, root: Path) -> dict[str, float]:
    """Measure a network on the bank's validation split, each portrait before some backgrounds: mean and median MAD."""
    pictures = read_bank(root, ["val"])
    errors = []
    for index, rgba in enumerate(pictures.portraits):
        for turn in range(BEHIND):
            behind = pictures.backgrounds[(index + BEHIND * turn) % len(pictures.backgrounds)]
            picture = images.composite(rgba, bank.cover(behind, rgba.shape[:2]))
            errors.append(metrics.mad(inference.matte(network, picture), rgba[..., 3]))
    return {"samples": len(errors), "mad": float(np.mean(errors)), "median_mad": float(np.median(errors))}
