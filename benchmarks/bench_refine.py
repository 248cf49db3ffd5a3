"""Time the refinement, by size and from tar to tar, beside closed form and plain decoding and encoding.

Run `python benchmarks/bench_refine.py` in the repository, best on an idle machine. The pictures are train portraits of
the bank, enlarged to at most 1024², damaged, and enlarged. Times are CPU times of one thread, since the machine may be
shared: the least of the repetitions, averaged over the pictures. The rate from tar to tar is by the clock.
"""

import io
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from PIL import Image  # noqa: E402

from ldportrait import images, shards, trimaps  # noqa: E402
from ldportrait.connectivity import RefineParams, clean_foreground, refine  # noqa: E402
from ldportrait.generators import artifacts  # noqa: E402
from refine_mattes import refine_shard  # noqa: E402

BANK = ROOT / "resources" / "bank"
SIZES = (512, 1024, 2048, 4096)
BARS = {"refine": 60.0, "rate": 10.0, "memory": 500.0}  # ms at 1024, pictures a second on 2 cores, MB a worker


def pictures(count: int, size: int) -> list[np.ndarray]:
    """Damaged portraits of the bank's train split, (size, size, 4) uint8."""
    table = pd.read_parquet(BANK / "bank.parquet")
    paths = table[(table.kind == "portrait") & (table.split == "train")].path
    chosen = [images.read_rgba(BANK / path) for path in paths.iloc[:: len(paths) // count][:count]]
    first = min(size, 1024)
    scaled = [cv2.resize(picture, (first, first), interpolation=cv2.INTER_LINEAR) for picture in chosen]
    damaged = [artifacts.damage(picture, seed, gross=0)[0] for seed, picture in enumerate(scaled)]
    return [cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR) for picture in damaged]


def milliseconds(work: Callable, items: list, repetitions: int = 3) -> float:
    """The least CPU time of `work` over the repetitions, averaged over the items."""
    times = np.zeros((len(items), repetitions))
    for i, item in enumerate(items):
        for j in range(repetitions):
            start = time.process_time()
            work(item)
            times[i, j] = time.process_time() - start
    return float(times.min(axis=1).mean() * 1000)


def encoded(rgba: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgba).save(stream, **shards.LOSSLESS)
    return stream.getvalue()


def decoded_and_encoded(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as picture:
        return encoded(np.array(picture))


def closed_form(rgba: np.ndarray) -> np.ndarray:
    """Alpha solved anew in the band that the refinement leaves, over grey."""
    from pymatting import estimate_alpha_cf

    trimap = trimaps.from_alpha(refine(rgba[..., 3]).alpha, 0, 0)
    image = images.composite(rgba, np.array([127, 127, 127], np.uint8))
    return estimate_alpha_cf(image / 255, trimap / 255)


def worker(job: tuple[Path, Path]) -> float:
    """Refine a shard; return the process's greatest memory in MB."""
    cv2.setNumThreads(1)
    source, output = job
    refine_shard(source, output, shards.partial_of(output), RefineParams(), clean=True)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tar_to_tar(chosen: list[np.ndarray], processes: int, folder: Path) -> tuple[float, float]:
    """Pictures a second from shards to shards, one shard a process, and the most memory of a process in MB."""
    jobs = []
    for number in range(processes):
        source = folder / "generated" / f"shard-{number:07d}.tar"
        items = [
            (f"bench-{i:09d}", lambda i=i, p=p: shards.Item({"id": f"bench-{i:09d}"}, p)) for i, p in enumerate(chosen)
        ]
        shards.make_shard(source, shards.partial_of(source), {}, items)
        jobs.append((source, folder / "refined" / source.name))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(len, [""] * processes)  # imports are done
        start = time.perf_counter()
        memory = pool.map(worker, jobs, chunksize=1)
        seconds = time.perf_counter() - start
    return processes * len(chosen) / seconds, max(memory)


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)
    cv2.setNumThreads(1)
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    first = None
    for size in SIZES:
        chosen = pictures(6 if size <= 1024 else 1, size)
        spent = milliseconds(lambda rgba: refine(rgba[..., 3]), chosen, 3 if size <= 1024 else 1)
        first = first or spent / size**2
        bar = f", bar {BARS['refine']:.0f}" if size == 1024 else ""
        print(f"refine {size}²: {spent:.0f} ms{bar}; a pixel costs {spent / size**2 / first:.2f} x that at {SIZES[0]}²")
    chosen = pictures(8, 1024)
    refined = [(rgba[..., :3], refine(rgba[..., 3]).alpha) for rgba in chosen]
    ours = milliseconds(lambda rgba: refine(rgba[..., 3]), chosen)
    colour = milliseconds(lambda pair: clean_foreground(*pair), refined)
    plain = milliseconds(decoded_and_encoded, [encoded(rgba) for rgba in chosen])
    print(f"1024²: refine {ours:.0f} ms, clean_foreground {colour:.0f} ms, decode and encode {plain:.0f} ms")
    print(f"1024²: refine is {ours / plain:.2f} x decode and encode, with colour {(ours + colour) / plain:.2f} x")
    with tempfile.TemporaryDirectory() as folder:
        rate, memory = tar_to_tar(chosen, 2, Path(folder))
    print(
        f"tar to tar on 2 processes: {rate:.1f} pictures/s, bar {BARS['rate']:.0f}; plain would be {2000 / plain:.1f}"
    )
    print(f"memory: {memory:.0f} MB a process at most, bar {BARS['memory']:.0f}")
    small = pictures(1, 512)
    closed_form(cv2.resize(small[0], (64, 64)))  # compiles
    solved, ours = milliseconds(closed_form, small, 1), milliseconds(lambda rgba: refine(rgba[..., 3]), small)
    print(f"512²: closed form {solved:.0f} ms, refine {ours:.0f} ms: {solved / ours:.0f} x")
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
