"""Weights from elsewhere: only safetensors files are read, nothing is unpickled.

A file whose SHA-256 is known is checked before it is read.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError, safe_open
from torch import nn

PICKLES = (b"\x80", b"PK\x03\x04")  # how a pickle, and torch's zip of one, begin

Network = TypeVar("Network", bound=nn.Module)


def open_weights(path: Path | str, sha256: str | None = None) -> safe_open:
    """Open a safetensors file, a context manager, checked against its SHA-256 where that is given.

    Raises FileNotFoundError, or ValueError for another SHA-256 or another kind of file, whatever its name.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There are no weights at {path}.")
    if sha256 is not None:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != sha256.lower():
            raise ValueError(f"{path} is not the expected file: its SHA-256 is {found}, expected {sha256}.")
    try:
        return safe_open(path, framework="pt", device="cpu")
    except SafetensorError as error:
        with path.open("rb") as stream:
            pickled = stream.read(4).startswith(PICKLES)
        kind = "a pickle, which is never loaded" if pickled else f"not a safetensors file ({error})"
        raise ValueError(f"{path} is {kind}; weights must be safetensors.") from error


def load_strictly(module: Network, path: Path | str, sha256: str | None = None) -> Network:
    """Give a module, which may be on the meta device, the weights of a file, in the file's precision; in eval mode.

    Raises as `open_weights` does, and ValueError unless names and shapes are exactly those of the module.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    with open_weights(path, sha256) as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no iterator)
        faults = {
            "missing": wanted.keys() - found.keys(),
            "unknown": found.keys() - wanted.keys(),
            "of another shape": {name for name in wanted.keys() & found.keys() if wanted[name] != found[name]},
        }
        said = [f"{len(names)} {fault} ({min(names)} …)" for fault, names in faults.items() if names]
        if said:
            kind = type(module).__name__
            raise ValueError(f"{path} does not fit {kind}: of its {len(wanted)} tensors, {', '.join(said)}.")
        module.load_state_dict({name: file.get_tensor(name) for name in wanted}, assign=True)
    return module.eval()
