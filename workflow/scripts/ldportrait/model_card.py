"""The numbers of a model's card: its errors on the bank's test split, on the whole and by kind of person."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ldportrait import images, scores, shards, tables
from ldportrait.benchmarks import bank
from ldportrait.generators.bank import attributes
from ldportrait.metrics import image

BEGIN, END = "<!-- numbers: evaluate_portrait_model.py writes these -->", "<!-- end of the numbers -->"
GROUPS = {  # columns of the bank by which errors are told apart, and their headings
    "hair_style": "hair style",
    "hair_length": "hair length",
    "ancestry": "ancestry of the skin",
    "gender": "gender",
    "framing": "framing",
}
BASELINE = "mean mask"


def measure(predict: Callable[[np.ndarray], np.ndarray], root: Path) -> pd.DataFrame:
    """Errors on the whole pictures of the bank's test split, a row an item: its attributes, `sad` … `conn`, `baseline`.

    `predict` maps a picture (H, W, 3) to alpha (H, W), both uint8. `baseline` is the MAD of the mean alpha of the
    training portraits, the same for every picture.
    """
    table = shards.read_table(Path(root, "bank.parquet")).set_index("id")
    samples = bank.items(root)
    known = table.loc[[sample.item for sample in samples]].reset_index()
    kinds = attributes(known).assign(persona=known.persona)[["persona", *GROUPS]]
    mean = mean_mask(root)
    rows = []
    for sample in samples:
        picture, true, *_ = bank.load(sample)
        found = image.all_metrics(predict(picture), true, {"whole": None})
        baseline = image.mad(cv2.resize(mean, true.shape[::-1]), true)
        rows.append({row["metric"]: row["value"] for row in found} | {"baseline": baseline})
    return pd.concat([known[["id"]].rename(columns={"id": "item"}), kinds, pd.DataFrame(rows)], axis=1)


def mean_mask(root: Path) -> np.ndarray:
    """The mean alpha (H, W) float32 in [0, 1] of the bank's training portraits, all of which are of one size."""
    table = shards.read_table(Path(root, "bank.parquet"))
    paths = table[(table.kind == "portrait") & (table.split == "train")].path
    return np.mean([images.read_rgba(Path(root, path))[..., 3] for path in paths], axis=0, dtype=np.float32) / 255


def overall(measured: pd.DataFrame) -> tables.Table:
    """The mean of each error with its 95 % interval by the bootstrap over personas, and the MAD of the mean mask."""
    rows = []
    for name in [*scores.METRICS, "baseline"]:
        metric = scores.METRICS["mad" if name == "baseline" else name]
        by_persona = measured.groupby("persona")[name].mean().to_numpy() * metric.factor
        found = scores.estimate(by_persona[None])
        label = f"{metric.title} of the {BASELINE}" if name == "baseline" else metric.title
        rows.append([label, f"{found.mean:.2f}", f"{found.low:.2f} to {found.high:.2f}"])
    note = f"{len(measured)} pictures of {measured.persona.nunique()} personas; 95 % bootstrap interval over personas."
    return tables.Table(["error, whole picture", "mean", "interval"], rows, note=note)


def by_group(measured: pd.DataFrame) -> tables.Table:
    """The mean MAD of each kind of person, and the worst; kinds are small, so there is no interval."""
    factor, rows = scores.METRICS["mad"].factor, []
    for column, heading in GROUPS.items():
        for value, group in sorted(measured.groupby(column), key=lambda pair: -pair[1].mad.mean()):
            numbers = f"{factor * group.mad.mean():.1f}", f"{factor * group.mad.max():.1f}"
            rows.append([heading, str(value) or "unknown", str(len(group)), *numbers])
    return tables.Table(["by", "kind", "pictures", "MAD ×10³", "worst"], rows, labels=2)


def filled(card: str, measured: pd.DataFrame) -> str:
    """Put the tables between the card's two marks. ValueError if it lacks them."""
    head, begin, rest = card.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The model card has no place for the numbers: the lines {BEGIN!r} and {END!r} are missing.")
    body = "\n".join([tables.markdown(overall(measured)), tables.markdown(by_group(measured))])
    return f"{head}{BEGIN}\n\n{body}\n{END}{tail}"
