"""Score tables: making and reading them, and means with confidence intervals.

A table is long form: run, model, variant, fraction (percent), seed, benchmark, protocol, item, region, metric, value.
Figures and tables compare by the metrics' definitions; errors by a benchmark's own rules stand beside published ones.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ldportrait import shards

DEFINITION = "definition"  # the protocol that follows the metrics' definitions
TYPES = {
    "run": "str",
    "model": "str",
    "variant": "str",
    "fraction": "int64",  # percent of the data set
    "seed": "int64",
    "benchmark": "str",
    "protocol": "str",  # by whose rules the errors were taken
    "item": "str",
    "region": "str",
    "metric": "str",
    "value": "float64",
}
COLUMNS = list(TYPES)
STUDY = "run severity method item region metric value".split()  # of the refinement study
CURVES = "run severity parameter factor setting item region value".split()
SUMMARY = "model variant fraction region metric unit mean low high deviation items seeds".split()
VARIANTS = ("raw", "keyed", "refined", "truth")  # in the order of all figures and tables
FILE = re.compile(r"(?P<variant>[a-z0-9-]+)-f(?P<fraction>\d{3})-s(?P<seed>\d+)\.parquet")
DRAWS = 4000
LAW_EXPLAINS = 0.8  # a power law that explains less of the errors' variance is not drawn


@dataclass(frozen=True)
class Metric:
    """How an error is printed: its name, its unit, and the factor from the stored value to that unit."""

    label: str
    unit: str
    factor: float

    @property
    def title(self) -> str:
        """Name and unit, as in `MSE ×10³`."""
        return f"{self.label} {self.unit}"


# Sums are stored in thousands and means as they are, as the literature prints them but for the factor of the means.
METRICS = {
    "sad": Metric("SAD", "/1000", 1),
    "mse": Metric("MSE", "×10³", 1000),
    "mad": Metric("MAD", "×10³", 1000),
    "grad": Metric("Grad", "/1000", 1),
    "conn": Metric("Conn", "/1000", 1),
}
SHOWN = ("sad", "mse", "grad", "conn")  # what figures show; tables have all
REGIONS = {"whole": "whole picture", "unknown": "unknown region of the trimap"}


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its 95 % interval, over `items` items and `seeds` seeds."""

    mean: float
    low: float
    high: float
    items: int
    seeds: int

    @property
    def half(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2


def table_of(rows: Iterable[Mapping[str, object]], types: Mapping[str, str] = TYPES) -> pd.DataFrame:
    """Return scores in long form, with the columns and types of `types` also where there are no rows."""
    return pd.DataFrame(list(rows), columns=list(types)).astype(dict(types))


def read(path: Path, protocol: str | None = DEFINITION) -> pd.DataFrame:
    """Read one score table's rows of a protocol, None for all. ValueError names the file and a column that it lacks."""
    table = _read(path, COLUMNS, "score table")
    return table if protocol is None else table[table.protocol == protocol].reset_index(drop=True)


def read_study(paths: Iterable[Path], columns: Sequence[str]) -> pd.DataFrame:
    """Read tables of the refinement study as one. ValueError names the file and the column that it lacks."""
    return pd.concat([_read(path, columns, "table of the refinement study") for path in paths], ignore_index=True)


def _read(path: Path, columns: Iterable[str], what: str) -> pd.DataFrame:
    table = shards.read_table(path)
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{path} is not a {what}: it has no column {missing[0]}.")
    return table


def read_models(
    folder: Path,
    benchmark: str,
    models: Iterable[str],
    variants: Collection[str] = (),
    fractions: Collection[int] = (),
    seeds: Collection[int] = (),
) -> pd.DataFrame:
    """Read `folder`/benchmark/model/variant-f100-s0.parquet of the given models, variants, fractions and seeds.

    An empty list takes all. Files of others, left there by an earlier run, are not read. Raises ValueError where a
    model has none.
    """
    tables = []
    for model in models:
        home = Path(folder, benchmark, model)
        found = []
        for path in sorted(home.glob("*.parquet")):
            name = FILE.fullmatch(path.name)
            if name is None:
                continue
            wanted = (
                (not variants or name["variant"] in variants)
                and (not fractions or int(name["fraction"]) in fractions)
                and (not seeds or int(name["seed"]) in seeds)
            )
            if wanted:
                found.append(read(path))
        if not found:
            raise FileNotFoundError(
                f"There are no scores of {model} in {home} for the variants, sizes and seeds asked."
            )
        tables += found
    return pd.concat(tables, ignore_index=True)


def check(metrics: Sequence[str], region: str = "whole") -> list[str]:
    """Return the metrics as a list. ValueError names a metric or region that does not exist."""
    for name in metrics:
        if name not in METRICS:
            raise ValueError(f"There is no metric {name}; there are {', '.join(METRICS)}.")
    if region not in REGIONS:
        raise ValueError(f"There is no region {region}; there are {', '.join(REGIONS)}.")
    return list(metrics)


def spread(items: int, seeds: int, what: str = "benchmark pictures") -> str:
    """Say what an interval is over."""
    if seeds < 1:
        return f"95 % bootstrap interval over {items} {what}"
    if seeds == 1:
        return f"95 % bootstrap interval over {items} {what}; one seed, so that the spread of seeds is not in it"
    return f"95 % bootstrap interval over {seeds} seeds and {items} {what}, both drawn anew"


def in_order(names: Iterable[str]) -> list[str]:
    """Sort variants as all figures and tables show them; unknown ones come last."""
    return sorted(set(names), key=lambda name: (VARIANTS.index(name) if name in VARIANTS else len(VARIANTS), name))


def cells(table: pd.DataFrame, metric: str, region: str, **keys: object) -> pd.DataFrame:
    """Return the values of one metric as a table of seeds by items, in the metric's printed unit.

    `keys` select model, variant and fraction. Items that any seed lacks are left out. ValueError if a (seed, item)
    occurs twice.
    """
    chosen = (table.metric == metric) & (table.region == region)
    for name, value in keys.items():
        chosen &= table[name] == value
    rows = table[chosen]
    twice = rows.duplicated(["seed", "item"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise ValueError(f"The scores hold {metric} of item {row['item']}, seed {row['seed']}, more than once.")
    wide = rows.pivot(index="seed", columns="item", values="value").dropna(axis="columns")
    return wide * METRICS[metric].factor


def estimate(values: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Mean of (seeds, items) values and its 95 % interval by the crossed bootstrap.

    Seeds and items are drawn with replacement, independently of each other, and all their crossings averaged (Owen,
    "The pigeonhole bootstrap", Annals of Applied Statistics 2007); the interval is the percentiles 2.5 and 97.5 of
    `draws` such means. With one seed it is the plain bootstrap over items. ValueError for no values.
    """
    values = np.asarray(values, float)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"A mean needs at least one seed and one item, not values of shape {values.shape}.")
    generator = np.random.default_rng(seed)
    by_seed, by_item = (generator.multinomial(count, np.full(count, 1 / count), draws) for count in values.shape)
    means = np.einsum("ds,si,di->d", by_seed, values, by_item, optimize=True) / values.size
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high), values.shape[1], values.shape[0])


def difference(values: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Differences of two tables of seeds by items, where both have the same seed and item."""
    values, reference = values.align(reference, join="inner")
    return values - reference


def clear_best(rivals: Mapping[str, pd.DataFrame]) -> str | None:
    """Name the rival with the least mean if its paired difference to each other one is below 0 beyond doubt.

    `rivals` are tables of seeds by items. None where the 95 % interval of a difference holds 0, where two rivals share
    no seed and item, and where there are not two.
    """
    if len(rivals) < 2 or any(values.empty for values in rivals.values()):
        return None
    best = min(rivals, key=lambda name: rivals[name].to_numpy().mean())
    gaps = [difference(rivals[best], values) for name, values in rivals.items() if name != best]
    return best if all(not gap.empty and estimate(gap.to_numpy()).high < 0 for gap in gaps) else None


@dataclass(frozen=True)
class PowerLaw:
    """An error that falls with the size n of the data set as `scale` n^-`exponent`, n in shares of the whole.

    `low` and `high` are the ends of the exponent's 95 % interval, `explained` the share of the variance of the errors'
    logarithms that the law explains. `fits` says whether the exponent is above 0 beyond doubt and the law explains
    at least LAW_EXPLAINS.
    """

    scale: float
    exponent: float
    low: float
    high: float
    explained: float

    @property
    def fits(self) -> bool:
        """Whether the law may be drawn."""
        return self.low > 0 and self.explained >= LAW_EXPLAINS


def power_law(sizes: Sequence[float], values: Sequence[np.ndarray], draws: int = DRAWS, seed: int = 0) -> PowerLaw:
    """Fit error = scale n^-exponent by least squares in logarithms (Hestness et al. 2017, without an offset).

    `sizes` are shares of the data set, `values` each size's errors as (seeds, items), for the same seeds and items.
    The interval is that of the crossed bootstrap, see `estimate`. ValueError for fewer than three sizes, or errors of
    which the mean is not above 0.
    """
    sizes, values = np.asarray(sizes, float), np.asarray(values, float)
    if len(sizes) < 3 or values.ndim != 3 or len(values) != len(sizes) or not values.mean(axis=(1, 2)).min() > 0:
        raise ValueError("A power law needs errors above 0, of the same seeds and items, at three or more sizes.")
    generator = np.random.default_rng(seed)
    by_seed, by_item = (generator.multinomial(count, np.full(count, 1 / count), draws) for count in values.shape[1:])
    drawn = np.einsum("ds,nsi,di->dn", by_seed, values, by_item, optimize=True) / values[0].size
    x, y = np.log(sizes), np.log(values.mean(axis=(1, 2)))
    slope, intercept = np.polyfit(x, y, 1)
    slopes = np.polyfit(x, np.log(drawn[(drawn > 0).all(axis=1)]).T, 1)[0]
    low, high = np.percentile(-slopes, [2.5, 97.5])
    spread = ((y - y.mean()) ** 2).sum()
    explained = 1 - ((y - slope * x - intercept) ** 2).sum() / spread if spread else 0.0
    return PowerLaw(float(np.exp(intercept)), float(-slope), float(low), float(high), float(explained))


def capacity_law(table: pd.DataFrame, metric: str, region: str, **keys: object) -> PowerLaw | None:
    """Fit the power law of a metric over the fractions of a table, `keys` selecting model and variant.

    Seeds and items that any fraction lacks are left out. None for fewer than three fractions, and for an error of 0.
    """
    by_size = {size: cells(table, metric, region, fraction=size, **keys) for size in sorted(table.fraction.unique())}
    by_size = {size: values for size, values in by_size.items() if not values.empty}
    if len(by_size) < 3:
        return None
    seeds = sorted(set.intersection(*(set(values.index) for values in by_size.values())))
    items = sorted(set.intersection(*(set(values.columns) for values in by_size.values())))
    if not seeds or not items:
        return None
    values = [found.loc[seeds, items].to_numpy() for found in by_size.values()]
    return power_law([size / 100 for size in by_size], values) if min(map(np.mean, values)) > 0 else None


def summarise(table: pd.DataFrame, metrics: Iterable[str], region: str, reference: str = "") -> pd.DataFrame:
    """One row per model, variant, fraction and metric: mean, low, high, items, seeds in the metric's printed unit.

    `deviation` is the standard deviation of the seeds' means (n - 1 in the denominator), NaN for one seed. `best` marks
    the variant that is clearly the best of its model and fraction, the exact alpha aside (see `clear_best`). With a
    `reference` variant, the columns difference, difference_low and difference_high hold the paired difference to it
    (same model and fraction, the same seeds and items), where there is one.
    """
    rows = []
    metrics = list(metrics)
    for (model, fraction), group in table.groupby(["model", "fraction"], sort=False):
        names = in_order(group.variant)
        values = {(name, metric): cells(group, metric, region, variant=name) for name in names for metric in metrics}
        values = {key: found for key, found in values.items() if not found.empty}
        rivals = [name for name in names if name != "truth"]
        best = {
            metric: clear_best({name: values[name, metric] for name in rivals if (name, metric) in values})
            for metric in metrics
        }
        for (variant, metric), own in values.items():
            found = estimate(own.to_numpy())
            row = {"model": model, "variant": variant, "fraction": fraction, "region": region, "metric": metric}
            row |= {"unit": METRICS[metric].unit, "mean": found.mean, "low": found.low, "high": found.high}
            row |= {"deviation": own.mean(axis="columns").std(), "items": found.items, "seeds": found.seeds}
            row |= {"best": best[metric] == variant}
            if reference and variant != reference:
                paired = difference(own, values.get((reference, metric), own.iloc[:0]))
                if not paired.empty:
                    gap = estimate(paired.to_numpy())
                    row |= {"difference": gap.mean, "difference_low": gap.low, "difference_high": gap.high}
            rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else SUMMARY)


# The keying study

KEYING = "run set item hair_style hair_colour clothes method region metric value".split()
KEYING_METRICS = METRICS | {"colour": Metric("Colour", "levels", 255)}  # stored in [0, 1], printed in levels of 255
TRIANGULATION = "triangulation"  # no rival, but the most that keying can hope for

# Video

VIDEO_TYPES = {name: kind for name, kind in TYPES.items() if name not in ("region", "metric", "value")}
VIDEO_TYPES |= {"method": "str", "frame": "int64", "region": "str", "metric": "str", "value": "float64"}
VIDEO_METRICS = {
    "mad": METRICS["mad"],
    "mse": METRICS["mse"],
    "grad": METRICS["grad"],
    "conn": METRICS["conn"],
    "dtssd": Metric("dtSSD", "×10²", 100),
    "messddt": Metric("MESSDdt", "×10⁴", 10_000),
}
METHODS = ("frames", "frames-smoothed", "mask", "unsmoothed", "ours", "truth")  # in the order of all figures and tables


def read_video(paths: Iterable[Path], protocol: str | None = DEFINITION) -> pd.DataFrame:
    """Read score tables of clips as one, a protocol's rows, None for all. ValueError names file and missing column."""
    table = pd.concat([_read(path, VIDEO_TYPES, "score table of clips") for path in paths], ignore_index=True)
    return table if protocol is None else table[table.protocol == protocol].reset_index(drop=True)


def by_clip(table: pd.DataFrame, benchmark: str, metric: str) -> pd.DataFrame:
    """Return one metric on the whole picture as methods by clips: means over the frames, in its printed unit.

    `table` is that of `read_video`. ValueError where a frame occurs twice, and where a method lacks a clip of another.
    """
    rows = table[(table.benchmark == benchmark) & (table.metric == metric) & (table.region == "whole")]
    twice = rows.duplicated(["method", "item", "frame"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise ValueError(f"The scores hold {metric} of {row['method']}, {row['item']}, frame {row.frame}, twice.")
    wide = rows.pivot_table(index="method", columns="item", values="value", aggfunc="mean", sort=False)
    lacking = wide.index[wide.isna().any(axis="columns")]
    if len(lacking):
        item = wide.columns[wide.loc[lacking[0]].isna()][0]
        raise ValueError(f"The scores of {benchmark} lack {metric} of {lacking[0]} on {item}.")
    return wide.sort_index(axis="columns") * VIDEO_METRICS[metric].factor


def in_method_order(names: Iterable[str]) -> list[str]:
    """Sort ways to matte a clip as all figures and tables show them; unknown ones come last."""
    return sorted(set(names), key=lambda name: (METHODS.index(name) if name in METHODS else len(METHODS), name))


def clip_counts(counts: Mapping[str, int]) -> str:
    """Say how many clips of each benchmark, as in `6 clips of bank-clips and 1 clip of crgnn`."""
    return " and ".join(f"{count} clip{'s' if count != 1 else ''} of {name}" for name, count in counts.items())
