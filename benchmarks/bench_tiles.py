"""Time a trimap-based network on a tile that is unknown all over, on one core, and tell the memory that it takes.

Run `python benchmarks/bench_tiles.py vitmatte-s 1024` in the repository: the network, which gets random weights, and
the tile's side. Memory is the whole process's at its peak. `matte_pictures.py` shows such a network a large photo in
tiles of `--side` pixels.
"""

import os
import re
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from ldportrait import inference, models, trimaps  # noqa: E402

BAR = 4  # GB that a photo of 8192 × 8192 may take, of which the photo and what is made of it take up to 1.9


def peak() -> float:
    """The process's peak of memory so far, GB."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024 / 1e9


def main(name: str, side: int) -> None:
    torch.set_num_threads(1)
    predict = inference.predictor(models.get(name).build().eval())
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    before, start = peak(), time.process_time()
    predict(picture, np.full((side, side), trimaps.UNKNOWN, np.uint8))
    spent = time.process_time() - start
    print(f"{name}, {side} pixels: {spent:.1f} s, {peak():.2f} GB, {peak() / BAR:.2f} x the bar of {BAR} GB")
    print(f"{name}, {side} pixels: {peak() - before:.2f} GB more than before it ran")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
