"""Prompts: from a grammar, balanced and seeded, or from a user's own file or folder of pictures.

A grammar's row i is computed from its block of 200 rows alone. Within a block the rows that admit the same values of an
attribute share them out by systematic sampling: the k-th of n rows takes the value at (k + offset) / n of the
cumulated shares, in an order that is itself evenly spread (a scrambled van der Corput sequence), so that every value
occurs within one of its expected count, and early rows are balanced too. Attributes are shuffled independently.
"""

import csv
import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml

from ldportrait import commands
from ldportrait.columns import ATTRIBUTES, SPLITS

BLOCK = 200  # rows that are balanced together
ADULT = 18  # years
COLUMNS = ("id", "prompt", "negative_prompt", "seed", "persona", "split", *ATTRIBUTES, "source")
USER_COLUMNS = ("prompt", "negative_prompt", "seed", "persona", "split", *ATTRIBUTES)
PICTURES = (".png", ".tif", ".tiff", ".webp")
TABLES = (".csv", ".parquet")
LONGEST = 10_000  # characters of a prompt; CLIP reads some 300
_CONTROL = re.compile(r"[\0-\x08\x0e-\x1f\x7f]")  # what no text has
_NOT_UTF_8 = re.compile("[\ud800-\udfff]")  # by which Python stands for other bytes in a file's name
_FIELD = re.compile(r"{([a-z_]*)}")
_RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True, eq=False)
class Value:
    """One value of an attribute: its share, its words, what admits it, and further columns that it sets."""

    name: str
    share: float
    words: str
    when: Mapping[str, frozenset[str]]
    also: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Grammar:
    """A checked grammar; `attributes` in the order in which they are drawn."""

    template: str
    phrases: Mapping[str, str]
    attributes: Mapping[str, tuple[Value, ...]]
    details: tuple[tuple[str, ...], ...]

    @property
    def distinct(self) -> int:
        """How many rows the details tell apart: the least common multiple of the lists' lengths."""
        return math.lcm(*(len(words) for words in self.details))


def load_grammar(path: Path | str) -> Grammar:
    """Read a grammar. FileNotFoundError, or ValueError in one sentence naming the file and the key."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no prompt grammar at {path}.")
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}.") from error
    try:
        return parse_grammar(tree)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


class _Loader(yaml.SafeLoader):
    """YAML whose keys must not repeat: the later of two equal keys would win silently."""


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} occurs twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def parse_grammar(tree: object) -> Grammar:
    """Check a grammar's tree. ValueError in one sentence that names the key."""
    tree = _mapping(tree, "the grammar", {"template", "phrases", "attributes", "details"})
    attributes: dict[str, tuple[Value, ...]] = {}
    for name, values in _mapping(tree.get("attributes"), "attributes", set(ATTRIBUTES)).items():
        attributes[name] = _parse_attribute(name, values, attributes)
    also = {column for values in attributes.values() for value in values for column in value.also}
    if both := also & set(attributes):
        raise ValueError(f"attributes.{min(both)} is an attribute of its own, so no `also` can set it.")
    phrases = _mapping(tree.get("phrases", {}), "phrases", None)
    for key, text in {**phrases, "template": tree.get("template")}.items():
        known = {*attributes, *(() if key in phrases else (*phrases, "details"))}
        _check_text(text, f"phrases.{key}" if key in phrases else key, known)
    return Grammar(tree["template"], phrases, attributes, _parse_details(tree.get("details", [])))


def _mapping(tree: object, key: str, known: set[str] | None) -> dict:
    if not isinstance(tree, Mapping) or not all(isinstance(name, str) for name in tree):
        raise ValueError(f"{key} must be a mapping from words, not {tree!r}.")
    unknown = [] if known is None else [name for name in tree if name not in known]
    if unknown:
        raise ValueError(f"{key} has the unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}.")
    return dict(tree)


def _parse_attribute(name: str, tree: object, earlier: Mapping[str, tuple[Value, ...]]) -> tuple[Value, ...]:
    values = []
    for value, settings in _mapping(tree, f"attributes.{name}", None).items():
        key = f"attributes.{name}.{value}"
        settings = _mapping(settings, key, {"share", "words", "when", "also"})
        share, words = settings.get("share", 1), settings.get("words", value)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < math.inf:
            raise ValueError(f"{key}.share must be a number above 0, not {share!r}.")
        _check_text(words, f"{key}.words", set(ATTRIBUTES))
        also = _mapping(settings.get("also", {}), f"{key}.also", set(ATTRIBUTES))
        if not all(isinstance(word, str) for word in also.values()):
            raise ValueError(f"{key}.also must set words, not {also!r}.")
        when = _parse_when(settings.get("when", {}), f"{key}.when", earlier)
        values.append(Value(value, float(share), words, when, also))
        if name == "age":
            _check_age(value, key)
    if not values:
        raise ValueError(f"attributes.{name} has no value.")
    return tuple(values)


def _parse_when(tree: object, key: str, earlier: Mapping[str, tuple[Value, ...]]) -> dict[str, frozenset[str]]:
    when = {}
    for attribute, names in _mapping(tree, key, set(earlier)).items():
        known = {value.name for value in earlier[attribute]}
        if not isinstance(names, list) or not names or not all(name in known for name in names):
            raise ValueError(f"{key}.{attribute} must be a list of {attribute}'s values, not {names!r}.")
        when[attribute] = frozenset(names)
    return when


def _parse_details(tree: object) -> tuple[tuple[str, ...], ...]:
    if not isinstance(tree, list) or not all(isinstance(words, list) and words for words in tree):
        raise ValueError("details must be a list of lists of words.")
    for index, words in enumerate(tree):
        if not all(isinstance(word, str) and word.strip() for word in words) or len(set(words)) < len(words):
            raise ValueError(f"details[{index}] must be different words, each given once.")
    return tuple(tuple(words) for words in tree)


def _check_text(text: object, key: str, fields: set[str]) -> None:
    if not isinstance(text, str):
        raise ValueError(f"{key} must be text, not {text!r}.")
    unknown = [field for field in _FIELD.findall(text) if field not in fields]
    if unknown or re.search(r"[{}]", _FIELD.sub("", text)):
        raise ValueError(f"{key} has an unknown field in braces: {unknown[0] if unknown else text!r}.")


def _check_age(value: str, key: str) -> None:
    match = _RANGE.fullmatch(value)
    if not match or not ADULT <= int(match[1]) <= int(match[2]):
        raise ValueError(f"{key} must be a range of years from {ADULT} up, such as 25-34.")


def grammar_rows(
    grammar: Grammar, seed: int, first: int, count: int, run: str, negative: str, shares: Mapping[str, float]
) -> pd.DataFrame:
    """Return the rows first … first + count - 1 of a grammar, each depending on (seed, grammar, i) alone.

    Raises ValueError where the grammar's details are too few to keep these prompts apart from the others.
    """
    if first + count > grammar.distinct:
        raise ValueError(
            f"The grammar's `details` keep only {grammar.distinct} prompts apart, but {first + count} were asked for;"
            " add words, or lists whose lengths have no common factor."
        )
    rows = []
    for index in range(first, first + count):
        drawn = _block(grammar, seed, index // BLOCK)[index % BLOCK]
        prompt = _word(grammar, drawn, _details(grammar, seed, index))
        attributes = {name: drawn[name][1] for name in grammar.attributes}
        attributes |= {column: word for value, _ in drawn.values() for column, word in value.also.items()}
        rows.append({"prompt": prompt, "negative_prompt": negative, **attributes})
    return _finish(rows, run, first, seed, shares)


@lru_cache(maxsize=8)
def _block(grammar: Grammar, seed: int, block: int) -> list[dict[str, tuple[Value, str]]]:
    """Draw all attributes of a block's rows: per row, {attribute: (value, what goes into its column)}."""
    rows: list[dict[str, tuple[Value, str]]] = [{} for _ in range(BLOCK)]
    for name, values in grammar.attributes.items():
        groups: dict[tuple[Value, ...], list[int]] = {}
        for index, row in enumerate(rows):
            admitted = tuple(v for v in values if all(row[other][0].name in names for other, names in v.when.items()))
            groups.setdefault(admitted, []).append(index)
        for number, (admitted, members) in enumerate(groups.items()):
            if not admitted:
                chosen = ", ".join(value.name for value, _ in rows[members[0]].values())
                raise ValueError(f"attributes.{name} admits no value for {chosen}; add one without `when`.")
            generator = np.random.default_rng([seed, block, zlib.crc32(name.encode()), number])
            for index, (value, rest) in zip(members, _share_out(admitted, len(members), generator), strict=True):
                rows[index][name] = (value, _years(value.name, rest) if name == "age" else value.name)
    return rows


def _share_out(values: Sequence[Value], count: int, generator: np.random.Generator) -> list[tuple[Value, float]]:
    """Give `count` rows values by their shares; with each, where in the value's interval the point fell, in [0, 1)."""
    edges = np.cumsum([value.share for value in values])
    edges /= edges[-1]
    order = np.argsort(np.argsort(_spread(count, generator)))
    points = (order + generator.random()) / count
    found = np.minimum(np.searchsorted(edges, points, side="right"), len(values) - 1)
    low = np.concatenate([[0.0], edges[:-1]])
    rest = (points - low[found]) / (edges[found] - low[found])
    return [(values[index], float(part)) for index, part in zip(found, rest, strict=True)]


def _spread(count: int, generator: np.random.Generator) -> np.ndarray:
    """Owen-scrambled van der Corput numbers (count,) in [0, 1): any leading part of them is evenly spread.

    Owen, "Randomly permuted (t,m,s)-nets and (t,s)-sequences", 1995, in base 2 and one dimension: every bit is flipped
    or not by a coin that depends on the bits above it.
    """
    bits = max(1, math.ceil(math.log2(count))) if count else 1
    index = np.arange(count)
    scrambled = np.zeros(count, np.int64)
    above = np.zeros(count, np.int64)
    for level in range(bits):
        bit = (index >> level) & 1
        flips = generator.integers(0, 2, 1 << level)
        scrambled = 2 * scrambled + (bit ^ flips[above])
        above = 2 * above + bit
    return scrambled / (1 << bits)


def _years(age_range: str, rest: float) -> str:
    low, high = map(int, age_range.split("-"))
    return str(min(high, low + int(rest * (high - low + 1))))


def _details(grammar: Grammar, seed: int, index: int) -> str:
    """Words of row `index`, one of each list: the lists are cycled through, each in an order shuffled by the seed."""
    return ", ".join(
        words[_order(seed, number, len(words))[index % len(words)]] for number, words in enumerate(grammar.details)
    )


@lru_cache(maxsize=64)
def _order(seed: int, number: int, count: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng([seed, 0, number]).permutation(count).tolist())


def _word(grammar: Grammar, drawn: Mapping[str, tuple[Value, str]], details: str) -> str:
    """Fill the template; what is left out takes its comma with it."""
    words = {name: value.words for name, (value, _) in drawn.items()}
    words = {name: _fill(value.words, {**words, name: column}) for name, (value, column) in drawn.items()}
    phrases = {name: _fill(text, words) for name, text in grammar.phrases.items()}
    text = _fill(grammar.template, {**words, **phrases, "details": details})
    parts = [" ".join(part.split()) for part in text.split(",")]
    text = ", ".join(part for part in parts if part)
    return re.sub(r"\b([Aa]) (?=(?:8\d?|11|18)-year|(?!eu|uni|use|one)[aeiou])", r"\1n ", text)


def _fill(text: str, words: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda match: words.get(match[1], ""), text)


def _finish(rows: list[dict], run: str, first: int, seed: int, shares: Mapping[str, float]) -> pd.DataFrame:
    """Add to rows what they do not bring along: id, seed, persona, split, and "" for unknown attributes."""
    for index, row in enumerate(rows, first):
        row["id"] = f"{run}-{index:09d}"
        row["seed"] = row.get("seed", item_seed(seed, index))
        row["persona"] = row.get("persona") or row["id"]
        row["split"] = row.get("split") or split_of(row["persona"], shares)
    table = pd.DataFrame([{column: row.get(column, "") for column in COLUMNS} for row in rows], columns=list(COLUMNS))
    return table.astype({"seed": "int64"})


def item_seed(seed: int, index: int) -> int:
    """Return the seed of one item: a hash of the run's seed and the item's index, in [0, 2**63)."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:8]) >> 1


def split_of(persona: str, shares: Mapping[str, float]) -> str:
    """Return the split of a persona by its hash; `shares` gives those of train and val, and test has the rest."""
    point = int.from_bytes(hashlib.sha256(persona.encode()).digest()[:8]) / 2**64
    if point < shares["train"]:
        return "train"
    return "val" if point < shares["train"] + shares["val"] else "test"


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise ValueError unless the shares of train and val are in [0, 1] and add up to at most 1."""
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"The share of {name} must be in [0, 1], not {share}.")
    if sum(shares.values()) > 1 + 1e-9:
        raise ValueError(f"The shares of {' and '.join(shares)} add up to {sum(shares.values()):g}, more than 1.")


def read_lines(path: Path | str) -> list[str]:
    """Return a line for each prompt of a user's file that tells all the file says of it. Errors as `file_rows`."""
    return [json.dumps(row, sort_keys=True, ensure_ascii=False) for row in _read_rows(_prompt_file(path))]


def file_rows(
    path: Path | str, seed: int, first: int, count: int, run: str, negative: str, shares: Mapping[str, float]
) -> pd.DataFrame:
    """Return the rows first … first + count - 1 of a user's prompts: a text file, a prompt a line, or a CSV or Parquet
    table with a column `prompt` and any of USER_COLUMNS.

    Raises FileNotFoundError, or ValueError in one sentence naming the file and the line, column or value.
    """
    rows = _read_rows(_prompt_file(path))
    _check_range(first, count, len(rows), f"prompts in {path}")
    return _finish(
        [{**row, "negative_prompt": row.get("negative_prompt") or negative} for row in rows[first : first + count]],
        *(run, first, seed, shares),
    )


def repeated(path: Path | str) -> int:
    """Return how many prompts of a user's file say again what an earlier one said."""
    prompts = [row["prompt"] for row in _read_rows(_prompt_file(path))]
    return len(prompts) - len(set(prompts))


def _prompt_file(path: Path | str) -> Path:
    path = Path(path)
    if path.suffix not in (".txt", *TABLES):
        raise ValueError(f"{path} must be a .txt, .csv or .parquet file of prompts.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no prompt file at {path}.")
    return path


def _check_range(first: int, count: int, available: int, what: str) -> None:
    if first + count > available:
        raise ValueError(f"Rows {first} to {first + count - 1} were asked for, but there are only {available} {what}.")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text.") from error


def _lines(path: Path) -> list[str]:
    return _read_text(path).rstrip().split("\n") if _read_text(path).strip() else []


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        commands.pass_on(error, path)
        raise ValueError(f"{path} is not a readable Parquet table: {error}.") from error


def _csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return a CSV's header and its records, each with the line it ends on; blank lines between records are none."""
    reader = csv.reader(_read_text(path).splitlines(keepends=True), strict=True)
    try:
        records = [(reader.line_num, record) for record in reader if record]
    except csv.Error as error:
        raise ValueError(f"{path} is not a valid CSV table, line {reader.line_num}: {error}.") from error
    if not records:
        raise ValueError(f"{path} is empty.")
    return records[0][1], records[1:]


def _read_rows(path: Path) -> list[dict]:
    """Read all rows of a user's file, checked; values are text but for `seed`."""
    if path.suffix == ".txt":
        places, rows = [], []
        for number, line in enumerate(_lines(path), 1):
            places.append(f"line {number}")
            rows.append({"prompt": line.strip()})
        return _checked(path, places, rows)
    if path.suffix == ".csv":
        header, records = _csv(path)
        _check_columns(path, header)
        for line, record in records:
            if len(record) != len(header):
                raise ValueError(f"{path}, line {line}, has {len(record)} fields where the header has {len(header)}.")
        rows = [dict(zip(header, record, strict=True)) for _, record in records]
        return _checked(path, [f"line {line}" for line, _ in records], rows)
    file = _parquet(path)
    _check_columns(path, file.schema_arrow.names)
    rows = file.read().to_pylist()
    return _checked(path, [f"row {number}" for number in range(len(rows))], rows)


def _check_columns(path: Path, names: Iterable[str]) -> None:
    names = list(names)
    unknown = [name for name in names if name not in USER_COLUMNS]
    if unknown:
        raise ValueError(f"{path} has the unknown column {unknown[0]!r}; known are {', '.join(USER_COLUMNS)}.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path} has the column {twice[0]!r} twice.")
    if "prompt" not in names:
        raise ValueError(f"{path} has no column `prompt`.")


def _checked(path: Path, places: list[str], rows: list[dict]) -> list[dict]:
    checked = []
    for place, row in zip(places, rows, strict=True):
        row = {name: "" if value is None else str(value).strip() for name, value in row.items()}
        if not row["prompt"]:
            raise ValueError(f"{path}, {place}: the prompt is empty.")
        for name, value in row.items():
            if len(value) > LONGEST or (found := _CONTROL.search(value)):
                what = f"{len(value):,} characters" if len(value) > LONGEST else f"the character {found[0]!r}"
                raise ValueError(f"{path}, {place}: the {name} has {what}; prompts are text of at most {LONGEST:,}.")
        if row.get("split", "") not in ("", *SPLITS):
            raise ValueError(f"{path}, {place}: split must be one of {', '.join(SPLITS)}, not {row['split']!r}.")
        if row.get("seed", "") == "":
            row.pop("seed", None)
        else:
            row["seed"] = _seed(row["seed"], f"{path}, {place}")
        checked.append(row)
    return checked


def _seed(text: str, place: str) -> int:
    if not re.fullmatch(r"\d{1,40}(\.0+)?", text) or int(text.split(".")[0]) >= 2**63:
        raise ValueError(f"{place}: seed must be a whole number in [0, 2^63), not {text[:80]!r}.")
    return int(text.split(".")[0])


def list_pictures(folder: Path | str) -> list[str]:
    """Return the pictures in a folder and its subfolders, by their relative names with "/", sorted.

    Raises FileNotFoundError if there is no such folder, ValueError if it holds no picture (png, tif, webp) or one whose
    name a manifest could not hold. Hidden files and folders are left out.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of pictures at {folder}.")
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    visible = [name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)]
    if not visible:
        raise ValueError(f"{folder} holds no picture (.png, .tif or .webp).")
    if odd := next((name for name in visible if _NOT_UTF_8.search(name)), None):
        raise ValueError(f"{folder} holds {odd!r}, whose name is not UTF-8; rename it.")
    return sorted(visible)


def picture_rows(
    folder: Path | str, seed: int, first: int, count: int, run: str, negative: str, shares: Mapping[str, float]
) -> pd.DataFrame:
    """Return rows for the pictures first … first + count - 1 of a folder, in the order of `list_pictures`.

    `source` is the picture's relative name; the prompt is the text of a .txt file of the same name, or "".
    """
    names = list_pictures(folder)
    _check_range(first, count, len(names), f"pictures in {folder}")
    rows = []
    for name in names[first : first + count]:
        text = Path(folder, name).with_suffix(".txt")
        prompt = " ".join(_read_text(text).split()) if text.is_file() else ""
        rows.append({"prompt": prompt, "negative_prompt": negative if prompt else "", "source": name})
    return _finish(rows, run, first, seed, shares)
