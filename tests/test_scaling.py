"""docs/scaling.md: its plans follow from the inputs that it states, and the inputs are those of the files it names."""

import math
import re

import pytest
import yaml
from conftest import ROOT

from plan_run import BYTES_PER_PIXEL, CPU_SECONDS, DOUBLED

PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
PLANS = ("20 thousand", "1 million", "100 million")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading."""
    part = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    return rows[2:]


INPUTS = {row[0]: float(row[1]) for row in table("Inputs")}
ROWS = {row[0]: [float(cell.replace(",", "")) for cell in row[1:]] for row in table("Three plans")}


@pytest.mark.parametrize("column", range(3), ids=PLANS)
def test_the_plans_follow_from_the_inputs(column):
    plan = {name: values[column] for name, values in ROWS.items()}
    runs, shards = plan["runs"], plan["pictures a run"] / plan["pictures a shard"]
    pictures = runs * plan["pictures a run"]
    accepted = pictures * INPUTS["acceptance"]
    pixels, variants = INPUTS["side"] ** 2, INPUTS["variants"]
    stages = sum(INPUTS[f"bytes a pixel, {stage}"] for stage in ("generated", "refined", "keyed"))
    slow, fast = INPUTS["seconds a picture, assumed"], INPUTS["seconds a picture, quoted"]
    cpu = (
        pictures * INPUTS["CPU seconds a picture"] + accepted * variants * INPUTS["CPU seconds a portrait and variant"]
    )
    expected = {
        "pictures": pictures,
        "accepted, expected": accepted,
        "GPU hours, assumed rate": pictures * slow / 3600,
        "GPU hours, quoted rate": pictures * fast / 3600,
        "GPUs for ten days, assumed rate": math.ceil(pictures * slow / 3600 / 240),
        "CPU core hours": cpu / 3600,
        "shards a run": shards,
        "minutes a shard, assumed rate": plan["pictures a shard"] * slow / 60,
        "jobs": runs * (shards * INPUTS["jobs a shard"] + INPUTS["jobs a run, others"]),
        "working shards, TB": pictures * pixels * stages / 1e12,
        "data sets, TB": accepted * variants * pixels * INPUTS["bytes a pixel, keyed"] / 1e12,
        "files": runs * (shards * INPUTS["files a shard"] + 2 * plan["portraits on each run's page"]),
    }
    given = {"accepted portraits wanted", "runs", "pictures a run", "pictures a shard", "portraits on each run's page"}
    assert set(plan) == set(expected) | given
    for name, value in expected.items():
        digits = 1 if name.endswith("TB") else 0
        assert plan[name] == pytest.approx(value, abs=0.5 * 10**-digits + 1e-9), name
    assert accepted >= plan["accepted portraits wanted"]


def test_the_inputs_are_those_of_the_files_that_are_named():
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text(encoding="utf-8"))
    assert INPUTS["seconds a picture, assumed"] == paper["plan"]["seconds_per_picture"]
    assert INPUTS["acceptance"] == paper["plan"]["acceptance"]
    assert INPUTS["variants"] == len(paper["assemble"]["variants"])
    assert (ROWS["pictures a run"][0], ROWS["pictures a shard"][0]) == tuple(paper["prompts"].values())
    assert INPUTS["CPU seconds a picture"] == CPU_SECONDS
    for stage, size in BYTES_PER_PIXEL.items():
        assert INPUTS[f"bytes a pixel, {stage}"] == pytest.approx(DOUBLED * size)
    assert INPUTS["seconds a picture, quoted"] == pytest.approx(11.4 / 4 * 25 / 50, abs=0.005)


def test_chance_makes_as_many_duplicates_as_the_page_says():
    near = sum(math.comb(64, bits) for bits in range(5)) / 2**64
    millions, hundreds = re.search(
        r"make ([\d.]+) pairs among a million portraits by chance and (\d+) among", PAGE
    ).groups()
    assert float(millions) == round(math.comb(10**6, 2) * near, 2)
    assert int(hundreds) == round(math.comb(10**8, 2) * near)


def test_the_runs_of_the_page_are_a_valid_configuration():
    from ldportrait import settings

    schema = yaml.safe_load((ROOT / "config" / "schema.yaml").read_text(encoding="utf-8"))
    text = re.search(r"printf '([^']*)'", PAGE)[1].replace("%s", "00").replace("\\n", "\n")
    merged = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    batch, whole = (settings.complete(yaml.safe_load(words), schema) for words in (text, merged))
    assert (batch["run"], batch["prompts"]["seed"]) == ("batch-00", 100)
    assert len(whole["assemble"]["merge"]) == 3
