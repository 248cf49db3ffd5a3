"""Tables for people: the same cells as Markdown and LaTeX (booktabs), and the numbers behind them as CSV."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ldportrait import scores, shards

DECIMALS = 4  # more would be noise
TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "³": r"$^3$",
        "−": r"$-$",
        "–": "--",
        "Δ": r"$\Delta$",
        "<": r"$<$",
        ">": r"$>$",
        "²": r"$^2$",
        "⁴": r"$^4$",
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "§": r"\S{}",
        "¶": r"\P{}",
    }
)


@dataclass(frozen=True)
class Table:
    """Rows of texts under headings; the first `labels` columns are names, the others numbers.

    `bold` holds the (row, column) places of the best cells, `rules` the rows that a line goes before.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int = 1
    bold: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    rules: frozenset[int] = field(default_factory=frozenset)
    note: str = ""


def decimals(halves: Iterable[float]) -> int:
    """How many decimals show two digits of the smallest half-interval that is not 0, at most DECIMALS."""
    positive = [half for half in halves if half > 0]
    return min(DECIMALS, max(0, 1 - math.floor(math.log10(min(positive))))) if positive else 2


def plus_minus(mean: float, half: float, digits: int, signed: bool = False) -> str:
    """Write a mean and its half-interval, as in `12.3 ± 0.4`."""
    sign = "+" if signed else ""
    return f"{mean:{sign}.{digits}f} ± {half:.{digits}f}".replace("-", "−")


def markdown(table: Table) -> str:
    """Write a table as Markdown, its note as a paragraph below."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    def cell(row: int, column: int, text: str) -> str:
        escaped = text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
        return f"**{escaped}**" if (row, column) in table.bold else escaped

    heads = [text.replace("|", "\\|") for text in table.headings]
    marks = [":--" if column < table.labels else "--:" for column in range(len(heads))]
    body = [line(cell(r, c, text) for c, text in enumerate(cells)) for r, cells in enumerate(table.rows)]
    lines = [line(heads), line(marks), *body]
    return "\n".join([*lines, "", table.note] if table.note else lines) + "\n"


def latex(table: Table) -> str:
    """Write a table as a LaTeX tabular with booktabs rules, its note in small print as the last row."""
    columns = "l" * table.labels + "r" * (len(table.headings) - table.labels)
    lines = ["% needs \\usepackage{booktabs}", f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
    lines += [_tex_row(table.headings), "\\midrule"]
    for row, cells in enumerate(table.rows):
        if row in table.rules:
            lines.append("\\midrule")
        lines.append(_tex_row(cells, {column for line, column in table.bold if line == row}))
    lines.append("\\bottomrule")
    if table.note:
        width = f"\\multicolumn{{{len(table.headings)}}}{{p{{0.95\\linewidth}}}}"
        lines.append(f"{width}{{\\footnotesize {table.note.translate(TEX)}}} \\\\")
    return "\n".join([*lines, "\\end{tabular}"]) + "\n"


def _tex_row(cells: Sequence[str], bold: Iterable[int] = ()) -> str:
    texts = [text.translate(TEX) for text in cells]
    texts = [rf"\textbf{{\boldmath {text}}}" if column in bold else text for column, text in enumerate(texts)]
    return " & ".join(texts) + r" \\"


def write(stem: Path, numbers: pd.DataFrame, table: Table) -> None:
    """Write `stem`.csv (the numbers), `stem`.md and `stem`.tex (the table), each whole or not at all."""
    texts = {"csv": numbers.to_csv(index=False, lineterminator="\n"), "md": markdown(table), "tex": latex(table)}
    for suffix, text in texts.items():
        with shards.replacing(Path(f"{stem}.{suffix}")) as temporary:
            temporary.write_text(text, encoding="utf-8")


def screening(screened: pd.DataFrame) -> tuple[pd.DataFrame, Table]:
    """Count verdicts and reasons by split: the numbers, and the table with shares of what was screened."""
    splits = [name for name in ("train", "val", "test") if (screened.split == name).any()]
    groups = {**{name: screened[screened.split == name] for name in splits}, "all": screened}
    names = screened.reasons[~screened.accepted].str.split(",").explode().str.strip()
    reasons = (
        names[names.fillna("") != ""].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    )
    rows = []
    for split, group in groups.items():
        lists = group.reasons.fillna("").str.split(",").apply(lambda found: {name.strip() for name in found})
        counts = {("screened", ""): len(group), ("accepted", ""): int(group.accepted.sum())}
        counts |= {("rejected", ""): int((~group.accepted).sum())}
        counts |= {
            ("rejected", name): int((lists.apply(lambda s, n=name: n in s) & ~group.accepted).sum()) for name in reasons
        }
        for (verdict, reason), count in counts.items():
            share = count / len(group) if len(group) else float("nan")
            rows.append({"split": split, "verdict": verdict, "reason": reason, "count": count, "share": share})
    numbers = pd.DataFrame(rows, columns=["split", "verdict", "reason", "count", "share"])
    lines = []
    for (verdict, reason), found in numbers.groupby(["verdict", "reason"], sort=False):
        label = f"– {reason.replace('_', ' ')}" if reason else verdict
        cells = [
            f"{row.count_}" if verdict == "screened" or not row.count_ else f"{row.count_} ({100 * row.share:.1f} %)"
            for row in found.rename(columns={"count": "count_"}).itertuples()
        ]
        lines.append([label, *cells])
    note = "Shares are of the portraits screened in the same column."
    note += " A portrait may be rejected for several reasons." if len(reasons) else ""
    return numbers, Table(["", *groups], lines, note=note)


def _note(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _spread(summary: pd.DataFrame, what: str = "benchmark pictures") -> str:
    """What the intervals of a summary are over; the number of seeds may differ between models."""
    most = int(summary.seeds.max())
    sentence = f"Mean ± half the {scores.spread(int(summary['items'].max()), most if summary.model.any() else 0, what)}"
    fewer = list(dict.fromkeys(summary.model[summary.seeds < most]))
    return sentence + (f" (over fewer seeds for {', '.join(fewer)})" if fewer else "") + "."


def _region(region: str) -> str:
    name = scores.REGIONS[region]
    return f"{name[0].upper()}{name[1:]}."


def of_variants(table: pd.DataFrame, metrics: Sequence[str], note: str = "") -> tuple[pd.DataFrame, Table]:
    """The errors of the data set's mattes by region and variant: the numbers, and the table."""
    regions = [region for region in scores.REGIONS if (table.region == region).any()]
    summary = pd.concat(
        [scores.summarise(table, metrics, region) for region in regions or ["whole"]], ignore_index=True
    )
    if summary.empty:
        sentence = "No exact alpha is known for this data set, so that its mattes have no error to list."
        return summary, Table(
            ["mattes", *(scores.METRICS[name].title for name in metrics)], [], note=_note(sentence, note)
        )
    words = _note(_spread(summary, "accepted portraits"), note)
    return summary.assign(note=note), errors(summary, metrics, ["region", "variant"], words)


def of_models(
    table: pd.DataFrame, metrics: Sequence[str], region: str, reference: str, note: str = ""
) -> tuple[pd.DataFrame, Table]:
    """The errors of models by network and variant: the numbers in all regions, and the table in one."""
    summary = _all_regions(table, metrics, reference)
    shown = summary[summary.region == region]
    words = "" if shown.empty else _note(_region(region), _spread(shown))
    if reference in set(shown.variant) and shown.variant.nunique() > 1:
        words += f" Δ: paired difference to the same network trained on {reference}; above 0 is worse."
    return summary.assign(note=note), errors(shown, metrics, ["model", "variant"], _note(words, note), reference)


def of_study(table: pd.DataFrame, note: str = "") -> tuple[pd.DataFrame, Table]:
    """The errors of ways to mend a matte by severity, method and region: the numbers, and the table of their means.

    `table` has severity, method, item, region, metric and value. The numbers also hold by how much, in percent of the
    raw matte's error on the same picture, an error is smaller: on average, and on the worst picture. Methods that saw
    fewer pictures than others are named in the note, with the raw error on theirs.
    """
    keys = ["severity", "method", "region", "metric"]
    raw = table[table.method == "raw"].drop(columns="method").rename(columns={"value": "raw"})
    paired = table.merge(raw, on=["run", "severity", "item", "region", "metric"], how="left")
    paired = paired.assign(fall=100 * (1 - paired.value / paired.raw.where(paired.raw > 0)))
    numbers = paired.groupby(keys, sort=False).agg(
        mean=("value", "mean"), raw=("raw", "mean"), fall_mean=("fall", "mean"), fall_worst=("fall", "min"),
        pictures=("item", "nunique"),
    )  # fmt: skip
    columns = [(region, metric) for region in dict.fromkeys(table.region) for metric in dict.fromkeys(table.metric)]
    factors = [scores.METRICS[metric].factor for _, metric in columns]
    heads = [f"{region} {scores.METRICS[metric].title}" for region, metric in columns]
    most = int(numbers.pictures.max())
    rows, bold, rules, fewer = [], set(), set(), []
    for severity in dict.fromkeys(table.severity):
        names = list(dict.fromkeys(table.method[table.severity == severity]))
        found = numbers.loc[severity]
        means = [
            [
                found["mean"].get((name, *column), math.nan) * factor
                for column, factor in zip(columns, factors, strict=True)
            ]
            for name in names
        ]
        for column in range(len(columns)):
            own = [
                math.inf if name == "raw" or name.startswith("less ") else line[column]
                for name, line in zip(names, means, strict=True)
            ]
            bold |= {(len(rows) + index, 2 + column) for index, mean in enumerate(own) if mean == min(own)}
        rules.add(len(rows))
        for name, line in zip(names, means, strict=True):
            whole = found.loc[name, columns[0][0], "sad"]
            falls = [f"{whole.fall_mean:.1f}", f"{whole.fall_worst:.1f}"] if name != "raw" else ["", ""]
            rows.append([f"{severity:g}", name, *map(_three_digits, line), *[text.replace("-", "−") for text in falls]])
            if whole.pictures < most:
                fewer.append(
                    f"{name} at {severity:g}: the first {int(whole.pictures)}, whose raw SAD is {whole.raw:.3g}"
                )
    words = f"Means over {most} pictures. Fall: by how much SAD in the whole picture is smaller than raw, in percent."
    words += " Band: the fractional true alpha, widened by 2 pixels of 512; absolute: the rest. Bold: best method; the"
    words += " rows below ours are ours less a step."
    words = _note(words, f"Fewer pictures: {'; '.join(fewer)}." if fewer else "", note)
    headings = ["severity", "method", *heads, "fall", "fall, worst picture"]
    return numbers.reset_index(), Table(headings, rows, 2, frozenset(bold), frozenset(rules - {0}), words)


def _three_digits(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}" if 0.001 <= abs(value) < 1000 else f"{value:.4f}"


def of_capacity(table: pd.DataFrame, metrics: Sequence[str], region: str, note: str = "") -> tuple[pd.DataFrame, Table]:
    """The errors of models by network, variant and size: the numbers in all regions, and the table in one."""
    summary = _all_regions(table, metrics, "").sort_values(["region", "model", "variant", "fraction"], kind="stable")
    shown = summary[summary.region == region]
    shown = shown.assign(fraction=shown.fraction.map("{} %".format))
    words = "" if shown.empty else _note(_region(region), _spread(shown))
    return summary.assign(note=note), errors(shown, metrics, ["model", "variant", "fraction"], _note(words, note))


def _all_regions(table: pd.DataFrame, metrics: Sequence[str], reference: str) -> pd.DataFrame:
    parts = [scores.summarise(table, metrics, region, reference) for region in scores.REGIONS]
    return pd.concat([part for part in parts if not part.empty] or parts[:1], ignore_index=True)


def _score_columns(summary: pd.DataFrame, metrics: Sequence[str]) -> dict[str, int]:
    """The decimals of each metric's column."""
    return {
        metric: decimals((rows.high - rows.low) / 2) for metric, rows in summary.groupby("metric") if metric in metrics
    }


def _best(rows: Sequence[dict], metrics: Sequence[str]) -> set[tuple[int, str]]:
    """(index, metric) of the smallest mean among rows that are not the truth, where there is something to compare."""
    rivals = [(index, row) for index, row in enumerate(rows) if row["variant"] != "truth"]
    best = set()
    for metric in metrics:
        found = [(row["means"][metric].mean, index) for index, row in rivals if metric in row["means"]]
        if len(found) > 1:
            best.add((min(found)[1], metric))
    return best


def errors(
    summary: pd.DataFrame, metrics: Sequence[str], keys: Sequence[str], note: str = "", reference: str = ""
) -> Table:
    """A table of errors: `keys` name each row, a column per metric; the best of each `keys[:-1]` group is bold.

    `summary` is that of scores.summarise in one region. With a `reference`, a last column holds the paired difference
    in the first metric.
    """
    digits = _score_columns(summary, metrics)
    lines = []
    for names, group in summary.groupby(list(keys), sort=False):
        means = {row.metric: row for row in group.itertuples()}
        lines.append({"names": [str(name) for name in names], "variant": group.variant.iloc[0], "means": means})
    heads = [scores.METRICS[metric].title for metric in metrics]
    gaps = reference and "difference" in summary and summary.difference.notna().any()
    if gaps:
        heads.append(f"Δ {scores.METRICS[metrics[0]].label} to {reference}")
    rows, bold, rules = [], set(), set()
    for number, line in enumerate(lines):
        before = lines[number - 1]["names"][:-1] if number else line["names"][:-1]
        rules |= {number} if line["names"][:-1] != before else set()
        cells = [_mean_cell(line["means"].get(metric), digits.get(metric, 2)) for metric in metrics]
        if gaps:
            cells.append(_gap_cell(line["means"].get(metrics[0]), digits.get(metrics[0], 2)))
        rows.append([*line["names"], *cells])
    for start in sorted({0, *rules}):
        end = min([rule for rule in rules if rule > start], default=len(lines))
        best = _best(lines[start:end], metrics)
        bold |= {(start + index, len(keys) + list(metrics).index(metric)) for index, metric in best}
    headings = [{"fraction": "share", "variant": "mattes"}.get(key, key) for key in keys]
    note = _note(note, "Bold: best, the exact alpha aside." if bold and (summary.variant == "truth").any() else "")
    return Table([*headings, *heads], rows, len(keys), frozenset(bold), frozenset(rules), note)


def _mean_cell(row: object, digits: int) -> str:
    return plus_minus(row.mean, (row.high - row.low) / 2, digits) if row is not None else "–"


def _gap_cell(row: object, digits: int) -> str:
    if row is None or math.isnan(row.difference):
        return "–"
    return plus_minus(row.difference, (row.difference_high - row.difference_low) / 2, digits, signed=True)
