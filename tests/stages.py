"""A small run for tests: generated, refined and keyed shards made from bank portraits, and verdicts.

And commands run within this process, since starting Python for each takes longer than what it does.
"""

import contextlib
import hashlib
import importlib
import io
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pandas as pd
from conftest import ROOT, SCRIPTS

from ldportrait import commands, images, shards

BANK = ROOT / "resources" / "bank"
SIZE = 96
ATTRIBUTES = (
    "hair_style hair_length hair_colour facial_hair garment garment_colour accessory pose expression framing light"
)


def portraits(count: int, size: int = SIZE) -> list[tuple[dict, np.ndarray]]:
    """Every twelfth portrait of the bank as (bank row, small RGBA)."""
    table = pd.read_parquet(BANK / "bank.parquet")
    rows = table[table.kind == "portrait"].iloc[::12].head(count).to_dict("records")
    pictures = (images.read_rgba(BANK / row["path"]) for row in rows)
    return [
        (row, cv2.resize(rgba, (size, size), interpolation=cv2.INTER_AREA))
        for row, rgba in zip(rows, pictures, strict=True)
    ]


def manifest_row(index: int, row: dict, size: int = SIZE, run: str = "demo") -> dict:
    return {
        "id": f"{run}-{index:09d}",
        "prompt": f"a portrait, {row['hair_style']}",
        "negative_prompt": "",
        "seed": 1000 + index,
        "persona": row["persona"],
        "split": row["split"],
        "age": str(int(row["age"])),
        "gender": row["gender"],
        "ancestry": "",
        **{name: row[name] for name in ATTRIBUTES.split()},
        "width": size,
        "height": size,
        "backend": "bank",
        "weights_sha256": "",
        "source": row["id"],
        "faults": "",
        "severity": 1.0,
        "seconds": 0.5,
    }


def worse(alpha: np.ndarray, amount: int) -> np.ndarray:
    """An alpha with haze over everything."""
    return np.clip(alpha.astype(int) * (255 - amount) // 255 + amount // 2, 0, 255).astype(np.uint8)


def write(folder: Path, items: list[shards.Item], per_shard: int) -> Path:
    for number, first in enumerate(range(0, len(items), per_shard)):
        tar = folder / f"shard-{number:07d}.tar"
        jobs = [(item.row["id"], lambda item=item: item) for item in items[first : first + per_shard]]
        shards.make_shard(tar, shards.partial_of(tar), {}, jobs)
    return folder


def make(
    root: Path,
    count: int = 6,
    per_shard: int = 3,
    truth: bool = True,
    run: str = "demo",
    changes: Mapping[int, dict] = {},
    **row: object,
) -> Path:
    """Write generated/, refined/ and keyed/ shards and screened.parquet under `root`; all portraits are accepted.

    `row` is in all rows, `changes` in those of single portraits, by index.
    """
    made = {stage: [] for stage in ("generated", "refined", "keyed")}
    for index, (described, rgba) in enumerate(portraits(count)):
        base = manifest_row(index, described, run=run) | row | changes.get(index, {})
        alpha = rgba[..., 3]
        exact = alpha if truth else None
        for stage, amount, more in [
            ("generated", 60, {}),
            ("refined", 10, {"removed_background": 0.1, "filled_foreground": 0.02, "band": 0.05}),
            ("keyed", 30, {"key_source": "truth" if truth else "refined"}),
        ]:
            colour = rgba[..., :3] // 2 if stage == "generated" else rgba[..., :3]
            made[stage].append(shards.Item(base | more, np.dstack([colour, worse(alpha, amount)]), exact))
    for stage, items in made.items():
        write(root / stage, items, per_shard)
    rows = [item.row for item in made["generated"]]
    verdicts = pd.DataFrame(
        {
            "id": [row["id"] for row in rows],
            "split": [row["split"] for row in rows],
            "persona": [row["persona"] for row in rows],
            "accepted": True,
            "reasons": "",
            "reviewed": False,
            "phash": [hashlib.sha256(row["id"].encode()).hexdigest()[:16] for row in rows],
        }
    )
    shards.write_table(verdicts, root / "screened.parquet")
    return root


def reject(root: Path, *ids: str) -> None:
    path = root / "screened.parquet"
    verdicts = pd.read_parquet(path)
    verdicts.loc[verdicts.id.isin(ids), "accepted"] = False
    shards.write_table(verdicts, path)


def folders(root: Path) -> list[Path]:
    """What the commands take first: the three stages and the verdicts."""
    return [root / "generated", root / "refined", root / "keyed", root / "screened.parquet"]


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Runs a command that is killed, with no warning, just before it gives a file a certain name for the n-th time.
KILLED = """
import os, runpy, signal, sys
place, left = sys.argv[1], [int(sys.argv[2])]
def watch(event, details):
    if event == "os.rename" and os.fsdecode(details[1]) == place:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
del sys.argv[:3]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def call_killed(place: Path, time: int, script: str, *arguments: object) -> str:
    """Run a command in a process that is killed just before it names a file `place` for the `time`-th time.

    Returns what it printed until then.
    """
    words = [place, time, SCRIPTS / script, *arguments]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout
    return done.stdout


def call(script: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run a command as `python workflow/scripts/script arguments` would."""
    words = [script, *map(str, arguments)]
    main = importlib.import_module(Path(script).stem).main
    out, err = io.StringIO(), io.StringIO()
    optimized = cv2.useOptimized()
    with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            commands.run(main)
            status = 0
        except SystemExit as leaving:
            status = leaving.code or 0
    cv2.setUseOptimized(optimized)  # some commands go without, and the tests that follow do not expect it
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())
