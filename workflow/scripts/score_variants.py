"""Score the mattes of the data set's variants against exact alpha, where that is known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from ldportrait import commands, scores, shards, verdicts
from ldportrait.benchmarks import bank
from ldportrait.metrics import image
from ldportrait.trimaps import UNKNOWN


def score(tars: dict[str, Path], accepted: set[str]) -> Iterator[dict[str, object]]:
    """Yield the scores of a shard's accepted items with exact alpha; `tars` has the shard of each variant."""
    for items in zip(*map(shards.read_shard, tars.values()), strict=True):
        ids = {item.row["id"] for item in items}
        if len(ids) > 1:
            raise ValueError(f"The shards {' and '.join(map(str, tars.values()))} do not hold the same portraits.")
        (id,) = ids
        truth = items[0].truth
        if id not in accepted or truth is None:
            continue
        masks = {"whole": None, "unknown": bank.trimap(truth) == UNKNOWN}
        for variant, item in zip(tars, items, strict=True):
            for row in image.all_metrics(item.rgba[..., 3], truth, masks):
                yield {"variant": variant, "item": id} | row


def main(
    generated: Annotated[Path, typer.Argument(metavar="GENERATED", help="The folder of generated shards.")],
    refined: Annotated[Path, typer.Argument(metavar="REFINED", help="The folder of refined shards.")],
    keyed: Annotated[Path, typer.Argument(metavar="KEYED", help="The folder of keyed shards.")],
    screened: Annotated[Path, typer.Argument(metavar="SCREENED.parquet", help="The verdicts.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.parquet", help="The table of scores, in long form.")],
    shards_: Annotated[int, typer.Option("--shards", min=1, help="How many shards there are.")],
    run: Annotated[str, typer.Option(help="The run's name.")],
    variants: Annotated[list[str], typer.Option(help="raw, refined or keyed; several by repeating the option.")] = (
        "raw",
        "refined",
        "keyed",
    ),
) -> None:
    """Score the data set's mattes, of accepted portraits alone: SAD, MSE, MAD, Grad and Conn against the exact alpha.

    The regions are the whole picture and the unknown region, which is where the exact alpha is fractional, widened by
    1 % of the picture's size. Without exact alpha the table has no rows.
    """
    folders = {"raw": generated, "refined": refined, "keyed": keyed}
    for variant in variants:
        if variant not in folders:
            raise ValueError(f"There is no variant {variant!r} to score; there is {', '.join(folders)}.")
    accepted = set(verdicts.accepted(screened))
    # the generated shard comes along for its truth, whatever is scored
    chosen = dict.fromkeys(["raw", *variants])
    rows = []
    for number in tqdm(range(shards_), desc="shards", disable=None):
        tars = {variant: shards.tar_of(folders[variant], number) for variant in chosen}
        rows += [row for row in score(tars, accepted) if row["variant"] in variants]
    constant = {"run": run, "model": "", "fraction": 100, "seed": -1, "benchmark": "dataset"}
    constant |= {"protocol": scores.DEFINITION}
    shards.write_table(scores.table_of(constant | row for row in rows), output)
    items = len({row["item"] for row in rows})
    without = "" if items else "; none has an exact alpha, so the table is empty"
    typer.echo(f"{output}: {items} of {len(accepted)} accepted portraits scored{without}")


if __name__ == "__main__":
    commands.run(main)
