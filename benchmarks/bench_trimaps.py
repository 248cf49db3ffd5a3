"""What trimaps of evidence miss, beside a fixed dilation of the mask's edge to the same area.

Run `python workflow/scripts/segment_video.py seg --benchmark bank-clips --root resources/bank` and then
`python benchmarks/bench_trimaps.py seg` in the repository. Missed is a pixel whose true alpha is fractional, or on the
mask's other side, but that is not unknown; shares are over all frames of all clips.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import numpy as np  # noqa: E402

from ldportrait import benchmarks  # noqa: E402
from ldportrait.trimaps import UNKNOWN  # noqa: E402
from ldportrait.video import segmenters, trimaps  # noqa: E402

RADII = np.arange(1.5, 40.5, 0.5)  # pixels of the fixed dilation
FRACTIONAL = 13, 242  # levels of alpha, of 255: beyond them it is taken as 0 or 1

Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


def frames(folder: Path, name: str, root: Path, split: str) -> list[Triple]:
    """Mask, doubt and true alpha of all frames of a benchmark, each (H, W) uint8."""
    module = benchmarks.get(name, "video")
    found = []
    for sample in module.items(root, split):
        for (mask, doubt), (_, alpha) in zip(
            segmenters.read(folder, sample.item), module.load_clip(sample), strict=True
        ):
            found.append((mask, doubt, alpha))
    return found


def shares(triples: Sequence[Triple], unknown: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> tuple[float, float]:
    """The share of all pixels that is unknown, and of those that should be, the share that is missed."""
    area = missed = wanted = pixels = 0
    for mask, doubt, alpha in triples:
        region = unknown(mask, doubt)
        fractional = (alpha > FRACTIONAL[0]) & (alpha < FRACTIONAL[1])
        should = fractional | ((alpha > 127) != (mask > 127))
        area, pixels = area + region.sum(), pixels + region.size
        missed, wanted = missed + (should & ~region).sum(), wanted + should.sum()
    return area / pixels, missed / wanted


def main() -> None:
    """Print both shares for evidence, and for the fixed dilation of equal area."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("segments", type=Path, help="the folder that segment_video wrote")
    parser.add_argument("--benchmark", default="bank-clips")
    parser.add_argument("--root", type=Path, default=ROOT / "resources" / "bank")
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    triples = frames(options.segments, options.benchmark, options.root, options.split)
    area, missed = shares(triples, lambda mask, doubt: trimaps.evidence(mask, doubt) == UNKNOWN)
    distances = [trimaps.edge_distance(mask) for mask, _, _ in triples]
    fixed = []
    for radius in RADII:
        near = iter(distances)
        fixed.append(shares(triples, lambda mask, doubt, near=near, radius=radius: next(near) <= radius))
    areas, misses = np.array(fixed).T
    print(f"{len(triples)} frames, {100 * area:.1f} % unknown")
    print(f"missed by evidence        {100 * missed:5.1f} %")
    equal, radius = (np.interp(area, areas, values) for values in (misses, RADII))
    print(f"missed by fixed dilation  {100 * equal:5.1f} %  ({radius:.1f} pixels)")


if __name__ == "__main__":
    main()
