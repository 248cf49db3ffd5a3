"""Compare ways to mend a matte: the bank's test portraits, damaged at one severity, against their exact alpha."""

from pathlib import Path
from typing import Annotated

import cv2
import pandas as pd
import typer
from tqdm import tqdm

from ldportrait import commands, scores, shards, study


def main(
    bank: Annotated[Path, typer.Argument(metavar="BANK.parquet", help="The bank's table.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.parquet", help="The table of scores, in long form.")],
    run: Annotated[str, typer.Option(help="The run's name.")],
    severity: Annotated[float, typer.Option(min=0, help="How strongly the mattes are damaged.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the damage.")] = 0,
    limit: Annotated[int, typer.Option(min=0, help="How many portraits; 0 for all.")] = 0,
    closed_form_limit: Annotated[int, typer.Option(min=0, help="How many portraits closed form solves; 0: none.")] = 32,
    parameter: Annotated[
        list[str], typer.Option(help="A parameter of the refinement as NAME=VALUE; several by repeating the option.")
    ] = (),
) -> None:
    """Score the methods of the study on the bank's test portraits: SAD, MSE, Grad and Conn by region.

    Closed form is slow on large pictures, and may be given the first few alone.
    """
    cv2.setNumThreads(1)
    methods = study.methods(study.params_of(parameter))
    rows = []
    cases = list(study.cases(bank, "test", severity, seed, limit))
    for place, case in enumerate(tqdm(cases, desc=f"severity {severity:g}", disable=None)):
        for name, method in methods.items():
            if name == study.CLOSED_FORM and place >= closed_form_limit:
                continue
            constant = {"run": run, "severity": severity, "method": name}
            rows += [constant | row for row in study.scores_of(case, method(case.rgba))]
    shards.write_table(pd.DataFrame(rows, columns=scores.STUDY), output)
    typer.echo(f"{output}: {len(methods)} methods on {len(cases)} portraits of severity {severity:g}")


if __name__ == "__main__":
    commands.run(main)
