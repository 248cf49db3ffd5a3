"""The shard: an uncompressed WebDataset tar of portraits, and a Parquet manifest with a row per item beside it.

A tar holds `{id}.rgba.webp` (lossless, colour under alpha 0 kept), `{id}.truth.webp` (one channel, lossless) where the
exact alpha is known, and `{id}.json`, the manifest's row less `seconds`. The row's `sha256` is that of the pictures.
Members carry no time and no owner, so that equal work gives equal bytes.

While a shard is made, its finished items lie in a folder of their own under a lock, with a digest of what they were
made from; a killed job goes on there and loses the picture in flight at most.

What is read may come from anybody: members are read as plain files only, ids that could name another folder are
refused, and a picture's size is checked before it is decoded.
"""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import math
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ldportrait import commands, images

PICTURES = ("rgba.webp", "truth.webp")
LOSSLESS = {
    "format": "WEBP",
    "lossless": True,
    "quality": 20,
    "method": 0,
    "exact": True,
}  # 29 ms a 1024 x 1024 picture
ID = re.compile(r"[A-Za-z0-9_-]+")
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}  # what a disk without locks says to flock
# The way out. Running the workflow again alone makes no file that its last results do not lack, so it is named.
MAKE = "if it is the workflow's, make it by: snakemake --cores all {}"
ANEW = "delete it, and if it is the workflow's, make it anew by: snakemake --cores all {}"


@dataclass(frozen=True)
class Item:
    """One portrait: its manifest row, its picture (H, W, 4) uint8, and its exact alpha (H, W) uint8 where known.

    The exact alpha may be the bytes of another shard's member, which are passed on as they are.
    """

    row: dict[str, object]
    rgba: np.ndarray
    truth: np.ndarray | bytes | None = None


def tar_of(folder: Path, number: int) -> Path:
    """Return the path of a stage's or a split's shard by its number."""
    return Path(folder, f"shard-{number:07d}.tar")


def manifest_of(tar: Path) -> Path:
    """Return the path of the manifest that belongs to a shard's tar."""
    return Path(tar).with_suffix(".parquet")


def partial_of(tar: Path) -> Path:
    """Return the folder for a shard's finished items while it is made: `.partial/` beside the stage's own folder."""
    return tar.parent.parent / ".partial" / tar.parent.name / tar.stem


def read_manifest(tar: Path) -> pd.DataFrame:
    """Read the manifest of a shard. FileNotFoundError or ValueError, each naming the file, if it cannot be read."""
    table = read_table(manifest_of(tar))
    for name in ("id", "sha256"):
        if name not in table:
            raise ValueError(f"{manifest_of(tar)} is no shard's manifest: it has no column {name}.")
    if table.id.duplicated().any():
        twice = table.id[table.id.duplicated()].iloc[0]
        raise ValueError(f"{manifest_of(tar)} lists {twice} twice; {ANEW.format(manifest_of(tar))}.")
    return table


def read_manifests(folder: Path, count: int) -> pd.DataFrame:
    """Read the manifests of a stage's shards as one table, with the number of the shard as column `shard`."""
    tables = [read_manifest(tar_of(folder, number)).assign(shard=number) for number in range(count)]
    return pd.concat(tables, ignore_index=True)


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet table. FileNotFoundError or ValueError, each naming the file, if it cannot be read."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no table at {path}; {MAKE.format(path)}.")
    try:
        return pd.read_parquet(path, page_checksum_verification=True)
    except Exception as error:  # pandas and pyarrow raise errors of many kinds for a damaged file
        commands.pass_on(error, path)
        raise ValueError(f"{path} is not a readable Parquet table ({error}); {ANEW.format(path)}.") from error


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a Parquet table whole or not at all; its pages carry checksums, which `read_table` heeds."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd", write_page_checksum=True)


@contextlib.contextmanager
def replacing(path: Path, lasting: bool = True) -> Iterator[Path]:
    """Give a name beside `path` to write to; it takes the place of `path` at the end, or is removed on an error.

    The name is the same each time, so that what a killed process left there is written over. It is held under a lock:
    who writes the same file at the same time waits. An OSError without a file's name (a full disk) gets that of `path`.
    What is `lasting` is on the disk before it has its name, so that a power cut leaves it whole, or not there: that
    takes some milliseconds, and those who make many small files that can be told by a digest do without.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    with _naming(path, temporary), _held(temporary):
        try:
            yield temporary
            if lasting:
                _to_the_disk(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the place of `folder` at the end, or is removed on an error."""
    with scratch(folder) as space:
        new, old = space / "new", space / "old"
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Give a folder beside `folder` for what is not finished, locked and empty; it is removed at the end.

    What a killed process left there is removed at the start, but for the `folder` that it was about to replace, which
    is put back; and so it is at the end, where the replacing fails.
    """
    folder = Path(folder)
    space = folder.with_name(f".{folder.name}.part")
    with _naming(folder, space), locked(space):
        _put_back(space / "old", folder)
        _clear(space)
        try:
            yield space
        finally:
            _put_back(space / "old", folder)
            shutil.rmtree(space, ignore_errors=True)  # the lock's file with it


def _put_back(old: Path, folder: Path) -> None:
    if old.exists() and not folder.exists():
        old.rename(folder)


def _to_the_disk(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream)


@contextlib.contextmanager
def _naming(path: Path, temporary: Path) -> Iterator[None]:
    """Let an OSError name the file that was to be written: a full disk's names none, others the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno and (error.filename is None or str(error.filename).startswith(str(temporary))):
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold a file for this process, made if need be; wait where another holds it."""
    while True:
        with path.open("ab") as stream:
            _wait_for_lock(stream, path)
            if _is(stream, path):
                yield
                return
        # the other has put the file that was waited for in its place


def _wait_for_lock(stream: io.IOBase, place: Path) -> None:
    """Lock a file for this process when no other has it. A disk that knows no locks gives none."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Another process is at work in {place}; waiting for it.", file=sys.stderr, flush=True)
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _is(stream: io.IOBase, path: Path) -> bool:
    """Whether a file that was opened is still the one of that name."""
    try:
        return path.stat().st_ino == os.fstat(stream.fileno()).st_ino
    except FileNotFoundError:
        return False


def read_shard(tar: Path, ids: Container[str] | None = None, decode_truth: bool = True) -> Iterator[Item]:
    """Yield the items of a shard in its manifest's order; with `ids`, only those, and the others are not decoded.

    Without `decode_truth` the exact alpha is given as its member's bytes, to be passed on. Raises FileNotFoundError or
    ValueError, naming the file, where the tar is missing or damaged, or holds other items than its manifest says.
    """
    rows = {row["id"]: row for row in read_manifest(tar).to_dict("records")}
    if not Path(tar).is_file():
        raise FileNotFoundError(f"There is no shard at {tar}; {MAKE.format(tar)}.")
    for id in rows:
        check_id(id, manifest_of(tar))
    seen = []
    try:
        with tarfile.open(tar, "r:") as archive:
            for id, members in _groups(archive):
                if id not in rows:
                    raise ValueError(f"{tar} holds {id}, which its manifest does not list; {ANEW.format(tar)}.")
                seen.append(id)
                if ids is not None and id not in ids:
                    continue
                if digest([members[name] for name in PICTURES if name in members]) != rows[id]["sha256"]:
                    raise ValueError(f"{tar} is damaged: {id} is not what its manifest says; {ANEW.format(tar)}.")
                if not _agree(rows[id], members["json"]):
                    raise ValueError(f"{tar} and its manifest say different things of {id}; {ANEW.format(tar)}.")
                truth = members.get("truth.webp")
                if truth is not None and decode_truth:
                    truth = _decode(truth, "L", f"{id}.truth.webp", tar)
                yield Item(rows[id], _decode(members["rgba.webp"], "RGBA", f"{id}.rgba.webp", tar), truth)
    except (tarfile.TarError, OSError, KeyError, EOFError) as error:
        commands.pass_on(error, tar)
        raise ValueError(f"{tar} is damaged ({error}); {ANEW.format(tar)}.") from error
    if seen != list(rows):
        missing = next((id for id in rows if id not in seen), "its order")
        raise ValueError(f"{tar} does not agree with its manifest ({missing} is missing); {ANEW.format(tar)}.")


def _groups(archive: tarfile.TarFile) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (id, {suffix: content}) for runs of members with one id."""
    current, members = None, {}
    for member in archive:
        id, _, suffix = member.name.partition(".")
        if id != current and current is not None:
            yield current, members
            members = {}
        current = id
        if suffix in members:
            raise EOFError(f"it holds {member.name} twice")
        members[suffix] = content_of(archive, member)
    if current is not None:
        yield current, members


def _agree(row: dict[str, object], content: bytes) -> bool:
    """Whether a manifest's row is what the tar says of the item in its JSON."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if not isinstance(told, dict):
        return False
    known = {name: _plain(value) for name, value in row.items() if name != "seconds"}
    return told.keys() <= known.keys() and all(value == told.get(name) for name, value in known.items())


def content_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Read a member that is a plain file. ValueError for a link, a device, or a file that is larger than its bytes."""
    if not member.isreg() or member.issparse():
        raise ValueError(f"{archive.name} holds {member.name}, which is no plain file; it is not read.")
    content = archive.extractfile(member).read()
    if len(content) != member.size:
        raise EOFError(f"{member.name} is cut off")
    return content


def _decode(content: bytes, mode: str, name: str, tar: Path) -> np.ndarray:
    try:
        return images.decode(content, mode, f"{name} in {tar}")
    except ValueError as error:
        raise ValueError(f"{error}; {ANEW.format(tar)}.") from error


def check_id(id: str, source: Path | str) -> None:
    """Raise ValueError, naming the `source`, for an id that is no plain name: files are called by it."""
    if not ID.fullmatch(str(id)):
        raise ValueError(f"{source} has the id {str(id)[:80]!r}; ids are of letters, digits, - and _ alone.")


def digest(contents: Iterable[bytes]) -> str:
    """Return the SHA-256 of an item's encoded pictures, in their order in the tar."""
    return hashlib.sha256(b"".join(contents)).hexdigest()


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
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
    with locked(partial) as (lock, made):
        if made != digest or not tar.is_file() or not manifest_of(tar).is_file():
            _keep_or_clear(partial, state, digest)
            pack(tar, partial, _make_items(partial, jobs, check))
            with contextlib.suppress(OSError):  # on a disk that is full by now, whoever waits makes it again
                os.write(lock, digest.encode())
        shutil.rmtree(partial, ignore_errors=True)  # the lock's file with it, so that who waited for it looks again


def _make_items(
    folder: Path, jobs: Iterable[tuple[str, Callable[[], Item]]], check: Callable[[list[dict]], None] | None
) -> list[str]:
    """Do the jobs whose item is not there yet, and return the ids of all."""
    ids, rows = [], []
    for id, job in jobs:
        check_id(id, "The work to be done")
        ids.append(id)
        stored = _stored(folder, id)
        row = stored[0] if stored else _store(folder, id, job())
        if check is not None:
            rows.append(row)
            check(rows)
    return ids


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[tuple[int, str]]:
    """Hold a folder for this process; wait where another holds it, as a job does that outlived its killed Snakemake.

    Gives the lock's file descriptor, and what another wrote to it that was waited for and has removed the folder,
    finished: so a job that waited need not do again what it waited for.
    """
    left = ""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "lock"
        try:
            stream = path.open("a+b")
        except FileNotFoundError:  # the other has just removed the folder
            continue
        with stream:
            _wait_for_lock(stream, folder)
            if _is(stream, path):
                stream.truncate(0)
                yield stream.fileno(), left
                return
            stream.seek(0)
            left = stream.read().decode()


def _clear(folder: Path) -> None:
    """Remove all that is in a folder but its lock."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != "lock":
            entry.unlink()


def _keep_or_clear(folder: Path, state: dict, digest: str) -> None:
    """Keep the items in a folder if they were made from the same state, else remove them."""
    record = folder / "state.json"
    try:
        known = json.loads(record.read_text(encoding="utf-8"))["sha256"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        known = None
    if known != digest:
        _clear(folder)
        with replacing(record) as temporary:
            temporary.write_text(json.dumps({"sha256": digest, "state": state}, sort_keys=True), encoding="utf-8")


def _store(folder: Path, id: str, item: Item) -> dict:
    """Write an item's members; `{id}.row`, with their digest, comes last and says that the item is complete."""
    if item.row["id"] != id:
        raise ValueError(f"The item {item.row['id']} was made where {id} was asked for.")
    contents = []
    for suffix, array in zip(PICTURES, (item.rgba, item.truth), strict=True):
        if array is not None:
            contents.append(array if isinstance(array, bytes) else encode(array))
            with replacing(folder / f"{id}.{suffix}", lasting=False) as temporary:
                temporary.write_bytes(contents[-1])
    row = {key: _plain(value) for key, value in item.row.items()} | {"sha256": digest(contents)}
    with replacing(folder / f"{id}.row", lasting=False) as temporary:
        temporary.write_text(json.dumps(row), encoding="utf-8")
    return row


def _stored(folder: Path, id: str) -> tuple[dict, dict[str, bytes]] | None:
    """A finished item's row and encoded pictures; None if it is not there, or not as it was written."""
    files = {suffix: folder / f"{id}.{suffix}" for suffix in PICTURES}
    try:
        row = json.loads((folder / f"{id}.row").read_text(encoding="utf-8"))
        contents = {suffix: file.read_bytes() for suffix, file in files.items() if file.is_file()}
        return (row, contents) if digest(contents.values()) == row["sha256"] else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


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
    """Pack finished items into a tar and its manifest; the manifest appears last. ValueError names a damaged item."""
    rows = []
    with replacing(tar) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
        for id in ids:
            stored = _stored(folder, id)
            if stored is None:
                raise ValueError(f"{id} in {folder} is not as it was written any more; run the same command again.")
            row, contents = stored
            for suffix, content in contents.items():
                add_member(archive, f"{id}.{suffix}", content)
            add_member(archive, f"{id}.json", member_json(row))
            rows.append(row)
    write_table(pd.DataFrame(rows), manifest_of(tar))
