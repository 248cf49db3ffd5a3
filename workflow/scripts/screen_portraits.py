"""Screen portraits: accept or reject each by its measurements, the reasons named; a user's review overrules."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from ldportrait import commands, screening, shards

DEFAULTS = screening.Thresholds()


def read_measured(folder: Path, count: int) -> pd.DataFrame:
    """Read the measurements of the shards 0 to count - 1, and of no others that may lie there, as one table."""
    if count < 1:
        raise ValueError(f"--shards must be at least 1, not {count}.")
    paths = [shards.manifest_of(shards.tar_of(folder, number)) for number in range(count)]
    return pd.concat(map(shards.read_table, paths), ignore_index=True)


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV of texts. FileNotFoundError or ValueError in one sentence otherwise."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no review at {path}.")
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} is not a readable CSV table: {error}") from error


def main(
    measured: Annotated[Path, typer.Argument(metavar="MEASURED", help="The folder of the measurements.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The verdicts (.parquet).")],
    shards_: Annotated[int, typer.Option("--shards", help="How many shards there are.")],
    review: Annotated[
        Path | None, typer.Option(help="Your own verdicts, a CSV with id, verdict (accept or reject), why.")
    ] = None,
    background_clear: Annotated[
        float, typer.Option(help="background-kept: less of the picture than this is clear.")
    ] = DEFAULTS.background_clear,
    empty_area: Annotated[
        float, typer.Option(help="empty: the nearly opaque person takes less of the picture than this.")
    ] = DEFAULTS.empty_area,
    veil_background: Annotated[
        float, typer.Option(help="see-through: more of the surroundings than this is veiled.")
    ] = DEFAULTS.veil_background,
    veil_body: Annotated[
        float, typer.Option(help="see-through: more of the body than this is below alpha 0.8.")
    ] = DEFAULTS.veil_body,
    second_body: Annotated[
        float, typer.Option(help="several-persons: another body has more than this share of the person's area.")
    ] = DEFAULTS.second_body,
    face_beside: Annotated[
        float,
        typer.Option(help="several-persons: more windows of the face detectors than this see one beside the face."),
    ] = DEFAULTS.face_beside,
    face_size: Annotated[
        float, typer.Option(help="small-face: smaller than this share of the longer side.")
    ] = DEFAULTS.face_size,
    cut_side: Annotated[
        float, typer.Option(help="cut-off: more of the left or right border than this is opaque.")
    ] = DEFAULTS.cut_side,
    cut_top: Annotated[
        float, typer.Option(help="cut-off: more of the top border than this is opaque.")
    ] = DEFAULTS.cut_top,
    smooth_fractional: Annotated[
        float, typer.Option(help="scenery: smooth fractional alpha takes more of the picture than this.")
    ] = DEFAULTS.smooth_fractional,
    aside: Annotated[
        float, typer.Option(help="scenery: more of the opaque area than this lies where no body can be.")
    ] = DEFAULTS.aside,
    foreign: Annotated[
        float, typer.Option(help="scenery: a disc of more faces' sizes than this has colours foreign to the person.")
    ] = DEFAULTS.foreign,
    foreign_beside: Annotated[
        float, typer.Option(help="scenery: such a disc beside the head and above the shoulders.")
    ] = DEFAULTS.foreign_beside,
    sharpness: Annotated[float, typer.Option(help="blurred: the person is less sharp than this.")] = DEFAULTS.sharpness,
    changed: Annotated[
        float, typer.Option(help="changed-too-much: the mean change of alpha is more than this.")
    ] = DEFAULTS.changed,
    soft_edge: Annotated[
        float, typer.Option(help="binary-alpha: fewer soft pixels than this per pixel of the outline.")
    ] = DEFAULTS.soft_edge,
    duplicate_distance: Annotated[
        int, typer.Option(help="duplicate: an earlier one's hash is at most so many of 64 bits away; -1 for never.")
    ] = DEFAULTS.duplicate_distance,
) -> None:
    """Accept or reject each portrait by its measurements; reads MEASURED/shard-0000000.parquet and so on."""
    chosen = locals()
    thresholds = screening.Thresholds(**{name: chosen[name] for name in screening.threshold_names()})
    table = read_measured(measured, shards_)
    own = screening.read_review(read_csv(review), table["id"].tolist(), str(review)) if review else {}
    verdicts = screening.verdicts(table, thresholds, own)
    shards.write_table(verdicts, output)
    counts = Counter(reason for text in verdicts.reasons for reason in text.split(",") if reason)
    listed = ", ".join(f"{name} {counts[name]}" for name in screening.REASONS if counts[name])
    typer.echo(
        f"{output}: {int(verdicts.accepted.sum())} of {len(verdicts)} accepted" + (f"; {listed}" if listed else "")
    )


if __name__ == "__main__":
    commands.run(main)
