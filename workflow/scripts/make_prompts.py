"""Make the prompts of one shard: rows of a grammar, of a user's prompt file, or of a folder of pictures."""

import re
from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands, prompts, shards


def main(
    output: Annotated[Path, typer.Argument(help="The shard's table to write (.parquet).")],
    run: Annotated[str, typer.Option(help="Name of the run; ids are {run}-{index:09d}.")] = "demo",
    first: Annotated[int, typer.Option(min=0, help="Index of the shard's first row.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="Number of rows.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 1,
    grammar: Annotated[Path | None, typer.Option(help="Sample this grammar (.yaml).")] = None,
    file: Annotated[Path | None, typer.Option(help="Take the prompts of this file (.txt, .csv or .parquet).")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Make a row per picture of this folder.")] = None,
    negative: Annotated[str, typer.Option(help="Negative prompt of rows that bring none along.")] = "",
    train: Annotated[float, typer.Option(help="Share of personas in the training split, in [0, 1].")] = 0.9,
    val: Annotated[float, typer.Option(help="Share of personas in the validation split; the rest is test.")] = 0.05,
) -> None:
    """Write the prompts first … first + count - 1 as a Parquet table, with a seed, a persona and a split each."""
    sources = [source for source in (grammar, file, pictures) if source is not None]
    if len(sources) != 1:
        raise ValueError("Give exactly one of --grammar, --file and --pictures.")
    if not re.fullmatch(r"[a-z0-9-]+", run):
        raise ValueError(f"--run must be made of a-z, 0-9 and -, not {run!r}.")
    shares = {"train": train, "val": val}
    prompts.check_shares(shares)
    options = {"seed": seed, "first": first, "count": count, "run": run, "negative": negative, "shares": shares}
    if grammar is not None:
        table = prompts.grammar_rows(prompts.load_grammar(grammar), **options)
    elif file is not None:
        table = prompts.file_rows(file, **options)
        if first == 0 and (again := prompts.repeated(file)):
            typer.echo(
                f"Warning: {again} prompts of {file} occur earlier in it; their pictures differ by seed.", err=True
            )
    else:
        table = prompts.picture_rows(pictures, **options)
    shards.write_table(table, output)


if __name__ == "__main__":
    commands.run(main)
