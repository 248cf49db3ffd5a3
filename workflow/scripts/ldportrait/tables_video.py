"""The table of video matting: the errors of each method on each benchmark, and the paired differences to `frames`."""

import pandas as pd

from ldportrait import scores
from ldportrait.tables import Table, decimals, plus_minus

REFERENCE = "frames"  # paired differences are to it
COMPARED = ("mad", "dtssd")  # in these
BOUND = "truth"  # no rival, since it knows the true alpha
FEWEST = 6  # clips for a best one: of fewer, all may favour a method by chance in more than 5 % of the cases
WORDS = {
    "frames": "the trimap-free model frame by frame",
    "frames-smoothed": "frames, smoothed over time in the same way as ours",
    "mask": "the mask of the segmentation, as it is",
    "unsmoothed": "ours without smoothing",
    "ours": "segmentation, trimaps and the trimap-based model, smoothed over time within the unknown region",
    "truth": "ours with trimaps of the true alpha, no rival but an upper bound",
}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """The numbers: a row per benchmark, method and metric, in the metric's printed unit.

    `table` is that of scores.read_video. Columns mean, low and high are the mean over the clips' means over frames and
    its 95 % bootstrap interval over `clips`; difference, difference_low and difference_high the paired difference to
    REFERENCE on the same clips; `best` marks the method that is clearly the best, BOUND aside (scores.clear_best), if
    there are FEWEST clips.
    """
    rows = []
    for benchmark in dict.fromkeys(table.benchmark):
        for metric in scores.VIDEO_METRICS:
            wide = scores.by_clip(table, benchmark, metric)
            rivals = wide.index.drop(BOUND, "ignore") if wide.shape[1] >= FEWEST else []
            best = scores.clear_best({name: wide.loc[[name]].set_axis([0]) for name in rivals})
            for method in scores.in_method_order(wide.index):
                found = scores.estimate(wide.loc[[method]].to_numpy())
                row = {"benchmark": benchmark, "method": method, "metric": metric}
                row |= {"unit": scores.VIDEO_METRICS[metric].unit, "mean": found.mean, "low": found.low}
                row |= {"high": found.high, "clips": found.items, "best": method == best}
                if REFERENCE in wide.index and method != REFERENCE:
                    gap = scores.estimate((wide.loc[[method]] - wide.loc[REFERENCE]).to_numpy())
                    row |= {"difference": gap.mean, "difference_low": gap.low, "difference_high": gap.high}
                rows.append(row)
    return pd.DataFrame(rows)


def of_video(table: pd.DataFrame, note: str = "") -> tuple[pd.DataFrame, Table]:
    """The numbers of `summary`, and the table: a row per benchmark and method, a column per metric."""
    numbers = summary(table)
    metrics = list(scores.VIDEO_METRICS)
    digits = {name: decimals((rows.high - rows.low) / 2) for name, rows in numbers.groupby("metric")}
    rows, bold, rules = [], set(), set()
    for benchmark, group in numbers.groupby("benchmark", sort=False):
        rules.add(len(rows))
        for method in scores.in_method_order(group.method):
            found = group[group.method == method].set_index("metric")
            bold |= {(len(rows), 2 + place) for place, name in enumerate(metrics) if found.best[name]}
            cells = [_mean(found.loc[name], digits[name]) for name in metrics]
            rows.append([benchmark, method, *cells, *(_gap(found.loc[name], digits[name]) for name in COMPARED)])
    heads = [scores.VIDEO_METRICS[name].title for name in metrics]
    heads += [f"Δ {scores.VIDEO_METRICS[name].label}" for name in COMPARED]
    words = " ".join(filter(None, [_words(numbers, bool(bold)), note]))
    return numbers, Table(["benchmark", "method", *heads], rows, 2, frozenset(bold), frozenset(rules - {0}), words)


def _mean(row: pd.Series, digits: int) -> str:
    return plus_minus(row["mean"], (row.high - row.low) / 2, digits)


def _gap(row: pd.Series, digits: int) -> str:
    """The paired difference and its interval; empty for REFERENCE itself."""
    if "difference" not in row or pd.isna(row.difference):
        return ""
    ends = f"{row.difference:+.{digits}f} [{row.difference_low:+.{digits}f}, {row.difference_high:+.{digits}f}]"
    return ends.replace("-", "−")


def _words(numbers: pd.DataFrame, bold: bool) -> str:
    clips = scores.clip_counts({name: group.clips.max() for name, group in numbers.groupby("benchmark", sort=False)})
    methods = [f"{name}: {WORDS[name]}" for name in scores.in_method_order(numbers.method) if name in WORDS]
    words = f"Mean ± half the 95 % bootstrap interval over {clips}, of each the mean over its frames; whole picture."
    words += f" {'; '.join(methods)}." if methods else ""
    if REFERENCE in set(numbers.method) and numbers.method.nunique() > 1:
        words += f" Δ: paired difference to {REFERENCE} and its interval, below 0 is better."
    aside = ", the bound aside," if BOUND in set(numbers.method) else ""
    return words + (f" Bold: better than each other one{aside} by a paired 95 % interval without 0." if bold else "")
