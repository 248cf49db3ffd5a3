"""What a training sees: composites of a data set's portraits, in an order that is a function of the seed.

Which samples a step sees, and what is drawn in them, depends on the seed and the step alone (see `Composites`), so that
a run that goes on from a checkpoint sees what an undisturbed one sees.
"""

import hashlib
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from ldportrait import augment, commands, images, pictures
from ldportrait.shards import content_of

MEGABYTE = 10**6


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
