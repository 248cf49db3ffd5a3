"""Whether mattes flicker because the trimap differs from frame to frame: other trimaps of one segmentation compared.

Run `python workflow/scripts/segment_video.py seg --benchmark bank-clips --root resources/bank --split val` and then
`python benchmarks/bench_flicker.py seg --split val` in the repository; it takes some minutes. A clip is matted with

- own: the trimap of each frame's evidence, as matte_video does;
- averaged: of doubt averaged over two frames to either side, along the optical flow;
- united: unknown, besides, where it is unknown in one of these frames;
- constant: unknown in all frames where it is unknown in one of the clip, so that the region never changes;
- wide: of each frame's evidence again, by thresholds so low that as much is unknown as in constant;
- truth: of the true alpha.

Printed are the share of pixels that is unknown, MAD and dtSSD before and after smoothing, and how much of the squared
error that dtSSD counts before smoothing lies where the region is unknown in both frames, and in one of two.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from ldportrait import benchmarks, models  # noqa: E402
from ldportrait.benchmarks import bank  # noqa: E402
from ldportrait.metrics import video as metrics  # noqa: E402
from ldportrait.trimaps import UNKNOWN  # noqa: E402
from ldportrait.video import matting, segmenters, trimaps  # noqa: E402
from ldportrait.video.files import Frame  # noqa: E402
from ldportrait.video.flow import Flows, warp  # noqa: E402

REACH = 2  # frames to either side
HEADINGS = ("unknown %", "MAD e3", "dtSSD e2", "smoothed MAD", "dtSSD", "in both %", "in one %")


def followed(values: Sequence[np.ndarray], frames: Sequence[Frame], flows: Flows) -> Iterator[np.ndarray]:
    """For each frame the values (H, W) of those within REACH, at the places where flow finds its pixels: (n, H, W)."""
    for t, frame in enumerate(frames):
        near = range(max(0, t - REACH), min(len(frames), t + REACH + 1))
        yield np.stack([values[s] if s == t else warp(values[s], flows.between(frame, frames[s])) for s in near])


def opened(masks: Sequence[np.ndarray], unknown: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Trimaps of masks and of where these are not known."""
    return [np.where(region, np.uint8(UNKNOWN), mask) for mask, region in zip(masks, unknown, strict=True)]


def variants(
    segments: Sequence[tuple[np.ndarray, np.ndarray]], frames: Sequence[Frame], true: Sequence[np.ndarray], flows: Flows
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Name the ways to make trimaps and yield the trimaps of each."""
    masks, doubts = zip(*segments, strict=True)
    own = [trimaps.evidence(*segment) for segment in segments]
    yield "own", own
    means = [np.rint(near.mean(0)).astype(np.uint8) for near in followed(doubts, frames, flows)]
    yield "averaged", [trimaps.evidence(*pair) for pair in zip(masks, means, strict=True)]
    unknown = [trimap == UNKNOWN for trimap in own]
    levels = [region.astype(np.float32) for region in unknown]
    yield "united", opened(masks, [near.max(0) >= 0.5 for near in followed(levels, frames, flows)])
    always = np.any(unknown, axis=0)
    yield "constant", opened(masks, [always] * len(masks))
    yield "wide", widened(segments, always.mean())
    yield "truth", [bank.trimap(alpha) for alpha in true]


def widened(segments: Sequence[tuple[np.ndarray, np.ndarray]], share: float) -> list[np.ndarray]:
    """Trimaps of evidence, with thresholds so low that at least this share of the pixels is unknown."""
    for factor in 0.9 ** np.arange(1, 100):
        weak, strong = factor * trimaps.WEAK, factor * trimaps.STRONG
        found = [trimaps.evidence(*segment, weak=weak, strong=strong) for segment in segments]
        if (np.stack(found) == UNKNOWN).mean() >= share:
            return found
    raise ValueError(f"No threshold leaves {share:.1%} of the pixels unknown.")


def shares(alphas: np.ndarray, true: np.ndarray, unknown: np.ndarray) -> tuple[float, float]:
    """Of the squared change of the error, the share where both frames are unknown, and where one is; all (T, H, W)."""
    change = np.square(np.diff(alphas.astype(np.float32) - true, axis=0))
    both, one = unknown[1:] & unknown[:-1], unknown[1:] ^ unknown[:-1]
    return change[both].sum() / change.sum(), change[one].sum() / change.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("segments", type=Path, help="the folder that segment_video wrote")
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "models" / "trimap")
    parser.add_argument("--benchmark", default="bank-clips")
    parser.add_argument("--root", type=Path, default=ROOT / "resources" / "bank")
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    predict = matting.batched(models.load(options.model)[0])
    module = benchmarks.get(options.benchmark, "video")
    rows: dict[str, list[list[float]]] = {}
    for sample in module.items(options.root, options.split):
        pictures, true = zip(*module.load_clip(sample), strict=True)
        frames = [Frame(index, Fraction(index, 25), rgb) for index, rgb in enumerate(pictures)]
        flows, truth = Flows(kept=10 * len(frames)), np.stack(true)
        for name, known in variants(list(segmenters.read(options.segments, sample.item)), frames, true, flows):
            mattes = list(matting.matte(zip(frames, known, strict=True), predict))
            unknown, row = np.stack(known) == UNKNOWN, []
            for made in (mattes, matting.smooth(mattes, flows=flows)):
                alphas = np.stack([matte.alpha for matte in made])
                mad = np.abs(alphas.astype(np.float32) - truth).mean() / 255
                row += [1e3 * mad, 1e2 * metrics.dtssd(alphas, truth)]
            of_change = shares(np.stack([matte.alpha for matte in mattes]), truth, unknown)
            rows.setdefault(name, []).append([100 * unknown.mean(), *row, *(100 * share for share in of_change)])
            print(f"{sample.item} {name:9}" + "".join(f" {value:12.2f}" for value in rows[name][-1]))
    print(f"{'mean':17}" + "".join(f" {heading:>12}" for heading in HEADINGS))
    for name, values in rows.items():
        print(f"{name:17}" + "".join(f" {value:12.2f}" for value in np.mean(values, axis=0)))


if __name__ == "__main__":
    main()
