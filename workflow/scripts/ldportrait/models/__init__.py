"""The matting networks behind one call, and their weights on disk.

Every network is a module with `forward(image, trimap) -> alpha`: image (B, 3, H, W) in [0, 1], trimap (B, 1, H, W) with
0 background, 0.5 unknown, 1 foreground (None for a trimap-free network), alpha (B, 1, H, W) in [0, 1], any H
and W. docs/models.md has a table of them.

A network with losses of its own also has `predict_all(image, trimap)`, all that it is trained on, by name. Its module
has `losses(parts, batch)`, the losses of these parts by name, unweighted, and their `WEIGHTS`; a batch holds `image`,
`trimap`, `alpha` (the truth) and `background`.

A model on disk is a folder with `model.safetensors` and `model.json`, which says the network's name and settings and
the SHA-256 of the weights. Nothing is unpickled.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ldportrait.shards import replacing

if TYPE_CHECKING:
    import torch

    from ldportrait.models.pretrained import Report

WEIGHTS, INFO = "model.safetensors", "model.json"


@dataclass(frozen=True)
class Network:
    """An entry of the registry: where the class is, what it reads, and what its name stands for."""

    module: str
    name: str
    needs_trimap: bool
    own_losses: bool = False
    defaults: Mapping[str, object] = field(default_factory=dict)

    def build(self, **settings: object) -> "torch.nn.Module":
        """Make the network with fresh weights, drawn from torch's generator."""
        return getattr(self._imported(), self.name)(**{**self.defaults, **settings})

    def losses(self) -> tuple[Callable, Mapping[str, float]]:
        """Return the network's own losses, a function of what it predicts and the batch, and their weights."""
        if not self.own_losses:
            raise ValueError(f"{self.name} has no losses of its own; the small networks' are in training_module.")
        return self._imported().losses, self._imported().WEIGHTS

    def _imported(self) -> ModuleType:
        return importlib.import_module(f"ldportrait.models.{self.module}")


NETWORKS = {
    "small-trimap": Network("unet", "TrimapUNet", needs_trimap=True),
    "small-free": Network("unet", "FreeUNet", needs_trimap=False),
    "vitmatte-s": Network("vitmatte", "ViTMatte", needs_trimap=True, own_losses=True),
    "vitmatte-b": Network("vitmatte", "ViTMatte", True, own_losses=True, defaults={"width": 768, "heads": 12}),
    "modnet": Network("modnet", "MODNet", needs_trimap=False, own_losses=True),
    "gfm": Network("gfm", "GFM", needs_trimap=False, own_losses=True),
    "portrait": Network("portrait", "PortraitNet", needs_trimap=False),
}


def get(name: str) -> Network:
    """Return a network by its name; ValueError lists the names."""
    if name not in NETWORKS:
        raise ValueError(f"There is no network named {name}; there are {', '.join(NETWORKS)}.")
    return NETWORKS[name]


def parameters(name: str) -> int:
    """Count a network's parameters without making them."""
    import torch

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in get(name).build().parameters())


def initialise(module: "torch.nn.Module", init: str, path: Path | None = None, sha256: str = "") -> "Report | None":
    """Start a fresh network from weights in a local safetensors file; `init` says of what kind, `none` leaves it fresh.

    Returns what was loaded and what was not. Raises FileNotFoundError or ValueError, naming the file or the kind, if
    the network cannot start from that kind, if the file's SHA-256 is another or none is given, or if its names, shapes
    or numbers do not fit; the network is then as it was.
    """
    if init == "none":
        return None
    kinds = getattr(module, "INITS", ())
    if init not in kinds:
        known = ", ".join(["none", *kinds])
        raise ValueError(f"{type(module).__name__} cannot start from {init}; it can start from {known}.")
    if path is None or not sha256:
        raise ValueError(f"To start from {init}, a file of weights and its SHA-256 are needed.")
    return module.initialise(init, path, sha256)


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
