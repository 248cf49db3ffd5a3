"""A matting network as Lightning trains it: its losses, optimiser and average, its log, and how it is validated."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as lightning
import numpy as np
import torch
from safetensors.torch import save as serialise
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ldportrait import augment, recipes
from ldportrait.models import losses as terms
from ldportrait.recipes import Plan
from ldportrait.shards import replacing
from ldportrait.training_data import Composites, floats

IN_A_ROW = 10  # steps without a finite loss and gradient after which a run stops
SET_ASIDE = 20  # batches without a finite loss that are kept for inspection at most


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
