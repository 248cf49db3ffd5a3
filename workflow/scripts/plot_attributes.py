"""Draw the shares of each attribute's values among the prompts."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from ldportrait import commands, figures, figures_counts, shards


def main(
    prompts: Annotated[Path, typer.Argument(help="Folder of the prompt shards.")],
    output: Annotated[Path, typer.Argument(help="The figure without suffix; .pdf and .png are written.")],
    shard_count: Annotated[int, typer.Option("--shards", min=1, help="How many shards there are.")],
) -> None:
    """Draw the shares of each attribute's values among the prompts, one panel an attribute."""
    paths = [shards.manifest_of(shards.tar_of(prompts, number)) for number in range(shard_count)]
    tables = [shards.read_table(path) for path in paths]
    figures.save(figures_counts.attributes(pd.concat(tables, ignore_index=True)), output)


if __name__ == "__main__":
    commands.run(main)
