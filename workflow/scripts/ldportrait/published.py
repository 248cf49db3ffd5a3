"""Published results and ours in one table, with what one must know to compare them.

Rows are put together by the protocol and region that they were measured by, and only such rows are to be compared,
with an eye on what each method was given. A row of ours is there if the score tables hold it: of pictures one for each
network, of clips one for each way of matting video.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml

from ldportrait import benchmarks, scores, tables, tables_video
from ldportrait.columns import TRIMAP_BASED

# What the columns print, and the factor from the value of the definition (sums in thousands, means as they are).
COLUMNS = {
    **scores.METRICS,
    "dtssd": scores.Metric("dtSSD", "×10²", 1e2),
    "messddt": scores.Metric("MESSDdt", "×10⁴", 1e4),
    "fgr_mse": scores.Metric("Fgr MSE", "×10³", 1e3),
    "fgr_mad": scores.Metric("Fgr MAD", "×10³", 1e3),
}
# What a protocol's own tables print, as multiples of the value of the definition. P3M's sum / 10 is of a kernel of its
# own, which makes it as large as the sums / 1000 of others.
UNITS = {
    "sum": 1e3,
    "sum / 1000": 1,
    "sum / 10": 1,
    "mean": 1,
    "mean × 10²": 1e2,
    "mean × 10³": 1e3,
    "mean × 10⁴": 1e4,
}
REGIONS = ("whole", "unknown", "detail", "unstated")
SOURCES = {"R": "read in the paper or its repository", "S": "second-hand"}
# What a method gets besides the picture or the frames: a trimap or a mask of each frame, or a mask of the first alone.
GIVEN = ("nothing", "trimap", "mask", "box", "first mask", "clean background", "unstated")
REQUIRED = ("benchmark", "protocol", "region", "given", "paper", "source", "metrics", "methods")
OPTIONAL = ("table", "removed", "contaminated", "note")
CONTAMINATED, PARTIAL, INCOMPARABLE, SECOND_HAND = "†‡§¶"
LEGEND = {
    CONTAMINATED: "trained on pictures of this benchmark",
    PARTIAL: "not on all of its {what}",
    INCOMPARABLE: "no row of the other side has this protocol and region, so that it is not to be compared with it",
    SECOND_HAND: "number known second-hand, not read where it stands",
}
OURS = "ours"
FRAMES = (
    ", of each the mean over its frames (averaging over clips first, as RVM's sheets do, is the same for clips of one "
    "length)"
)


@dataclass(frozen=True)
class Paper:
    """Where a number stands."""

    title: str
    authors: str
    year: int
    arxiv: str = ""
    doi: str = ""

    @property
    def short(self) -> str:
        """As a table names it: `Yao et al. 2023`."""
        return f"{self.authors} {self.year}"


@dataclass(frozen=True)
class Protocol:
    """What a protocol is, and the unit of each metric that its tables print."""

    about: str
    units: Mapping[str, str]

    def factor(self, metric: str) -> float:
        """From a value of this protocol to what the metric's column prints."""
        return COLUMNS[metric].factor / UNITS[self.units[metric]]


@dataclass(frozen=True)
class Estimate:
    """A value in its column's unit, with the ends of its 95 % interval if it is ours."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def text(self) -> str:
        """As a cell shows it."""
        if math.isnan(self.low):
            return f"{self.value:g}"
        half = (self.high - self.low) / 2
        return tables.plus_minus(self.value, half, tables.decimals([half]))


@dataclass(frozen=True)
class Row:
    """A method's errors on a benchmark by one protocol in one region; `paper` is None for ours.

    `items` are pictures or clips; `seeds` is 0 for clips, which are matted by one model of each kind.
    """

    benchmark: str
    protocol: str
    region: str
    given: str
    method: str
    values: Mapping[str, Estimate]
    paper: Paper | None = None
    source: str = ""
    table: str = ""
    removed: int = 0
    contaminated: str = ""
    note: str = ""
    items: int = 0
    seeds: int = 0


@dataclass(frozen=True)
class Published:
    """What a file of published results holds; `contamination` has sentences by benchmark."""

    protocols: Mapping[str, Protocol]
    contamination: Mapping[str, Sequence[str]]
    rows: Sequence[Row] = field(default_factory=tuple)


def read(path: Path) -> Published:
    """Read a file of published results. FileNotFoundError or ValueError, naming file and entry, in one sentence."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of published results at {path}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable YAML: {error}.") from error
    sections = {"protocols": Mapping, "papers": Mapping, "contamination": Mapping, "results": Sequence}
    _keys(content, tuple(sections), (), str(path))
    for name, kind in sections.items():
        if not isinstance(content[name], kind) or isinstance(content[name], str):
            raise ValueError(f"{path}: {name} must be a {'list' if kind is Sequence else 'section with keys'}.")
    protocols = {name: _protocol(about, f"{path}: protocol {name}") for name, about in content["protocols"].items()}
    papers = {name: _paper(about, f"{path}: paper {name}") for name, about in content["papers"].items()}
    for benchmark, sentences in content["contamination"].items():
        _one_of(benchmark, benchmarks.NAMES, "benchmark", f"{path}: contamination")
        if not isinstance(sentences, list) or not all(isinstance(sentence, str) for sentence in sentences):
            raise ValueError(f"{path}: contamination of {benchmark} must be a list of sentences.")
    rows = [
        row
        for number, entry in enumerate(content["results"], start=1)
        for row in _rows(entry, protocols, papers, f"{path}: result {number}")
    ]
    seen = set()
    for row in rows:
        key = (row.benchmark, row.protocol, row.region, row.given, row.method, row.paper)
        if key in seen:
            where = f"{row.benchmark} by {row.protocol}, {row.region}, given {row.given}"
            raise ValueError(f"{path}: {row.method} on {where}, is there twice.")
        seen.add(key)
    return Published(protocols, content["contamination"], tuple(rows))


def _keys(entry: object, required: Sequence[str], optional: Sequence[str], where: str) -> None:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} must be a section with keys, not {entry!r}.")
    for key in required:
        if key not in entry:
            raise ValueError(f"{where} has no key {key}.")
    for key in entry:
        if key not in (*required, *optional):
            raise ValueError(f"{where} has the unknown key {key!r}; known are {', '.join((*required, *optional))}.")


def _one_of(value: object, known: Sequence[str], what: str, where: str) -> None:
    if value not in known:
        raise ValueError(f"{where}: there is no {what} {value!r}; there is {', '.join(map(str, known))}.")


def _protocol(entry: object, where: str) -> Protocol:
    _keys(entry, ("about", "units"), (), where)
    if not isinstance(entry["units"], Mapping):
        raise ValueError(f"{where}: units must be a section with a unit for each metric.")
    for metric, unit in entry["units"].items():
        _one_of(metric, tuple(COLUMNS), "metric", where)
        _one_of(unit, tuple(UNITS), "unit", where)
    return Protocol(str(entry["about"]), dict(entry["units"]))


def _paper(entry: object, where: str) -> Paper:
    _keys(entry, ("title", "authors", "year"), ("arxiv", "doi"), where)
    for key, kind in {"title": str, "authors": str, "year": int, "arxiv": str, "doi": str}.items():
        if not isinstance(entry.get(key, kind()), kind):
            raise ValueError(
                f"{where}: {key} must be a {'whole number' if kind is int else 'text'}, not {entry[key]!r}."
            )
    return Paper(**entry)


def _rows(entry: object, protocols: Mapping, papers: Mapping, where: str) -> Iterator[Row]:
    """Yield the rows of an entry in `results`."""
    _keys(entry, REQUIRED, OPTIONAL, where)
    _one_of(entry["benchmark"], benchmarks.NAMES, "benchmark", where)
    _one_of(entry["protocol"], tuple(protocols), "protocol", where)
    _one_of(entry["region"], REGIONS, "region", where)
    _one_of(entry["given"], GIVEN, "value of given", where)
    _one_of(entry["paper"], tuple(papers), "paper", where)
    _one_of(entry["source"], tuple(SOURCES), "source", where)
    protocol, metrics, removed = protocols[entry["protocol"]], entry["metrics"], entry.get("removed", 0)
    if not isinstance(metrics, list) or not isinstance(entry["methods"], Mapping) or not entry["methods"]:
        raise ValueError(f"{where}: metrics must be a list, and methods a section with a list of values for each.")
    if not isinstance(removed, int) or removed < 0:
        raise ValueError(f"{where}: removed must be a number of items, not {removed!r}.")
    for metric in metrics:
        _one_of(metric, tuple(protocol.units), f"metric of the protocol {entry['protocol']} called", where)
    common = {key: entry[key] for key in ("benchmark", "protocol", "region", "given", "source")}
    common |= {key: str(entry[key]) for key in ("table", "contaminated", "note") if key in entry}
    for method, values in entry["methods"].items():
        if not isinstance(values, list) or len(values) != len(metrics):
            raise ValueError(f"{where}: {method} must have {len(metrics)} values, for {', '.join(metrics)}.")
        found = {}
        for metric, value in zip(metrics, values, strict=True):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"{where}: {metric} of {method} must be a number of at least 0, not {value!r}.")
            found[metric] = Estimate(round(value * protocol.factor(metric), 6))
        yield Row(**common, method=str(method), values=found, paper=papers[entry["paper"]], removed=removed)


def read_ours(
    folder: Path, benchmark: str, protocols: Mapping[str, Protocol], networks: Sequence[str] = ()
) -> list[Row]:
    """Read our rows on a benchmark from its score tables in `folder`; there may be none.

    Those of pictures are in `folder`/benchmark, those of clips in `folder`/video/benchmark. `networks` are those to
    show, all if there are none; of clips every method is shown.

    Raises FileNotFoundError without the folder, ValueError, naming the file, for a table of something else or with a
    protocol that `protocols` does not describe, and for a value that is there twice.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"There is no folder of scores at {folder}.")
    video = benchmarks.get(benchmark).KIND == "video"
    found = []
    for path in sorted(Path(folder, "video" if video else "", benchmark).rglob("*.parquet")):
        table = _read_clips(path) if video else scores.read(path, protocol=None)
        table = table[table.benchmark == benchmark]
        for protocol in table.protocol.unique():
            _one_of(protocol, tuple(protocols), "protocol", str(path))
        found.append(table[table.model.isin(networks)] if networks and not video else table)
    if not found:
        return []
    table = pd.concat(found, ignore_index=True)
    table = table[table.region.isin(REGIONS) & table.metric.isin(list(COLUMNS))]
    keys = ["method"] * video + ["model", "variant", "fraction", "protocol", "region"]
    groups = [(dict(zip(keys, values, strict=True)), group) for values, group in table.groupby(keys, sort=False)]
    if video:
        order = scores.in_method_order(table.method)
        groups.sort(key=lambda group: order.index(group[0]["method"]))
    return [_our_row(names, group, benchmark, protocols[names["protocol"]]) for names, group in groups]


def _read_clips(path: Path) -> pd.DataFrame:
    """Read a score table of clips with all its protocols, each clip's value being the mean over its frames."""
    table = scores.read_video([path], protocol=None)
    keys = [name for name in scores.VIDEO_TYPES if name not in ("frame", "value")]
    twice = table[table.duplicated([*keys, "frame"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(f"{path} holds {row.metric} of {row['item']}, frame {row.frame}, more than once.")
    return table.groupby(keys, sort=False, as_index=False)["value"].mean()


def _our_row(names: Mapping[str, object], group: pd.DataFrame, benchmark: str, protocol: Protocol) -> Row:
    """Average a method's scores over seeds and items; an item that a seed lacks, or that has no value, is left out."""
    video = "method" in names
    method, given = _of_clips(names) if video else _of_pictures(names)
    values, items, seeds = {}, [], []
    for metric, rows in group.groupby("metric", sort=False):
        if rows.duplicated(["seed", "item"]).any():
            raise ValueError(f"The scores of {method} on {benchmark} hold {metric} of an item more than once.")
        if metric not in protocol.units:
            raise ValueError(f"The scores of {method} hold {metric}, which the protocol {names['protocol']} has not.")
        wide = rows.pivot(index="seed", columns="item", values="value").dropna(axis="columns")
        if wide.empty:
            continue
        found = scores.estimate(wide.to_numpy() * protocol.factor(metric))
        values[metric] = Estimate(found.mean, found.low, found.high)
        items.append(found.items)
        seeds.append(found.seeds)
    fewest = {"items": min(items, default=0), "seeds": 0 if video else min(seeds, default=0)}  # a gap in one is a gap
    return Row(benchmark, names["protocol"], names["region"], given, method, values, source=OURS, **fewest)


def _of_pictures(names: Mapping[str, object]) -> tuple[str, str]:
    """What a network's row is called, and what the network was given."""
    share = "" if names["fraction"] == 100 else f", {names['fraction']} %"
    given = "trimap" if names["model"] in TRIMAP_BASED else "nothing"
    return f"{names['model']}, {names['variant']}{share}", given


def _of_clips(names: Mapping[str, object]) -> tuple[str, str]:
    """What a way of matting video is called, and what it was given: all but the bound make their own trimaps."""
    method, model = names["method"], names["model"]
    return f"{method}, {model}" if model else method, "trimap" if method == tables_video.BOUND else "nothing"


def tabulate(
    published: Published, ours: Sequence[Row], benchmark: str, note: str = ""
) -> tuple[pd.DataFrame, tables.Table]:
    """Set published rows and ours beside each other: the numbers, one row a value, and the table.

    Rows are grouped by protocol and region, published ones first. ValueError where there is neither.
    """
    theirs = [row for row in published.rows if row.benchmark == benchmark]
    if not theirs and not ours:
        raise ValueError(f"There are neither published results on {benchmark} nor scores of ours.")
    everything = [*theirs, *ours]
    groups = list(dict.fromkeys((row.protocol, row.region) for row in everything))
    rows = [row for group in groups for row in everything if (row.protocol, row.region) == group]
    metrics = [name for name in COLUMNS if any(name in row.values for row in rows)]
    marks = [_marks(row, theirs, ours) for row in rows]
    numbers = [number for row, mark in zip(rows, marks, strict=True) for number in _numbers(row, mark)]
    lines = [
        [
            f"{row.method} {mark}".strip(),
            row.given,
            row.paper.short if row.paper else OURS,
            row.protocol,
            row.region,
            *(row.values[name].text if name in row.values else "–" for name in metrics),
        ]
        for row, mark in zip(rows, marks, strict=True)
    ]
    starts = {place for place in range(1, len(rows)) if _group(rows[place]) != _group(rows[place - 1])}
    heads = ["method", "given", "from", "protocol", "region", *(COLUMNS[name].title for name in metrics)]
    words = _note(published, rows, marks, benchmark, note)
    return pd.DataFrame(numbers), tables.Table(heads, lines, 5, rules=frozenset(starts), note=words)


def _group(row: Row) -> tuple[str, str]:
    return row.protocol, row.region


def _complete(row: Row) -> bool:
    """Whether a row is over all items of its benchmark."""
    count = benchmarks.get(row.benchmark).COUNTS.get("test")
    return not row.removed if row.paper else count in (None, row.items)


def _marks(row: Row, theirs: Sequence[Row], ours: Sequence[Row]) -> str:
    others = {_group(other) for other in (ours if row.paper else theirs)}
    given = {
        CONTAMINATED: bool(row.contaminated),
        PARTIAL: not _complete(row),
        INCOMPARABLE: bool(others) and _group(row) not in others,
        SECOND_HAND: row.source == "S",
    }
    return "".join(mark for mark, true in given.items() if true)


def _numbers(row: Row, marks: str) -> Iterator[dict[str, object]]:
    paper = row.paper or Paper("", "", 0)
    about = {"paper": paper.title, "authors": paper.authors, "year": paper.year or "", "arxiv": paper.arxiv}
    about |= {"doi": paper.doi, "table": row.table, "source": row.source, "removed": row.removed}
    about |= {"contaminated": row.contaminated, "note": row.note}
    for metric in COLUMNS:
        if metric in row.values:
            found = row.values[metric]
            named = {key: getattr(row, key) for key in ("benchmark", "method", "given", "protocol", "region")}
            named |= {"metric": metric, "unit": COLUMNS[metric].unit, "value": found.value}
            named |= {"low": found.low, "high": found.high, "items": row.items or "", "seeds": row.seeds or ""}
            yield named | {"marks": marks} | about


def _note(published: Published, rows: Sequence[Row], marks: Sequence[str], benchmark: str, note: str) -> str:
    """The small print: what compares, the marks that occur, the protocols, and what is known of single rows."""
    module = benchmarks.get(benchmark)
    video = module.KIND == "video"
    what = "clips" if video else "items"
    ours = [row for row in rows if not row.paper]
    sentences = [f"{module.TITLE}. Only rows of one protocol and region are to be compared."]
    if ours:
        items, seeds = max(row.items for row in ours), max(row.seeds for row in ours)
        sentences.append(f"Ours: mean ± half the {scores.spread(items, seeds, what)}{FRAMES if video else ''}.")
    else:
        sentences.append("None of ours was run on it.")
    if video and ours:
        used = scores.in_method_order({row.method.partition(",")[0] for row in ours})
        sentences.append(
            "; ".join(f"{name}: {tables_video.WORDS.get(name, 'a method of yours')}" for name in used) + "."
        )
    sentences += [f"{mark} {words.format(what=what)}." for mark, words in LEGEND.items() if mark in "".join(marks)]
    count = module.COUNTS.get("test")
    for row in rows:
        of = f"{row.method} ({row.paper.short if row.paper else OURS})"
        sentences += [f"{of}: {row.removed} of {count} {what} left out by the authors."] if row.removed else []
        sentences += [f"{of}: {row.items} of {count} {what}."] if row in ours and not _complete(row) else []
        sentences += [f"{of}: {row.contaminated}."] if row.contaminated else []
        sentences += [f"{of}: {row.note}."] if row.note else []
    sentences += published.contamination.get(benchmark, [])
    used = list(dict.fromkeys(row.protocol for row in rows))
    sentences.append("Protocols: " + "; ".join(f"{name}, {published.protocols[name].about}" for name in used) + ".")
    return " ".join([*sentences, note] if note else sentences)
