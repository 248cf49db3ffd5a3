"""The shard: an uncompressed WebDataset tar of portraits, and a Parquet manifest with a row per item beside it.

A tar holds `{id}.rgba.webp` (lossless, colour under alpha 0 kept), `{id}.truth.webp` (one channel, lossless) where the
exact alpha is known, and `{id}.json`, the manifest's row less `seconds`. The row's `sha256` is that of the pictures.
Members carry no time and no owner, so that equal work gives equal bytes.

While a shard is made, its finished items lie in a folder of their own under a lock, with a digest of what they were
made from; a killed job goes on there and loses the picture in flight at most.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import math
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

PICTURES = ("rgba.webp", "truth.webp")
LOSSLESS = {
    "format": "WEBP",
    "lossless": True,
    "quality": 20,
    "method": 0,
    "exact": True,
}  # 29 ms a 1024 x 1024 picture


@dataclass(frozen=True)
class Item:
    """One portrait: its manifest row, its picture (H, W, 4) uint8, and its exact alpha (H, W) uint8 where known.

    The exact alpha may be the bytes of another shard's member, which are passed on as they are.
    """

    row: dict[str, object]
    rgba: np.ndarray
    truth: np.ndarray | bytes | None = None


def manifest_of(tar: Path) -> Path:
    """Return the path of the manifest that belongs to a shard's tar."""
    return Path(tar).with_suffix(".parquet")


def partial_of(tar: Path) -> Path:
    """Return the folder for a shard's finished items while it is made: `.partial/` beside the stage's own folder."""
    return tar.parent.parent / ".partial" / tar.parent.name / tar.stem


def read_manifest(tar: Path) -> pd.DataFrame:
    """Read the manifest of a shard. FileNotFoundError or ValueError, each naming the file, if it cannot be read."""
    return read_table(manifest_of(tar))


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet table. FileNotFoundError or ValueError, each naming the file, if it cannot be read."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no table at {path}.")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable Parquet table: {error}") from error


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a Parquet table whole or not at all."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; it takes the place of `path` at the end, or is removed on an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the place of `folder` at the end, or is removed on an error."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir(mode=0o755)
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)


def read_shard(tar: Path, ids: Container[str] | None = None, decode_truth: bool = True) -> Iterator[Item]:
    """Yield the items of a shard in its manifest's order; with `ids`, only those, and the others are not decoded.

    Without `decode_truth` the exact alpha is given as its member's bytes, to be passed on. Raises FileNotFoundError or
    ValueError, naming the file, where the tar is missing or damaged, or holds other items than its manifest says.
    """
    rows = {row["id"]: row for row in read_manifest(tar).to_dict("records")}
    if not Path(tar).is_file():
        raise FileNotFoundError(f"There is no shard at {tar}.")
    seen = []
    try:
        with tarfile.open(tar, "r:") as archive:
            for id, members in _groups(archive):
                if id not in rows:
                    raise ValueError(f"{tar} holds {id}, which its manifest does not list; make the shard again.")
                seen.append(id)
                if ids is not None and id not in ids:
                    continue
                if _digest([members[name] for name in PICTURES if name in members]) != rows[id]["sha256"]:
                    raise ValueError(f"{tar} is damaged: {id} is not what its manifest says; delete it and run again.")
                truth = members.get("truth.webp")
                if truth is not None and decode_truth:
                    truth = _decode(truth, "L")
                yield Item(rows[id], _decode(members["rgba.webp"], "RGBA"), truth)
    except (tarfile.TarError, OSError, KeyError, EOFError) as error:
        raise ValueError(f"{tar} is damaged ({error}); delete it and run again to make it anew.") from error
    if seen != list(rows):
        missing = next((id for id in rows if id not in seen), "its order")
        raise ValueError(f"{tar} does not agree with its manifest ({missing} is missing); make the shard again.")


def _groups(archive: tarfile.TarFile) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (id, {suffix: content}) for runs of members with one id."""
    current, members = None, {}
    for member in archive:
        id, _, suffix = member.name.partition(".")
        if id != current and current is not None:
            yield current, members
            members = {}
        current = id
        content = archive.extractfile(member).read()
        if len(content) != member.size:
            raise EOFError(f"{member.name} is cut off")
        members[suffix] = content
    if current is not None:
        yield current, members


def _digest(contents: list[bytes]) -> str:
    """Return the SHA-256 of an item's encoded pictures, in their order in the tar."""
    return hashlib.sha256(b"".join(contents)).hexdigest()


def _decode(content: bytes, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.array(picture if picture.mode == mode else picture.convert(mode))


def encode(array: np.ndarray) -> bytes:
    """Encode an (H, W, 4), (H, W, 3) or (H, W) uint8 array as lossless WebP."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(stream, **LOSSLESS)
    return stream.getvalue()


def make_shard(
    tar: Path,
    partial: Path,
    state: dict,
    jobs: Iterable[tuple[str, Callable[[], Item]]],
    check: Callable[[list[dict]], None] | None = None,
) -> None:
    """Make a shard from (id, job) pairs, going on where a killed run stopped.

    `partial` is this shard's folder for finished items. `state` describes all that the items depend on: items made
    from another state are thrown away. After each item, `check` sees the rows so far, those of an earlier run too, and
    may stop the shard by raising; what is finished is kept. Raises ValueError if a job gives an item under another id.
    """
    with _lock(partial):
        _keep_or_clear(partial, state)
        ids, rows = [], []
        for id, job in jobs:
            ids.append(id)
            if not (partial / f"{id}.row").is_file():
                _store(partial, id, job())
            if check is not None:
                rows.append(_read_row(partial, id))
                check(rows)
        pack(tar, partial, ids)
        shutil.rmtree(partial, ignore_errors=True)  # the lock's file with it, so that who waited for it looks again


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; wait where another holds it, as a job does that outlived its killed Snakemake."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "lock"
        with path.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"Another process is at work in {folder}; waiting for it.", file=sys.stderr, flush=True)
                fcntl.flock(stream, fcntl.LOCK_EX)
            if path.is_file() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                yield
                return
        # the other has finished and removed the folder that was waited for


def _keep_or_clear(folder: Path, state: dict) -> None:
    text = json.dumps(state, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    record = folder / "state.json"
    try:
        known = json.loads(record.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        known = None
    if known != digest:
        for file in folder.iterdir():
            if file.name != "lock":
                file.unlink()
        with replacing(record) as temporary:
            temporary.write_text(json.dumps({"sha256": digest, "state": state}, sort_keys=True), encoding="utf-8")


def _store(folder: Path, id: str, item: Item) -> None:
    """Write an item's members; `{id}.row` comes last and says that the item is complete."""
    if item.row["id"] != id:
        raise ValueError(f"The item {item.row['id']} was made where {id} was asked for.")
    for suffix, array in zip(PICTURES, (item.rgba, item.truth), strict=True):
        if array is not None:
            with replacing(folder / f"{id}.{suffix}") as temporary:
                temporary.write_bytes(array if isinstance(array, bytes) else encode(array))
    with replacing(folder / f"{id}.row") as temporary:
        temporary.write_text(json.dumps({key: _plain(value) for key, value in item.row.items()}), encoding="utf-8")


def _read_row(folder: Path, id: str) -> dict:
    return json.loads((folder / f"{id}.row").read_text(encoding="utf-8"))


def _plain(value: object) -> object:
    """A JSON value for a table's value: numpy scalars as Python's own, a missing value as null."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def member_json(row: dict[str, object]) -> bytes:
    """A row as the tar's json member: without `seconds`, which differs between equal runs."""
    return json.dumps({key: _plain(value) for key, value in row.items() if key != "seconds"}).encode()


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Append a member without time or owner."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(content), 0, 0o644
    archive.addfile(member, io.BytesIO(content))


def pack(tar: Path, folder: Path, ids: list[str]) -> None:
    """Pack finished items into a tar and its manifest; the manifest appears last."""
    rows = []
    with replacing(tar) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
        for id in ids:
            files = [file for suffix in PICTURES if (file := folder / f"{id}.{suffix}").is_file()]
            contents = [file.read_bytes() for file in files]
            row = _read_row(folder, id) | {"sha256": _digest(contents)}
            for file, content in zip(files, contents, strict=True):
                add_member(archive, file.name, content)
            add_member(archive, f"{id}.json", member_json(row))
            rows.append(row)
    write_table(pd.DataFrame(rows), manifest_of(tar))
