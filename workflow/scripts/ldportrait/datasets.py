"""The assembled data set: written whole from shards and verdicts, read item by item, and cut into nested subsets.

A data set is a folder: `train/ val/ test/` (those that have items) of WebDataset tars with `{id}.rgba.webp` and
`{id}.json`, `metadata.parquet` with a row per portrait, a data card `README.md`, `croissant.json` and
`checksums.sha256`, which comes last and covers all the others. Equal input gives equal bytes.
"""

import hashlib
import json
import math
import tarfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from ldportrait import images, shards
from ldportrait.shards import Item

VARIANTS = {
    "raw": "alpha and colour as generated",
    "refined": "alpha refined by connectivity, colour cleaned",
    "keyed": "alpha and colour of a chroma keyer: the same foreground before a lit green wall, keyed",
    "truth": "exact alpha, colour cleaned as for the refined variant",
}
IMPORTED = "pictures and alpha of another data set; the foreground's colour as given there, else estimated"
SPLITS = ("train", "val", "test")
METADATA, CARD, CROISSANT, CHECKSUMS = "metadata.parquet", "README.md", "croissant.json", "checksums.sha256"
MARGIN = 1.05  # asked for beyond what the acceptance rate says, since it varies


def shard_of(folder: Path, number: int) -> Path:
    """Return the path of a stage's or a split's shard by its number."""
    return Path(folder, f"shard-{number:07d}.tar")


# What goes in


def accepted(screened: Path) -> list[str]:
    """Return the accepted ids of a table of verdicts, in order. ValueError names the file if it has no verdicts."""
    verdicts = shards.read_table(screened)
    missing = {"id", "accepted"} - set(verdicts)
    if missing:
        raise ValueError(f"{screened} is not a table of verdicts: it has no column {sorted(missing)[0]}.")
    return sorted(verdicts.id[verdicts.accepted.astype(bool)])


def select(screened: Path, limit: int = 0, minimum: int = 1) -> list[str]:
    """Return the accepted ids in order, `limit` of them at most (0: all).

    With fewer than `limit` or `minimum` accepted, ValueError says how many prompts to ask for, by the rate of
    acceptance.
    """
    ids, total = accepted(screened), len(shards.read_table(screened))
    needed = max(limit, minimum)
    if not ids:
        raise ValueError(f"None of the {total} portraits was accepted; {screened} has the reasons, in column reasons.")
    if len(ids) < needed:
        asked = math.ceil(MARGIN * needed * total / len(ids))
        raise ValueError(
            f"Only {len(ids)} of {total} portraits were accepted, but {needed} are needed; "
            f"set prompts.count to {asked} or more."
        )
    return ids[:limit] if limit else ids


def _rows(folder: Path, count: int, ids: Collection[str]) -> pd.DataFrame:
    """The manifest rows of the given ids, in order of id, with their `source_shard` number."""
    tables = [shards.read_manifest(shard_of(folder, number)).assign(source_shard=number) for number in range(count)]
    table = pd.concat(tables, ignore_index=True)
    table = table[table.id.isin(set(ids))].sort_values("id", ignore_index=True)
    missing = sorted(set(ids) - set(table.id))
    if missing:
        raise ValueError(f"The shards in {folder} do not hold {missing[0]}, which was accepted; make them again.")
    return table


def check_splits(table: pd.DataFrame) -> None:
    """Raise ValueError for an unknown split, and where one persona is in two."""
    unknown = sorted(set(table.split) - set(SPLITS))
    if unknown:
        raise ValueError(f"The split {unknown[0]!r} is none of {', '.join(SPLITS)}.")
    named = table[table.persona != ""]
    splits = named.groupby("persona").split.unique()
    torn = splits[splits.str.len() > 1]
    if len(torn):
        raise ValueError(f"The persona {torn.index[0]} is in the splits {' and '.join(sorted(torn.iloc[0]))}.")


def _items(variant: str, folders: dict[str, Path], table: pd.DataFrame) -> Iterator[Item]:
    """Yield the table's items in order of id as the variant shows them."""
    for number, rows in table.groupby("source_shard"):
        wanted = set(rows.id)
        for item in shards.read_shard(shard_of(folders[variant], number)):
            if item.row["id"] not in wanted:
                continue
            if variant != "truth":
                yield item
            elif item.truth is not None:
                yield Item(item.row, np.dstack([item.rgba[..., :3], item.truth]))
            else:
                raise ValueError(f"The exact alpha of {item.row['id']} is not known; leave the variant truth out.")


# What comes out


def assemble(
    variant: str,
    generated: Path,
    refined: Path,
    keyed: Path,
    screened: Path,
    output: Path,
    *,
    run: str,
    count: int,
    limit: int = 0,
    minimum: int = 1,
    shard_size: int = 100,
) -> pd.DataFrame:
    """Write the data set of a variant from the `count` shards of each stage, whole or not at all; return its metadata.

    Raises ValueError for an unknown variant, too few accepted portraits, a persona in two splits, and for the variant
    truth where an exact alpha is not known.
    """
    if variant not in VARIANTS:
        raise ValueError(f"There is no variant {variant!r}; there is {', '.join(VARIANTS)}.")
    # the truth's colour is the refined one, and the refined shard carries the exact alpha along
    folders = {"raw": generated, "refined": refined, "keyed": keyed, "truth": refined}
    table = _rows(folders[variant], count, select(screened, limit, minimum))
    check_splits(table)
    return write(_items(variant, folders, table), output, variant, run=run, shard_size=shard_size)


def write(items: Iterable[Item], output: Path, variant: str, *, run: str, shard_size: int) -> pd.DataFrame:
    """Write a data set from its items, in order of id, whole or not at all; return its metadata."""
    with shards.replacing_folder(output) as new:
        metadata = pd.DataFrame(_write_tars(items, new, variant, shard_size))
        shards.write_table(metadata, new / METADATA)
        (new / CARD).write_text(card(metadata, run), encoding="utf-8")
        (new / CROISSANT).write_text(_croissant(metadata, run, new), encoding="utf-8")
        (new / CHECKSUMS).write_text(checksums(new), encoding="utf-8")
    return metadata


def _write_tars(items: Iterable[Item], folder: Path, variant: str, size: int) -> list[dict[str, object]]:
    """Write all tars, `size` items each, and return the metadata rows.

    Splits take turns, so each tar is opened anew for every item. Time spent is left out of the rows: it would make
    equal data sets differ.
    """
    rows, written = [], dict.fromkeys(SPLITS, 0)
    for item in items:
        picture = shards.encode(item.rgba)
        split = item.row["split"]
        path = shard_of(Path(split), written[split] // size)
        written[split] += 1
        row = {key: value for key, value in item.row.items() if key != "seconds"}
        row |= {"variant": variant, "shard": path.as_posix(), "sha256": hashlib.sha256(picture).hexdigest()}
        (folder / split).mkdir(exist_ok=True)
        with tarfile.open(folder / path, "a", format=tarfile.USTAR_FORMAT) as tar:
            shards.add_member(tar, f"{row['id']}.rgba.webp", picture)
            shards.add_member(tar, f"{row['id']}.json", shards.member_json(row))
        rows.append(row)
    return rows


def checksums(folder: Path) -> str:
    """List all files of a folder but the list itself, as `sha256sum -c` reads them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    return "".join(f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# Reading


def metadata(folder: Path) -> pd.DataFrame:
    """Read the metadata of a data set: a row per portrait, in order of id."""
    return shards.read_table(Path(folder, METADATA))


def read(folder: Path, split: str, ids: Collection[str] | None = None) -> Iterator[Item]:
    """Yield the portraits of a split in order of id; of those in `ids` alone, if given.

    Raises FileNotFoundError or ValueError, naming the file, for a tar that is missing or not what the metadata says.
    """
    table = metadata(folder)
    table = table[table.split == split]
    if ids is not None:
        table = table[table.id.isin(set(ids))]
    for shard, rows in table.groupby("shard"):
        path = tar_in(folder, shard)
        try:
            with tarfile.open(path, "r:") as archive:
                for row in rows.to_dict("records"):
                    yield Item(row, _picture(archive, row))
        except (tarfile.TarError, OSError, KeyError, EOFError) as error:
            raise ValueError(f"{path} is damaged ({error}); assemble the data set again.") from error


def tar_in(folder: Path, shard: str) -> Path:
    """Return the path of a tar of a data set, as its metadata names it.

    Raises FileNotFoundError if it is missing, ValueError for a name that leads out of the data set.
    """
    name = PurePosixPath(shard)
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{Path(folder, METADATA)} names the tar {shard!r}, which is not within the data set.")
    if not Path(folder, name).is_file():
        raise FileNotFoundError(f"The data set in {folder} has no {shard}; assemble it again.")
    return Path(folder, name)


def _picture(archive: tarfile.TarFile, row: dict[str, object]) -> np.ndarray:
    name = f"{row['id']}.rgba.webp"
    content = shards.content_of(archive, archive.getmember(name))
    if hashlib.sha256(content).hexdigest() != row["sha256"]:
        raise EOFError(f"{row['id']} is not what the metadata says")
    return images.decode(content, "RGBA", f"{name} in {archive.name}")


def subset(ids: Sequence[str], percent: float, seed: int, personas: Sequence[str] | None = None) -> list[str]:
    """Draw `percent` of the ids, at least one, in their given order.

    Subsets of one seed are nested: a smaller one lies in every larger one. With `personas` (one per id), each persona
    is drawn once before any is drawn twice. Raises ValueError for a percentage outside (0, 100].
    """
    if not 0 < percent <= 100:
        raise ValueError(f"A subset is more than 0 and at most 100 percent of the ids, not {percent:g}.")
    drawn = sorted(ids, key=lambda id: hashlib.sha256(f"{seed} {id}".encode()).digest())
    if personas is not None:
        persona = dict(zip(ids, personas, strict=True))
        turns: dict[str, int] = {}
        turn = {}
        for id in drawn:
            turn[id] = turns[persona[id]] = turns.get(persona[id], -1) + 1
        drawn.sort(key=turn.__getitem__)
    kept = set(drawn[: max(1, math.floor(len(ids) * percent / 100 + 0.5))])
    return [id for id in ids if id in kept]


# The data card


@dataclass(frozen=True)
class Licence:
    """What a backend's pictures may be used for: an SPDX-like name, its page, and a sentence."""

    name: str
    url: str
    text: str


LICENCES = {
    "bank": Licence(
        "cc0-1.0",
        "https://creativecommons.org/publicdomain/zero/1.0/",
        "The portraits are renders of the LD-Portrait bank, damaged the way layered diffusion damages its mattes, and "
        "are published under CC0 1.0. No picture shows a real person.",
    ),
    "layerdiffuse": Licence(
        "openrail++",
        "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
        "The portraits were generated by LayerDiffuse on Stable Diffusion XL. The weights are under CreativeML Open "
        "RAIL++-M, whose use-based restrictions (its Attachment A) bind whoever uses the model; they are to be passed "
        "on with the pictures. No prompt names a real person.",
    ),
}
OTHERS = Licence(
    "other",
    "",
    "The pictures and mattes are those of another data set. Its licence holds on; it may forbid to pass them on.",
)
OWN = Licence(
    "other",
    "",
    "The portraits are the user's own pictures; their licence is the user's to state here before the data set is "
    "passed on.",
)
ATTRIBUTES = (
    "gender",
    "age",
    "ancestry",
    "hair_style",
    "hair_length",
    "hair_colour",
    "facial_hair",
    "garment",
    "garment_colour",
    "accessory",
    "pose",
    "expression",
    "framing",
    "light",
)


def licence_of(metadata: pd.DataFrame) -> Licence:
    """The licence of a data set by its backends: the strictest where there are several."""
    backends = set(metadata.backend)
    if backends == {"bank"}:
        return LICENCES["bank"]
    if "external" in backends:
        return OTHERS
    return LICENCES["layerdiffuse"] if "layerdiffuse" in backends else OWN


def card(metadata: pd.DataFrame, run: str) -> str:
    """Return the data card, Markdown with the front matter that the Hugging Face hub reads."""
    variant, licence = metadata.variant.iloc[0], licence_of(metadata)
    splits = [split for split in SPLITS if (metadata.split == split).any()]
    sizes = sorted(set(zip(metadata.width, metadata.height, strict=True)))
    people = metadata[metadata.persona != ""]
    counts = [
        (
            split,
            (metadata.split == split).sum(),
            people[people.split == split].persona.nunique(),
            metadata[metadata.split == split].shard.nunique(),
        )
        for split in splits
    ]
    backends = metadata.groupby(["backend", "weights_sha256"], dropna=False).size()
    return "\n".join(
        [
            "---",
            f"license: {licence.name}",
            "task_categories: [image-segmentation]",
            "tags: [matting, portrait, alpha, webdataset]",
            f"size_categories: [{_size_category(len(metadata))}]",
            "configs:",
            "- config_name: default",
            "  data_files:",
            *(f"  - {{split: {'validation' if split == 'val' else split}, path: {split}/*.tar}}" for split in splits),
            "---",
            "",
            f"# LD-Portrait {run}, {variant} mattes",
            "",
            f"{len(metadata)} portraits as straight (un-premultiplied) RGBA, made by LD-Portrait. Variant **{variant}**"
            f": {VARIANTS.get(variant, IMPORTED)}."
            + (" All variants of a run hold the same portraits under the same ids." if variant in VARIANTS else ""),
            "",
            *_table(["split", "portraits", "personas", "tars"], counts),
            "",
            "No persona is in two splits"
            + ("." if len(people) == len(metadata) else "; portraits without a known persona cannot be checked.")
            + f" Sizes: {', '.join(f'{width} × {height}' for width, height in sizes[:8])}"
            + (f" and {len(sizes) - 8} more." if len(sizes) > 8 else "."),
            "",
            "## What is in it",
            "",
            "`{split}/shard-….tar` are WebDataset tars with `{id}.rgba.webp` (lossless; colour under alpha 0 is kept)",
            "and `{id}.json` (prompt, seed, persona, attributes). `metadata.parquet` has all of that in one table,",
            "with the SHA-256 of each picture; `croissant.json` describes it to machines. Every file is checked by",
            "`sha256sum -c checksums.sha256`.",
            "",
            *_key_note(metadata),
            "## Load it",
            "",
            "```python",
            "import webdataset",
            "",
            f'portraits = webdataset.WebDataset("{metadata.shard.iloc[0]}", shardshuffle=False).decode("pilrgba")',
            "for portrait in portraits:",
            '    picture, row = portrait["rgba.webp"], portrait["json"]  # a PIL picture in mode RGBA, a dict',
            "```",
            "",
            "```python",
            "import datasets  # Hugging Face",
            "",
            f'portraits = datasets.load_dataset("webdataset", data_files={{"{splits[0]}": "{splits[0]}/*.tar"}})',
            f'picture, row = portraits["{splits[0]}"][0]["rgba.webp"], portraits["{splits[0]}"][0]["json"]',
            "```",
            "",
            "Decode with `pilrgba`: plain `pil` and `rgb` drop alpha.",
            "",
            "## How it was made",
            "",
            *_table(
                ["generator", "weights (SHA-256)", "portraits"],
                [(backend, weights or "none", number) for (backend, weights), number in backends.items()],
            ),
            "",
            *(
                ["Portraits were screened before they came into the data set. The people are imagined adults.", ""]
                if variant in VARIANTS
                else []
            ),
            "## Attributes",
            "",
            *_table(
                ["attribute", "values"],
                [
                    (name.replace("_", " "), _shares(metadata[name].fillna("")))
                    for name in ATTRIBUTES
                    if name in metadata and metadata[name].fillna("").ne("").any()
                ],
            ),
            "",
            "## Licence",
            "",
            f"{licence.text}" + (f" <{licence.url}>" if licence.url else ""),
            "",
        ]
    )


def _key_note(metadata: pd.DataFrame) -> list[str]:
    """For the keyed variant, say from which alpha the green shots were composed."""
    if "key_source" not in metadata:
        return []
    counts = metadata.key_source.value_counts().to_dict()
    parts = [f"{number} by the {name} alpha" for name, number in counts.items()]
    return [
        "The green shots were composed from the portraits themselves: " + ", ".join(parts) + " (column `key_source`).",
        "",
    ]


def _size_category(count: int) -> str:
    """The Hugging Face hub's name for a number of items."""
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K")]
    return next((name for bound, name in bounds if count < bound), "100K<n<1M")


def _table(header: list[str], rows: list[tuple]) -> list[str]:
    cells = [[str(cell).replace("|", r"\|") for cell in row] for row in [header, ["---"] * len(header), *rows]]
    return [f"| {' | '.join(row)} |" for row in cells]


def _shares(values: pd.Series, most: int = 12) -> str:
    counts = values.replace("", "unknown").astype(str).value_counts()
    counts = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    more = f", {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(f"{value} {number}" for value, number in counts[:most]) + more


# Croissant

FIELD_TYPES = {"b": "BOOLEAN", "i": "INTEGER", "u": "INTEGER", "f": "FLOAT"}


def _croissant(metadata: pd.DataFrame, run: str, folder: Path) -> str:
    """Describe the data set in Croissant 1.0 (mlcommons.org/croissant), as JSON."""
    import mlcroissant as mlc  # takes a second to import, and reading needs it not

    licence, variant = licence_of(metadata), metadata.variant.iloc[0]
    tars = [
        mlc.FileObject(
            id=path, name=path, content_url=path, encoding_formats=["application/x-tar"], sha256=_sha256(folder / path)
        )
        for path in sorted(metadata.shard.unique())
    ]
    table = mlc.FileObject(
        id=METADATA,
        name=METADATA,
        content_url=METADATA,
        encoding_formats=["application/x-parquet"],
        sha256=_sha256(folder / METADATA),
    )
    pictures = mlc.FileSet(
        id="pictures",
        name="pictures",
        description="The RGBA pictures inside the tars.",
        contained_in=[tar.id for tar in tars],
        encoding_formats=["image/webp"],
        includes=["*.rgba.webp"],
    )
    columns = [
        mlc.Field(
            id=f"portraits/{name}",
            name=name,
            data_types=[getattr(mlc.DataType, FIELD_TYPES.get(metadata[name].dtype.kind, "TEXT"))],
            source=mlc.Source(file_object=METADATA, extract=mlc.Extract(column=name)),
        )
        for name in metadata
    ]
    described = mlc.Metadata(
        name=f"ld-portrait-{run}-{variant}",
        description=f"{len(metadata)} portraits as straight RGBA; {VARIANTS.get(variant, IMPORTED)}.",
        license=[licence.url or licence.name],
        url="https://arxiv.org/abs/2501.16147",
        version="1.0.0",
        cite_as="Lu, Lu, Huang: Efficient Portrait Matte Creation With Layer Diffusion and Connectivity Priors.",
        distribution=[table, *tars, pictures],
        record_sets=[
            mlc.RecordSet(
                id="portraits", name="portraits", description="A row per portrait.", key="portraits/id", fields=columns
            ),
            mlc.RecordSet(
                id="mattes",
                name="mattes",
                description="The pictures, by id.",
                key="mattes/id",
                fields=[
                    mlc.Field(
                        id="mattes/id",
                        name="id",
                        data_types=[mlc.DataType.TEXT],
                        references=mlc.Source(field="portraits/id"),
                        source=mlc.Source(
                            file_set="pictures",
                            extract=mlc.Extract(file_property=mlc.FileProperty.filename),
                            transforms=[mlc.Transform(regex=r"^(?:.*/)?([^./]+)\.rgba\.webp$")],
                        ),
                    ),
                    mlc.Field(
                        id="mattes/rgba",
                        name="rgba",
                        data_types=[mlc.DataType.IMAGE_OBJECT],
                        source=mlc.Source(
                            file_set="pictures", extract=mlc.Extract(file_property=mlc.FileProperty.content)
                        ),
                    ),
                ],
            ),
        ],
    )
    return json.dumps(described.to_json(), indent=1, ensure_ascii=False, default=str) + "\n"
