"""Time the refinement, by size and from tar to tar, beside closed form and plain decoding and encoding.

Run `python benchmarks/bench_refine.py` in the repository, best on an idle machine; it takes about two minutes. The
pictures are train portraits of the bank, enlarged to at most 1024², damaged, and enlarged. Times are CPU times of one
thread, since the machine may be shared: the least of the repetitions, the median over the pictures. From tar to tar the
clock counts as well; the imports of a job, a second, do not.
"""

import io
import multiprocessing
import os
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
from ldportrait.connectivity import RefineParams, clean_foreground, refine, refine_picture  # noqa: E402
from ldportrait.generators import artifacts  # noqa: E402
from refine_mattes import refine_shard  # noqa: E402

BANK = ROOT / "resources" / "bank"
SIZES = (512, 1024, 2048, 4096)
PICTURES = 16
JOBS = 2


def pictures(count: int) -> list[np.ndarray]:
    """Damaged portraits of the bank's train split, (1024, 1024, 4) uint8."""
    table = pd.read_parquet(BANK / "bank.parquet")
    paths = table[(table.kind == "portrait") & (table.split == "train")].path
    chosen = [images.read_rgba(BANK / path) for path in paths.iloc[:: len(paths) // count][:count]]
    return [artifacts.damage(scaled(picture, 1024), seed, gross=0)[0] for seed, picture in enumerate(chosen)]


def scaled(picture: np.ndarray, size: int) -> np.ndarray:
    smaller = size < picture.shape[0]
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def milliseconds(work: Callable, items: list, repetitions: int = 3) -> float:
    """CPU time of `work`: the least over the repetitions, the median over the items."""
    times = np.zeros((len(items), repetitions))
    for i, item in enumerate(items):
        for j in range(repetitions):
            start = time.process_time()
            work(item)
            times[i, j] = time.process_time() - start
    return float(np.median(times.min(axis=1)) * 1000)


def alpha_of(rgba: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rgba[..., 3])


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture)


def closed_form_problem(rgba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture over grey and a trimap whose unknown region is the band that the refinement leaves."""
    grey = images.composite(rgba, np.array([127, 127, 127], np.uint8))
    return grey / 255, trimaps.from_alpha(refine(alpha_of(rgba)).alpha, 0, 0) / 255


def peak_memory() -> float:
    """The most memory that this process has held, MB. Not ru_maxrss: that begins with the parent's own."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def job(barrier: multiprocessing.Barrier, results: multiprocessing.Queue, source: Path, output: Path) -> None:
    """Refine a shard when all jobs have imported; tell the clock's and the CPU's seconds and the memory."""
    cv2.setNumThreads(1)
    barrier.wait()
    clock, cpu = time.perf_counter(), time.process_time()
    refine_shard(source, output, shards.partial_of(output), RefineParams(), clean=True)
    results.put((time.perf_counter() - clock, time.process_time() - cpu, peak_memory()))


def tar_to_tar(chosen: list[np.ndarray], folder: Path) -> np.ndarray:
    """Refine a shard of the pictures in each of the jobs; (JOBS, 3): seconds, CPU seconds and MB."""
    context = multiprocessing.get_context("spawn")
    barrier, results, processes = context.Barrier(JOBS), context.Queue(), []
    for number in range(JOBS):
        source = folder / "generated" / f"shard-{number:07d}.tar"
        items = [
            (f"bench-{i:09d}", lambda i=i, p=p: shards.Item({"id": f"bench-{i:09d}"}, p)) for i, p in enumerate(chosen)
        ]
        shards.make_shard(source, shards.partial_of(source), {}, items)
        output = folder / "refined" / source.name
        processes.append(context.Process(target=job, args=(barrier, results, source, output)))
    for process in processes:
        process.start()
    spent = np.array([results.get(timeout=120) for _ in processes])
    for process in processes:
        process.join()
    return spent


def main() -> None:
    from pymatting import estimate_alpha_cf

    sys.stdout.reconfigure(line_buffering=True)
    cv2.setNumThreads(1)
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    chosen = pictures(PICTURES)

    raw = [alpha_of(rgba) for rgba in chosen]
    ours = milliseconds(refine, raw)
    print(f"1024²: refine {ours:.0f} ms (bar 60), {PICTURES} pictures")
    planes = [(rgba[..., :3].copy(), refine(alpha).alpha, alpha) for rgba, alpha in zip(chosen, raw, strict=True)]
    colour = milliseconds(lambda these: clean_foreground(*these), planes)
    results = [refine_picture(rgba)[0] for rgba in chosen]
    encoding = milliseconds(shards.encode, results)
    decoding = milliseconds(decoded, [shards.encode(rgba) for rgba in chosen])
    plain = milliseconds(lambda data: shards.encode(decoded(data)), [shards.encode(rgba) for rgba in chosen])
    print(f"1024²: colour {colour:.0f} ms, decode {decoding:.0f} ms, encode {encoding:.0f} ms")
    print(f"1024²: plain decode and encode {plain:.0f} ms; refine and colour are {(ours + colour) / plain:.2f} x that")

    estimate_alpha_cf(*closed_form_problem(scaled(chosen[0], 64)))  # compiles
    solved = milliseconds(lambda pair: estimate_alpha_cf(*pair), [closed_form_problem(p) for p in chosen[:3]], 1)
    print(
        f"1024²: closed form {solved:.0f} ms, given the band that the refinement leaves: {solved / ours:.0f} x refine"
    )

    with tempfile.TemporaryDirectory() as folder:
        spent = tar_to_tar(chosen, Path(folder))
    seconds, cpu, memory = spent.max(axis=0)
    print(f"tar to tar, {JOBS} jobs: {JOBS * PICTURES / seconds:.1f} pictures/s by the clock (bar 10)")
    print(
        f"tar to tar: {cpu / PICTURES * 1000:.0f} ms of CPU a picture, plain decode and encode would take {plain:.0f}"
    )
    print(f"memory: {memory:.0f} MB a job at most (bar 500)")

    first = None
    for size in SIZES:
        alphas = [alpha_of(scaled(rgba, size)) for rgba in chosen[:4]]
        spent = milliseconds(refine, alphas, 3 if size <= 2048 else 2)
        first = first or spent / size**2
        cost = spent / size**2
        print(f"{size}²: refine {spent:.0f} ms, {cost * 1e6:.0f} ns a pixel, {cost / first:.2f} x that at {SIZES[0]}²")
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
