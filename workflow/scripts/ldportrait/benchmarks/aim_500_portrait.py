"""The 100 portraits of AIM-500, as its aim_category_type.json names them; the layout is that of aim-500."""

import json
from collections.abc import Mapping
from pathlib import Path

from ldportrait.benchmarks import aim_500, pairs

TITLE = "AIM-500 portraits"
KIND = "image"
LICENCE = aim_500.LICENCE
SOURCE = aim_500.SOURCE
COUNTS = {"test": 100}
PROTOCOL = "p3m"
NOTES = (
    "AIM's tables list SAD alone for this part, in the column Human.",
    "Trained on by whoever trained on AIM-500 (BiRefNet's matting weights, SAM2Matting).",
)
CATEGORIES = "aim_category_type.json"

load = pairs.load


def items(root: Path, split: str = "test", counts: Mapping[str, int] = COUNTS) -> list[pairs.Sample]:
    """List the portraits; `root` is that of AIM-500 with aim_category_type.json in it."""
    samples = pairs.items(root, aim_500.LAYOUT, split, TITLE, {})
    portraits = _portraits(Path(root, CATEGORIES))
    found = [sample for sample in samples if sample.item in portraits]
    pairs.verify_count(len(found), split, counts, TITLE, root)
    return found


def _portraits(path: Path) -> set[str]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}, which comes with AIM-500 and says which pictures are portraits.")
    try:
        kinds = json.loads(path.read_text(encoding="utf-8"))
        return {stem for stem, about in kinds.items() if about["category"] == "portrait"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not say each picture's category: {error!r}.") from error
