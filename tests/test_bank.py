"""The shipped portrait bank holds what it promises. Everything is measured on the files; no renderer is needed."""

import functools
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from ldportrait import images
from ldportrait.rendering import casting

BANK = ROOT / "resources" / "bank"
LIMIT = 24 * 10**6

COUNTS = {
    "portrait": {"train": 72, "val": 16, "test": 32},
    "background": {"train": 40, "val": 8, "test": 12},
    "clip": {"val": 2, "test": 6},
    "green": {"val": 3, "test": 7},
}
SIZES = {"portrait": (512, 512), "background": (640, 640), "clip": (320, 320), "green": (512, 512)}

TIED = ("tied", "ponytail", "pony tail", "bun", "braid", "plait")
SHAVED = ("shaved", "bald", "buzz")
HATS = ("fedora", "beanie")


@functools.cache
def load() -> pd.DataFrame:
    path = BANK / "bank.parquet"
    assert path.is_file(), "resources/bank/bank.parquet is missing; `make bank` renders the bank"
    return pd.read_parquet(path).set_index("id", drop=False)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return load()


@pytest.fixture(scope="module")
def portraits(table) -> pd.DataFrame:
    return table[table.kind == "portrait"]


@functools.cache
def picture(path: str) -> np.ndarray:
    return images.read_rgba(BANK / path)


def has_word(values: pd.Series, words: tuple[str, ...]) -> pd.Series:
    return values.str.contains("|".join(words))


def loose_hair(portraits: pd.DataFrame) -> pd.DataFrame:
    """Those whose hair hangs or stands free: neither short nor tied, and no hat that holds it."""
    free = portraits.hair_length.isin(["long", "medium"]) & ~has_word(portraits.hair_style, TIED)
    return portraits[free & ~has_word(portraits.accessory, HATS)]


# What is there


@pytest.mark.parametrize("kind", COUNTS)
def test_counts(table, kind):
    assert table[table.kind == kind].split.value_counts().to_dict() == COUNTS[kind]


def test_ids_are_unique_and_those_of_the_configuration(table):
    specs = casting.cast(casting.read_config(ROOT / "config" / "bank.yaml"))
    assert table.index.is_unique
    assert set(table.index) == set(specs)
    assert all(specs[row.id]["split"] == row.split for row in table.itertuples())


def test_a_persona_is_in_one_split_only(table):
    people = table[table.kind != "background"]
    assert people.persona.notna().all()
    assert people.groupby("persona").split.nunique().max() == 1


def test_files_and_checksums_are_those_of_the_table(table):
    named = {**dict(zip(table.path, table.sha256, strict=True)), **shots(table)}
    assert {str(path.relative_to(BANK)) for path in BANK.rglob("*.webp")} == set(named)
    for path, sha256 in named.items():
        assert hashlib.sha256((BANK / path).read_bytes()).hexdigest() == sha256, path


def shots(table: pd.DataFrame) -> dict[str, str]:
    green = table[table.kind == "green"]
    assert table[table.kind != "green"].shot_path.isna().all()
    return dict(zip(green.shot_path, green.shot_sha256, strict=True))


def test_sizes_and_modes(table):
    for row in table.itertuples():
        width, height = SIZES[row.kind]
        assert (row.width, row.height) == (width, height), row.id
        read = images.read_rgb if row.kind == "background" else images.read_rgba
        rows = height * int(row.frames) if row.kind == "clip" else height
        assert read(BANK / row.path).shape[:2] == (rows, width), row.id
    for path in shots(table):
        assert images.read_rgb(BANK / path).shape == (512, 512, 3)
    assert (table[table.kind == "clip"].frames == 24).all()


def test_at_most_24_megabytes():
    size = sum(path.stat().st_size for path in BANK.rglob("*") if path.is_file())
    assert size <= LIMIT


def test_alpha_is_stored_without_loss(table):
    for path in table[table.kind != "background"].path:
        chunks = webp_chunks(BANK / path)
        if b"VP8L" not in chunks:  # lossy colour: then alpha has a chunk of its own, lossless unless pre-processed
            assert chunks[b"ALPH"][0] >> 4 & 0b11 == 0, f"{path}: alpha levels were reduced"


def webp_chunks(path: Path) -> dict[bytes, bytes]:
    """Split a WebP file into its RIFF chunks (developers.google.com/speed/webp/docs/riff_container)."""
    data = path.read_bytes()
    assert (data[:4], data[8:12]) == (b"RIFF", b"WEBP"), path
    chunks, position = {}, 12
    while position < len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        chunks[data[position : position + 4]] = data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    return chunks


def test_licences_are_listed(table):
    text = (BANK / "LICENSES.md").read_text(encoding="utf-8")
    assert "CC0" in text
    assert "MakeHuman" in text
    backgrounds = table[table.kind == "background"]
    assert backgrounds.source.notna().all()
    assert backgrounds.licence.notna().all()


def test_about_agrees_with_the_table(table):
    about = yaml.safe_load((BANK / "bank.yaml").read_text(encoding="utf-8"))
    for section, kind in casting.KINDS.items():
        counts = {split: count for split, count in about["counts"][section].items() if count}
        assert counts == COUNTS[kind]
    assert about["date"]
    assert about["command"]
    assert about["versions"]["bpy"]


def test_samples(table):
    people = table[table.kind != "background"]
    assert (people.alpha_samples >= 64).all()
    assert (table.seconds > 0).all()


# The range that matting needs


def test_hairstyles(portraits):
    styles = portraits.hair_style
    assert styles.nunique() >= 12
    assert {"straight", "wavy", "curly", "coily"} <= set(portraits.hair_texture)
    assert {"left", "middle", "none"} <= set(portraits.hair_parting)
    assert {"long", "short"} <= set(portraits.hair_length)
    for words in [("bob",), TIED, ("fringe", "bangs"), SHAVED, ("wind",)]:
        assert has_word(styles, words).any(), f"no hairstyle with one of {words}"


def test_hair_colours(portraits):
    colours = set(portraits.hair_colour)
    assert len(colours) >= 8
    assert {"grey", "white", "red"} <= colours
    assert colours & {"blue", "pink", "green", "purple", "violet", "teal", "turquoise"}, "no dyed hair"


def test_people(portraits):
    assert {"woman", "man"} == set(portraits.gender)
    assert portraits.gender.value_counts(normalize=True).min() >= 0.3
    assert portraits.age.between(18, 80).all()
    assert portraits.age.min() <= 22
    assert portraits.age.max() >= 75
    bearded = portraits[portraits.facial_hair != "none"]
    assert bearded.gender.eq("man").all()
    assert bearded.facial_hair.nunique() >= 2


@pytest.mark.parametrize("sex", ["female", "male"])
@pytest.mark.parametrize("ancestry", ["african", "asian", "caucasian"])
@pytest.mark.parametrize("age", ["young", "middleage", "old"])
def test_every_core_skin_is_used(portraits, age, ancestry, sex):
    assert portraits.skin.str.contains(f"{age}_{ancestry}_{sex}").any()


def test_skins_are_mixed(portraits):
    assert portraits.skin.str.contains(" + ", regex=False).any()


def test_head_turns(portraits):
    assert portraits.yaw.abs().max() <= 40
    assert portraits.yaw.min() <= -35
    assert portraits.yaw.max() >= 35
    for angle in (portraits.pitch, portraits.roll):
        assert angle.abs().max() <= 12
        assert angle.min() <= -8
        assert angle.max() >= 8


def test_looks(portraits):
    assert portraits.expression.nunique() >= 6
    assert set(portraits.framing) == {"close-up", "head and shoulders", "upper body"}
    assert portraits.light.nunique() >= 8
    assert portraits.garment.nunique() >= 6
    assert portraits.garment_colour.nunique() >= 6
    assert (portraits.accessory != "none").sum() >= 10
    assert has_word(portraits.accessory, ("glasses",)).any()
    assert has_word(portraits.accessory, HATS).any()


@pytest.mark.parametrize("attribute", ["hair_style", "garment"])
def test_some_is_seen_in_test_alone(portraits, attribute):
    test = set(portraits[portraits.split == "test"][attribute])
    assert len(test - set(portraits[portraits.split != "test"][attribute])) >= 2


def test_an_arm_passes_through_two_clips(table):
    clips = table[table.kind == "clip"]
    assert has_word(clips.pose, ("arm", "hand", "wav")).sum() >= 2


# The mattes


def test_openings(portraits):
    measured = portraits.path.map(lambda path: images.openings(picture(path)[..., 3]))
    assert (measured == portraits.openings).all()
    assert (measured > 0).sum() >= 15


def test_loose_hair_has_soft_alpha(portraits):
    loose = loose_hair(portraits)
    assert len(loose) >= 30
    for row in loose.itertuples():
        alpha = picture(row.path)[..., 3]
        assert len(np.unique(alpha)) >= 40, row.id
        assert 0.015 <= images.fractional_share(alpha) <= 0.15, f"{row.id}: {images.fractional_share(alpha):.4f}"


def test_fractional_share_is_that_of_the_files(table):
    for row in table[table.kind != "background"].itertuples():
        assert images.fractional_share(images.read_rgba(BANK / row.path)[..., 3]) == row.fractional, row.id


def test_every_portrait_shows_a_person_and_background(portraits):
    for row in portraits.itertuples():
        alpha = picture(row.path)[..., 3]
        assert 0.15 < (alpha == 255).mean() < 0.9, row.id
        assert (alpha == 0).mean() > 0.05, row.id


def test_corners_that_show_no_one_are_exactly_empty(portraits):
    """A corner shows no one if nothing in its 48 pixels is 5 % opaque; haze there would be a fault of the render."""
    empty = 0
    for row in portraits.itertuples():
        alpha = picture(row.path)[..., 3]
        for corner in (alpha[:48, :48], alpha[:48, -48:]):
            if corner.max() < 13:
                empty += 1
                assert corner.max() == 0, row.id
    assert empty >= len(portraits), "most upper corners should show no one"


def test_clips_move(table):
    for row in table[table.kind == "clip"].itertuples():
        clip = images.read_clip(BANK / row.path, int(row.frames)).astype(np.float32)
        assert np.abs(np.diff(clip, axis=0)).mean(axis=(1, 2, 3)).min() > 0, f"{row.id}: a frame is repeated"
        assert np.abs(np.diff(clip[..., 3], axis=0)).mean() < 25, f"{row.id}: the matte jumps"


def test_green_shots_match_their_mattes(table):
    for row in table[table.kind == "green"].itertuples():
        rgba = images.read_rgba(BANK / row.path).astype(np.float32)
        shot = images.read_rgb(BANK / row.shot_path).astype(np.float32)
        solid, wall = rgba[..., 3] == 255, rgba[..., 3] == 0
        # the two differ by the rounding of two lossy colour codings alone
        assert np.abs(shot - rgba[..., :3])[solid].mean() < 3, f"{row.id}: the frames do not show the same person"
        red, green, blue = shot[wall].T
        assert ((green > red) & (green > blue)).mean() > 0.99, f"{row.id}: the wall is not green"
        assert green.std() > 2, f"{row.id}: the wall is lit too evenly"


# A detector that someone else trained


@functools.cache
def cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")


def faces(rgb: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Find faces by OpenCV's Haar cascades (frontal, alt2, profile both ways), overlapping boxes merged."""
    grey = cv2.equalizeHist(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    options = {"scaleFactor": 1.1, "minNeighbors": 5, "minSize": (60, 60)}
    boxes = [*cascade("frontalface_default").detectMultiScale(grey, **options)]
    boxes += [*cascade("frontalface_alt2").detectMultiScale(grey, **options)]
    boxes += [*cascade("profileface").detectMultiScale(grey, **options)]
    mirrored = cascade("profileface").detectMultiScale(grey[:, ::-1].copy(), **options)
    boxes += [(grey.shape[1] - x - width, y, width, height) for x, y, width, height in mirrored]
    kept: list[tuple[int, int, int, int]] = []
    for box in sorted(boxes, key=lambda box: -box[2] * box[3]):
        if not any(overlap(box, other) > 0.3 for other in kept):
            kept.append(tuple(map(int, box)))
    return kept


def overlap(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    """Return the area that two boxes (x, y, width, height) share, over that of the smaller."""
    shared = 1.0
    for start, length in ((0, 2), (1, 3)):
        end = min(first[start] + first[length], second[start] + second[length])
        shared *= max(0, end - max(first[start], second[start]))
    return shared / min(first[2] * first[3], second[2] * second[3])


def test_a_detector_finds_one_face(portraits):
    ahead = portraits[portraits.yaw.abs() <= 25]
    grey = np.full(3, 128, np.uint8)
    found = ahead.path.map(lambda path: len(faces(images.composite(picture(path), grey))))
    assert (found >= 1).mean() >= 0.9, f"no face in {', '.join(found.index[found == 0])}"
    assert (found == 1).mean() >= 0.9, f"not one face in {', '.join(found.index[found != 1])}"


# The documentation


@pytest.mark.parametrize("name", ["portraits", "mattes", "clip"])
def test_contact_sheets(name):
    path = ROOT / "docs" / "images" / f"{name}.jpg"
    assert path.is_file(), f"{path.name} is missing; workflow/scripts/plot_bank.py draws it"
    assert path.stat().st_size < 400_000
