"""The numbers of the screening on the bank's portraits and on drawn figures, and the verdicts on made-up numbers."""

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from ldportrait import images, screening
from ldportrait.connectivity import refine_picture
from ldportrait.screening import REASONS, FaceFinder, Thresholds, measure, read_review, verdicts

BANK = ROOT / "resources" / "bank"
SAMPLES = ROOT.parent / "shared" / "data" / "layerdiffuse_samples"


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    table = pd.read_parquet(BANK / "bank.parquet")
    return images.read_rgba(BANK / table.path[table.id == "portrait-009"].iloc[0])


def reasons(raw: np.ndarray, refined: np.ndarray, finder: FaceFinder) -> list[str]:
    row = {"id": "run-000000000", "split": "train", "persona": "p"} | measure(raw, refined, finder)
    text = verdicts(pd.DataFrame([row]), Thresholds()).reasons.iloc[0]
    return text.split(",") if text else []


def with_alpha(picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([picture[..., :3], np.rint(np.clip(alpha, 0, 255)).astype(np.uint8)])


def test_a_sound_portrait_is_accepted(portrait, finder):
    assert reasons(portrait, portrait, finder) == []


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs the real samples in ../shared")
@pytest.mark.parametrize("name", ["woman_suit", "old_man_sitting"])
def test_real_samples_are_accepted(name, finder):
    raw = images.read_rgba(SAMPLES / f"{name}.png")
    assert reasons(raw, refine_picture(raw)[0], finder) == []


def test_faces_are_found_where_they_are(portrait, finder):
    grey = cv2.cvtColor(images.composite(portrait, screening.GREY), cv2.COLOR_RGB2GRAY)
    faces = finder.find(grey)
    face, *others = faces
    assert not others
    assert face.votes >= 2
    assert 230 < face.x < 290  # read off the picture
    assert 80 < face.y < 140
    assert 70 < face.size < 140
    larger = finder.find(cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    assert len(larger) == 1
    assert abs(larger[0].x / 2 - face.x) < 10
    assert finder.beside(grey, face) < Thresholds().face_beside


def test_spoilt_portraits_are_rejected_for_the_right_reason(portrait, finder):
    alpha = portrait[..., 3].astype(float)
    height = len(alpha)
    rows = np.arange(height)[:, None] / height
    opaque = with_alpha(portrait, np.full_like(alpha, 255))
    assert "background-kept" in reasons(opaque, opaque, finder)
    ghost = with_alpha(portrait, 0.4 * alpha)
    assert "empty" in reasons(ghost, ghost, finder)
    pane = with_alpha(portrait, np.maximum(alpha, 90))
    assert {"background-kept", "scenery"} & set(reasons(pane, pane, finder))
    glow = with_alpha(portrait, np.maximum(alpha, 200 * np.clip(rows - 0.6, 0, 1) / 0.4))
    assert "scenery" in reasons(glow, glow, finder)
    binary = with_alpha(portrait, np.where(alpha > 127, 255, 0))
    assert reasons(binary, binary, finder) == ["binary-alpha"]
    blurred = portrait.copy()
    blurred[..., :3] = cv2.GaussianBlur(portrait[..., :3], (0, 0), 12)
    assert "blurred" in reasons(blurred, blurred, finder)
    faceless = portrait.copy()
    faceless[: height // 2, :, :3] = 120
    assert "no-face" in reasons(faceless, faceless, finder)


def test_two_persons_are_seen(portrait, finder):
    half = cv2.resize(portrait, (256, 256), interpolation=cv2.INTER_AREA)
    pair = np.zeros_like(portrait)
    pair[256:, :256], pair[256:, 256:] = half, half[:, ::-1]
    assert "several-persons" in reasons(pair, pair, finder)


def test_a_half_hidden_second_face_is_seen(portrait, finder):
    """The same person again, a little smaller, farther left and behind: its face is found beside the first."""
    matrix = np.array([[0.8, 0, -0.12 * 512], [0, 0.8, 0.2 * 512]], np.float32)
    alpha = portrait[..., 3:].astype(np.float32) / 255
    behind = cv2.warpAffine(np.dstack([portrait[..., :3] * alpha, alpha * 255]), matrix, (512, 512))
    total = alpha + behind[..., 3:] / 255 * (1 - alpha)
    colour = (portrait[..., :3] * alpha + behind[..., :3] * (1 - alpha)) / np.maximum(total, 1e-6)
    pair = np.rint(np.clip(np.dstack([colour, 255 * total]), 0, 255)).astype(np.uint8)
    assert "several-persons" in reasons(pair, pair, finder)


def beside_the_head(portrait: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The portrait and behind it, left of the head at the height of the eyes, an opaque disc 100 pixels wide."""
    alpha = portrait[..., 3:].astype(np.float32) / 255
    left = int(np.flatnonzero(portrait[110, :, 3] > 127)[0])
    disc = cv2.circle(np.zeros(alpha.shape[:2], np.float32), (left - 45, 110), 50, 1, -1, cv2.LINE_AA)[..., None]
    total = alpha + disc * (1 - alpha)
    over = (portrait[..., :3] * alpha + np.array(colour) * disc * (1 - alpha)) / np.maximum(total, 1e-6)
    return np.rint(np.clip(np.dstack([np.where(total > 0, over, portrait[..., :3]), 255 * total]), 0, 255)).astype(
        np.uint8
    )


def test_a_thing_in_foreign_colours_beside_the_head_is_scenery(portrait, finder):
    """Wholly opaque, and no face: colour alone tells it. The disc's radius is about half the face's size."""
    bush = beside_the_head(portrait, (60, 140, 40))
    before, after = measure(portrait, portrait, finder), measure(bush, bush, finder)
    assert before["foreign_beside"] < 0.05
    assert 0.1 < after["foreign_beside"] <= after["foreign"] < 0.7
    assert reasons(bush, bush, finder) == ["scenery"]
    double = cv2.resize(bush, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    assert measure(double, double, finder)["foreign"] == pytest.approx(after["foreign"], rel=0.2)


def test_a_cut_off_person_is_seen(portrait, finder):
    top = np.flatnonzero((portrait[..., 3] > 127).any(axis=1))[0]
    cut = cv2.resize(portrait[top + 20 : top + 320, 100:400], (512, 512), interpolation=cv2.INTER_LINEAR)
    assert "cut-off" in reasons(cut, cut, finder)


def test_pictures_of_two_sizes_are_refused(portrait, finder):
    with pytest.raises(ValueError, match="256"):
        measure(portrait, portrait[::2, ::2], finder)


def sound(count: int) -> pd.DataFrame:
    """Measurements of sound portraits, whose hashes differ in some 32 bits."""
    generator = np.random.default_rng(0)
    row = {
        "split": "train",
        "persona": "p",
        "raw_clear": 0.5,
        "raw_faint": 0.02,
        "raw_strong": 0.05,
        "raw_opaque": 0.35,
        "area": 0.4,
        "veil_background": 0.01,
        "veil_body": 0.01,
        "second_body": 0.0,
        "faces": 1,
        "face_size": 0.2,
        "touch_left": 0.0,
        "touch_right": 0.0,
        "touch_top": 0.0,
        "face_beside": 0.0,
        "smooth_fractional": 0.0,
        "aside": 0.0,
        "foreign": 0.0,
        "foreign_beside": 0.0,
        "sharpness": 30.0,
        "changed": 0.003,
        "soft_edge": 3.0,
    }
    hashes = [f"{value:016x}" for value in generator.integers(0, 2**64, count, dtype=np.uint64)]
    return pd.DataFrame([{"id": f"run-{i:09d}", **row, "phash": text} for i, text in enumerate(hashes)])


@pytest.mark.parametrize(
    ("reason", "numbers"),
    [
        ("background-kept", {"raw_clear": 0.01, "raw_faint": 0.0}),
        ("empty", {"raw_strong": 0.01, "raw_opaque": 0.01}),
        ("see-through", {"veil_body": 0.5}),
        ("see-through", {"veil_background": 0.5}),
        ("scenery", {"smooth_fractional": 0.1}),
        ("scenery", {"aside": 0.5}),
        ("scenery", {"foreign": 0.6}),
        ("scenery", {"foreign_beside": 0.3}),
        ("several-persons", {"faces": 2}),
        ("several-persons", {"face_beside": 40.0}),
        ("several-persons", {"second_body": 0.5}),
        ("no-face", {"faces": 0, "face_size": 0.0}),
        ("small-face", {"face_size": 0.01}),
        ("cut-off", {"touch_left": 0.9}),
        ("cut-off", {"touch_right": 0.9}),
        ("cut-off", {"touch_top": 0.9}),
        ("blurred", {"sharpness": 0.1}),
        ("changed-too-much", {"changed": 0.3}),
        ("binary-alpha", {"soft_edge": 0.0}),
    ],
)
def test_each_number_has_its_reason(reason, numbers):
    table = sound(3).astype({"faces": int})
    for name, value in numbers.items():
        table.loc[1, name] = value
    result = verdicts(table, Thresholds())
    assert result.reasons.tolist() == ["", reason, ""]
    assert result.accepted.tolist() == [True, False, True]
    assert reason in REASONS
    assert result.columns.tolist() == ["id", "split", "persona", "accepted", "reasons", "reviewed", "phash"]


def test_a_threshold_can_be_moved():
    table = sound(2)
    table["face_size"] = [0.10, 0.20]
    assert verdicts(table, Thresholds(face_size=0.15)).accepted.tolist() == [False, True]
    assert verdicts(table, Thresholds(face_size=0.05)).accepted.tolist() == [True, True]


def test_of_duplicates_the_first_accepted_one_stays():
    table = sound(4)
    table["phash"] = ["00000000000000ff", "00000000000000fe", "ffffffff00000000", "00000000000000ff"]
    assert verdicts(table, Thresholds()).reasons.tolist() == ["", "duplicate", "", "duplicate"]
    assert verdicts(table, Thresholds(duplicate_distance=0)).reasons.tolist() == ["", "", "", "duplicate"]
    assert verdicts(table, Thresholds(duplicate_distance=-1)).accepted.all()
    table.loc[0, "faces"] = 0
    assert verdicts(table, Thresholds()).reasons.tolist() == ["no-face", "", "", "duplicate"]


def test_a_review_overrules():
    table = sound(4)
    table.loc[1, "faces"] = 0
    table["phash"] = ["00000000000000ff", "0f0f0f0f0f0f0f0f", "00000000000000ff", "ffffffff00000000"]
    ids = table["id"].tolist()
    result = verdicts(table, Thresholds(), {ids[1]: True, ids[2]: True, ids[3]: False})
    assert result.accepted.tolist() == [True, True, True, False]
    assert result.reviewed.tolist() == [False, True, True, True]
    assert result.reasons.tolist() == ["", "", "", "review"]


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([{"id": "run-7", "verdict": "accept"}], "run-7"),
        ([{"id": "run-1", "verdict": "maybe"}], "maybe"),
        ([{"id": "run-1"}], "verdict"),
        ([{"id": "run-1", "verdict": "accept"}, {"id": "run-1", "verdict": "reject"}], "twice"),
    ],
)
def test_a_wrong_review_is_refused(rows, word):
    with pytest.raises(ValueError, match=word) as error:
        read_review(pd.DataFrame(rows), ["run-0", "run-1"], "my.csv")
    assert "my.csv" in str(error.value)


def test_an_empty_review_says_nothing():
    assert read_review(pd.DataFrame({"id": [], "verdict": []}), ["run-0"], "my.csv") == {}
