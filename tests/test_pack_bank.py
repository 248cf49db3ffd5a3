import hashlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import SCRIPTS, small_config, write_config
from PIL import Image

from ldportrait import images


def run(script: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, SCRIPTS / script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def pack(finished: tuple[Path, Path], output: Path, *more: str) -> subprocess.CompletedProcess:
    config, work = finished
    return run("pack_bank.py", "--config", config, "--work", work, "--output", output, "--date", "2026-01-31", *more)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def bank(finished, tmp_path) -> Path:
    result = pack(finished, tmp_path / "bank")
    assert result.returncode == 0, result.stderr
    return tmp_path / "bank"


def test_a_row_per_item_that_agrees_with_its_file(bank):
    table = pd.read_parquet(bank / "bank.parquet").set_index("id")
    assert table.index.tolist() == [
        *("portrait-000", "portrait-001", "portrait-002"),
        *("clip-00", "green-00", "background-00"),
    ]
    for path, sha256 in [
        *zip(table.path, table.sha256, strict=True),
        *table[["shot_path", "shot_sha256"]].dropna().values,
    ]:
        assert hashlib.sha256((bank / path).read_bytes()).hexdigest() == sha256
    portrait, clip, green, background = table.loc[["portrait-000", "clip-00", "green-00", "background-00"]].itertuples()
    assert (portrait.width, portrait.height, portrait.age, portrait.gender) == (32, 32, 31, "woman")
    assert (portrait.hair_style, portrait.hair_texture, portrait.hair_colour) == (
        "long straight",
        "straight",
        "dark brown",
    )
    assert portrait.fractional == images.fractional_share(images.read_rgba(bank / portrait.path)[..., 3])
    assert (clip.frames, clip.width, clip.height) == (24, 16, 16)
    assert green.shot_path == "green/green-00-shot.webp"
    assert (background.split, background.width) == ("test", 40)
    assert pd.isna(background.persona)
    assert pd.isna(portrait.shot_path)


def test_about_says_how_it_was_made(bank):
    about = yaml.safe_load((bank / "bank.yaml").read_text())
    assert about["date"] == "2026-01-31"
    assert about["command"] == "make bank"
    assert about["counts"]["portraits"] == {"train": 0, "val": 0, "test": 3}
    assert about["versions"] == {"bpy": "4.2.23"}
    assert about["seconds"] == 15


def test_equal_work_gives_equal_bytes(bank, finished, tmp_path):
    before = files(bank)
    assert pack(finished, tmp_path / "again").returncode == 0
    assert files(tmp_path / "again") == before


def test_the_date_may_come_from_the_environment(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert pack(finished, tmp_path / "bank", "--date", "").returncode == 0
    assert yaml.safe_load((tmp_path / "bank" / "bank.yaml").read_text())["date"] == "1970-01-02"


def test_packing_again_drops_old_pictures_and_keeps_notes(bank, finished, tmp_path):
    (bank / "LICENSES.md").write_text("CC0")
    (bank / "portraits" / "portrait-999.webp").write_bytes(b"old")
    assert pack(finished, bank).returncode == 0
    assert (bank / "LICENSES.md").read_text() == "CC0"
    assert not (bank / "portraits" / "portrait-999.webp").exists()
    assert not list(tmp_path.glob(".bank-*"))


def missing_picture(config: Path, work: Path) -> None:
    (work / "portraits" / "portrait-001.webp").unlink()


def missing_shot(config: Path, work: Path) -> None:
    (work / "green" / "green-00-shot.webp").unlink()


def other_spec(config: Path, work: Path) -> None:
    changed = small_config()
    changed["portraits"][2]["yaw"] = -30
    write_config(changed, config)


def other_size(config: Path, work: Path) -> None:
    path = work / "backgrounds" / "background-00.webp"
    images.write_webp(path, images.read_rgb(path)[:20])


def broken_clip(config: Path, work: Path) -> None:
    path = work / "clips" / "clip-00.webp"
    images.write_webp(path, images.read_rgba(path)[:-5])


def wrong_mode(config: Path, work: Path) -> None:
    Image.new("RGBA", (40, 40), (1, 2, 3, 4)).save(work / "backgrounds" / "background-00.webp", lossless=True)


def broken_record(config: Path, work: Path) -> None:
    (work / "clips" / "clip-00.json").write_text("{")


def too_large(config: Path, work: Path) -> None:
    path = work / "portraits" / "portrait-000.webp"
    path.write_bytes(path.read_bytes() + bytes(25 * 10**6))


def no_config(config: Path, work: Path) -> None:
    config.unlink()


def wrong_config(config: Path, work: Path) -> None:
    changed = small_config()
    del changed["portraits"][0]["light"]
    write_config(changed, config)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (missing_picture, "Not rendered yet: portrait-001"),
        (missing_shot, "Not rendered yet: green-00"),
        (other_spec, "portrait-002 was rendered from another description"),
        (other_size, "is 40 x 20 pixels, but 40 x 40"),
        (broken_clip, "is 16 x 379 pixels, but 16 x 384"),
        (wrong_mode, "has an alpha channel"),
        (broken_record, "is not valid JSON"),
        (too_large, "more than the 24 MB"),
        (no_config, "no such configuration file"),
        (wrong_config, "portrait-000: key 'light' is missing"),
    ],
)
def test_bad_work_is_refused_and_nothing_is_written(finished, bank, spoil, sentence):
    before = files(bank.parent / "bank")
    spoil(*finished)
    result = pack(finished, bank)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert files(bank) == before
    assert not list(bank.parent.glob(".bank-*"))


def test_contact_sheets(bank, tmp_path):
    result = run("plot_bank.py", "--bank", bank, "--output", tmp_path / "images")
    assert result.returncode == 0, result.stderr
    sizes = {path.name: Image.open(path).size for path in (tmp_path / "images").iterdir()}
    assert sizes == {"portraits.jpg": (1536, 192), "mattes.jpg": (1536, 192), "clip.jpg": (1536, 384)}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["--clip", "clip-77"], "holds no clip clip-77."), (["--bank", "nowhere"], "There is no bank at nowhere")],
)
def test_contact_sheets_of_what_is_not_there(bank, tmp_path, arguments, sentence):
    result = run("plot_bank.py", "--bank", bank, "--output", tmp_path / "images", *arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert not (tmp_path / "images").exists()
