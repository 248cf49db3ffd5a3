"""A results folder as the earlier stages leave it, made up: small portraits with damage, verdicts and scores."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ldportrait import scores, shards

ATTRIBUTES = {
    "gender": ["woman", "man"],
    "age": ["young adult", "middle-aged", "elderly"],
    "ancestry": ["African", "Asian", "European"],
    "hair_style": ["afro", "bob", "long curly", "long straight", "pixie"],
    "hair_length": ["long", "medium", "short"],
    "hair_colour": ["black", "blond", "brown", "grey", "red"],
    "facial_hair": ["none", "stubble"],
    "garment": ["blouse", "shirt", "suit jacket", "sweater"],
    "garment_colour": ["navy", "white"],
    "accessory": ["fedora", "none", "round glasses"],
    "pose": ["hand at chin", "relaxed"],
    "expression": ["laughing", "neutral", "smiling"],
    "framing": ["close-up", "head and shoulders", "upper body"],
    "light": ["golden hour", "softbox", "window light"],
}
REASONS = ["halo", "body_holes", "two_persons"]
EVIL = '<script>document.title = "evil"</script><img src=x onerror="document.title = \'evil\'">'
LEVELS = {"raw": 8.0, "keyed": 4.0, "refined": 1.0, "truth": 0.5}


def bust(size: int, shift: float = 0.0) -> np.ndarray:
    """A soft head on shoulders as (size, size, 4) RGBA."""
    y, x = (np.mgrid[:size, :size] / size).astype(np.float32)
    head = 0.22 - np.hypot((x - 0.5 - shift) * 1.15, y - 0.38)
    body = 0.38 - np.hypot((x - 0.5 - shift) * 0.9, (y - 1.02) * 0.95)
    alpha = np.clip(np.maximum(head, body) * size / 4 + 0.5, 0, 1)
    colour = np.dstack([150 + 80 * y, 120 + 40 * x, 110 + 0 * x])
    return np.rint(np.dstack([colour, 255 * alpha])).astype(np.uint8)


def damage(rgba: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A halo, dust, and a body that is not quite opaque."""
    alpha = rgba[..., 3].astype(int)
    halo = cv2.GaussianBlur(rgba[..., 3], (0, 0), rgba.shape[0] / 24) // 20
    dust = 90 * (generator.random(alpha.shape) > 0.998)
    worn = np.where(
        alpha == 255, alpha - generator.integers(0, 12, alpha.shape), np.maximum.reduce([alpha, halo, dust])
    )
    return np.dstack([rgba[..., :3], worn.astype(np.uint8)])


@dataclass(frozen=True)
class Results:
    """The folder and how it was made."""

    folder: Path
    shards: int
    ids: list[str]

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


def results(
    folder: Path,
    count: int = 12,
    shard_size: int = 6,
    size: int = 64,
    truth: bool = True,
    portrait: Callable[[int], np.ndarray] | None = None,
    prompts: Iterable[str] = (),
) -> Results:
    """Write prompts, generated, refined and measured shards, and screened.parquet. A third is rejected."""
    generator = np.random.default_rng(1)
    ids = [f"demo-{index:09d}" for index in range(count)]
    texts = dict(enumerate(prompts))
    items, rows = {"generated": [], "refined": []}, []
    for index, name in enumerate(ids):
        rgba = portrait(index) if portrait else bust(size, (index % 3 - 1) / 16)
        raw = damage(rgba, generator)
        row = {"id": name, "prompt": texts.get(index, f"close-up portrait {index}, grey & plain"), "seed": index}
        row |= {
            "negative_prompt": "blurry",
            "persona": f"persona-{index % 5:02d}",
            "split": "val" if index % 5 == 4 else "train",
        }
        row |= {key: values[(index * 7 + len(key)) % len(values)] for key, values in ATTRIBUTES.items()}
        row |= {"width": rgba.shape[1], "height": rgba.shape[0], "backend": "bank", "weights_sha256": "", "source": "x"}
        row |= {"faults": "halo,dust", "severity": 1.0, "seconds": 0.5}
        items["generated"].append(shards.Item(row, raw, rgba[..., 3] if truth else None))
        numbers = {"removed_background": 0.01 * (index % 4), "filled_foreground": 0.02, "band": 0.01 * (index % 7)}
        items["refined"].append(shards.Item({**row, **numbers}, rgba))
        accepted = index % 3 != 2
        reasons = "" if accepted else ",".join(REASONS[: 1 + index // 3 % 3])
        rows.append({"id": name, "split": row["split"], "persona": row["persona"], "accepted": accepted,
                     "reasons": reasons, "reviewed": index == 2})  # fmt: skip
    for start in range(0, count, shard_size):
        stem = f"shard-{start // shard_size:07d}"
        chosen = slice(start, start + shard_size)
        for stage, found in items.items():
            jobs = [(item.row["id"], lambda item=item: item) for item in found[chosen]]
            shards.make_shard(folder / stage / f"{stem}.tar", folder / ".partial" / stage / stem, {}, jobs)
        manifest = shards.read_manifest(folder / "generated" / f"{stem}.tar")
        shards.write_table(manifest.drop(columns=["source", "sha256"]), folder / "prompts" / f"{stem}.parquet")
        measured = {
            "id": ids[chosen],
            "area": generator.random(len(ids[chosen])),
            "components": range(len(ids[chosen])),
        }
        shards.write_table(pd.DataFrame(measured), folder / "measured" / f"{stem}.parquet")
    shards.write_table(pd.DataFrame(rows), folder / "screened.parquet")
    return Results(folder, -(-count // shard_size), ids)


def score_table(model: str, variant: str, fraction: int, seed: int, items: list[str], level: float) -> pd.DataFrame:
    """Scores around `level`, the same spread of items for every model."""
    generator = np.random.default_rng(7)
    hardness = np.exp(0.4 * generator.standard_normal(len(items)))
    noise = np.random.default_rng([seed + 1, len(variant), fraction])
    tables = []
    for region in scores.REGIONS:
        for metric, scale in {"sad": 1, "mse": 0.004, "mad": 0.01, "grad": 0.8, "conn": 0.9}.items():
            values = level * scale * hardness * np.exp(0.08 * noise.standard_normal(len(items)) + 0.05 * seed)
            table = pd.DataFrame({"item": items, "region": region, "metric": metric, "value": values})
            tables.append(table.assign(run="demo", model=model, variant=variant, fraction=fraction, seed=seed))
    return pd.concat(tables, ignore_index=True).assign(benchmark="bank", protocol="definition")[scores.COLUMNS]


def write_scores(folder: Path) -> None:
    """Write scores/bank/{small-trimap,small-free}/ and scores/variants.parquet."""
    items = [f"portrait-{index:03d}" for index in range(16)]
    for seed in (0, 1):
        for variant, level in LEVELS.items():
            table = score_table("small-trimap", variant, 100, seed, items, 2 + level / 4)
            shards.write_table(table, folder / "bank" / "small-trimap" / f"{variant}-f100-s{seed}.parquet")
        for fraction, level in {25: 4.0, 50: 3.0}.items():
            table = score_table("small-trimap", "refined", fraction, seed, items, level)
            shards.write_table(table, folder / "bank" / "small-trimap" / f"refined-f{fraction:03d}-s{seed}.parquet")
    table = score_table("small-free", "refined", 100, 0, items, 9)
    shards.write_table(table, folder / "bank" / "small-free" / "refined-f100-s0.parquet")
    tables = [score_table("", v, 100, -1, items, level) for v, level in LEVELS.items() if v != "truth"]
    shards.write_table(pd.concat(tables).assign(benchmark="dataset"), folder / "variants.parquet")
