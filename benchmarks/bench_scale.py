"""Time Snakemake's own work on large runs: parse, dry run, status, report, and a run with nothing to do.

Run `python benchmarks/bench_scale.py` in the repository; both sizes take some ten minutes on one core. It copies the
workflow into a scratch folder, lays config/paper.yaml over the default with a number of pictures and a shard size, and
makes up the finished results: every output is a file of five bytes, recorded as made by `snakemake --touch`. That alone
takes a quarter of an hour for 2,000 shards, so that above 1,000 shards there are no records: all files are there and of
one age, as in results that were copied from another machine.

Each line is a command, its seconds on the wall, its CPU seconds and its peak memory. CPU seconds are the ones to
compare where a machine is shared.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ("config/config.yaml", "config/paper.yaml", "scale.yaml")
SIZES = {30_000: 50, 1_000_000: 500}  # pictures: shard size. 30,000 give the paper's 20,051 accepted ones

RECORDED = 1000  # shards


def copy(folder: Path, pictures: int, shard_size: int) -> None:
    """Copy what Snakemake reads at its start, and write the overlay of this size."""
    for name in ("workflow", "envs", "config", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "Snakefile", folder / "Snakefile")
    (folder / "resources" / "bank").mkdir(parents=True)
    shutil.copyfile(ROOT / "resources" / "bank" / "bank.parquet", folder / "resources" / "bank" / "bank.parquet")
    (folder / "resources" / "models").symlink_to(ROOT / "resources" / "models")
    overlay = {"prompts": {"count": pictures, "shard_size": shard_size}}
    (folder / "scale.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")


def run(folder: Path, *arguments: str) -> str:
    """Run Snakemake, print what it took, and return its standard output; its last words if it fails."""
    words = ["snakemake", *arguments, "--configfile", *CONFIGS]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "stdout").open("w+") as out, (folder / "stderr").open("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, stdout=out, stderr=err, env=os.environ | {"PATH": path}
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        for stream in (out, err):
            stream.seek(0)
        text, errors = out.read(), err.read()
    if os.waitstatus_to_exitcode(status):
        raise ValueError(f"{' '.join(words)} failed: {errors[-500:] or text[-500:]}")
    cpu, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    typer.echo(f"{seconds:8.1f} s {cpu:8.1f} s CPU {memory:7.0f} MB   {' '.join(words)}")
    return text + errors


def make_up(folder: Path, summary: str) -> int:
    """Write a file of five bytes for every output that `snakemake --summary` lists; return how many there are."""
    lines = summary.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("output_file")) + 1
    files = [folder / line.split("\t")[0] for line in lines[first:] if "\t" in line]
    for parent in {file.parent for file in files}:
        parent.mkdir(parents=True, exist_ok=True)
    now = time.time()
    for file in files:
        file.write_text("made\n")
        os.utime(file, (now, now))
    return len(files)


def measure(pictures: int, shard_size: int) -> None:
    """Print the figures of one size."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy(folder, pictures, shard_size)
        typer.echo(f"\n{pictures:,} pictures in {-(-pictures // shard_size):,} shards of {shard_size}")
        run(folder, "--list-rules")
        run(folder, "--dry-run", "--quiet", "all")
        files = make_up(folder, run(folder, "--summary"))
        if pictures <= RECORDED * shard_size:
            run(folder, "--touch", "--forceall", "--cores", "1", "--quiet", "all")
        if "Nothing to be done" not in (said := run(folder, "--cores", "1")):
            raise ValueError(f"The made-up results do not count as finished: {said[-500:]}")
        run(folder, "--dry-run", "--quiet", "all")
        run(folder, "--summary")
        run(folder, "--report", "report.zip")
        records = list((folder / ".snakemake" / "metadata").glob("*"))
        size = sum(record.stat().st_size for record in records)
        typer.echo(f"{files:,} outputs; {len(records):,} records of Snakemake's own, {size / 1e6:.1f} MB")


def main(
    pictures: Annotated[int, typer.Option(help="Pictures of the run; 0: the sizes of docs/scaling.md.")] = 0,
    shard_size: Annotated[int, typer.Option(min=1, help="Pictures a shard.")] = 50,
) -> None:
    """Print what Snakemake itself costs at a size: parse, dry run, status, and a run with nothing to do."""
    for count, size in ({pictures: shard_size} if pictures else SIZES).items():
        measure(count, size)


if __name__ == "__main__":
    typer.run(main)
