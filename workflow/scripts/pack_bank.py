"""Pack rendered pictures into the portrait bank: resources/bank/ with bank.parquet and bank.yaml."""

import datetime
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
import yaml

from ldportrait import commands, images
from ldportrait.rendering import casting
from ldportrait.rendering.backgrounds import PLACES
from ldportrait.rendering.hairstyles import STYLES

LIMIT = 24 * 10**6  # bytes: the bank is committed, and every clone carries it
FOLDERS = {kind: section for section, kind in casting.KINDS.items()}
OURS = (*FOLDERS.values(), "bank.parquet", "bank.yaml")

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "kind", "split", "path", "sha256", "shot_path", "shot_sha256")),
        *((name, pa.int32()) for name in ("width", "height", "frames")),
        *((name, pa.string()) for name in ("persona", "gender")),
        ("age", pa.int32()),
        *((name, pa.string()) for name in ("skin", "hair_style", "hair_length", "hair_texture", "hair_parting")),
        *((name, pa.string()) for name in ("hair_colour", "facial_hair", "garment", "garment_colour", "accessory")),
        ("pose", pa.string()),
        *((name, pa.float32()) for name in ("yaw", "pitch", "roll")),
        *((name, pa.string()) for name in ("expression", "framing", "light")),
        ("openings", pa.int32()),
        ("fractional", pa.float64()),
        *((name, pa.int32()) for name in ("alpha_samples", "colour_samples")),
        ("seconds", pa.float64()),
        ("seed", pa.int64()),
        *((name, pa.string()) for name in ("source", "licence")),
    ]
)


@dataclass(frozen=True)
class Item:
    """One finished item: its spec, what its job wrote down beside it, and its picture files by name in the bank."""

    spec: Mapping
    record: Mapping
    files: Mapping[str, Path]

    @property
    def path(self) -> str:
        """The picture's path in the bank; for a green shot, that of the RGBA."""
        return f"{FOLDERS[self.spec['kind']]}/{self.spec['id']}.webp"

    @property
    def shot_path(self) -> str:
        """The path in the bank of a green shot's opaque frame."""
        return f"{FOLDERS['green']}/{self.spec['id']}-shot.webp"


def collect(specs: Mapping[str, Mapping], work: Path) -> list[Item]:
    """Find the finished work of every spec, in order of kind and id. Raises an error naming what is missing or old."""
    items, missing = [], []
    for spec in sorted(specs.values(), key=lambda spec: (list(FOLDERS).index(spec["kind"]), spec["id"])):
        folder = FOLDERS[spec["kind"]]
        names = [spec["id"], f"{spec['id']}-shot"] if spec["kind"] == "green" else [spec["id"]]
        files = {f"{folder}/{name}.webp": work / folder / f"{name}.webp" for name in names}
        record = work / folder / f"{spec['id']}.json"
        if not record.is_file() or not all(file.is_file() for file in files.values()):
            missing.append(spec["id"])
            continue
        items.append(Item(spec, _read_record(record, spec), files))
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise FileNotFoundError(
            f"Not rendered yet: {', '.join(missing[:5])}{more}; `make bank` renders what is missing."
        )
    return items


def _read_record(path: Path, spec: Mapping) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error
    if record.get("spec") != json.loads(json.dumps(spec)):
        raise ValueError(
            f"{spec['id']} was rendered from another description than the configuration's; render it again."
        )
    return record


def row(item: Item, frames: int) -> dict[str, object]:
    """Describe an item in bank.parquet's columns, less those that do not apply. ValueError for a wrong picture.

    A clip must have `frames` frames.
    """
    spec, kind = item.spec, item.spec["kind"]
    path = item.files[item.path]
    values = {name: spec.get(name) for name in SCHEMA.names if name in spec}
    values |= {"path": item.path, "sha256": digest(path), "seconds": item.record["seconds"]}
    values |= {name: item.record[name] for name in ("source", "licence") if name in item.record}
    picture = images.read_rgb(path) if kind == "background" else images.read_rgba(path)
    size = spec["size"]
    _check_size(path, picture, size, size * frames if kind == "clip" else size)
    values |= {"width": size, "height": size}
    if kind == "background":
        return values | {"colour_samples": spec["samples"]["colour"] if spec["family"] in PLACES else None}
    style = STYLES[spec["hair"]["style"]]
    values |= {
        "frames": frames if kind == "clip" else None,
        "pose": spec["motion"] if kind == "clip" else spec["pose"],
        "skin": " + ".join(dict.fromkeys(Path(name).parts[0] for name in spec["skin"]["maps"])),
        "hair_style": spec["hair"]["style"],
        "hair_length": style.length,
        "hair_texture": style.texture,
        "hair_parting": style.parting,
        "hair_colour": spec["hair"]["colour"],
        "openings": images.openings(picture[..., 3]) if kind != "clip" else None,
        "fractional": images.fractional_share(picture[..., 3]),
        "alpha_samples": spec["samples"]["alpha"],
        "colour_samples": spec["samples"]["colour"],
    }
    if kind == "green":
        shot = item.files[item.shot_path]
        _check_size(shot, images.read_rgb(shot), size, size)
        values |= {"shot_path": item.shot_path, "shot_sha256": digest(shot)}
    return values


def _check_size(path: Path, picture: np.ndarray, width: int, height: int) -> None:
    if picture.shape[:2] != (height, width):
        raise ValueError(
            f"{path} is {picture.shape[1]} x {picture.shape[0]} pixels, but {width} x {height} were asked for."
        )


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def provenance(items: list[Item], config: Mapping, date: str, command: str) -> dict[str, object]:
    """Say how the bank was made, for bank.yaml."""
    versions: dict[str, set[str]] = {}
    for item in items:
        for name, version in item.record["versions"].items():
            versions.setdefault(name, set()).add(version)
    counts: dict[str, dict[str, int]] = {}
    for item in items:
        splits = counts.setdefault(FOLDERS[item.spec["kind"]], dict.fromkeys(casting.SPLITS, 0))
        splits[item.spec["split"]] += 1
    return {
        "command": command,
        "date": date,
        "counts": counts,
        "sizes": config["sizes"],
        "samples": config["samples"],
        "frames": config["frames"],
        "versions": {name: ", ".join(sorted(found)) for name, found in sorted(versions.items())},
        "seconds": round(sum(item.record["seconds"] for item in items)),
        "bytes": sum(file.stat().st_size for item in items for file in item.files.values()),
    }


def write_bank(items: list[Item], frames: int, about: Mapping, output: Path) -> None:
    """Write the bank whole or not at all: into a folder beside `output`, which then takes its place.

    What else lies in `output` (licences, notes) is kept. Raises ValueError above 24 MB.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".bank-") as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir(mode=0o755)
        for item in items:
            for name, file in item.files.items():
                (new / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(file, new / name)
        table = pa.Table.from_pylist([row(item, frames) for item in items], schema=SCHEMA)
        pq.write_table(table, new / "bank.parquet", compression="zstd")
        text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=120)
        (new / "bank.yaml").write_text(text, encoding="utf-8")
        for other in output.iterdir() if output.is_dir() else ():
            if other.name not in OURS:
                (shutil.copytree if other.is_dir() else shutil.copy2)(other, new / other.name)
        size = sum(file.stat().st_size for file in new.rglob("*") if file.is_file())
        if size > LIMIT:
            raise ValueError(
                f"The bank would take {size / 1e6:.1f} MB, more than the {LIMIT / 1e6:.0f} MB it may have."
            )
        if output.exists():
            output.rename(old)
        new.rename(output)


def _today() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    return now.date().isoformat()


def main(
    config: Annotated[Path, typer.Option(help="Who is rendered: config/bank.yaml.")],
    work: Annotated[Path, typer.Option(help="The folder with the rendered pictures, one folder a kind.")],
    output: Annotated[Path, typer.Option(help="The bank's folder; its pictures and tables are replaced.")],
    date: Annotated[str, typer.Option(help="Date for bank.yaml; else SOURCE_DATE_EPOCH's, else today's.")] = "",
    command: Annotated[str, typer.Option(help="The command that made it, for bank.yaml.")] = "make bank",
) -> None:
    """Pack rendered pictures into the portrait bank: check them, copy them, and write bank.parquet and bank.yaml.

    Nothing is written unless every item of the configuration is there and right.
    """
    settings = casting.read_config(config)
    items = collect(casting.cast(settings), work)
    write_bank(items, settings["frames"], provenance(items, settings, date or _today(), command), output)
    typer.echo(f"{output}: {len(items)} items")


if __name__ == "__main__":
    commands.run(main)
