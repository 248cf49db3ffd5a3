"""Draw mattes before and after refinement."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ldportrait import commands, figures, figures_portraits, pictures, shards


def main(
    generated: Annotated[Path, typer.Argument(help="Folder of the generated shards.")],
    refined: Annotated[Path, typer.Argument(help="Folder of the refined shards.")],
    screened: Annotated[Path, typer.Argument(help="The verdicts: screened.parquet.")],
    output: Annotated[Path, typer.Argument(help="The figure without suffix; .pdf and .png are written.")],
    shard_count: Annotated[int, typer.Option("--shards", min=1, help="How many shards there are.")],
    rows: Annotated[int, typer.Option(min=1, help="How many portraits; two stand beside each other.")] = 4,
) -> None:
    """Draw mattes before and after refinement: alpha, amplified near 0 and near 1, and over green.

    Shown are the accepted portraits that refinement changed most, and the one with the most loose hair. The exact
    alpha stands below where it is known.
    """
    verdicts = shards.read_table(screened)
    manifest = shards.read_manifests(refined, shard_count)
    accepted = manifest[manifest.id.isin(verdicts.id[verdicts.accepted])]
    if accepted.empty:
        figures.save(figures.message("No portrait was accepted.", figures.TEXT), output)
        return
    ids = pictures.choose_changed(accepted, rows)
    after = pictures.pick(refined, manifest, ids)
    before = pictures.pick(generated, manifest, ids)
    portraits = []
    for name in ids:
        if name not in before:
            raise ValueError(f"{refined} holds {name}, which the shards in {generated} do not hold.")
        portrait = {"raw": before[name].rgba, "refined": after[name].rgba}
        if before[name].truth is not None:
            portrait["truth"] = np.dstack([before[name].rgba[..., :3], before[name].truth])
        portraits.append(portrait)
    note = "The accepted portraits that refinement changed most; last, the one with the most loose hair."
    figures.save(figures_portraits.refinement(portraits, note=note), output)


if __name__ == "__main__":
    commands.run(main)
