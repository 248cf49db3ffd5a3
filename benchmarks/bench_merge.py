"""Time merging runs: seconds and peak memory of merge_datasets on made-up runs of 50,000 portraits, by their number.

Run `python benchmarks/bench_merge.py` in the repository. The runs have full rows of metadata and empty tars, since tars
are linked unread; one portrait in a thousand resembles one of another run, which has its tar written anew.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from ldportrait import assembling, datasets, prompts, shards  # noqa: E402

PORTRAITS, SHARD = 50_000, 500
SPLITS = np.array(["train"] * 18 + ["val", "test"])


def write_run(folder: Path, run: str, hashes: np.ndarray) -> None:
    """A run's data set: rows as a grammar makes them, and empty tars."""
    rows = prompts.grammar_rows(
        prompts.load_grammar(ROOT / "config" / "prompts.yaml"), 1, 0, 200, run, "", {"train": 0.9, "val": 0.05}
    )
    table = pd.concat([rows] * (PORTRAITS // 200), ignore_index=True)
    table["id"] = table["persona"] = [f"{run}-{index:09d}" for index in range(PORTRAITS)]
    table["split"] = SPLITS[np.arange(PORTRAITS) % len(SPLITS)]
    number = table.groupby("split").cumcount() // SHARD
    table["shard"] = [f"{split}/shard-{n:07d}.tar" for split, n in zip(table.split, number, strict=True)]
    table = table.assign(width=1024, height=1024, backend="layerdiffuse", weights_sha256="ab" * 32, variant="refined")
    table = table.assign(sha256="cd" * 32, phash=[f"{value:016x}" for value in hashes])
    output = folder / run / "datasets" / "refined"
    output.mkdir(parents=True)
    for shard in sorted(set(table.shard)):
        (output / shard).parent.mkdir(exist_ok=True)
        tarfile.open(output / shard, "w").close()
    shards.write_table(table, output / datasets.METADATA)
    (output / datasets.CHECKSUMS).write_text(assembling.checksums(output), encoding="utf-8")
    (folder / run / "provenance.json").write_text("{}", encoding="utf-8")


def measure(folder: Path, runs: list[str]) -> None:
    """Merge the runs in a process of its own and print what it took."""
    words = ["merge_datasets.py", str(folder / "merged"), *(str(folder / run) for run in runs), "--run", "merged"]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "workflow" / "scripts" / words[0]), *words[1:]], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise typer.Exit(1)
    cpu = usage.ru_utime + usage.ru_stime
    typer.echo(
        f"{time.perf_counter() - started:8.1f} s {cpu:8.1f} s CPU {usage.ru_maxrss / 1024:7.0f} MB   {words[0]} of "
        f"{len(runs)} runs of {PORTRAITS:,} portraits"
    )


def main(runs: Annotated[int, typer.Option(min=1, help="The largest number of runs.")] = 20) -> None:
    """Print what merging costs, for a quarter, half and all of the runs."""
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder, earlier = Path(scratch), np.empty(0, np.uint64)
        names = [f"run-{index:03d}" for index in range(runs)]
        for name in names:
            hashes = generator.integers(0, 2**64, PORTRAITS, np.uint64)
            if len(earlier):
                hashes[::1000] = generator.choice(earlier, PORTRAITS // 1000) ^ np.uint64(0b101)
            write_run(folder, name, hashes)
            earlier = np.concatenate([earlier, hashes])
        for count in sorted({max(1, runs // 4), max(1, runs // 2), runs}):
            measure(folder, names[:count])


if __name__ == "__main__":
    typer.run(main)
