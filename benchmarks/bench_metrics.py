"""Time the metrics, by size and beside the plain textbook version of the tests.

Run `python benchmarks/bench_metrics.py` in the repository, best on an idle machine; it takes half a minute there. The
pictures are test portraits of the bank, enlarged to 1024², and as predictions the same, blurred and noisy at the edge
with a hole and a floater (`edge`), or noisy in all of the body (`body`), which makes Conn's components as many as they
get in a matte. Times are CPU times of one thread, since the machine may be shared: the least of the repetitions, the
median over the pictures. All are after the first call, which compiles; what that takes is measured in processes of
their own.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "tests" / "metrics")]

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import textbook  # noqa: E402

from ldportrait import images  # noqa: E402
from ldportrait.metrics import image, protocols, video  # noqa: E402

BANK = ROOT / "resources" / "bank"
SIZES = (512, 1024, 2048, 4096)
PICTURES = 4
FRAMES = 20
REGION = {"whole": None}
FIRST_CALL = """
import time
start = time.process_time()
import numpy as np
from ldportrait.metrics import image
alpha = np.ones((64, 64), np.{kind})
image.all_metrics(alpha, alpha, {{"whole": None}})
print(time.process_time() - start)
"""


def truths(count: int, size: int) -> list[np.ndarray]:
    """Alphas of the bank's test portraits, (size, size) uint8."""
    table = pd.read_parquet(BANK / "bank.parquet")
    paths = table[(table.kind == "portrait") & (table.split == "test")].path
    alphas = [images.read_rgba(BANK / path)[..., 3] for path in paths.iloc[:: max(1, len(paths) // count)][:count]]
    return [cv2.resize(np.ascontiguousarray(alpha), (size, size), interpolation=cv2.INTER_LINEAR) for alpha in alphas]


def predicted(true: np.ndarray, seed: int, noisy: str) -> np.ndarray:
    """A matte with faults; noise is where alpha is soft (`edge`) or not 0 (`body`)."""
    generator, size = np.random.default_rng(seed), len(true)
    soft = cv2.GaussianBlur(true, (0, 0), 1.5)
    where = (soft > 0) & (soft < 255) if noisy == "edge" else soft > 0
    pred = np.clip(soft + generator.integers(-30, 30, true.shape) * where, 0, 255).astype(np.uint8)
    pred[size // 2 : size // 2 + size // 20, size // 2 : size // 2 + size // 15] = 40
    pred[size // 40 : size // 12, size // 40 : size // 10] = 200
    return pred


def pairs(count: int, size: int, noisy: str) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(predicted(true, seed, noisy), true) for seed, true in enumerate(truths(count, size))]


def milliseconds(work: Callable, items: list, repetitions: int = 5) -> float:
    """CPU time of `work`: the least over the repetitions, the median over the items."""
    times = np.zeros((len(items), repetitions))
    for i, item in enumerate(items):
        for j in range(repetitions):
            start = time.process_time()
            work(*item)
            times[i, j] = time.process_time() - start
    return float(np.median(times.min(axis=1)) * 1000)


def everything(pred: np.ndarray, true: np.ndarray) -> None:
    image.all_metrics(pred, true, REGION)


def plainly(pred: np.ndarray, true: np.ndarray) -> list[float]:
    everywhere = np.ones(true.shape, bool)
    return [getattr(textbook, metric)(pred / 255, true / 255, everywhere) for metric in image.METRICS]


def first_calls() -> None:
    """Print the CPU seconds of a process's first call, importing included, before and after the code is on disk."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}
        seconds = []
        for kind in ("uint8", "uint8", "float32"):
            command = [sys.executable, "-c", FIRST_CALL.format(kind=kind)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            seconds.append(float(done.stdout))
    print(
        f"first call of a process: {seconds[0]:.1f} s where all is compiled, {seconds[1]:.1f} s after, "
        f"{seconds[2]:.1f} s where that for float32 is"
    )


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)
    cv2.setNumThreads(1)
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    first_calls()
    everything(*(np.ones((9, 9), np.uint8),) * 2)

    for noisy in ("edge", "body"):
        chosen = pairs(PICTURES, 1024, noisy)
        singly = {metric: milliseconds(getattr(image, metric), chosen) for metric in image.METRICS}
        print(f"1024², noise in the {noisy}: " + ", ".join(f"{m} {spent:.1f} ms" for m, spent in singly.items()))
        ours = milliseconds(everything, chosen)
        plain = milliseconds(plainly, chosen[:1], 1)
        print(f"1024², noise in the {noisy}: all five {ours:.1f} ms (bar 30)")
        print(f"1024², noise in the {noisy}: textbook {plain:.0f} ms, {plain / ours:.0f} x that")
        pred, true = chosen[0]
        worst = max(
            abs(row["value"] / value - 1)
            for row, value in zip(image.all_metrics(pred, true, REGION), plainly(pred, true), strict=True)
        )
        print(f"1024², noise in the {noisy}: at most {worst:.0e} from the textbook, relatively")
    for kind in (np.float32, np.float64):
        floats = [tuple((alpha / 255).astype(kind) for alpha in pair) for pair in pairs(PICTURES, 1024, "edge")]
        print(f"1024², noise in the edge, {kind.__name__}: all five {milliseconds(everything, floats):.1f} ms")
    chosen = [(*pair, np.where(pair[1] % 255 > 0, 128, pair[1])) for pair in pairs(PICTURES, 1024, "edge")]
    for name in ("composition-1k", "whole", "gca", "p3m", "rvm"):
        spent = milliseconds(lambda *given, name=name: protocols.score(name, *given), chosen, 3)
        print(f"1024², noise in the edge: protocol {name} {spent:.1f} ms")

    first = None
    for size in SIZES:
        spent = milliseconds(everything, pairs(2, size, "edge"), 3)
        cost = spent / size**2 * 1e6
        first = first or cost
        print(f"{size}²: all five {spent:.0f} ms, {cost:.1f} ns a pixel, {cost / first:.2f} x that at {SIZES[0]}²")

    still = [cv2.resize(alpha, (512, 288)) for alpha in truths(1, 1024)]
    true = np.stack([np.roll(still[0], 2 * t, axis=1) for t in range(FRAMES)])
    pred = np.stack([predicted(alpha, seed, "edge") for seed, alpha in enumerate(true)])
    for kind in ("uint8", "float32"):
        clip = [(pred, true)] if kind == "uint8" else [((pred / 255).astype(kind), (true / 255).astype(kind))]
        for metric, bar in ((video.dtssd, " (bar 1)"), (video.messddt, "")):
            spent = milliseconds(metric, clip) / FRAMES
            print(f"512 × 288, {kind}: {metric.__name__} {spent:.2f} ms a frame{bar}")
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
