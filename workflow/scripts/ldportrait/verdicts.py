"""The verdicts of screening, screened.parquet, as the later stages read them."""

from pathlib import Path

import pandas as pd

from ldportrait import shards


def accepted(screened: Path) -> list[str]:
    """Return the accepted ids of a table of verdicts, in order. ValueError names the file if it has no verdicts."""
    verdicts = shards.read_table(screened)
    missing = {"id", "accepted"} - set(verdicts)
    if missing:
        raise ValueError(f"{screened} is not a table of verdicts: it has no column {sorted(missing)[0]}.")
    return sorted(verdicts.id[verdicts.accepted.astype(bool)])


def reasons(screened: pd.DataFrame) -> pd.Series:
    """How many portraits were rejected for each reason, most frequent first; one portrait may have several."""
    names = screened.reasons[~screened.accepted].str.split(",").explode().str.strip()
    return names[names.fillna("") != ""].value_counts().sort_index().sort_values(ascending=False, kind="stable")
