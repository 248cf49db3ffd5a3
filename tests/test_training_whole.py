"""Training of the portrait network: it goes on after a kill as if nothing had been, and averages its weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from test_augment import grounds, portrait

from ldportrait import augment_whole, models, training_whole
from ldportrait.models.portrait import PortraitNet

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = {"widths": [8, 8, 8], "blocks": [1, 0], "detail": 8, "side": 32, "fine": 64}
PLAN = training_whole.Plan(steps=6, batch_size=2, learning_rate=3e-3, average=0.5)


def network() -> PortraitNet:
    torch.manual_seed(0)
    return models.get("portrait").build(**TINY)


def composites(side: int = 32, count: int = 2) -> training_whole.Composites:
    people = [portrait(96, colour=(40 + 90 * i, 120, 60)) for i in range(count)]
    return training_whole.Composites(augment_whole.Sources.of(people, grounds(), least=32), side, 0)


def fit(net: PortraitNet, folder: Path, part: str = "coarse", digest: str = "x", data: object = None) -> list:
    data = data or composites(32 if part == "coarse" else 64)
    return training_whole.fit(net, part, PLAN, data, folder / f"{part}.ckpt", digest, checkpoint_every=2)


class Breaks:
    """Composites whose process is killed at a sample."""

    def __init__(self, at: int) -> None:
        self.inner, self.at = composites(), at

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if index >= self.at:
            raise KeyboardInterrupt
        return self.inner[index]


def states(net: PortraitNet) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path):
    whole, killed = network(), network()
    rows = fit(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(killed, tmp_path / "killed", data=Breaks(at=2 * 5))  # in the sixth step; the checkpoint is of the fourth
    again = network()
    more = fit(again, tmp_path / "killed")
    assert equal(states(whole), states(again))
    assert [row["step"] for row in more] == [1, 2, 3, 4, 5, 6]
    assert [row["loss"] for row in more] == [row["loss"] for row in rows]


def test_a_checkpoint_of_another_run_is_not_used(tmp_path):
    first, other = network(), network()
    fit(first, tmp_path)
    rows = fit(other, tmp_path, digest="y", data=composites(count=1))
    assert len(rows) == 6
    assert not equal(states(first), states(other))


def test_a_finished_stage_is_not_repeated(tmp_path):
    first, again = network(), network()
    fit(first, tmp_path)
    fit(again, tmp_path, data=Breaks(at=0))
    assert equal(states(first), states(again))


def test_a_damaged_checkpoint_is_thrown_away(tmp_path, capsys):
    (tmp_path / "coarse.ckpt").write_bytes(b"no checkpoint")
    assert len(fit(network(), tmp_path)) == 6
    assert "coarse.ckpt is damaged" in capsys.readouterr().out


def test_the_log_tells_the_rate_of_each_step():
    """One cycle begins at a 25th of the largest rate, torch's default; with 9 steps the rise is of one step exactly."""
    stage = training_whole.Stage(network().train(), "coarse", training_whole.Plan(9, 2, 3e-3))
    image, alpha = (torch.stack(tensors) for tensors in zip(composites()[0], composites()[1], strict=True))
    for _ in range(9):
        stage.advance(image, alpha)
    assert [row["learning_rate"] for row in stage.rows[:2]] == pytest.approx([3e-3 / 25, 2.9e-3], rel=0.1)


def test_the_average_by_hand():
    """After one step 1/11 of the past is kept, then min(average, 2/12) and so on: the ramp that forgets the start."""
    stage = training_whole.Stage(network().train(), "coarse", PLAN)
    kept = states(stage.part)
    for step, keep in ((1, 1 / 11), (2, 2 / 12), (3, 3 / 13)):
        image, alpha = (torch.stack(tensors) for tensors in zip(composites()[2 * step], composites()[1], strict=True))
        stage.advance(image, alpha)
        now = states(stage.part)
        for name, value in kept.items():
            kept[name] = keep * value + (1 - keep) * now[name] if value.is_floating_point() else now[name]
    assert all(torch.allclose(stage.average[name], value, atol=1e-6) for name, value in kept.items())


def test_the_head_is_trained_alone(tmp_path):
    net = network()
    before = states(net)
    fit(net, tmp_path, "detail")
    changed = {name.partition(".")[0] for name, value in states(net).items() if not torch.equal(value, before[name])}
    assert changed == {"detail"}


def test_training_lowers_the_loss():
    stage = training_whole.Stage(network().train(), "coarse", training_whole.Plan(30, 2, 3e-3, bfloat16=False))
    data = composites()
    image, alpha = (torch.stack(tensors) for tensors in zip(*(data[index] for index in range(4)), strict=True))
    losses = [stage.advance(image, alpha) for _ in range(30)]
    assert losses[-1] < 0.6 * losses[0]


def test_the_loss_of_a_perfect_and_of_a_wrong_alpha():
    true = torch.zeros(1, 1, 32, 32)
    true[..., 16:] = 1
    sure = 20 * (2 * true - 1)
    assert training_whole.alpha_loss(sure, true) < 1e-5
    assert training_whole.alpha_loss(torch.zeros_like(true), true) > 0.5 + 0.5 * np.log(2)  # |a - a*| and cross-entropy
    assert training_whole.alpha_loss(-sure, true) > 10  # certain and wrong: cross-entropy is linear in the logit


def test_a_loss_that_is_no_number_stops_in_a_sentence():
    stage = training_whole.Stage(network().train(), "coarse", PLAN)
    with pytest.raises(ValueError, match="step 1 is not a finite number"):
        stage.advance(torch.full((2, 3, 32, 32), torch.nan), torch.zeros(2, 1, 32, 32))


def test_the_banks_splits():
    found = training_whole.read_bank(ROOT / "resources" / "bank", ["val"])
    assert (len(found.portraits), len(found.backgrounds), len(found.sha256)) == (16, 8, 24)
    with pytest.raises(ValueError, match="no split 'dev'; it has test, train, val"):
        training_whole.read_bank(ROOT / "resources" / "bank", ["train", "dev"])
    with pytest.raises(FileNotFoundError):
        training_whole.read_bank(ROOT / "no-bank", ["train"])
