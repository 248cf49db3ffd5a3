"""The matting networks behind one call, and their weights on disk.

Every network is a module with `forward(image, trimap) -> alpha`: image (B, 3, H, W) in [0, 1], trimap (B, 1, H, W) with
0 background, 0.5 unknown, 1 foreground (None for a trimap-free network), alpha (B, 1, H, W) in [0, 1], any H
and W.

A model on disk is a folder with `model.safetensors` and `model.json`, which says the network's name and settings and
the SHA-256 of the weights. Nothing is unpickled.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ldportrait.shards import replacing

if TYPE_CHECKING:
    import torch

WEIGHTS, INFO = "model.safetensors", "model.json"


@dataclass(frozen=True)
class Network:
    """An entry of the registry: where the class is, and whether it reads a trimap."""

    module: str
    name: str
    needs_trimap: bool

    def build(self, **settings: object) -> "torch.nn.Module":
        """Make the network with fresh weights, drawn from torch's generator."""
        return getattr(importlib.import_module(f"ldportrait.models.{self.module}"), self.name)(**settings)


NETWORKS = {
    "small-trimap": Network("unet", "TrimapUNet", needs_trimap=True),
    "small-free": Network("unet", "FreeUNet", needs_trimap=False),
    "portrait": Network("portrait", "PortraitNet", needs_trimap=False),
}


def get(name: str) -> Network:
    """Return a network by its name; ValueError lists the names."""
    if name not in NETWORKS:
        raise ValueError(f"There is no network named {name}; there are {', '.join(NETWORKS)}.")
    return NETWORKS[name]


def save(module: "torch.nn.Module", folder: Path, info: Mapping[str, object]) -> None:
    """Write a model's weights and description, each whole; the description comes last and names the weights' SHA-256.

    `info` holds at least `model`, the network's name in the registry, and `settings`, what `build` was given.
    """
    from safetensors.torch import save as serialise

    content = serialise({name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()})
    record = dict(info) | {"sha256": hashlib.sha256(content).hexdigest()}
    with replacing(folder / WEIGHTS) as temporary:
        temporary.write_bytes(content)
    with replacing(folder / INFO) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_info(folder: Path) -> dict[str, object]:
    """Read a model's description. FileNotFoundError or ValueError, naming the file, if there is none."""
    path = Path(folder) / INFO
    if not path.is_file():
        raise FileNotFoundError(f"There is no model in {folder}: {INFO} is missing.")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        get(info["model"])
        str(info["sha256"])
        dict(info["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not describe a model: {error!r}.") from error
    return info


def load(folder: Path) -> tuple["torch.nn.Module", dict[str, object]]:
    """Load a model in eval mode, and its description.

    Raises FileNotFoundError or ValueError, naming the file, if one is missing, was changed since it was written, or
    does not fit the network.
    """
    from safetensors.torch import load as deserialise

    info = read_info(folder)
    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"There are no weights at {path}.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != info["sha256"]:
        raise ValueError(f"{path} is not the file that {INFO} describes (its SHA-256 differs); train the model again.")
    module = get(info["model"]).build(**info["settings"])
    try:
        module.load_state_dict(deserialise(content))
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the network {info['model']}: {error}") from error
    return module.eval(), info
