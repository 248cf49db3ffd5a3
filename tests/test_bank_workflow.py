"""workflow/bank.smk makes a job per picture, and makes again exactly what a change concerns."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, SCRIPTS, finish, small_config, write_config
from test_envs import closure

RULES = {
    "render_portraits": "portrait-000",
    "render_clips": "clip-00",
    "render_green_shots": "green-00",
    "render_backgrounds": "background-00",
}


def snakemake(folder: Path, *arguments: str, config: str = "config/bank.yaml") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/bank.smk", "--configfile", config]
    return subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def dry_run(folder: Path) -> dict[str, int]:
    """Count the jobs that a run would start, by rule."""
    result = snakemake(folder, "--dry-run")
    assert result.returncode == 0, result.stderr
    text = result.stdout + result.stderr
    stats = text.split("Job stats:")[-1].split("total")[0] if "Job stats:" in text else ""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)}


def test_a_job_per_picture_of_the_real_bank(tmp_path):
    copy(tmp_path, ROOT / "config" / "bank.yaml")
    assert dry_run(tmp_path) == {
        "fetch_assets": 1,
        "render_portraits": 120,
        "render_backgrounds": 60,
        "render_clips": 8,
        "render_green_shots": 10,
        "pack_bank": 1,
        "bank": 1,
    }


def copy(folder: Path, config: Path) -> None:
    for name in ("workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "config").mkdir()
    shutil.copyfile(config, folder / "config" / "bank.yaml")


# Stands in for a renderer: takes the picture and its record from the folder `finished`.
COPY = """
import pathlib, shutil, sys
output = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
for file in pathlib.Path("finished", output.parent.name).glob(output.stem + "*"):
    shutil.copy(file, output.parent)
"""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    """A copy of the workflow, run to its end on the small bank with stand-ins for renderer and download."""
    folder = tmp_path_factory.mktemp("rendered")
    copy(folder, write_config(small_config(), folder / "small.yaml"))
    finish(small_config(), folder / "finished")
    for rule in RULES:
        (folder / "workflow" / "scripts" / f"{rule}.py").write_text(COPY)
    (folder / "workflow" / "scripts" / "fetch_assets.py").write_text("")
    result = snakemake(folder, "--cores", "2")
    assert result.returncode == 0, result.stderr
    return folder


def test_the_run_ends_in_a_packed_bank(rendered):
    bank = rendered / "resources" / "bank"
    assert len(pd.read_parquet(bank / "bank.parquet")) == 6
    assert len(list(bank.rglob("*.webp"))) == 7
    assert dry_run(rendered) == {}


@pytest.fixture
def change(rendered: Path):
    """Edit a file of the finished copy, and put it back after the test."""
    before = {}

    def edit(name: str, text: str) -> Path:
        path = rendered / name
        before.setdefault(path, path.read_text())
        path.write_text(text)
        return rendered

    yield edit
    for path, text in before.items():
        path.write_text(text)


@pytest.mark.parametrize(
    ("section", "key", "value", "rule"),
    [
        ("portraits", "yaw", -20, "render_portraits"),
        ("clips", "light", "window light", "render_clips"),
        ("green", "seed", 99, "render_green_shots"),
        ("backgrounds", "seed", 99, "render_backgrounds"),
    ],
)
def test_editing_one_entry_makes_one_picture_again(change, section, key, value, rule):
    config = small_config()
    config[section][0][key] = value
    assert dry_run(change("config/bank.yaml", yaml.safe_dump(config))) == {rule: 1, "pack_bank": 1, "bank": 1}


def test_editing_a_persona_makes_all_its_pictures_again(change):
    config = small_config()
    config["personas"][0]["hair_colour"] = "red"
    jobs = dry_run(change("config/bank.yaml", yaml.safe_dump(config)))
    assert jobs == {"render_portraits": 3, "render_clips": 1, "render_green_shots": 1, "pack_bank": 1, "bank": 1}


def test_a_comment_in_the_configuration_renders_nothing(change):
    jobs = dry_run(change("config/bank.yaml", "# a comment\n" + yaml.safe_dump(small_config())))
    assert jobs in ({}, {"pack_bank": 1, "bank": 1})


def test_editing_the_hair_renders_people_but_no_places(change, rendered):
    name = "workflow/scripts/ldportrait/rendering/hair.py"
    jobs = dry_run(change(name, (rendered / name).read_text() + "# more\n"))
    assert jobs == {"render_portraits": 3, "render_clips": 1, "render_green_shots": 1, "pack_bank": 1, "bank": 1}


def test_touching_files_makes_nothing_again(rendered):
    for path in (rendered / "workflow").rglob("*.py"):
        path.touch()
    assert dry_run(rendered) == {}


@pytest.mark.parametrize("rule", [*RULES, "pack_bank"])
def test_a_rule_declares_the_library_files_that_it_draws_with(rendered, rule):
    """All that a command imports is an input of its rule, less what cannot change its pictures."""
    result = snakemake(rendered, "--dry-run", "--forceall")
    (block,) = re.findall(rf"^rule {rule}:\n +input: (.*)$", result.stdout + result.stderr, re.MULTILINE)[:1]
    declared = {name for name in block.split(", ") if name.startswith("workflow/")}
    modules = (path for path in closure(SCRIPTS / f"{rule}.py") if path.name != "__init__.py")  # without code here
    imported = {str(path.relative_to(ROOT)) for path in modules}
    harmless = {"ldportrait/commands.py", "ldportrait/rendering/record.py"}
    if rule != "pack_bank":  # an item's spec is a param, and so is what casting makes of it
        harmless.add("ldportrait/rendering/casting.py")
    assert imported - declared <= {f"workflow/scripts/{name}" for name in harmless}
    assert declared <= imported


def test_a_bad_configuration_is_one_sentence(tmp_path):
    config = small_config()
    config["portraits"][1]["persona"] = "persona-77"
    copy(tmp_path, write_config(config, tmp_path / "small.yaml"))
    result = snakemake(tmp_path, "--dry-run")
    assert result.returncode == 2
    assert "config/bank.yaml: portrait-001: persona 'persona-77'" in result.stderr
    assert "Traceback" not in result.stderr
