"""The files that a stopped training goes on from: written whole, of one run alone, and nothing in them is executed."""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from ldportrait import commands
from ldportrait.shards import locked, replacing

CHECKPOINT, BEST = "last.ckpt", "best.safetensors"


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
