"""See how much each parameter of the refinement matters: the error on val portraits as it grows and shrinks."""

from pathlib import Path
from typing import Annotated

import cv2
import pandas as pd
import typer
from tqdm import tqdm

from ldportrait import commands, scores, shards, study
from ldportrait.metrics import image


def main(
    bank: Annotated[Path, typer.Argument(metavar="BANK.parquet", help="The bank's table.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.parquet", help="The table of errors, in long form.")],
    run: Annotated[str, typer.Option(help="The run's name.")],
    factor: Annotated[list[float], typer.Option(help="Factors of a parameter; several by repeating the option.")] = (
        0.5,
        0.7,
        1.0,
        1.4,
        2.0,
    ),
    severity: Annotated[float, typer.Option(min=0, help="How strongly the mattes are damaged.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the damage.")] = 0,
    limit: Annotated[int, typer.Option(min=0, help="How many portraits; 0 for all.")] = 0,
    parameter: Annotated[
        list[str], typer.Option(help="A parameter of the refinement as NAME=VALUE; several by repeating the option.")
    ] = (),
) -> None:
    """Vary one parameter of the refinement at a time, and take the SAD on the bank's val portraits by region.

    Values that the other parameters forbid are left out.
    """
    cv2.setNumThreads(1)
    params = study.params_of(parameter)
    settings = {(name, by): study.varied(params, name, by) for name in study.parameters() for by in factor}
    rows = []
    cases = list(study.cases(bank, "val", severity, seed, limit))
    for case in tqdm(cases, desc="portraits", disable=None):
        masks = study.regions(case.truth)
        found = {}  # equal parameters, such as those at factor 1, are refined once
        for (name, by), (setting, chosen) in settings.items():
            if chosen is None:
                continue
            if chosen not in found:
                alpha = study.refined(chosen)(case.rgba)
                found[chosen] = {region: image.sad(alpha, case.truth, mask) for region, mask in masks.items()}
            constant = {"run": run, "severity": severity, "parameter": name, "factor": by, "setting": setting}
            rows += [
                constant | {"item": case.item, "region": region, "value": v} for region, v in found[chosen].items()
            ]
    shards.write_table(pd.DataFrame(rows, columns=scores.CURVES), output)
    typer.echo(f"{output}: {len(study.parameters())} parameters on {len(cases)} portraits")


if __name__ == "__main__":
    commands.run(main)
