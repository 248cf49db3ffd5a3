"""Recall and false rejections of the screening on bank portraits with known gross faults, and seconds a portrait.

python benchmarks/bench_screening.py [--count 60] [--seed 0] [--splits train,val]

Portraits of some of the bank's splits, varied and damaged at severity 1, half of them with a gross fault, refined
and measured; no two have the same seed, and near-duplicates are left aside, since portraits come several times.
"""

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from ldportrait import images, screening  # noqa: E402
from ldportrait.connectivity import refine_picture  # noqa: E402
from ldportrait.generators import artifacts, bank  # noqa: E402


def measured(count: int, seed: int, splits: list[str]) -> pd.DataFrame:
    """Measure `count` damaged portraits; column `gross` names the gross fault, "" for none, `seconds` the measuring."""
    cv2.setNumThreads(1)
    table = pd.read_parquet(ROOT / "resources" / "bank" / "bank.parquet")
    table = table[(table.kind == "portrait") & table.split.isin(splits)].sort_values("id")
    finder = screening.FaceFinder()
    rows = []
    for index in range(count):
        generator = np.random.default_rng([seed, index])
        row = table.iloc[int(generator.integers(len(table)))]
        exact = bank.vary(images.read_rgba(ROOT / "resources" / "bank" / row.path), 512, generator)
        raw, faults = artifacts.damage(exact, generator, gross=float(index % 2))
        refined, _ = refine_picture(raw)
        started = time.process_time()
        numbers = screening.measure(raw, refined, finder)
        about = {"id": f"bench-{index:09d}", "split": row.split, "persona": row.persona}
        about |= {"gross": next((name for name in faults if name in artifacts.GROSS), "")}
        rows.append(about | numbers | {"seconds": time.process_time() - started})
    return pd.DataFrame(rows)


def main() -> None:
    """Print the verdicts by fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--splits", default="train,val")
    options = parser.parse_args()
    table = measured(options.count, options.seed, options.splits.split(","))
    verdicts = screening.verdicts(table, screening.Thresholds(duplicate_distance=-1))
    table = table.assign(rejected=~verdicts.accepted, reasons=verdicts.reasons)
    gross = table[table.gross != ""]
    sound = table[table.gross == ""]
    for name, group in gross.groupby("gross"):
        print(f"{name:12} {group.rejected.sum():4} of {len(group):4} rejected")
    print(f"recall            {gross.rejected.mean():.3f} (bar 0.95)")
    print(f"false rejections  {sound.rejected.mean():.3f} of {len(sound)} (bar 0.03)")
    print(f"seconds           {table.seconds.mean():.3f} a portrait of 512 x 512 (CPU)")
    for row in gross[~gross.rejected].itertuples():
        print(f"  {row.id} has {row.gross}, but is accepted")
    for row in sound[sound.rejected].itertuples():
        print(f"  {row.id} is sound, but rejected: {row.reasons}")


if __name__ == "__main__":
    main()
