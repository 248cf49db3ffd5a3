"""A data set on disk: its layout, and how it is read and cut into nested subsets.

A data set is a folder: `train/ val/ test/` (those that have items) of WebDataset tars with `{id}.rgba.webp` and
`{id}.json`, `metadata.parquet` with a row per portrait, a data card `README.md`, `croissant.json` and
`checksums.sha256`, which covers all the others. `assembling` writes it.
"""

import hashlib
import math
import tarfile
from collections.abc import Collection, Iterator, Sequence
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
NEEDED = ("id", "split", "shard", "sha256", "width", "height")
METADATA, CARD, CROISSANT, CHECKSUMS = "metadata.parquet", "README.md", "croissant.json", "checksums.sha256"


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
