"""The weights' files: which there are, fetching them once, and checking them ever after.

A catalogue (config/weights.yaml) names repositories of the Hugging Face hub at pinned revisions, with licences and the
SHA-256 of each file where one is published. A run takes a part from it for each role, or a folder or file of the user's
own. The record of a run says where each part lies and what its files' SHA-256 is; generation needs no more than that.

Nothing heavy is imported here, since Snakemake reads the catalogue at every start.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

ROLES = ("base", "vae", "attention", "decoder", "layout")
SUFFIXES = (".safetensors", ".json", ".txt")
LEDGER = "checksums.sha256"  # in the form of sha256sum, beside the weights
SPARE = 1 << 28  # bytes left free on the disk
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """A part of the catalogue: files of one repository, each with its published SHA-256 or None."""

    name: str
    repo: str
    revision: str
    licence: str
    terms: str
    files: Mapping[str, str | None]

    @property
    def folder(self) -> str:
        """The folder that the files are fetched to: another revision is another folder."""
        return f"{self.name}-{self.revision[:8]}"


def load_catalogue(path: Path | str) -> dict[str, Entry]:
    """Read and check a catalogue. FileNotFoundError, or ValueError in one sentence naming the file and the entry."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no catalogue of weights at {path}.")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}.") from error
    if not isinstance(tree, Mapping):
        raise ValueError(f"{path} must be a mapping from names to weights.")
    return {name: _entry(path, name, part) for name, part in tree.items()}


def _entry(path: Path, name: str, part: object) -> Entry:
    keys = {"repo", "revision", "licence", "terms", "files"}
    if not isinstance(part, Mapping) or set(part) != keys:
        raise ValueError(f"{path}: {name} must have exactly the keys {', '.join(sorted(keys))}.")
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise ValueError(f"{path}: the name {name!r} must be of small letters, digits and hyphens.")
    if not re.fullmatch(r"[0-9a-f]{40}", str(part["revision"])):
        raise ValueError(f"{path}: {name}.revision must be a commit, 40 hexadecimal digits, so that it cannot change.")
    files = part["files"]
    if not isinstance(files, Mapping) or not files:
        raise ValueError(f"{path}: {name}.files must map files to their SHA-256 or null.")
    for file, sha256 in files.items():
        place = PurePosixPath(str(file))
        if place.is_absolute() or ".." in place.parts or place.suffix not in SUFFIXES:
            raise ValueError(f"{path}: {name} lists {file}; files must lie in its folder and be {', '.join(SUFFIXES)}.")
        if sha256 is not None and not _SHA256.fullmatch(str(sha256)):
            raise ValueError(f"{path}: the SHA-256 of {name}'s {file} must be 64 hexadecimal digits or null.")
    return Entry(name, **{key: part[key] for key in keys})


def choose(section: Mapping, catalogue: Mapping[str, Entry]) -> dict[str, Entry | Path]:
    """Return the part of each role: an entry of the catalogue, or a path of the user's own.

    A role that is null is left out, and so is `layout` where the base is no single file. Raises ValueError for a name
    that is neither in the catalogue nor on the disk.
    """
    for role in ("base", "attention", "decoder"):
        if not section.get(role):
            raise ValueError(f"layerdiffuse.{role} must name weights.")
    roles = [role for role in ROLES if role != "layout" and section.get(role)]
    chosen = {role: _part(role, section[role], catalogue) for role in roles}
    if _is_single(chosen["base"]):
        if not section.get("layout"):
            raise ValueError("layerdiffuse.base is a single file, so layerdiffuse.layout must name what it lacks.")
        chosen["layout"] = _part("layout", section["layout"], catalogue)
    return chosen


def _part(role: str, name: str, catalogue: Mapping[str, Entry]) -> Entry | Path:
    if name in catalogue:
        return catalogue[name]
    path = Path(name)
    if path.is_dir() or (path.is_file() and path.suffix == ".safetensors"):
        return path
    raise ValueError(
        f"layerdiffuse.{role} names {name}, which is no entry of the catalogue ({', '.join(catalogue)}), no folder and "
        "no .safetensors file."
    )


def _is_single(part: Entry | Path) -> bool:
    return part.is_file() if isinstance(part, Path) else len(part.files) == 1


def identity(chosen: Mapping[str, Entry | Path]) -> str:
    """Say what will be used, without paths: generation runs again when this changes."""
    parts = (
        f"{role}={part.name}" if isinstance(part, Path) else f"{role}={part.name}@{part.revision[:8]}"
        for role, part in chosen.items()
    )
    return ",".join(parts)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# Fetching ------------------------------------------------------------------------------------------------------------


def fetch(
    chosen: Mapping[str, Entry | Path],
    folder: Path,
    mirror: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict:
    """Have all parts on the disk, checked; return the record of where they are and what they are.

    Files of the catalogue are copied from `mirror`, a folder with one per repository (`mirror/owner/name/file`), or
    fetched from the hub; what is there already is only checked, and a fetch that was stopped goes on within the file.
    A file must have the SHA-256 that is published, or else that of its first fetch, which the ledger in `folder` keeps.

    Raises ValueError, in one sentence that says what to do, where a file is missing or another one, the disk too
    small or the hub out of reach.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        ledger = _read_ledger(folder / LEDGER)
        _make_room(chosen, folder, mirror)
        parts = {}
        for role, part in chosen.items():
            if isinstance(part, Path):
                say(f"{role}: {part}, your own")
                parts[role] = _own(role, part, folder, ledger)
            else:
                say(f"{role}: {part.name}, {part.repo} at {part.revision[:8]}; licence {part.licence}, {part.terms}")
                parts[role] = _fetched(part, folder, mirror, ledger, say)
    return {"parts": parts, "sha256": _summary(parts)}


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _summary(parts: Mapping[str, Mapping]) -> str:
    """One SHA-256 for all files of all parts, whatever the folders' names."""
    found = ((role, file, about) for role, part in parts.items() for file, about in part["files"].items())
    lines = [f"{about['sha256']}  {role}/{file}" for role, file, about in found]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _own(role: str, part: Path, folder: Path, ledger: dict[str, str]) -> dict:
    """Record a folder or file of the user's own, where it lies."""
    root = part if part.is_dir() else part.parent
    paths = [part] if part.is_file() else [p for p in sorted(root.rglob("*")) if p.suffix in SUFFIXES and p.is_file()]
    if role != "layout" and not any(path.suffix == ".safetensors" for path in paths):
        raise ValueError(f"{part} holds no .safetensors file; weights in other formats are not loaded.")
    files = {}
    for path in paths:
        key, file = str(path.resolve()), path.relative_to(root).as_posix()
        files[file] = _checked(path, ledger.get(key), "recorded when it was first used")
        _add_to_ledger(folder / LEDGER, ledger, key, files[file]["sha256"])
    about = {"repo": None, "revision": None, "licence": "your own", "terms": None}
    return {"name": part.name, "folder": str(root), "files": files, **about}


def _fetched(entry: Entry, folder: Path, mirror: Path | None, ledger: dict[str, str], say: Callable) -> dict:
    files = {}
    for file, published in entry.files.items():
        target = folder / entry.folder / file
        key = f"{entry.folder}/{file}"
        expected = published or ledger.get(key)
        if not target.is_file():
            say(f"  {file} ...")
            expected = _bring(entry, file, target, mirror, expected)
        word = "published" if published else "recorded at its first fetch"
        files[file] = _checked(target, expected, word)
        _add_to_ledger(folder / LEDGER, ledger, key, files[file]["sha256"])
    about = {"repo": entry.repo, "revision": entry.revision, "licence": entry.licence, "terms": entry.terms}
    return {"name": entry.name, "folder": str(folder / entry.folder), "files": files, **about}


def _checked(path: Path, expected: str | None, word: str) -> dict:
    found = digest(path)
    if expected and found != expected:
        raise ValueError(
            f"{path} is not the file that it should be: its SHA-256 is {found}, {word} is {expected}; "
            "delete the file and fetch it again, from another mirror if this one holds another version."
        )
    return {"sha256": found, "bytes": path.stat().st_size}


def _bring(entry: Entry, file: str, target: Path, mirror: Path | None, expected: str | None) -> str | None:
    """Copy or download a file by way of a part file beside it; return the SHA-256 that it was checked against."""
    part = _part_of(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.is_file() and part.stat().st_size > 0
    try:
        if mirror is not None:
            _copy(_in_mirror(entry, file, mirror), part)
        else:
            expected = _download(entry, file, part, expected)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ValueError(f"The disk of {target.parent} is full; free some space and run again.") from error
        raise
    found = digest(part)
    if expected and found != expected:
        part.unlink()
        why = "the part that an earlier, stopped fetch had left may be damaged" if resumed else "it is another file"
        source = mirror or "the hub"
        raise ValueError(
            f"{file} of {entry.repo} came from {source} with the SHA-256 {found} instead of {expected}: {why}; it was "
            "thrown away, so run the same command again."
        )
    os.replace(part, target)
    return expected


def _part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _in_mirror(entry: Entry, file: str, mirror: Path) -> Path:
    source = mirror / entry.repo / file
    if not source.is_file():
        raise ValueError(f"The mirror has no {source}; it must hold a folder owner/name for each repository.")
    return source


def _copy(source: Path, part: Path) -> None:
    """Copy what `part` lacks of `source`."""
    with source.open("rb") as read, part.open("ab") as write:
        if write.tell() > source.stat().st_size:
            write.truncate(0)
        read.seek(write.tell())
        shutil.copyfileobj(read, write, 1 << 22)


def _download(entry: Entry, file: str, part: Path, expected: str | None) -> str | None:
    """Download what `part` lacks; return the expected SHA-256, which for large files the hub itself names."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    about = _on_hub(entry, file)
    with part.open("ab") as stream, _hub_errors(entry):
        if stream.tell() > (about.size or 0):
            stream.truncate(0)
        # not hf_hub_download: as of 2.4 it begins a file anew after a kill
        http_get(
            hf_hub_url(entry.repo, file, revision=entry.revision),
            stream,
            resume_size=stream.tell(),
            headers=build_hf_headers() | {"Accept-Encoding": "identity"},
            expected_size=about.size,
            displayed_filename=file,
        )
    published = about.etag if about.etag and _SHA256.fullmatch(about.etag) else None
    return expected or published


def _on_hub(entry: Entry, file: str):
    """Ask the hub for a file's size, place and etag."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with _hub_errors(entry):
        return get_hf_file_metadata(hf_hub_url(entry.repo, file, revision=entry.revision), timeout=30)


@contextlib.contextmanager
def _hub_errors(entry: Entry) -> Iterator[None]:
    """Say in one sentence that the hub cannot be reached, or refuses."""
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise ValueError(
            f"Weights of {entry.repo} are missing and HF_HUB_OFFLINE is set: unset it to fetch them, or name a folder "
            "that has them by paths.mirror."
        ) from error
    except (HTTPError, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        raise ValueError(
            f"The hub does not give {entry.repo} at {entry.revision[:8]} ({error}); what was fetched is kept, so run "
            "the same command again, or put the files into a folder and name it by paths.mirror."
        ) from error


def _make_room(chosen: Mapping[str, Entry | Path], folder: Path, mirror: Path | None) -> None:
    """Raise ValueError unless the disk has room for what is missing."""
    need = 0
    for entry in chosen.values():
        for file in [] if isinstance(entry, Path) else entry.files:
            target = folder / entry.folder / file
            if not target.is_file():
                size = _in_mirror(entry, file, mirror).stat().st_size if mirror else _on_hub(entry, file).size or 0
                part = _part_of(target)
                need += max(0, size - (part.stat().st_size if part.is_file() else 0))
    free = shutil.disk_usage(folder).free
    if need and need + SPARE > free:
        raise ValueError(
            f"The weights need {need / 1e9:.1f} GB more on the disk of {folder}, which has {free / 1e9:.1f} GB free; "
            "set paths.weights to a folder on a larger one."
        )


def _read_ledger(path: Path) -> dict[str, str]:
    """Read {file: SHA-256} in the form of sha256sum."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}


def _add_to_ledger(path: Path, ledger: dict[str, str], key: str, sha256: str) -> None:
    from ldportrait.shards import replacing

    if key not in ledger:
        ledger[key] = sha256
        with replacing(path) as temporary:
            temporary.write_text("".join(f"{sha256}  {key}\n" for key, sha256 in ledger.items()), encoding="utf-8")


# Using ---------------------------------------------------------------------------------------------------------------


def check(record: Mapping) -> None:
    """Raise ValueError or FileNotFoundError unless all files of a record are there and are what they were."""
    for part in record["parts"].values():
        for file, about in part["files"].items():
            path = Path(part["folder"], file)
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing; run snakemake --forcerun fetch_weights.")
            _checked(path, about["sha256"], "recorded when it was fetched")


def place(record: Mapping, role: str) -> Path | None:
    """Return where a part lies: its file if it is a single one, else its folder; None if there is no such part."""
    part = record["parts"].get(role)
    if part is None:
        return None
    folder = Path(part["folder"])
    return folder / next(iter(part["files"])) if len(part["files"]) == 1 else folder
