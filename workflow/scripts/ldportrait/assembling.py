"""Assembling: a data set from shards and verdicts, written whole or not at all. Equal input gives equal bytes.

`datasets` says what lies where; the checksums come last.
"""

import contextlib
import hashlib
import math
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ldportrait import data_card, shards, verdicts
from ldportrait.columns import SPLITS
from ldportrait.data_card import Tally
from ldportrait.datasets import CARD, CHECKSUMS, CROISSANT, METADATA, VARIANTS
from ldportrait.shards import Item

MARGIN = 1.05  # asked for beyond what the acceptance rate says, since it varies


def select(screened: Path, limit: int = 0, minimum: int = 1) -> list[str]:
    """Return the accepted ids in order, `limit` of them at most (0: all).

    With fewer than `limit` or `minimum` accepted, ValueError says how many prompts to ask for, by the rate of
    acceptance.
    """
    ids, total = verdicts.accepted(screened), len(shards.read_table(screened))
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
    """The manifest rows of the given ids, in order of id, with the number of their `shard`."""
    table = shards.read_manifests(folder, count)
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
    for number, rows in table.groupby("shard"):
        hashes = dict(zip(rows.id, rows.phash, strict=True))
        for item in shards.read_shard(shards.tar_of(folders[variant], number), hashes):
            row, rgba = item.row | {"phash": hashes[item.row["id"]]}, item.rgba
            if variant == "truth":
                if item.truth is None:
                    raise ValueError(f"The exact alpha of {row['id']} is not known; leave the variant truth out.")
                rgba = np.dstack([rgba[..., :3], item.truth])
            yield Item(row, rgba)


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
    judged = shards.read_table(screened)
    if "phash" not in judged:
        raise ValueError(f"{screened} has no column phash; screen the portraits again.")
    table = table.merge(judged[["id", "phash"]], on="id")
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
            path = shards.tar_of(Path(split), written[split] // size)
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


def describe(folder: Path, tally: Tally, run: str, known: Mapping[str, str] = {}, notes: Sequence[str] = ()) -> None:
    """Write data card, croissant.json and, last, the checksums of a folder that holds tars and metadata.

    `known` has the SHA-256 of files that need not be read again; `notes` are lines of the card on how it was made.
    """
    from ldportrait import croissant  # only here, since it takes a second to import

    digests = {path: known.get(path) or _sha256(folder / path) for path in [METADATA, *tally.shards]}
    (folder / CARD).write_text(data_card.card(tally, run, notes), encoding="utf-8")
    (folder / CROISSANT).write_text(croissant.describe(tally, run, digests), encoding="utf-8")
    (folder / CHECKSUMS).write_text(checksums(folder, digests), encoding="utf-8")


def checksums(folder: Path, known: Mapping[str, str] = {}) -> str:
    """List all files of a folder but the list itself, as `sha256sum -c` reads them; `known` ones are not read."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return "".join(f"{known.get(name) or _sha256(path)}  {name}\n" for name, path in names.items())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
