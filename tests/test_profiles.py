"""The profiles: every rule asks for what it needs, and gets more of it when it is tried again."""

import re
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT
from test_envs import lock, pins

from ldportrait import settings

RULE = re.compile(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
PROFILES = ["slurm", "generic"]


def place(weights: str, gpus: int) -> dict:
    """What the rules' expressions name: the configuration, and the weights of a diffusion model if there is one."""
    texts = [(ROOT / "config" / name).read_text(encoding="utf-8") for name in ("config.yaml", "schema.yaml")]
    config = settings.complete(*map(yaml.safe_load, texts))
    for section in config.values():
        if isinstance(section, dict) and "gpus" in section:
            section["gpus"] = gpus
    return {"WEIGHTS": weights, "config": config}


PLACES = {"laptop": place("", 0), "cluster": place("named", 1)}


def rules() -> dict[str, str]:
    """The text of every rule that becomes a job, by its name."""
    found = {}
    for path in [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]:
        found |= dict(RULE.findall(path.read_text(encoding="utf-8")))
    return {name: text for name, text in found.items() if "shell:" in text and "localrule: True" not in text}


def profile(name: str) -> dict:
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text(encoding="utf-8"))


def value(text: str, resource: str, names: dict) -> int:
    (expression,) = re.findall(rf"^ +{resource}=(.*),$", text, re.MULTILINE)
    return eval(expression, dict(names))


@pytest.mark.parametrize("name", rules())
@pytest.mark.parametrize("where", PLACES)
def test_a_rule_says_what_it_needs_and_gets_more_when_tried_again(name, where):
    text = rules()[name]
    memory = value(text, "mem_mb", PLACES[where])
    assert 1000 <= memory <= 64_000  # beside the command, a job of a cluster holds two Snakemakes of 0.2 GB each
    assert 10 <= value(text, "runtime", PLACES[where]) <= 1440
    assert "retries:" not in text  # a rule's own retries are tried within the memory of one job
    given = profile("slurm")["set-resources"].get(name, {}).get("mem_mb", "0")
    named = {"input": SimpleNamespace(weights=PLACES[where]["WEIGHTS"])}
    first, second, third = [eval(given, named | {"attempt": attempt}) for attempt in (1, 2, 3)]
    assert memory <= first, f"profiles/slurm: {name} needs a line like {{mem_mb: {memory} * attempt}}"
    assert (second, third) == (2 * first, 3 * first)


def test_the_rules_that_may_use_a_gpu_ask_for_it():
    asking = {name for name, text in rules().items() if re.search(r"^ +gpu=", text, re.MULTILINE)}
    passing = {name for name, text in rules().items() if re.search(r"--gpus|resources\.machine", text)}
    assert asking == passing >= {"generate_portraits", "train_matting", "predict_mattes"}


def test_the_slurm_profile_has_a_line_for_no_other_rule():
    assert set(profile("slurm")["set-resources"]) == set(rules())


@pytest.mark.parametrize("name", PROFILES)
def test_a_cluster_profile_goes_on_and_reruns_as_the_default_one_does(name):
    ours, default = profile(name), profile("default")
    for key in default.keys() - {"resources"}:
        assert ours[key] == default[key], key
    assert "resources" not in ours  # GPUs are counted by the scheduler
    assert ours["retries"] == 2
    assert ours["keep-going"]


def test_no_rule_runs_anywhere_without_a_limit_of_its_time():
    for name in PROFILES:
        assert profile(name)["default-resources"]["runtime"] > 0


def test_what_a_cluster_needs_is_pinned_beside_the_lock():
    apart = pins((ROOT / "envs" / "requirements-cluster.lock").read_text().splitlines())
    assert {f"snakemake-executor-plugin-{profile(name)['executor']}" for name in PROFILES} <= set(apart)
    assert not apart.keys() & lock("requirements.lock").keys()
