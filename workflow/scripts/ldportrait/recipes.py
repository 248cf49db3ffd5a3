"""How a network is trained: the plan, its optimiser, and the schedule of its learning rate.

The published recipes in config/recipes/ are settings of what is here.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("one-cycle", "step", "cosine")
KEPT = ("last", "best")
COLD = 0.001  # share of the learning rate that a warm-up begins with, as detectron2's does
BLOCK = re.compile(r"\bencoder\.layer\.(\d+)\.(?!residual\.)")  # of a vision transformer, in transformers' names
EMBEDDINGS = re.compile(r"\bembeddings\.")
POSITIONS = re.compile(r"position_embeddings|pos_embed")


@dataclass(frozen=True)
class Plan:
    """How a network is trained."""

    steps: int = 120
    batch_size: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warm_up: float = 0.3  # one-cycle: share of the steps over which the learning rate rises
    precision: str = "32-true"
    gpus: int = 0
    checkpoint_every: int = 50
    optimiser: str = "adamw"
    momentum: float = 0.9  # of SGD
    decay_norms: bool = True  # whether weight decay holds for norms, biases and position embeddings too
    layer_decay: float = 1.0  # factor of the learning rate from one transformer block to the one before it
    schedule: str = "one-cycle"
    warm_up_steps: int = 0  # step and cosine: steps over which the learning rate rises
    milestones: tuple[float, ...] = ()  # step: shares of the steps from which on the learning rate ...
    factors: tuple[float, ...] = ()  # ... is multiplied by these
    clip: float = 0.0  # largest norm of the gradient; 0 for any
    ema: float = 0.0  # decay of the moving average of the weights; 0 for none
    accumulate: int = 1  # batches a step
    nodes: int = 1
    validate_every: int = 0  # steps; 0 for never
    keep: str = "last"  # or best: which weights are the model

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for one out of its range."""
        for name in ("steps", "batch_size", "learning_rate", "checkpoint_every", "accumulate", "nodes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}.")
        for name in ("weight_decay", "clip", "warm_up_steps", "validate_every"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}.")
        for name, known in (
            ("precision", PRECISIONS),
            ("optimiser", OPTIMISERS),
            ("schedule", SCHEDULES),
            ("keep", KEPT),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)}.")
        if not 0 < self.warm_up < 1:
            raise ValueError(f"warm_up must lie between 0 and 1, not {self.warm_up}.")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be above 0 and at most 1, not {self.layer_decay}.")
        for name in ("ema", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}.")
        if len(self.milestones) != len(self.factors) or sorted(self.milestones) != list(self.milestones):
            raise ValueError(
                f"milestones must rise, and have as many factors: not {self.milestones} and {self.factors}."
            )
        if self.keep == "best" and not self.validate_every:
            raise ValueError("keep is best, so validate_every must say after how many steps to validate.")


def factor(step: int, plan: Plan) -> float:
    """Return what the learning rate is multiplied by at a step, counted from 0, by the schedules step and cosine.

    It rises evenly over the warm-up; then it falls at the milestones, or as half a cosine to 0 (Loshchilov and Hutter
    2017, without restarts).
    """
    if step < plan.warm_up_steps:
        return COLD + (1 - COLD) * step / plan.warm_up_steps
    if plan.schedule == "cosine":
        share = (step - plan.warm_up_steps) / max(1, plan.steps - plan.warm_up_steps)
        return (1 + math.cos(math.pi * share)) / 2
    passed = [number for milestone, number in zip(plan.milestones, plan.factors, strict=True)
              if step >= milestone * plan.steps]  # fmt: skip
    return passed[-1] if passed else 1.0


def groups(network: nn.Module, plan: Plan) -> list[dict[str, object]]:
    """Sort a network's weights into the optimiser's groups: equal learning rate and equal weight decay.

    The learning rate falls by `layer_decay` from each transformer block to the one before it, and the embeddings lie
    before the first (Bao et al. 2022, as ViTMatte). Without `decay_norms`, vectors and position embeddings have no
    weight decay. ValueError if the network has no such blocks and a layer decay is asked for.
    """
    weights = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
    behind = depths([name for name, _ in weights])
    if plan.layer_decay < 1 and not any(behind):
        raise ValueError("layer_decay is for vision transformers, and this network has none; set it to 1.")
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for (name, weight), depth in zip(weights, behind, strict=True):
        spared = not plan.decay_norms and (weight.ndim < 2 or POSITIONS.search(name))
        key = plan.learning_rate * plan.layer_decay**depth, 0.0 if spared else plan.weight_decay
        found.setdefault(key, []).append(weight)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in found.items()]


def depths(names: Iterable[str]) -> list[int]:
    """Count the transformer blocks from each weight on: n to 1 for blocks 0 to n - 1, n + 1 for embeddings, else 0."""
    places = [BLOCK.search(name) for name in names]
    count = 1 + max((int(place[1]) for place in places if place), default=-1)
    if not count:
        return [0] * len(places)
    return [
        count - int(place[1]) if place else count + 1 if EMBEDDINGS.search(name) else 0
        for name, place in zip(names, places, strict=True)
    ]


def optimiser(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Make the plan's optimiser: AdamW (Loshchilov and Hutter 2019), or SGD with momentum."""
    found = groups(network, plan)
    if plan.optimiser == "sgd":
        return torch.optim.SGD(found, plan.learning_rate, momentum=plan.momentum)
    return torch.optim.AdamW(found, plan.learning_rate)


def scheduler(optimiser: torch.optim.Optimizer, plan: Plan) -> torch.optim.lr_scheduler.LRScheduler:
    """Make the plan's schedule, by step: one cycle (Smith and Topin 2019), or as `factor` says."""
    if plan.schedule == "one-cycle":
        rates = [group["lr"] for group in optimiser.param_groups]
        rising = plan.warm_up * plan.steps
        share = plan.warm_up if rising != 1 else 1.001 / plan.steps  # of one step exactly, torch divides by zero
        return torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=plan.steps, pct_start=share)
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: factor(step, plan))
