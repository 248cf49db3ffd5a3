"""The bank backend: near portraits, evenly used, varied with their exact alpha, and damaged; all of it by the seed."""

import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from ldportrait import generators, images, prompts
from ldportrait.generators import artifacts, bank

BANK = ROOT / "resources" / "bank"
SETTINGS = {"bank": BANK, "splits": ["train", "val"], "size": 256, "severity": 1.0, "gross": 0.12}
SHARES = {"train": 0.9, "val": 0.05}


def wishes(count: int) -> list[dict]:
    grammar = prompts.load_grammar(ROOT / "config" / "prompts.yaml")
    return prompts.grammar_rows(grammar, 4, 0, count, "demo", "bad", SHARES).to_dict("records")


@pytest.fixture(scope="module")
def opened() -> bank.Bank:
    return bank.open_bank(BANK, ["train", "val"])


def test_backends_are_found_by_name():
    assert generators.get("bank") is bank
    with pytest.raises(ValueError, match="bank, folder"):
        generators.get("dall")


def test_an_item_tells_the_truth_about_its_picture():
    row = wishes(1)[0]
    item = bank.load({**SETTINGS, "gross": 0.0})([row])[0]
    table = pd.read_parquet(BANK / "bank.parquet").set_index("id")
    portrait = table.loc[item.row["source"]]
    for name in ("persona", "split", "gender", "hair_style", "hair_length", "facial_hair", "garment", "pose", "light"):
        assert item.row[name] == portrait[name], name
    assert item.row["age"] == str(int(portrait["age"]))
    assert item.row["ancestry"] in ("african", "asian", "caucasian", "mixed")
    for name in ("id", "prompt", "negative_prompt", "seed"):
        assert item.row[name] == row[name]
    assert item.row["backend"] == "bank"
    assert set(item.row["faults"].split(",")) <= set(artifacts.FINE)
    assert (item.row["width"], item.row["height"], item.row["severity"]) == (256, 256, 1.0)
    assert item.rgba.shape == (256, 256, 4)
    assert item.truth.shape == (256, 256)
    assert item.rgba.dtype == item.truth.dtype == np.uint8
    # Damage is a small part of the picture: the exact alpha belongs to it.
    assert np.abs(item.rgba[..., 3].astype(int) - item.truth).mean() < 8


def test_equal_seeds_give_equal_items_and_others_vary():
    row = wishes(1)[0]
    make = bank.load(SETTINGS)
    first, again, other = make([row, row, {**row, "seed": row["seed"] + 1}])
    assert np.array_equal(first.rgba, again.rgba)
    assert np.array_equal(first.truth, again.truth)
    assert {k: v for k, v in first.row.items() if k != "seconds"} == {
        k: v for k, v in again.row.items() if k != "seconds"
    }
    assert not np.array_equal(first.truth, other.truth)


def test_only_the_given_splits_are_used():
    rows = wishes(30)
    found = {item.row["split"] for item in bank.load({**SETTINGS, "splits": ["val"], "size": 64})(rows)}
    assert found == {"val"}


def test_near_portraits_are_chosen(opened):
    """By chance 58 % would have the wished gender's right value, and 29 % the framing's."""
    rows = wishes(300)
    chosen = [bank.choose(row, opened, np.random.default_rng(row["seed"])) for row in rows]
    agree = {name: np.mean([a[name] == b[name] for a, b in zip(rows, chosen, strict=True)]) for name in bank.WEIGHTS}
    assert agree["gender"] > 0.97
    assert agree["hair_length"] > 0.6
    assert agree["framing"] > 0.6
    assert agree["facial_hair"] > 0.6


def test_an_exact_description_finds_its_portrait_most_of_the_time(opened):
    hits = 0
    for index in range(0, 88, 4):
        portrait = opened.portraits.iloc[index]
        twins = [bank.choose(portrait, opened, np.random.default_rng(seed))["persona"] for seed in range(5)]
        hits += twins.count(portrait["persona"])
    assert hits > 0.6 * 22 * 5


def test_all_portraits_are_used_and_none_too_often(opened):
    chosen = pd.Series([bank.choose(row, opened, np.random.default_rng(row["seed"]))["id"] for row in wishes(1200)])
    counts = chosen.value_counts().reindex(opened.portraits["id"], fill_value=0)
    even = 1200 / len(counts)
    assert counts.min() >= 1
    assert counts.max() < 4 * even
    assert (counts > even / 3).mean() > 0.8


def test_a_prompt_without_attributes_gets_any_portrait(opened):
    chosen = {bank.choose({}, opened, np.random.default_rng(seed))["id"] for seed in range(200)}
    assert len(chosen) > 50


def test_ancestry_comes_from_the_skin():
    assert bank._ancestry("young_african_male + middleage_african_male") == "african"
    assert bank._ancestry("young_asian_female + young_caucasian_female") == "mixed"


@pytest.mark.parametrize("seed", range(12))
def test_a_body_cut_off_by_the_frame_stays_cut_off_there(opened, seed):
    portrait = opened.portraits.iloc[seed * 7]
    rgba = bank.read_portrait(opened, portrait)
    varied = bank.vary(rgba, 256, np.random.default_rng(seed))[..., 3]
    before, after = (alpha[-1] > 128 for alpha in (rgba[..., 3], varied))
    assert before.any()
    assert after.any()
    assert (
        np.array_equal(varied[-1] > 128, varied[-2] > 128) or (varied[-1] > 128).sum() > 0.9 * (varied[-2] > 128).sum()
    )


def test_cut_edges_at_the_sides_stay_at_the_sides():
    rgba = np.full((128, 128, 4), 255, np.uint8)
    rgba[:40, :, 3] = 0  # cut off at the left, the right and the bottom edge
    for seed in range(20):
        alpha = bank.vary(rgba, 128, np.random.default_rng(seed))[..., 3]
        assert (alpha[-30:, [0, -1]] == 255).all()
        assert (alpha[-1] == 255).all()


def test_what_was_whole_stays_whole():
    rgba = np.full((128, 128, 4), 200, np.uint8)
    rgba[..., 3] = 0
    rgba[8:, 20:110, 3] = 255  # a head room of 8 pixels
    for seed in range(20):
        alpha = bank.vary(rgba, 128, np.random.default_rng(seed))[..., 3]
        assert (alpha[0] == 0).mean() > 0.9


def test_warping_by_the_identity_and_by_a_mirror_is_exact():
    rgba = images.read_rgba(BANK / "portraits" / "portrait-000.webp")
    identity = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    same = bank.warp(rgba, identity, 512)
    assert np.array_equal(same[..., 3], rgba[..., 3])
    seen = rgba[..., 3] > 60
    assert np.abs(same[..., :3].astype(int) - rgba[..., :3])[seen].max() <= 1
    mirror = np.array([[-1, 0, 511], [0, 1, 0]], np.float32)
    assert np.array_equal(bank.warp(rgba, mirror, 512)[:, ::-1], same)


def test_warping_is_premultiplied():
    """Between a red opaque half and a green transparent one no green may show: the edge is red at lower alpha."""
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[:, :32] = (255, 0, 0, 255)
    rgba[:, 32:] = (0, 255, 0, 0)
    shifted = bank.warp(rgba, np.array([[1, 0, 0.5], [0, 1, 0]], np.float32), 64)
    edge = shifted[32, 32]
    assert 100 < edge[3] < 155
    assert edge[0] > 245
    assert edge[1] < 10
    assert shifted[32, 50].tolist() == [0, 255, 0, 0]  # colour under alpha 0 is kept


def test_grading_keeps_alpha_and_changes_colour_within_reason():
    rgba = images.read_rgba(BANK / "portraits" / "portrait-000.webp")
    for seed in range(5):
        graded = bank.grade(rgba, np.random.default_rng(seed))
        assert np.array_equal(graded[..., 3], rgba[..., 3])
        change = np.abs(graded[..., :3].astype(int) - rgba[..., :3]).mean()
        assert 0.3 < change < 40


def test_a_changed_picture_is_refused(tmp_path, opened):
    portrait = opened.portraits.iloc[0]
    (tmp_path / "portraits").mkdir()
    shutil.copy(BANK / "bank.parquet", tmp_path)
    copied = bank.open_bank(tmp_path, ["train"])
    with pytest.raises(FileNotFoundError, match="portrait-000"):
        bank.read_portrait(copied, portrait)
    content = (BANK / portrait["path"]).read_bytes()
    (tmp_path / portrait["path"]).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"portrait-000\.webp is not the picture"):
        bank.read_portrait(copied, portrait)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"splits": ["training"]}, "training"),
        ({"splits": []}, "splits"),
        ({"size": 8}, "size"),
        ({"severity": -1.0}, "severity"),
        ({"gross": 2.0}, "gross"),
    ],
)
def test_wrong_settings_are_refused(change, named):
    with pytest.raises(ValueError, match=named):
        bank.load({**SETTINGS, **change})


def test_a_missing_bank_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"bank\.parquet"):
        bank.load({**SETTINGS, "bank": tmp_path})
