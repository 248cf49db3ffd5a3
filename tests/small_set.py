"""A small data set's way from prompts to measurements, for a test: prints digests of what each stage made, as JSON.

Argument: an empty folder. Also in it are `faults` and `key`, before they are rounded to levels, since few pixels show a
difference in the last bit afterwards; and `kernels`, which differs between processors that round otherwise.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import stages
from conftest import ROOT

from ldportrait import chroma, images
from ldportrait.generators import artifacts, bank


def kernels() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    picture = random.random((64, 64, 3), dtype=np.float32)
    matrix = random.random((3, 3), dtype=np.float32)
    return [picture.reshape(-1, 3) @ matrix, np.exp(picture), picture**1.4, cv2.GaussianBlur(picture, (0, 0), 3)]


def faults(exact: np.ndarray) -> list[np.ndarray]:
    """Colour and alpha of a graded picture with each fault."""
    graded = bank.grade(exact, np.random.default_rng(1)).astype(np.float32)
    functions = [getattr(artifacts, re.sub(r"\W", "_", name)) for name in artifacts.FINE + artifacts.GROSS]
    damaged = [function(graded[..., :3], graded[..., 3], np.random.default_rng(2)) for function in functions]
    return [array for picture in damaged for array in picture]


def key(exact: np.ndarray) -> list[np.ndarray]:
    """Spill, screen and keys of a picture before a green wall."""
    stage, random = chroma.Stage(), np.random.default_rng(3)
    rgb, alpha = exact[..., :3].astype(np.float32) / 255, exact[..., 3].astype(np.float32) / 255
    screen = chroma.find_screen(chroma.shoot(exact, stage, random).astype(np.float32) / 255)
    keys = [keyer(rgb, screen) for keyer in chroma.KEYERS.values()]
    return [chroma.spilled(rgb, alpha, screen, stage.spill), chroma.despill_edge(rgb, alpha), screen, *keys]


def main(folder: Path) -> None:
    made = {"kernels": kernels()}
    grammar = ROOT / "config" / "prompts.yaml"
    prompts, table = folder / "prompts.parquet", folder / "measured.parquet"
    generated, refined, keyed = (folder / f"{stage}.tar" for stage in ("generated", "refined", "keyed"))
    options = ("--size", 256, "--gross", 0.5, "--bank", stages.BANK)
    for script, *arguments in (
        ("make_prompts.py", prompts, "--grammar", grammar, "--count", 6),
        ("generate_portraits.py", prompts, generated, *options),
        ("refine_mattes.py", generated, refined),
        ("key_mattes.py", generated, refined, keyed),
        ("measure_portraits.py", generated, refined, table),
    ):
        result = stages.call(script, *arguments)
        assert result.returncode == 0, result.stderr
    images.compute_alike()
    (_, exact), *_ = stages.portraits(1, 256)
    made |= {"faults": faults(exact), "key": key(exact)}
    digests = {name: hashlib.sha256(b"".join(part.tobytes() for part in parts)) for name, parts in made.items()}
    digests |= {tar.stem: hashlib.sha256(tar.read_bytes()) for tar in (generated, refined, keyed)}
    digests["measured"] = hashlib.sha256(pd.read_parquet(table).to_json(double_precision=15).encode())
    print(json.dumps({name: digest.hexdigest() for name, digest in digests.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
