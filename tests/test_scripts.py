"""Each command explains itself, and says in one sentence what is wrong. Neither needs bpy."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SCRIPTS, finish, small_config, write_config

COMMANDS = sorted(path.name for path in SCRIPTS.glob("*.py"))
RENDERERS = {
    "render_portraits.py": "portrait-000",
    "render_clips.py": "clip-00",
    "render_green_shots.py": "green-00",
    "render_backgrounds.py": "background-00",
}


def run(script: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, SCRIPTS / script, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def assert_refused(result: subprocess.CompletedProcess, word: str) -> None:
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert word in result.stderr


def test_there_is_a_command_per_rule_and_a_rule_per_command():
    rules = {
        name
        for file in [ROOT / "workflow" / "bank.smk", *(ROOT / "workflow" / "rules").glob("*.smk")]
        for name in re.findall(r"^rule (\w+):", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    targets = {"bank", "plan", "refinement_study", "keying_study"}
    by_make_alone = {"document_config", "plan_run", "plot_bank", "plot_refined"}
    by_hand = {"matte_pictures", "export_model"}
    assert rules - targets == {Path(name).stem for name in COMMANDS} - by_make_alone - by_hand


@pytest.mark.parametrize("script", COMMANDS)
def test_help(script, tmp_path):
    result = run(script, "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Usage:" in result.stdout
    assert "output" in result.stdout.lower() or script == "plan_run.py"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", COMMANDS)
def test_an_unknown_option_is_refused(script, tmp_path):
    result = run(script, "--no-such-option", cwd=tmp_path)
    assert result.returncode == 2
    assert "--no-such-option" in result.stderr
    assert not list(tmp_path.iterdir())


def render(script: str, folder: Path, config: Path, item: str) -> subprocess.CompletedProcess:
    assets = "--photos" if script == "render_backgrounds.py" else "--assets"
    output = folder / "out" / f"{item}.webp"
    return run(script, "--config", config, "--id", item, assets, folder / "assets", "--output", output, cwd=folder)


@pytest.mark.parametrize("script", RENDERERS)
def test_an_unknown_id_is_refused(script, tmp_path):
    config = write_config(small_config(), tmp_path / "bank.yaml")
    assert_refused(render(script, tmp_path, config, "nobody-77"), "nobody-77")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", RENDERERS)
def test_a_missing_configuration_is_refused(script, tmp_path):
    assert_refused(render(script, tmp_path, tmp_path / "absent.yaml", RENDERERS[script]), "absent.yaml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", RENDERERS)
def test_a_broken_configuration_is_refused(script, tmp_path):
    config = tmp_path / "bank.yaml"
    config.write_text("portraits: [")
    assert_refused(render(script, tmp_path, config, RENDERERS[script]), "bank.yaml")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", [name for name in RENDERERS if name != "render_backgrounds.py"])
def test_missing_assets_are_refused(script, tmp_path):
    config = write_config(small_config(), tmp_path / "bank.yaml")
    assert_refused(render(script, tmp_path, config, RENDERERS[script]), "")
    assert not (tmp_path / "out").exists()


def test_pack_bank_names_what_is_missing(tmp_path):
    config = write_config(small_config(), tmp_path / "bank.yaml")
    result = run("pack_bank.py", "--config", config, "--work", tmp_path / "work", "--output", tmp_path / "bank")
    assert_refused(result, "portrait-000")
    assert not (tmp_path / "bank").exists()


def test_pack_bank_packs(tmp_path):
    config = write_config(small_config(), tmp_path / "bank.yaml")
    finish(small_config(), tmp_path / "work")
    result = run("pack_bank.py", "--config", config, "--work", tmp_path / "work", "--output", tmp_path / "bank")
    assert result.returncode == 0, result.stderr
    assert "6 items" in result.stdout
