"""Optimisers and schedules against hand-written ones, and the published recipes against the schema."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from snakemake.utils import update_config
from torch import nn

from ldportrait import augment, models, recipes, settings
from ldportrait.recipes import Plan

CONFIG = ROOT / "config"
SCHEMA = yaml.safe_load((CONFIG / "schema.yaml").read_text(encoding="utf-8"))
PUBLISHED = sorted((CONFIG / "recipes").glob("*.yaml"))


class Transformer(nn.Module):
    """The names of a vision transformer of three blocks, with a residual convolution and a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.embeddings = nn.Module()
        self.backbone.embeddings.position_embeddings = nn.Parameter(torch.zeros(1, 4, 3))
        self.backbone.embeddings.projection = nn.Conv2d(4, 3, 2)
        self.backbone.encoder = nn.Module()
        self.backbone.encoder.layer = nn.ModuleList(nn.ModuleDict({"norm1": nn.LayerNorm(3)}) for _ in range(3))
        self.backbone.encoder.layer[1]["residual"] = nn.Conv2d(3, 3, 1, bias=False)
        for block in self.backbone.encoder.layer:
            block["mlp"] = nn.Linear(3, 3)
        self.decoder = nn.Conv2d(3, 1, 3)


def options_of(network: nn.Module, plan: Plan) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each weight, by name."""
    names = {id(weight): name for name, weight in network.named_parameters()}
    found = {}
    for group in recipes.optimiser(network, plan).param_groups:
        for weight in group["params"]:
            assert names[id(weight)] not in found
            found[names[id(weight)]] = (group["lr"], group["weight_decay"])
    return found


def test_the_learning_rate_decays_by_layers():
    """As in ViTMatte: embeddings are layer 0, block i layer i + 1, all else (and residuals) layer 4 of 3 blocks."""
    found = options_of(Transformer(), Plan(learning_rate=1, layer_decay=0.5, decay_norms=False, weight_decay=0.1))
    rates = {name: rate for name, (rate, _) in found.items()}
    assert rates["backbone.embeddings.position_embeddings"] == rates["backbone.embeddings.projection.weight"] == 0.5**4
    assert [rates[f"backbone.encoder.layer.{i}.mlp.weight"] for i in range(3)] == [0.5**3, 0.5**2, 0.5]
    assert rates["backbone.encoder.layer.1.residual.weight"] == rates["decoder.weight"] == 1
    decayed = {name for name, (_, decay) in found.items() if decay}
    blocks = {f"backbone.encoder.layer.{i}.mlp.weight" for i in range(3)}
    assert decayed == blocks | {
        "backbone.embeddings.projection.weight",
        "backbone.encoder.layer.1.residual.weight",
        "decoder.weight",
    }


def test_by_default_all_weights_are_alike():
    (group,) = recipes.groups(Transformer(), Plan())
    assert (group["lr"], group["weight_decay"]) == (3e-3, 0.01)
    assert len(group["params"]) == len(list(Transformer().parameters()))


def test_the_blocks_of_the_network_itself_are_found():
    """ViTMatte's own names, of a small one: a rate for each block, the embeddings' and the rest's."""
    small = {"width": 32, "heads": 2, "depth": 3, "convstream": [8, 8, 8], "fusion": [16, 8, 8, 8]}
    network = models.get("vitmatte-s").build(**small)
    found = options_of(network, Plan(learning_rate=1, layer_decay=0.5))
    assert {rate for rate, _ in found.values()} == {1, 0.5, 0.25, 0.125, 0.0625}
    with pytest.raises(ValueError, match="layer_decay is for vision transformers"):
        recipes.groups(nn.Conv2d(1, 1, 1), Plan(layer_decay=0.5))


def rates_of(plan: Plan) -> list[float]:
    optimiser = recipes.optimiser(nn.Conv2d(1, 1, 1), plan)
    schedule = recipes.scheduler(optimiser, plan)
    found = []
    for _ in range(plan.steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


def test_one_cycle_rises_and_falls():
    rates = rates_of(Plan(steps=20, learning_rate=0.01))
    assert max(rates) == pytest.approx(0.01, rel=0.05)
    assert np.argmax(rates) in (5, 6)
    assert rates[-1] < 1e-4
    assert len(rates_of(Plan(steps=10, warm_up=0.1))) == 10  # where torch would divide by zero


def test_steps_after_a_warm_up():
    plan = Plan(
        steps=20, learning_rate=0.01, schedule="step", warm_up_steps=4, milestones=(0.5, 0.9), factors=(0.1, 0.05)
    )
    rising = [0.01 * (0.001 + 0.999 * step / 4) for step in range(4)]
    assert rates_of(plan) == pytest.approx(rising + 6 * [0.01] + 8 * [0.001] + 2 * [0.0005])


def test_a_cosine_falls_to_nothing():
    rates = rates_of(Plan(steps=10, learning_rate=1, schedule="cosine", warm_up_steps=2))
    assert rates[2:] == pytest.approx([0.5 + 0.5 * math.cos(math.pi * i / 8) for i in range(8)])


def test_sgd_has_momentum():
    (group,) = recipes.optimiser(nn.Conv2d(1, 1, 1), Plan(optimiser="sgd", momentum=0.8)).param_groups
    assert group["momentum"] == 0.8


@pytest.mark.parametrize(
    "setting",
    ["steps", "batch_size", "learning_rate", "checkpoint_every", "warm_up", "accumulate", "nodes", "layer_decay"],
)
def test_a_setting_out_of_range_is_named(setting):
    with pytest.raises(ValueError, match=setting):
        Plan(**{setting: 0})


@pytest.mark.parametrize(
    "wrong",
    [{"ema": 1}, {"clip": -1}, {"schedule": "none"}, {"optimiser": "x"}, {"keep": "first"}, {"milestones": (0.5,)}]
    + [{"milestones": (0.9, 0.5), "factors": (1, 2)}, {"precision": "bf16-true"}],
)
def test_a_choice_that_there_is_not_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Plan(**wrong)
    with pytest.raises(ValueError, match="validate_every"):
        replace(Plan(), keep="best")


@pytest.mark.parametrize("below", [("config",), ("config", "paper")], ids="/".join)
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_published_recipe_is_a_valid_configuration(path, below, monkeypatch):
    """Laid over config.yaml, and over the paper's scale, as Snakemake does; its numbers make a plan and composites."""
    monkeypatch.chdir(ROOT)
    config = {}
    for file in [*(CONFIG / f"{name}.yaml" for name in below), path]:
        update_config(config, copy.deepcopy(yaml.safe_load(file.read_text(encoding="utf-8"))))
    whole = settings.complete(config, SCHEMA)
    settings.cross_check(whole)
    for model, own in whole["train"]["models"].items():
        section = whole["train"] | own
        section |= {name: tuple(section[name] or ()) for name in ("milestones", "factors")}
        assert models.get(model)
        for kind in (Plan, augment.Params):
            kind(**{name: section[name] for name in kind.__dataclass_fields__})
