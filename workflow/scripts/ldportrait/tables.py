"""Tables for people: the same cells as Markdown and LaTeX (booktabs), and the numbers behind them as CSV."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ldportrait import scores, shards, verdicts
from ldportrait.columns import SPLITS

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
        "²": r"$^2$",
        "−": r"$-$",
        "–": "--",
        "Δ": r"$\Delta$",
        "<": r"$<$",
        ">": r"$>$",
        "⁴": r"$^4$",
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "§": r"\S{}",
        "¶": r"\P{}",
        "|": r"\textbar{}",
        "[": "{[}",  # at the start of a row it would be an option of the line break before it
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
    splits = [name for name in SPLITS if (screened.split == name).any()]
    groups = {**{name: screened[screened.split == name] for name in splits}, "all": screened}
    reasons = verdicts.reasons(screened).index
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


def _spread(summary: pd.DataFrame, what: str = "benchmark pictures", spread: str = "half") -> str:
    """What stands behind the ± of a summary's table; the number of seeds may differ between models."""
    most, items = int(summary.seeds.max()), int(summary["items"].max())
    if spread == "deviation":
        sentence = f"Mean over {items} {what} ± standard deviation of {most} seeds"
    else:
        sentence = f"Mean ± half the {scores.spread(items, most if summary.model.any() else 0, what)}"
    fewer = list(dict.fromkeys(summary.model[summary.seeds < most]))
    return sentence + (f" (fewer seeds for {', '.join(fewer)})" if fewer else "") + "."


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
    spread = _kind_of_spread(shown)
    words = "" if shown.empty else _note(_region(region), _spread(shown, spread=spread))
    if reference in set(shown.variant) and shown.variant.nunique() > 1:
        words += f" Δ: paired difference to the same network trained on {reference}, above 0 is worse, and its "
        words += f"{scores.spread(int(shown['items'].max()), int(shown.seeds.max()))}."
    keys = ["model", "variant"]
    return summary.assign(note=note), errors(shown, metrics, keys, _note(words, note), reference, spread)


def _kind_of_spread(summary: pd.DataFrame) -> str:
    """The standard deviation over seeds where there are several, else half the interval over items."""
    return "deviation" if not summary.empty and summary.seeds.max() > 1 else "half"


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
            rows.append([f"{severity:g}", name, *map(three_digits, line), *[text.replace("-", "−") for text in falls]])
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


def three_digits(value: float) -> str:
    """Write a value with three digits that count, a dash if it is NaN."""
    return "–" if math.isnan(value) else f"{value:.3g}" if 0.001 <= abs(value) < 1000 else f"{value:.4f}"


def of_capacity(table: pd.DataFrame, metrics: Sequence[str], region: str, note: str = "") -> tuple[pd.DataFrame, Table]:
    """The errors of models by network, variant and size: the numbers in all regions, and the table in one."""
    summary = _all_regions(table, metrics, "").sort_values(["region", "model", "variant", "fraction"], kind="stable")
    shown = summary[summary.region == region]
    spread = _kind_of_spread(shown)
    words = [] if shown.empty else [_region(region), _spread(shown, spread=spread)]
    words += [
        f"{model}, {variant}: {sentence}"
        for model, variant in shown[["model", "variant"]].drop_duplicates().itertuples(index=False)
        if (sentence := law_sentence(table, metrics[0], region, model, variant))
    ]
    shown = shown.assign(fraction=shown.fraction.map("{} %".format))
    keys = ["model", "variant", "fraction"]
    return summary.assign(note=note), errors(shown, metrics, keys, _note(*words, note), spread=spread)


def law_sentence(table: pd.DataFrame, metric: str, region: str, model: str, variant: str) -> str:
    """Say how an error falls with the data set's size, or that no power law fits; "" for fewer than three sizes."""
    law = scores.capacity_law(table, metric, region, model=model, variant=variant)
    if law is None:
        return ""
    name = scores.METRICS[metric].label
    numbers = f"exponent {law.exponent:.3f}, 95 % interval {law.low:.3f} to {law.high:.3f}, R² {law.explained:.2f}"
    numbers = numbers.replace("-", "−")
    if law.fits:
        return f"{name} falls with the size n as n^(−{law.exponent:.2f}) ({numbers})."
    return f"no power law fits {name} ({numbers})."


def _all_regions(table: pd.DataFrame, metrics: Sequence[str], reference: str) -> pd.DataFrame:
    parts = [scores.summarise(table, metrics, region, reference) for region in scores.REGIONS]
    return pd.concat([part for part in parts if not part.empty] or parts[:1], ignore_index=True)


def errors(
    summary: pd.DataFrame,
    metrics: Sequence[str],
    keys: Sequence[str],
    note: str = "",
    reference: str = "",
    spread: str = "half",
) -> Table:
    """A table of errors: `keys` name each row, a column per metric; what is clearly the best is bold.

    `summary` is that of scores.summarise in one region. A cell is a mean ± half its interval (`spread="half"`) or the
    standard deviation of the seeds' means (`"deviation"`). With a `reference`, a last column holds the paired
    difference in the first metric and its interval.
    """
    halves = {"half": (summary.high - summary.low) / 2, "deviation": summary.deviation}
    summary = summary.assign(spread=halves[spread])
    digits = {}
    for metric, rows in summary.groupby("metric"):
        least = rows.spread.max() / 10 if spread == "deviation" else 0  # of few seeds, one may be tiny by chance
        digits[metric] = decimals(rows.spread[rows.spread >= least])
    lines = [
        ([str(name) for name in names], {row.metric: row for row in group.itertuples()})
        for names, group in summary.groupby(list(keys), sort=False)
    ]
    heads = [scores.METRICS[metric].title for metric in metrics]
    gaps = reference and "difference" in summary and summary.difference.notna().any()
    if gaps:
        heads.append(f"Δ {scores.METRICS[metrics[0]].label} to {reference}")
    rows, bold, rules = [], set(), set()
    for number, (names, means) in enumerate(lines):
        if number and names[:-1] != lines[number - 1][0][:-1]:
            rules.add(number)
        bold |= {(number, len(keys) + at) for at, name in enumerate(metrics) if name in means and means[name].best}
        cells = [_mean_cell(means.get(metric), digits.get(metric, 2)) for metric in metrics]
        if gaps:
            cells.append(_gap_cell(means.get(metrics[0]), digits.get(metrics[0], 2)))
        rows.append([*names, *cells])
    headings = [{"fraction": "share", "variant": "mattes"}.get(key, key) for key in keys]
    if bold:
        aside = ", the exact alpha aside" if (summary.variant == "truth").any() else ""
        note = _note(note, f"Bold: better than each other one{aside}, by a paired 95 % interval without 0.")
    return Table([*headings, *heads], rows, len(keys), frozenset(bold), frozenset(rules), note)


def _mean_cell(row: object, digits: int) -> str:
    if row is None:
        return "–"
    return f"{row.mean:.{digits}f}" if math.isnan(row.spread) else plus_minus(row.mean, row.spread, digits)


def _gap_cell(row: object, digits: int) -> str:
    if row is None or math.isnan(row.difference):
        return "–"
    ends = f"{row.difference:+.{digits}f} [{row.difference_low:+.{digits}f}, {row.difference_high:+.{digits}f}]"
    return ends.replace("-", "−")
