"""The chroma-key baseline of a shard: the same foregrounds before a lit green wall, keyed."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from tqdm import tqdm

from ldportrait import chroma, commands, images, shards

STAGE, KEY = chroma.Stage(), chroma.KeyParams()
STREAM = 0x6B6579  # keeps the wall's random numbers apart from what else an item's seed is used for


def keyed_item(
    generated: shards.Item, refined: shards.Item, stage: chroma.Stage, params: chroma.KeyParams
) -> shards.Item:
    """Shoot an item before a green wall and key it.

    The colour is the refined one. The alpha is the exact one where it is known, else the refined one; `key_source` in
    the row says which.
    """
    start = time.perf_counter()
    truth = generated.truth is not None
    alpha = generated.truth if truth else refined.rgba[..., 3]
    generator = np.random.default_rng([int(generated.row["seed"]), STREAM])
    shot = chroma.shoot(np.dstack([refined.rgba[..., :3], alpha]), stage, generator)
    rgba = chroma.key(shot, params)
    row = {"key_source": "truth" if truth else "refined", "seconds": round(time.perf_counter() - start, 4)}
    return shards.Item(generated.row | row, rgba, generated.truth)


def jobs(
    generated: Path, refined: Path, stage: chroma.Stage, params: chroma.KeyParams
) -> Iterator[tuple[str, Callable[[], shards.Item]]]:
    """Yield the (id, job) pairs of a shard. ValueError if the two shards hold different items."""
    total = len(shards.read_manifest(generated))
    pairs = zip(shards.read_shard(generated), shards.read_shard(refined), strict=True)
    for one, two in tqdm(pairs, total=total, desc=generated.name, disable=None):
        yield one.row["id"], lambda one=one, two=two: keyed_item(one, two, stage, params)


def main(
    generated: Annotated[Path, typer.Argument(metavar="GENERATED.tar", help="The shard of generated portraits.")],
    refined: Annotated[Path, typer.Argument(metavar="REFINED.tar", help="The same shard, refined.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.tar", help="The shard of keyed portraits.")],
    partial: Annotated[
        Path | None, typer.Option(help="Where finished items lie until OUTPUT is complete; else in .partial nearby.")
    ] = None,
    keyer: Annotated[str, typer.Option(help=f"One of {', '.join(chroma.KEYERS)}.")] = KEY.keyer,
    clip_black: Annotated[
        float | None, typer.Option(help="Key that becomes alpha 0; else the keyer's own, tuned on the bank.")
    ] = None,
    clip_white: Annotated[
        float | None, typer.Option(help="Key that becomes alpha 1; else the keyer's own, tuned on the bank.")
    ] = None,
    core: Annotated[
        float | None, typer.Option(help="Key that becomes alpha 1 well inside, 0 for none; else the keyer's own.")
    ] = None,
    despill: Annotated[
        str, typer.Option(help="Limit of green along the edge: max or average of red and blue.")
    ] = KEY.despill,
    unevenness: Annotated[
        float, typer.Option(help="How uneven the wall's light is, as a share of its colour.")
    ] = STAGE.unevenness,
    spill: Annotated[
        float, typer.Option(help="Green light on the subject's edges, as a share of the wall's colour.")
    ] = STAGE.spill,
    noise: Annotated[
        float, typer.Option(help="Standard deviation of the camera's noise, in levels of 255.")
    ] = STAGE.noise,
) -> None:
    """Make the chroma-key baseline of a shard, going on where a killed run stopped.

    Each portrait's refined colour is laid over an unevenly lit green wall with spill and noise, by its exact alpha
    where that is known and else by the refined one, and keyed. OUTPUT.tar has the keyed alpha and the despilled colour.
    """
    images.compute_alike()
    stage = chroma.Stage(unevenness, spill, noise)
    params = chroma.KeyParams(keyer, clip_black, clip_white, core, despill)
    rows, others = shards.read_manifest(generated), shards.read_manifest(refined)
    if rows.id.tolist() != others.id.tolist():
        raise ValueError(f"{refined} does not hold the portraits of {generated}; refine that shard again.")
    state = {
        "stage": "key",
        "stage_params": dataclasses.asdict(stage),
        "params": dataclasses.asdict(params) | dataclasses.asdict(params.levels()),
        "items": rows[["id", "seed", "sha256"]].to_numpy().tolist(),
        "refined": others["sha256"].tolist(),
    }
    shards.make_shard(output, partial or shards.partial_of(output), state, jobs(generated, refined, stage, params))
    typer.echo(f"{output}: {len(rows)} portraits keyed")


if __name__ == "__main__":
    commands.run(main)
