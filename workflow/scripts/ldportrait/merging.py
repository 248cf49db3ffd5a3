"""Several runs' data sets of one variant made one: the way on where a single run would be too large.

Runs are taken in order of their ids. A portrait that resembles one of an earlier run is left out, and so is one whose
persona is in another split there: no picture is made again, and no persona is in two splits. A tar all of whose
portraits stay is linked, with the checksum that it has, and never read; the others are copied member by member.

Pictures are never decoded and tables are read in parts; what is held of a portrait are its hashes and its split.
"""

import hashlib
import itertools
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ldportrait import assembling, commands, data_card, datasets, duplicates, shards
from ldportrait.columns import SPLITS
from ldportrait.data_card import Tally

PLANNED = ["id", "persona", "split", "phash", "shard"]
ROWS = 20_000  # of a table at a time
PROVENANCE = "provenance"


@dataclass
class Source:
    """A run to be merged: its data set's folder, the run names that its ids begin with, and what stays of it.

    `first` is its first id and `keep` (N,) bool says which rows of its metadata stay.
    """

    run: Path
    folder: Path
    first: str
    names: set[str]
    keep: np.ndarray
    doubles: int = 0
    torn: int = 0


def merge(runs: Sequence[Path], output: Path, variant: str, *, run: str, distance: int) -> tuple[list[Source], Tally]:
    """Write the data set of a variant from those of several runs, whole or not at all; return what became of each.

    Hashes at most `distance` bits apart are the same picture; -1: none is left out. Raises FileNotFoundError or
    ValueError, naming the file, for a run without the data set or its provenance, two runs of one name, and a data set
    that is damaged or from before portraits had a perceptual hash.
    """
    _check_names(runs)
    sources = sorted((_open(run, variant) for run in runs), key=lambda source: source.first)
    _check_ids(sources)
    _choose(sources, distance)
    schema = pa.unify_schemas(
        [_schema(source.folder).remove_metadata() for source in sources], promote_options="permissive"
    )
    tally, digests = Tally(), {}
    with shards.replacing_folder(output) as new:
        counter = {split: itertools.count() for split in SPLITS}
        with pq.ParquetWriter(new / datasets.METADATA, schema, compression="zstd", write_page_checksum=True) as writer:
            for source in sources:
                digests |= _add(source, new, schema, writer, tally, counter)
                _copy_provenance(source, new / PROVENANCE)
        assembling.describe(new, tally, run, digests, _notes(sources))
    return sources, tally


# What is there


def _check_names(runs: Sequence[Path]) -> None:
    twice = [name for name, count in Counter(Path(run).name for run in runs).items() if count > 1]
    if twice:
        raise ValueError(f"Two of the runs to be merged are named {twice[0]}; each needs a name of its own.")


def _open(run: Path, variant: str) -> Source:
    """Read of a run's data set what says who it is."""
    folder = Path(run, "datasets", variant)
    for path in (folder / datasets.METADATA, folder / datasets.CHECKSUMS, Path(run, "provenance.json")):
        if not path.is_file():
            raise FileNotFoundError(f"There is no {path}; {run} is no run with a finished data set {variant}.")
    missing = [name for name in PLANNED if name not in _schema(folder).names]
    if missing:
        raise ValueError(f"{folder / datasets.METADATA} has no column {missing[0]}; assemble the data set again.")
    first, names, count = "", set(), 0
    for table in _read(folder, ["id"]):
        first = first or table.id.iloc[0]
        names |= set(table.id.str.rpartition("-")[0])
        count += len(table)
    return Source(Path(run), folder, first, names, np.ones(count, bool))


def _schema(folder: Path) -> pa.Schema:
    path = folder / datasets.METADATA
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        commands.pass_on(error, path)
        raise ValueError(f"{path} is not a readable Parquet table: {error}") from error


def _read(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield the metadata of a data set in parts."""
    for batch in _batches(folder, columns):
        yield batch.to_pandas()


def _batches(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    path = folder / datasets.METADATA
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS, columns=columns):
                yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException) as error:
        commands.pass_on(error, path)
        raise ValueError(f"{path} is not a readable Parquet table: {error}") from error


def _check_ids(sources: Sequence[Source]) -> None:
    """Ids are the run's name and a number: they are unique if no name comes from two sources."""
    for earlier, later in itertools.combinations(sources, 2):
        if both := earlier.names & later.names:
            raise ValueError(
                f"The ids of {earlier.run} and {later.run} both begin with {min(both)}; runs need names of their own."
            )


# What stays


def _choose(sources: Sequence[Source], distance: int) -> None:
    """Mark what does not stay: what resembles an earlier run's, or has a persona that it has in another split."""
    hashes = np.empty(0, np.uint64)
    people, splits = np.empty(0, np.uint64), np.empty(0, np.uint8)
    for source in sources:
        own, persona, split = _columns(source)
        named = persona != 0
        torn = np.zeros(len(own), bool)
        if len(people):
            place = np.minimum(np.searchsorted(people, persona), len(people) - 1)
            torn = named & (people[place] == persona) & (splits[place] != split)
        double = ~torn & duplicates.resembling(hashes, own, distance)
        source.keep = ~torn & ~double
        source.torn, source.doubles = int(torn.sum()), int(double.sum())
        hashes = np.union1d(hashes, own[source.keep])
        stays = named & source.keep
        people, first = np.unique(np.concatenate([people, persona[stays]]), return_index=True)
        splits = np.concatenate([splits, split[stays]])[first]


def _columns(source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The perceptual hash, the persona's hash (0: unknown) and the split's number of each row of a source."""
    own, persona, split = [], [], []
    for table in _read(source.folder, PLANNED):
        assembling.check_splits(table)
        own.append(duplicates.parse(table.phash))
        persona.append(np.where(table.persona == "", np.uint64(0), data_card.hashes_of(table.persona)))
        split.append(table.split.map(SPLITS.index).to_numpy(np.uint8))
    return np.concatenate(own), np.concatenate(persona), np.concatenate(split)


# What comes out


def _add(
    source: Source,
    output: Path,
    schema: pa.Schema,
    writer: pq.ParquetWriter,
    tally: Tally,
    counter: dict[str, Iterator[int]],
) -> dict[str, str]:
    """Add what stays of a source: rows, then tars. Returns the SHA-256 of the tars that were linked, by new name."""
    names, dropped, start = {}, {}, 0
    for batch in _batches(source.folder):
        table = batch.to_pandas()
        keep = source.keep[start : start + len(table)]
        start += len(table)
        for shard, rows in table[~keep].groupby("shard"):
            dropped.setdefault(shard, set()).update(rows.id)
        for shard, split in table.loc[keep, ["shard", "split"]].drop_duplicates("shard").itertuples(index=False):
            if shard not in names:
                names[shard] = shards.tar_of(Path(split), next(counter[split])).as_posix()
        if not keep.any():
            continue
        kept = batch.filter(pa.array(keep))
        kept = kept.set_column(kept.column_names.index("shard"), "shard", pa.array(table.shard[keep].map(names)))
        kept = _conform(kept, schema)
        writer.write_table(kept)
        tally.add(kept.to_pandas())
    return _add_tars(source, output, names, dropped)


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give a table the columns of the schema; what it lacks is null."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _add_tars(
    source: Source, output: Path, names: dict[str, str], dropped: dict[str, Collection[str]]
) -> dict[str, str]:
    """Link the tars all of whose portraits stay and copy the others without those that do not."""
    known, linked = _checksums(source.folder), {}
    for shard, name in names.items():
        tar, new = datasets.tar_in(source.folder, shard), output / name
        new.parent.mkdir(exist_ok=True)
        if shard in dropped:
            _copy_without(tar, new, dropped[shard])
        elif shard not in known:
            raise ValueError(
                f"{source.folder / datasets.CHECKSUMS} does not list {shard}; assemble the data set again."
            )
        else:
            _link(tar, new)
            linked[name] = known[shard]
    return linked


def _checksums(folder: Path) -> dict[str, str]:
    """Read the list of a data set's checksums: {file: SHA-256}."""
    lines = (folder / datasets.CHECKSUMS).read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _link(file: Path, new: Path) -> None:
    """Link a file under another name; copy it where links are not possible, as between two disks."""
    try:
        os.link(file, new)
    except OSError:
        shutil.copyfile(file, new)


def _copy_without(tar: Path, new: Path, ids: Collection[str]) -> None:
    """Copy a tar without the members of some portraits, one member at a time."""
    try:
        with tarfile.open(tar, "r:") as old, tarfile.open(new, "w", format=tarfile.USTAR_FORMAT) as copy:
            for member in old:
                if member.name.partition(".")[0] not in ids:
                    copy.addfile(member, old.extractfile(member))
    except (tarfile.TarError, OSError, EOFError) as error:
        commands.pass_on(error, new if getattr(error, "errno", None) in commands.FULL else tar)
        raise ValueError(f"{tar} is damaged ({error}); assemble its data set again.") from error


def _copy_provenance(source: Source, folder: Path) -> None:
    """Keep what a run was made with, and what the runs that it was merged from were made with."""
    folder.mkdir(exist_ok=True)
    earlier = source.folder / PROVENANCE
    files = sorted(earlier.glob("*.json")) if earlier.is_dir() else []
    shutil.copyfile(source.run / "provenance.json", folder / f"{source.run.name}.json")
    for file in files:
        shutil.copyfile(file, folder / file.name)


def _notes(sources: Sequence[Source]) -> list[str]:
    """Lines of the data card on the runs: what came from each, what did not, and which state of it was merged."""
    rows = [
        (source.run.name, int(source.keep.sum()), source.doubles, source.torn, _state(source)) for source in sources
    ]
    return [
        "Merged from the data sets of several runs, in this order; ids begin with the run's name. Left out is what",
        "resembles a portrait of an earlier run (by perceptual hash), and whose persona an earlier run has in another",
        f"split. What each run was made with is in `{PROVENANCE}/{{run}}.json`.",
        "",
        *data_card.markdown_table(
            ["run", "portraits", "left out: duplicate", "left out: persona", "its checksums.sha256 (SHA-256)"], rows
        ),
        "",
    ]


def _state(source: Source) -> str:
    return hashlib.sha256((source.folder / datasets.CHECKSUMS).read_bytes()).hexdigest()
