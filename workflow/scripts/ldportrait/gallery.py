"""The static page of a run: headline numbers, figures, tables, and a gallery of its portraits.

The page is one HTML file with a folder `gallery/` beside it: thumbnails, and items.js with what the page shows of each
portrait. It needs neither network nor server.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from ldportrait import pictures, shards
from ldportrait.columns import ATTRIBUTES, SPLITS

TEMPLATE = Path(__file__).parent / "gallery.html.jinja"
TOLD_APART = (*ATTRIBUTES, "faults")  # by filters
BASIC = ("id", "folder", "prompt", "persona", "split", "accepted", "reasons", "reviewed", "width", "height")
REFINEMENT = ("removed_background", "filled_foreground", "band")
CHANGE = ["removed_background", "filled_foreground"]
PUBLISHED = "benchmark-"  # what the names of tables with published results begin with
SHOWN = "thumbnails.csv"  # in each shard's folder of thumbnails: their ids
WIDE = 1500  # pixels: figures wider than this take the page's whole width


@dataclass(frozen=True)
class Cell:
    """A cell of a table to show."""

    text: str
    bold: bool = False


# Thumbnails


def write_thumbnails(before: Path, after: Path, ids: set[str], folder: Path, side: int) -> Iterator[str]:
    """Write `id`-before.webp and `id`-after.webp for those items of two shards; yields each id when done.

    Colour is lossy, alpha is not, so that an amplified matte shows the matte and not the code. ValueError where the
    shards do not hold the same items.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for raw, refined in zip(shards.read_shard(before, ids), shards.read_shard(after, ids), strict=True):
        name = str(raw.row["id"])
        if name != refined.row["id"]:
            raise ValueError(f"{after} holds {refined.row['id']} where {before} holds {name}; make the shard again.")
        for word, item in (("before", raw), ("after", refined)):
            picture = Image.fromarray(pictures.fit(item.rgba, side))
            picture.save(folder / f"{name}-{word}.webp", "WEBP", quality=80, alpha_quality=100, method=2)
        yield name


# The data of the gallery


def item_table(manifest: pd.DataFrame, screened: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Join what the page shows of each portrait: manifest of the refined shards, verdicts, and measured numbers.

    Raises ValueError for a portrait without a verdict.
    """
    _check_screened(manifest, screened)
    table = manifest.drop(columns=["split", "persona"], errors="ignore").merge(screened, on="id")
    names = [name for name in measured if name == "id" or name not in table]
    return table.merge(measured[names], on="id", how="left")


def read_run(
    thumbnails: Path, refined: Path, measured: Path, screened: pd.DataFrame, count: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read, a shard at a time, what the page needs: of all portraits the verdict and the change, of those shown all.

    `thumbnails` has a folder for each of the `count` shards. Raises FileNotFoundError or ValueError, naming the file.
    """
    changes, shown, numbers = [], [], []
    for number in range(count):
        tar = shards.tar_of(refined, number)
        manifest = shards.read_manifest(tar)
        changes.append(manifest[["id", *(name for name in CHANGE if name in manifest)]])
        ids = _shown(thumbnails / f"{number:07d}" / SHOWN)
        shown.append(manifest[manifest.id.isin(ids)].assign(folder=f"{number:07d}"))
        table = shards.read_table(measured / f"{tar.stem}.parquet")
        numbers.append(table[table.id.isin(ids)])
    overview = pd.concat(changes, ignore_index=True)
    _check_screened(overview, screened)
    items = item_table(pd.concat(shown, ignore_index=True), screened, pd.concat(numbers, ignore_index=True))
    return screened.merge(overview, on="id"), items


def _shown(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no list of thumbnails at {path}.")
    return pd.read_csv(path, dtype=str).id.tolist()


def _check_screened(manifest: pd.DataFrame, screened: pd.DataFrame) -> None:
    lost = manifest.id[~manifest.id.isin(screened.id)]
    if len(lost):
        raise ValueError(f"{lost.iloc[0]} was made but never screened; run the screening again.")


def number_columns(table: pd.DataFrame) -> list[str]:
    """The columns of numbers to sort by: those of the refinement and whatever was measured."""
    known = {*BASIC, *TOLD_APART, "shard", "seed"}
    numeric = [
        name
        for name in table.select_dtypes("number")
        if name not in known and not pd.api.types.is_bool_dtype(table[name]) and table[name].notna().any()
    ]
    return [name for name in REFINEMENT if name in numeric] + [name for name in numeric if name not in REFINEMENT]


def items_script(table: pd.DataFrame) -> str:
    """The gallery's data as a script that sets window.GALLERY (a file:// page may load a script, but not JSON)."""
    attributes = [name for name in TOLD_APART if name in table and table[name].fillna("").astype(str).ne("").any()]
    numbers = number_columns(table)
    columns = [*BASIC, *attributes, *numbers]
    rows = [[_plain(value) for value in row] for row in table[columns].itertuples(index=False)]
    data = {"columns": columns, "attributes": attributes, "numbers": numbers, "rows": rows}
    return f"window.GALLERY = {json.dumps(data, separators=(',', ':'), allow_nan=False)};\n"


def _plain(value: object) -> object:
    """A value for JSON: numbers with five digits, null for a missing one, text for the rest."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return "" if value is None or value is pd.NA else str(value)


# Headline, figures and tables


def headline(table: pd.DataFrame, variants: pd.DataFrame | None) -> list[dict[str, str]]:
    """The numbers at the head of the page; `variants` is tables/variants.csv, where exact alpha is known."""
    accepted = table[table.accepted]
    share = f"{100 * len(accepted) / len(table):.0f} %" if len(table) else "–"
    numbers = [
        (f"{len(table):,}", "portraits generated"),
        (f"{len(accepted):,}", f"accepted ({share})"),
        (f"{accepted.persona.nunique():,}", "personas among the accepted"),
    ]
    splits = [f"{(accepted.split == name).sum():,}" for name in SPLITS]
    numbers.append((" / ".join(splits), "train / val / test"))
    if set(CHANGE) <= set(table) and len(accepted):
        changed = (accepted.removed_background + accepted.filled_foreground).mean()
        numbers.append((f"{100 * changed:.1f} %", "of the pixels changed by refinement"))
    if variants is not None and not variants.empty:
        rows = variants[(variants.metric == "sad") & (variants.region == "whole")].set_index("variant")["mean"]
        if {"raw", "refined"} <= set(rows.index) and rows["raw"] > 0:
            change = f"{100 * (rows['refined'] / rows['raw'] - 1):+.0f} %".replace("-", "−")
            numbers.append((change, f"SAD to the exact alpha, {rows['raw']:.2f} → {rows['refined']:.2f}"))
    return [{"value": value, "label": label} for value, label in numbers]


def caption(folder: Path | None, name: str) -> str:
    """The one-sentence caption of a figure or table, or nothing."""
    path = Path(folder, f"{name}.rst") if folder else None
    return " ".join(path.read_text(encoding="utf-8").split()).replace("``", "") if path and path.is_file() else ""


def figure_entries(folder: Path, names: Sequence[str], captions: Path | None, page: Path) -> list[dict[str, object]]:
    """What the page needs of each figure; one that moves is a .webp. FileNotFoundError names one that is missing."""
    entries = []
    for name in names:
        png, moving = folder / f"{name}.png", folder / f"{name}.webp"
        shown = moving if moving.is_file() else png
        if not shown.is_file():
            raise FileNotFoundError(f"There is no figure at {png}.")
        with Image.open(shown) as picture:
            width, height = picture.size
        words = caption(captions, name)
        links = {"png": link(shown, page), "pdf": link(png.with_suffix(".pdf"), page) if shown == png else ""}
        entries.append(
            {
                "name": name,
                "caption": words,
                "width": width,
                "height": height,
                "wide": width > WIDE or shown == moving,
                **links,
            }
        )
    return entries


def table_entries(folder: Path, names: Sequence[str], captions: Path | None, page: Path) -> list[dict[str, object]]:
    """What the page needs of each table. FileNotFoundError names one that is missing."""
    entries = []
    for name in names:
        path = folder / f"{name}.md"
        if not path.is_file():
            raise FileNotFoundError(f"There is no table at {path}.")
        stem = link(path.with_suffix(""), page)
        words = caption(captions, f"table_{name}")
        if name.startswith(PUBLISHED):
            words = f"{name.removeprefix(PUBLISHED)}: {caption(captions, 'table_published')}"
        entries.append(
            {"name": name, "caption": words, "stem": stem, **read_markdown(path.read_text(encoding="utf-8"))}
        )
    return entries


def link(path: Path, page: Path) -> str:
    """The relative address of a file as the page links it."""
    return quote(Path(os.path.relpath(path.resolve(), page.resolve().parent)).as_posix())


def read_markdown(text: str) -> dict[str, object]:
    """Read a Markdown table as `ldportrait.tables` writes it: headings, sides, rows of cells, and the note."""
    lines = text.splitlines()
    rows = [_cells(line) for line in lines if line.startswith("|")]
    note = " ".join(line for line in lines if line and not line.startswith("|"))
    sides = ["right" if mark.endswith(":") else "left" for mark in rows[1]]
    cells = [[_cell(text) for text in row] for row in rows[2:]]
    return {"headings": rows[0], "sides": sides, "rows": cells, "note": note}


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _cell(text: str) -> Cell:
    bold = len(text) > 4 and text.startswith("**") and text.endswith("**")
    plain = (text[2:-2] if bold else text).replace("\\*", "*").replace("&lt;", "<")
    return Cell(plain, bold)


# The page


def page_text(
    run: str,
    numbers: Sequence[Mapping[str, str]],
    figures: Sequence[Mapping[str, object]],
    tables: Sequence[Mapping[str, object]],
    sentence: str,
) -> str:
    """Render the page. What is not the template's own is escaped."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    gain = pictures.GAIN
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        run=run,
        headline=numbers,
        figures=figures,
        tables=tables,
        sentence=sentence,
        filters=[("alpha", 1, 0), ("zero", gain, 0), ("one", gain, 1 - gain)],
    )


def sentence(shown: int, total: int) -> str:
    """Say how many portraits the gallery holds."""
    if shown < total:
        return f"{shown:,} of {total:,} portraits, evenly spaced; the others are left out to keep the page small."
    return f"All {total:,} portraits, accepted and rejected."
