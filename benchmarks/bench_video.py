"""Time video matting part by part: frames a second of one core, and what it costs beside the trimap-free model alone.

Run `python benchmarks/bench_video.py [--trimap-based FOLDER]` in the repository; it takes a minute or two. The clip is
one of the bank's before a moving background, enlarged to 640 x 360. Times are CPU times of one thread, since the
machine may be shared; each part works on all frames before the next one begins, on what that one left. Smoothing takes
the flow that voting has left, as for a video in one go; besides, it is timed with flow of its own, as from what
segment_video wrote.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from ldportrait import benchmarks, inference, matting, models  # noqa: E402
from ldportrait.video import files, segmenters, trimaps  # noqa: E402
from ldportrait.video import matting as video_matting  # noqa: E402
from ldportrait.video.files import Frame  # noqa: E402
from ldportrait.video.flow import Flows  # noqa: E402

WIDTH, HEIGHT, FRAMES = 640, 360, 24
RATE = Fraction(25)


def clip() -> list[Frame]:
    """A clip of the bank in WIDTH x HEIGHT."""
    module = benchmarks.get("bank-clips-moving", "video")
    pictures = [rgb for rgb, _ in module.load_clip(module.items(ROOT / "resources" / "bank")[0])][:FRAMES]
    size, top = (WIDTH, WIDTH), (WIDTH - HEIGHT) // 8
    large = [cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)[top : top + HEIGHT] for rgb in pictures]
    return [Frame(index, index / RATE, np.ascontiguousarray(rgb)) for index, rgb in enumerate(large)]


def timed(work: Callable[[], list]) -> tuple[float, list]:
    """CPU milliseconds a frame, and what the work gives."""
    start = time.process_time()
    found = work()
    return 1000 * (time.process_time() - start) / FRAMES, found


def write(mattes: list[video_matting.Matte], path: Path) -> list:
    """Write cut-outs with alpha, whose colour is the picture's."""
    with files.writing(path, RATE) as write_frame:
        for matte in mattes:
            write_frame(np.dstack([matte.frame.rgb, matte.alpha]), matte.frame.seconds)
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trimap-free", type=Path, default=ROOT / "resources" / "models" / "portrait")
    parser.add_argument("--trimap-based", type=Path, help="its folder; else small-trimap with fresh weights")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    free, info = models.load(options.trimap_free)
    based = models.load(options.trimap_based)[0] if options.trimap_based else models.get("small-trimap").build().eval()
    predict = video_matting.remembering(inference.predictor(free), FRAMES)  # so that voting is timed without it
    batches, side, frames = video_matting.batched(based), matting.shown_side(info), clip()
    flows, spent = Flows(kept=10 * FRAMES), {}
    spent["segmentation"], _ = timed(lambda: [matting.matte_whole(predict, frame.rgb, side) for frame in frames])
    spent["voting"], segments = timed(lambda: list(segmenters.frames(frames, predict, side, flows=flows)))
    spent["trimaps"], known = timed(lambda: [trimaps.evidence(segment.mask, segment.doubt) for segment in segments])
    spent["matting"], mattes = timed(lambda: list(video_matting.matte(zip(frames, known, strict=True), batches)))
    apart, _ = timed(lambda: list(video_matting.smooth(mattes)))
    spent["smoothing"], mattes = timed(lambda: list(video_matting.smooth(mattes, flows=flows)))
    with tempfile.TemporaryDirectory() as folder:
        spent["writing"], _ = timed(lambda: write(mattes, Path(folder, "clip.mov")))
    total = sum(spent.values())
    for part, milliseconds in spent.items():
        share = 100 * milliseconds / total
        print(f"{part}: {milliseconds:.1f} ms a frame, {1000 / milliseconds:.1f} frames a second, {share:.0f} %")
    print(f"smoothing with flow of its own: {apart:.1f} ms a frame")
    alone = spent["segmentation"] + spent["writing"]
    print(f"all: {total:.1f} ms a frame, {1000 / total:.2f} frames of {WIDTH} x {HEIGHT} a second of one core")
    print(
        f"the trimap-free model frame by frame: {1000 / alone:.2f} a second; all takes {total / alone:.2f} x its time"
    )
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
