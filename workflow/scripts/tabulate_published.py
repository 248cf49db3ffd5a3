"""Tabulate published results on a benchmark, and ours beside them."""

from pathlib import Path
from typing import Annotated

import typer

from ldportrait import benchmarks, commands, published, tables


def main(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="SCORES", help="Folder of the scores, with benchmark/model/ and video/benchmark/ in it."
        ),
    ],
    output: Annotated[Path, typer.Argument(help="The table without suffix; .csv, .md and .tex are written.")],
    benchmark: Annotated[str, typer.Option(help="The benchmark, by its name in docs/benchmarks.md.")],
    results: Annotated[Path, typer.Option("--published", help="The published results.")] = Path(
        "config/published.yaml"
    ),
    model: Annotated[list[str], typer.Option(help="Networks to show on pictures; all if left out.")] = (),
    note: Annotated[str, typer.Option(help="A sentence of yours below the table.")] = "",
) -> None:
    """Tabulate published results on a benchmark beside ours, if ours was run, by protocol and with marks.

    Marks say which rows were trained on the benchmark, leave out items, have a protocol that the other side has not, or
    are known second-hand. Rows of different protocols are never to be compared, and stand apart.
    """
    benchmarks.get(benchmark)
    known = published.read(results)
    ours = published.read_ours(folder, benchmark, known.protocols, model)
    tables.write(output, *published.tabulate(known, ours, benchmark, note))
    typer.echo(f"{output}: {sum(row.benchmark == benchmark for row in known.rows)} published rows, {len(ours)} of ours")


if __name__ == "__main__":
    commands.run(main)
