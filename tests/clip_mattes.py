"""A bank of two small clips, and mattes of them as matte_video would leave them, with a known error."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ldportrait import images
from ldportrait.benchmarks import bank_clips

CLIPS, FRAMES, SIDE = 2, 4, 24
KEYS = {"run": "demo", "model": "small-trimap", "variant": "refined", "fraction": 100, "seed": 0}
Error = Callable[[int, int], int]  # levels to add to the true alpha, by clip and frame


def write_bank(folder: Path, clips: int = CLIPS) -> Path:
    """A bank whose clips have an alpha of 100 in a square that moves by a pixel a frame, 255 in its middle."""
    rows = []
    for index in range(clips):
        stack = np.full((FRAMES, SIDE, SIDE, 4), 90, np.uint8)
        stack[..., 3] = 0
        for t in range(FRAMES):
            stack[t, 4:20, 2 + t : 18 + t, 3] = 100
            stack[t, 8:16, 6 + t : 14 + t, 3] = 200
        images.write_webp(folder / f"c{index}.webp", stack.reshape(-1, SIDE, 4), lossless=True)
        images.write_webp(folder / f"b{index}.webp", np.full((SIDE, SIDE, 3), 60 * index, np.uint8), lossless=True)
        rows.append({"id": f"clip-{index:02d}", "kind": "clip", "split": "test", "path": f"c{index}.webp"})
        rows.append({"id": f"background-{index:02d}", "kind": "background", "split": "test", "path": f"b{index}.webp"})
    pd.DataFrame(rows).assign(frames=FRAMES).to_parquet(folder / "bank.parquet")
    return folder


def write_mattes(folder: Path, bank: Path, error: Error, method: str = "ours", benchmark: str = "bank-clips") -> Path:
    """The true alpha of every frame, `error` levels off all over the picture."""
    rows = []
    for index, sample in enumerate(bank_clips.items(bank)):
        for frame, (_, alpha) in enumerate(bank_clips.load_clip(sample)):
            name = f"{sample.item}/{frame:06d}.png"
            wrong = np.clip(alpha.astype(int) + error(index, frame), 0, 255).astype(np.uint8)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(wrong).save(folder / name)
            sha256 = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            row = {"benchmark": benchmark, "method": method, "item": sample.item, "frame": frame}
            rows.append(KEYS | row | {"seconds": frame / 25, "unknown": 0.1, "alpha": name, "sha256": sha256})
    pd.DataFrame(rows).to_parquet(folder / "mattes.parquet")
    return folder


def as_segments(folder: Path) -> Path:
    """What `write_mattes` left as segment_video would leave masks."""
    table = pd.read_parquet(folder / "mattes.parquet")
    segments = table[["item", "frame", "seconds"]].assign(share=0.3, doubt=0.1, event="")
    segments = segments.assign(
        mask=table.alpha, doubts=table.alpha, mask_sha256=table.sha256, doubts_sha256=table.sha256
    )
    segments.to_parquet(folder / "segments.parquet")
    (folder / "mattes.parquet").unlink()
    return folder
