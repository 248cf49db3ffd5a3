"""The assembled data set: written whole from shards and verdicts, read item by item, and cut into nested subsets.

A data set is a folder: `train/ val/ test/` (those that have items) of WebDataset tars with `{id}.rgba.webp` and
`{id}.json`, `metadata.parquet` with a row per portrait, a data card `README.md`, `croissant.json` and
`checksums.sha256`, which comes last and covers all the others. Equal input gives equal bytes.
"""

import contextlib
import hashlib
import json
import math
import tarfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from ldportrait import commands, images, shards
from ldportrait.shards import Item

VARIANTS = {
    "raw": "alpha and colour as generated",
    "refined": "alpha refined by connectivity, colour cleaned",
    "keyed": "alpha and colour of a chroma keyer: the same foreground before a lit green wall, keyed",
    "truth": "exact alpha, colour cleaned as for the refined variant",
}
IMPORTED = "pictures and alpha of another data set; the foreground's colour as given there, else estimated"
SPLITS = ("train", "val", "test")
NEEDED = ("id", "split", "shard", "sha256", "width", "height")
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
    """Yield the table's items in order of id as the variant shows them, with their perceptual hash."""
    for number, rows in table.groupby("source_shard"):
        hashes = dict(zip(rows.id, rows.phash, strict=True))
        for item in shards.read_shard(shard_of(folders[variant], number), hashes):
            row, rgba = item.row | {"phash": hashes[item.row["id"]]}, item.rgba
            if variant == "truth":
                if item.truth is None:
                    raise ValueError(f"The exact alpha of {row['id']} is not known; leave the variant truth out.")
                rgba = np.dstack([rgba[..., :3], item.truth])
            yield Item(row, rgba)


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
    verdicts = shards.read_table(screened)
    if "phash" not in verdicts:
        raise ValueError(f"{screened} has no column phash; screen the portraits again.")
    table = table.merge(verdicts[["id", "phash"]], on="id")
    return write(_items(variant, folders, table), output, variant, run=run, shard_size=shard_size)


def write(items: Iterable[Item], output: Path, variant: str, *, run: str, shard_size: int) -> pd.DataFrame:
    """Write a data set from its items, in order of id, whole or not at all; return its metadata."""
    tally = Tally()
    with shards.replacing_folder(output) as new:
        metadata = pd.DataFrame(_write_tars(items, new, variant, shard_size))
        shards.write_table(metadata, new / METADATA)
        tally.add(metadata)
        describe(new, tally, run)
    return metadata


def _write_tars(items: Iterable[Item], folder: Path, variant: str, size: int) -> list[dict[str, object]]:
    """Write all tars, `size` items each, and return the metadata rows.

    Splits take turns, so a tar of each is open. Time spent is left out of the rows: it would make equal data sets
    differ. A tar does not name itself in its members, so that it can become part of a merged data set as it is.
    """
    rows, written, tars = [], dict.fromkeys(SPLITS, 0), {}
    with contextlib.ExitStack() as opened:
        for item in items:
            picture = shards.encode(item.rgba)
            split = item.row["split"]
            path = shard_of(Path(split), written[split] // size)
            if written[split] % size == 0:
                if split in tars:
                    tars[split].close()
                (folder / split).mkdir(exist_ok=True)
                tar = tarfile.open(folder / path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
                tars[split] = opened.enter_context(tar)
            written[split] += 1
            row = {key: value for key, value in item.row.items() if key != "seconds"}
            row |= {"variant": variant, "sha256": hashlib.sha256(picture).hexdigest()}
            shards.add_member(tars[split], f"{row['id']}.rgba.webp", picture)
            shards.add_member(tars[split], f"{row['id']}.json", shards.member_json(row))
            rows.append(row | {"shard": path.as_posix()})
    return rows


def describe(folder: Path, tally: "Tally", run: str, known: Mapping[str, str] = {}, notes: Sequence[str] = ()) -> None:
    """Write data card, croissant.json and, last, the checksums of a folder that holds tars and metadata.

    `known` has the SHA-256 of files that need not be read again; `notes` are lines of the card on how it was made.
    """
    digests = {path: known.get(path) or _sha256(folder / path) for path in [METADATA, *tally.shards]}
    (folder / CARD).write_text(card(tally, run, notes), encoding="utf-8")
    (folder / CROISSANT).write_text(_croissant(tally, run, digests), encoding="utf-8")
    (folder / CHECKSUMS).write_text(checksums(folder, digests), encoding="utf-8")


def checksums(folder: Path, known: Mapping[str, str] = {}) -> str:
    """List all files of a folder but the list itself, as `sha256sum -c` reads them; `known` ones are not read."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return "".join(f"{known.get(name) or _sha256(path)}  {name}\n" for name, path in names.items())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# Reading


def metadata(folder: Path) -> pd.DataFrame:
    """Read the metadata of a data set: a row per portrait, in order of id.

    Raises FileNotFoundError or ValueError, naming the file, if it lacks what says where a portrait is and what it is.
    """
    path = Path(folder, METADATA)
    table = shards.read_table(path)
    for name in NEEDED:
        if name not in table or table[name].isna().any():
            raise ValueError(f"{path} does not say every portrait's {name}; assemble the data set again.")
    if table.id.duplicated().any():
        twice = table.id[table.id.duplicated()].iloc[0]
        raise ValueError(f"{path} lists {twice} twice; assemble the data set again.")
    return table


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
            commands.pass_on(error, path)
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
COUNTED = {"split", "variant", "backend", "key_source", *ATTRIBUTES}  # columns whose values the card counts


@dataclass
class Tally:
    """What a data card says of a data set, counted table by table, so that the whole need not be held at once.

    `columns` has the kind of each column's values (as numpy's dtype.kind), `values` the counts of each value of the
    columns that the card lists, `shards` the split of each tar, `personas` those of each split, as 64-bit hashes.
    """

    portraits: int = 0
    named: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    values: defaultdict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    shards: dict[str, str] = field(default_factory=dict)
    personas: defaultdict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))

    def add(self, table: pd.DataFrame) -> None:
        """Count the rows of a table of metadata."""
        self.portraits += len(table)
        for name in table:
            kind = table[name].dtype.kind
            # whole numbers that are missing elsewhere are read as floats
            both = {kind, self.columns.get(name, kind)}
            self.columns[name] = kind if len(both) == 1 else "f" if both <= set("iuf") else "O"
        for name in COUNTED & set(table):
            self.values[name].update(table[name].fillna("").value_counts().to_dict())
        self.values["size"].update(zip(table.width, table.height, strict=True))
        self.values["generator"].update(zip(table.backend, table.weights_sha256.fillna(""), strict=True))
        self.shards |= dict(zip(table.shard, table.split, strict=True))
        people = table[table.persona != ""]
        self.named += len(people)
        for split, rows in people.groupby("split"):
            self.personas[split].append(np.unique(hashes_of(rows.persona)))

    @property
    def splits(self) -> list[str]:
        """The splits that have portraits."""
        return [split for split in SPLITS if self.values["split"][split]]

    @property
    def variant(self) -> str:
        """The variant, which all rows share."""
        return next(iter(self.values["variant"]))

    def people(self, split: str) -> int:
        """How many personas a split has."""
        return len(np.unique(np.concatenate(self.personas[split]))) if self.personas[split] else 0


def hashes_of(texts: pd.Series) -> np.ndarray:
    """Return a 64-bit hash of each text, the same in every process, as (N,) uint64."""
    return pd.util.hash_array(texts.to_numpy(object), categorize=False)


def licence_of(backends: Collection[str]) -> Licence:
    """The licence of a data set by its backends: the strictest where there are several."""
    if set(backends) == {"bank"}:
        return LICENCES["bank"]
    if "external" in backends:
        return OTHERS
    return LICENCES["layerdiffuse"] if "layerdiffuse" in backends else OWN


def card(tally: Tally, run: str, notes: Sequence[str] = ()) -> str:
    """Return the data card, Markdown with the front matter that the Hugging Face hub reads."""
    variant, licence, splits = tally.variant, licence_of(tally.values["backend"]), tally.splits
    sizes = sorted(tally.values["size"])
    tars = Counter(tally.shards.values())
    generators = sorted(tally.values["generator"].items())
    counts = [(split, tally.values["split"][split], tally.people(split), tars[split]) for split in splits]
    return "\n".join(
        [
            "---",
            f"license: {licence.name}",
            "task_categories: [image-segmentation]",
            "tags: [matting, portrait, alpha, webdataset]",
            f"size_categories: [{_size_category(tally.portraits)}]",
            "configs:",
            "- config_name: default",
            "  data_files:",
            *(f"  - {{split: {'validation' if split == 'val' else split}, path: {split}/*.tar}}" for split in splits),
            "---",
            "",
            f"# LD-Portrait {run}, {variant} mattes",
            "",
            f"{tally.portraits} portraits as straight (un-premultiplied) RGBA, made by LD-Portrait. "
            f"Variant **{variant}**: {VARIANTS.get(variant, IMPORTED)}."
            + (" All variants of a run hold the same portraits under the same ids." if variant in VARIANTS else ""),
            "",
            *markdown_table(["split", "portraits", "personas", "tars"], counts),
            "",
            "No persona is in two splits"
            + ("." if tally.named == tally.portraits else "; portraits without a known persona cannot be checked.")
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
            *_key_note(tally),
            "## Load it",
            "",
            "```python",
            "import webdataset",
            "",
            f'portraits = webdataset.WebDataset("{next(iter(tally.shards))}", shardshuffle=False).decode("pilrgba")',
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
            *markdown_table(
                ["generator", "weights (SHA-256)", "portraits"],
                [(backend, weights or "none", number) for (backend, weights), number in generators],
            ),
            "",
            *notes,
            *(
                ["Portraits were screened before they came into the data set. The people are imagined adults.", ""]
                if variant in VARIANTS
                else []
            ),
            "## Attributes",
            "",
            *markdown_table(
                ["attribute", "values"],
                [
                    (name.replace("_", " "), _shares(tally.values[name]))
                    for name in ATTRIBUTES
                    if set(tally.values[name]) - {""}
                ],
            ),
            "",
            "## Licence",
            "",
            f"{licence.text}" + (f" <{licence.url}>" if licence.url else ""),
            "",
        ]
    )


def _key_note(tally: Tally) -> list[str]:
    """For the keyed variant, say from which alpha the green shots were composed."""
    if not tally.values["key_source"]:
        return []
    parts = [f"{number} by the {name} alpha" for name, number in tally.values["key_source"].most_common()]
    return [
        "The green shots were composed from the portraits themselves: " + ", ".join(parts) + " (column `key_source`).",
        "",
    ]


def _size_category(count: int) -> str:
    """The Hugging Face hub's name for a number of items."""
    names = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"]
    return next((name for power, name in enumerate(names, 3) if count < 10**power), "1B<n<10B")


def markdown_table(header: list[str], rows: list[tuple]) -> list[str]:
    """Return the lines of a Markdown table."""
    cells = [[str(cell).replace("|", r"\|") for cell in row] for row in [header, ["---"] * len(header), *rows]]
    return [f"| {' | '.join(row)} |" for row in cells]


def _shares(values: Mapping[str, int], most: int = 12) -> str:
    counts = sorted(
        ((str(value) or "unknown", number) for value, number in values.items()), key=lambda p: (-p[1], p[0])
    )
    more = f", {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(f"{value} {number}" for value, number in counts[:most]) + more


# Croissant

FIELD_TYPES = {"b": "BOOLEAN", "i": "INTEGER", "u": "INTEGER", "f": "FLOAT"}


def _croissant(tally: Tally, run: str, digests: Mapping[str, str]) -> str:
    """Describe the data set in Croissant 1.0 (mlcommons.org/croissant), as JSON; `digests` has the files' SHA-256."""
    import mlcroissant as mlc  # takes a second to import, and reading needs it not

    licence, variant = licence_of(tally.values["backend"]), tally.variant
    tars = [
        mlc.FileObject(
            id=path, name=path, content_url=path, encoding_formats=["application/x-tar"], sha256=digests[path]
        )
        for path in sorted(tally.shards)
    ]
    table = mlc.FileObject(
        id=METADATA,
        name=METADATA,
        content_url=METADATA,
        encoding_formats=["application/x-parquet"],
        sha256=digests[METADATA],
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
            data_types=[getattr(mlc.DataType, FIELD_TYPES.get(kind, "TEXT"))],
            source=mlc.Source(file_object=METADATA, extract=mlc.Extract(column=name)),
        )
        for name, kind in tally.columns.items()
    ]
    described = mlc.Metadata(
        name=f"ld-portrait-{run}-{variant}",
        description=f"{tally.portraits} portraits as straight RGBA; {VARIANTS.get(variant, IMPORTED)}.",
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
