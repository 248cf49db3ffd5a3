"""How close a matte is to the truth, and the table that says so."""

from collections.abc import Iterable, Mapping

import pandas as pd

DEFINITION = "definition"  # the protocol that follows the metrics' definitions
SCORES = {
    "run": "str",
    "model": "str",
    "variant": "str",
    "fraction": "int64",  # percent of the data set
    "seed": "int64",
    "benchmark": "str",
    "protocol": "str",  # by whose rules the errors were taken; DEFINITION is ours
    "item": "str",
    "region": "str",
    "metric": "str",
    "value": "float64",
}


def score_table(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Return scores in long form, with the columns and types of SCORES also where there are no rows."""
    return pd.DataFrame(list(rows), columns=list(SCORES)).astype(SCORES)
