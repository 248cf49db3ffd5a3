"""Portraits from the embedded bank, chosen by a prompt's attributes, varied, and damaged as LayerDiffuse damages."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ldportrait import images, shards
from ldportrait.columns import ATTRIBUTES, SPLITS
from ldportrait.generators import artifacts
from ldportrait.shards import Item

VERSION = "2"  # raise it when pictures change, those of artifacts.py among them: shards are made anew

WEIGHTS = {  # how much a mismatch counts; ages count by their distance, in years over AGES
    "gender": 8.0,
    "hair_style": 2.0,
    "hair_length": 2.0,
    "ancestry": 2.0,
    "age": 2.0,
    "hair_colour": 1.5,
    "facial_hair": 1.5,
    "framing": 1.5,
    "accessory": 1.2,
    "garment": 1.0,
    "pose": 1.0,
    "expression": 0.6,
    "garment_colour": 0.5,
    "light": 0.5,
}
AGES = 30.0
TOGETHER = (  # attributes that depend on each other in a prompt
    ("gender",),
    ("age", "hair_colour"),
    ("ancestry",),
    ("hair_style", "hair_length"),
    ("facial_hair",),
    ("garment",),
    ("garment_colour",),
    ("accessory",),
    ("framing", "pose"),
    ("expression",),
    ("light",),
)
WISHES = 3000  # imagined prompts over which the portraits' use is evened out
RARE = 0.3  # share of imagined values that are drawn regardless of how common they are in the bank
SPREAD = 2.0  # deviation of the chance in the choice among the nearest, in units of WEIGHTS
ANGLE = 6.0  # degrees
SCALES = (0.9, 1.15)
SHIFT = 0.06  # of the frame
MARGIN = 2  # pixels between the frame and a body that was not cut off there


@dataclass(frozen=True)
class Bank:
    """The bank's portraits to choose from: their attributes as text, and a price for each that evens out their use."""

    root: Path
    portraits: pd.DataFrame
    known: Mapping[str, np.ndarray]
    prices: np.ndarray


def load(settings: Mapping) -> Callable[[Sequence[dict]], list[Item]]:
    """Return the backend. `settings`: bank (its folder), splits, size (pixels), severity and gross (see `artifacts`).

    Raises ValueError or FileNotFoundError, naming the file or key, where the bank is missing or damaged or a setting
    is wrong.
    """
    if settings["size"] < 64:
        raise ValueError(f"size must be at least 64 pixels, not {settings['size']}.")
    if settings["severity"] < 0 or not 0 <= settings["gross"] <= 1:
        raise ValueError(
            f"severity must be at least 0 and gross in [0, 1], not {settings['severity']} and {settings['gross']}."
        )
    cv2.setNumThreads(1)  # jobs run side by side
    bank = open_bank(Path(settings["bank"]), settings["splits"])
    return lambda rows: [_item(row, bank, settings) for row in rows]


def open_bank(root: Path, splits: Sequence[str]) -> Bank:
    """Read the portraits of some splits. ValueError or FileNotFoundError as `load`."""
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise ValueError(f"splits must name some of {', '.join(SPLITS)}, not {list(splits)!r}.")
    table = shards.read_table(root / "bank.parquet")
    portraits = table[(table["kind"] == "portrait") & table["split"].isin(splits)].sort_values("id")
    if portraits.empty:
        raise ValueError(f"{root / 'bank.parquet'} has no portrait of the splits {', '.join(splits)}.")
    known = attributes(portraits)
    portraits = pd.concat(
        [portraits[["id", "split", "path", "sha256", "persona"]].reset_index(drop=True), known], axis=1
    )
    return Bank(root, portraits, _words(known), _prices(known))


def attributes(portraits: pd.DataFrame) -> pd.DataFrame:
    """Return the prompts' attributes of bank rows as text, "" where the bank does not know; ancestry from the skin."""
    table = pd.DataFrame(index=range(len(portraits)))
    for name in ATTRIBUTES:
        if name == "ancestry":
            table[name] = [_ancestry(skin) for skin in portraits["skin"]]
        elif name == "age":
            table[name] = ["" if pd.isna(age) else str(int(age)) for age in portraits["age"]]
        else:
            table[name] = portraits[name].fillna("").to_numpy() if name in portraits else ""
    return table


def _ancestry(skin: str) -> str:
    """ "young_african_male + young_caucasian_male" -> mixed; one ancestry alone -> itself."""
    found = {part.split("_")[1] for part in skin.split(" + ")}
    return found.pop() if len(found) == 1 else "mixed"


def _words(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The weighted attributes as arrays of text: what `mismatch` takes."""
    return {name: table[name].to_numpy(str) for name in WEIGHTS}


def mismatch(wishes: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return how far portraits are from wishes, (wishes, portraits); an attribute "" of a wish asks for nothing."""
    total = np.zeros((len(wishes["gender"]), len(known["gender"])))
    for name, weight in WEIGHTS.items():
        wish, have = wishes[name][:, None], known[name][None, :]
        if name == "age":
            differ = np.minimum(np.abs(_years(wish) - _years(have)) / AGES, 1.0)
        else:
            differ = (wish != have).astype(float)
        total += weight * np.where((wish == "") | (have == ""), 0.0, np.nan_to_num(differ))
    return total


def _years(text: np.ndarray) -> np.ndarray:
    return np.array([float(word) if word.replace(".", "", 1).isdigit() else math.nan for word in text.ravel()]).reshape(
        text.shape
    )


def _prices(known: pd.DataFrame) -> np.ndarray:
    """Return a price for each portrait, added to its mismatch, at which those of a gender are chosen equally often.

    Some portraits are near to many wishes and others to none. The wishes are imagined, much as the grammar would draw
    them: attribute by attribute from the portraits of the gender, what belongs together (TOGETHER) at once. Prices go
    up for what is chosen too often (the auction of Bertsekas, 1979, here with small steps and the chance of `choose`).
    """
    generator = np.random.default_rng(0)
    prices = np.zeros(len(known))
    for _, group in known.groupby("gender"):
        wishes = pd.concat([_imagine(group[list(names)], generator) for names in TOGETHER], axis=1)
        cost = mismatch(_words(wishes), _words(group)) + SPREAD * generator.gumbel(size=(WISHES, len(group)))
        for step in np.geomspace(0.5, 0.02, 120):
            used = np.bincount((cost + prices[group.index]).argmin(axis=1), minlength=len(group))
            prices[group.index] += step * np.clip(used * len(group) / WISHES - 1, -1, 2)
        prices[group.index] -= prices[group.index].mean()
    return prices


def _imagine(known: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Draw WISHES rows, a share RARE of them regardless of how common they are."""
    different = known.drop_duplicates()
    rows = [table.iloc[generator.integers(len(table), size=WISHES)].to_numpy() for table in (known, different)]
    rare = generator.random(WISHES) < RARE
    return pd.DataFrame(np.where(rare[:, None], rows[1], rows[0]), columns=known.columns)


def choose(row: Mapping, bank: Bank, generator: np.random.Generator) -> pd.Series:
    """Return one of the portraits nearest to a prompt's attributes; which of them is the generator's choice."""
    cost = mismatch({name: np.array([str(row.get(name) or "")]) for name in WEIGHTS}, bank.known)[0]
    noise = SPREAD * generator.gumbel(size=len(cost))
    return bank.portraits.iloc[int((cost + bank.prices + noise).argmin())]


def read_portrait(bank: Bank, portrait: pd.Series) -> np.ndarray:
    """Read a portrait (H, W, 4) uint8. ValueError naming the file if it is not the one that bank.parquet lists."""
    path = bank.root / portrait["path"]
    if not path.is_file():
        raise FileNotFoundError(f"There is no picture at {path}; `make bank` or git restores it.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != portrait["sha256"]:
        raise ValueError(f"{path} is not the picture that bank.parquet lists; restore it with git.")
    return images.read_rgba(path)


def vary(rgba: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Return a variation (size, size, 4) uint8: mirrored, turned, scaled, shifted and graded.

    What the frame cut off at an edge stays cut off there: the body still touches the bottom edge if it did.
    """
    if generator.random() < 0.5:
        rgba = rgba[:, ::-1]
    matrix = _placement(rgba[..., 3], size, generator)
    return grade(warp(rgba, matrix, size), generator)


def _placement(alpha: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Draw an affine map (2, 3) from the portrait's pixels to those of a (size, size) picture.

    Where alpha reaches an edge of the frame, the map takes those points to the edge or beyond; if opposite edges
    cannot both be reached, the scale grows. What lay inside the frame stays inside as far as that allows.
    """
    height, width = alpha.shape
    angle = np.deg2rad(generator.uniform(-ANGLE, ANGLE))
    scale = generator.uniform(*SCALES) * size / max(height, width)
    shift = generator.uniform(-SHIFT, SHIFT, 2) * size
    centre = np.array([width - 1, height - 1]) / 2
    lows, highs, hull = _touching(alpha)
    while True:
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        offset = (size - 1) / 2 + shift - turn @ centre
        body = hull @ turn.T + offset
        corrections = [_correction(lows[i], highs[i], body[:, i], turn[i], offset[i], size) for i in (0, 1)]
        if None not in corrections:
            return np.column_stack([turn, offset + corrections]).astype(np.float32)
        scale *= 1.02


def _correction(
    low: np.ndarray, high: np.ndarray, body: np.ndarray, turn: np.ndarray, offset: float, size: int
) -> float | None:
    """Return by how much to shift along one axis, or None if no shift can serve both edges.

    `low` and `high` (n, 2) are the points cut off at the two edges, `body` (m,) the mapped outline along this axis.
    """
    most = -(low @ turn + offset).max() if len(low) else np.inf
    least = size - 1 - (high @ turn + offset).min() if len(high) else -np.inf
    if least > most:
        return None
    # Without a cut at an edge, the outline should stay within it.
    inward = 0.0
    if not len(low):
        inward = max(0.0, MARGIN - body.min())
    elif not len(high):
        inward = min(0.0, size - 1 - MARGIN - body.max())
    return float(np.clip(inward, least, most))


def _touching(alpha: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return the visible points cut off at the edges of the frame, and the hull of the body, all (n, 2) as x and y.

    First those at the left and the top edge, then those at the right and the bottom edge; one pixel further in, so
    that the empty row beyond the frame stays outside.
    """
    height, width = alpha.shape
    left, right, top, bottom = (np.flatnonzero(line > 12) for line in (*alpha[:, [0, -1]].T, *alpha[[0, -1]]))

    def points(x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        return np.column_stack(np.broadcast_arrays(x, y)).astype(float)

    lows = [points(1, left), points(top, 1)]
    highs = [points(width - 2, right), points(bottom, height - 2)]
    hull = (
        cv2.convexHull(cv2.findNonZero((alpha > 25).astype(np.uint8)))[:, 0] if (alpha > 25).any() else points(0, [0])
    )
    return lows, highs, hull.astype(float)


def warp(rgba: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Map a picture (H, W, 4) uint8 by an affine `matrix` to (size, size, 4) uint8, premultiplied while it is mapped.

    Colour under alpha 0 is mapped by itself and goes on smoothly beyond the frame.
    """
    colour, alpha = rgba[..., :3].astype(np.float32), rgba[..., 3].astype(np.float32) / 255
    seen = np.dstack([colour * alpha[..., None], alpha])
    options = {"dsize": (size, size), "flags": cv2.INTER_CUBIC}
    seen = cv2.warpAffine(seen, matrix, borderMode=cv2.BORDER_CONSTANT, **options)
    filled = cv2.warpAffine(colour, matrix, borderMode=cv2.BORDER_REPLICATE, **options)
    alpha = np.clip(seen[..., 3:], 0, 1)
    trust = 0.02 * (1 - alpha)  # premultiplied colour is noise where alpha is near 0
    colour = (np.clip(seen[..., :3], 0, 255 * alpha) + trust * filled) / np.maximum(alpha + trust, 1e-6)
    return np.rint(np.clip(np.dstack([colour, alpha * 255]), 0, 255)).astype(np.uint8)


def grade(rgba: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Change exposure (up to a third of a stop), white balance, saturation and contrast; alpha stays."""
    gain = 2 ** generator.uniform(-0.33, 0.33) * generator.uniform(0.94, 1.06, 3)
    saturation, contrast = generator.uniform(0.85, 1.15, 2)
    # Light is as colour ** 2.2, and so gain times the light is gain ** (1 / 2.2) times the colour.
    colour = rgba[..., :3].astype(np.float32) / 255 * (gain ** (1 / 2.2)).astype(np.float32)
    grey = images.luminance(colour)[..., None]
    colour = grey + saturation * (colour - grey)
    colour = 0.45 + contrast * (colour - 0.45)
    return np.dstack([np.rint(np.clip(colour * 255, 0, 255)).astype(np.uint8), rgba[..., 3]])


def _item(row: dict, bank: Bank, settings: Mapping) -> Item:
    start = time.perf_counter()
    choice, variation, faults_of = np.random.default_rng(int(row["seed"])).spawn(3)
    portrait = choose(row, bank, choice)
    exact = vary(read_portrait(bank, portrait), settings["size"], variation)
    rgba, faults = artifacts.damage(exact, faults_of, settings["severity"], settings["gross"])
    about = {name: portrait[name] for name in ("persona", "split", *ATTRIBUTES)}
    about |= {"width": rgba.shape[1], "height": rgba.shape[0], "backend": "bank", "weights_sha256": ""}
    about |= {"source": portrait["id"], "faults": ",".join(faults), "severity": float(settings["severity"])}
    about["seconds"] = round(time.perf_counter() - start, 3)
    return Item({**row, **about}, rgba, exact[..., 3])
