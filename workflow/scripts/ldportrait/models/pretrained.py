"""Starting a network from published weights: safetensors files given by path and SHA-256, and what came of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ldportrait.weights import open_weights

COUNTERS = "num_batches_tracked"  # of batch normalisation; nothing depends on it


@dataclass(frozen=True)
class Report:
    """What a file gave to a network: names of the network's tensors, and of the file's that it has no use for."""

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line, with an example of each."""
        counts = {"loaded": self.loaded, "left fresh": self.fresh, "of the file not used": self.unused}
        return ", ".join(
            f"{len(names)} tensors {what}" + (f" ({names[0]} …)" if names else "") for what, names in counts.items()
        )


def read(path: Path | str, sha256: str) -> dict[str, torch.Tensor]:
    """Read all tensors of a safetensors file. Raises as `ldportrait.weights.open_weights` does."""
    with open_weights(path, sha256) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)


def strip(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Cut a prefix from the names that have it; others stay."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def fill(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], needed: set[str], path: Path | str, what: str
) -> Report:
    """Copy the tensors that a module has by name; all of `needed` must be there. Either all are copied or none.

    Counters of batches are needed by nothing. Raises ValueError, naming the file, if one is missing, has another shape
    or is not finite; `what` says what the file should have held.
    """
    own = module.state_dict()
    missing = sorted(name for name in needed - tensors.keys() if not name.endswith(COUNTERS))
    if missing:
        raise ValueError(f"{path} is no {what}: it lacks {len(missing)} of {len(needed)} tensors ({missing[0]} …).")
    shared = sorted(own.keys() & tensors.keys())
    for name in shared:
        found, wanted = tuple(tensors[name].shape), tuple(own[name].shape)
        if found != wanted:
            raise ValueError(f"{path} is no {what} of this size: it holds {name} as {found}, the network as {wanted}.")
        if not tensors[name].isfinite().all():
            raise ValueError(f"{path} holds numbers in {name} that are not finite.")
    with torch.no_grad():
        for name in shared:
            own[name].copy_(tensors[name])
    return Report(tuple(shared), tuple(sorted(own.keys() - set(shared))), tuple(sorted(tensors.keys() - own.keys())))
