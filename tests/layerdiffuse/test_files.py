"""Fetching weights: from a mirror and from a hub, going on after a stop, and every mishap told in a sentence."""

import contextlib
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest
import stages
import yaml
from conftest import ROOT, SCRIPTS
from test_scripts import assert_refused

from ldportrait.layerdiffuse import files

CATALOGUE = ROOT / "config" / "weights.yaml"
REVISION = "0123456789abcdef0123456789abcdef01234567"
CONTENT = {
    "me/sdxl": {"model_index.json": b"{}", "unet/diffusion_pytorch_model.fp16.safetensors": bytes(range(256)) * 5000},
    "me/vae": {"config.json": b"{ }", "diffusion_pytorch_model.safetensors": b"vae" * 1000},
    "me/layer": {"attention.safetensors": b"attention" * 1000},
    "me/decoder": {"decoder.safetensors": b"decoder" * 1000},
}
ROLES = {"base": "sdxl", "vae": "vae", "attention": "layer", "decoder": "decoder"}
BIG = CONTENT["me/sdxl"]["unet/diffusion_pytorch_model.fp16.safetensors"]
UNET = "sdxl-01234567/unet/diffusion_pytorch_model.fp16.safetensors"
PART = "sdxl-01234567/unet/.diffusion_pytorch_model.fp16.safetensors.part"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_catalogue(folder: Path, **published: str) -> Path:
    """A catalogue of CONTENT; `published` gives the SHA-256 of files by their stem."""
    tree = {
        repo.removeprefix("me/"): {
            "repo": repo,
            "revision": REVISION,
            "licence": f"Licence of {repo}",
            "terms": "https://example.org/terms",
            "files": {name: published.get(Path(name).name.split(".")[0]) for name in content},
        }
        for repo, content in CONTENT.items()
    }
    (folder / "catalogue.yaml").write_text(yaml.safe_dump(tree))
    return folder / "catalogue.yaml"


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with a mirror and a catalogue."""
    for repo, content in CONTENT.items():
        for name, data in content.items():
            file = tmp_path / "mirror" / repo / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    write_catalogue(tmp_path, attention=sha256(CONTENT["me/layer"]["attention.safetensors"]))
    return tmp_path


def words(place: Path, *more: object, mirror: bool = True) -> list[object]:
    roles = [word for role, name in ROLES.items() for word in (f"--{role}", name)]
    source = ["--mirror", place / "mirror"] if mirror else []
    places = ["--catalogue", place / "catalogue.yaml", "--folder", place / "weights"]
    return [place / "weights.json", *places, *source, *roles, *more]


def fetch(place: Path, *more: object) -> subprocess.CompletedProcess:
    return stages.call("fetch_weights.py", *words(place, *more))


def record(place: Path) -> dict:
    return json.loads((place / "weights.json").read_text())


def test_all_files_come_with_their_licence_shown_and_are_recorded(place):
    result = fetch(place)
    assert result.returncode == 0, result.stderr
    for repo, content in CONTENT.items():
        assert f"Licence of {repo}, https://example.org/terms" in result.stdout
        folder = place / "weights" / f"{repo.removeprefix('me/')}-01234567"
        for name, data in content.items():
            assert (folder / name).read_bytes() == data
    found = record(place)
    assert found["parts"]["base"]["files"]["model_index.json"] == {"sha256": sha256(b"{}"), "bytes": 2}
    assert files.place(found, "base") == place / "weights" / "sdxl-01234567"
    assert files.place(found, "decoder") == place / "weights" / "decoder-01234567" / "decoder.safetensors"
    assert files.place(found, "layout") is None
    files.check(found)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", files.LEDGER], cwd=place / "weights", capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_what_is_there_is_neither_copied_nor_needs_a_source(place):
    fetch(place)
    before = record(place), (place / "weights" / UNET).stat().st_mtime_ns
    shutil.rmtree(place / "mirror")
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, SCRIPTS / "fetch_weights.py", *map(str, words(place, mirror=False))]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    assert (record(place), (place / "weights" / UNET).stat().st_mtime_ns) == before


def test_a_stopped_copy_goes_on_within_the_file(place):
    part = place / "weights" / PART
    part.parent.mkdir(parents=True)
    part.write_bytes(BIG[:70000])
    source = place / "mirror" / "me/sdxl" / "unet/diffusion_pytorch_model.fp16.safetensors"
    source.write_bytes(b"\0" * 70000 + BIG[70000:])  # so that it shows what was copied
    assert fetch(place).returncode == 0
    assert (place / "weights" / UNET).read_bytes() == BIG
    assert not part.exists()


def test_a_part_that_is_damaged_is_thrown_away_and_said(place):
    write_catalogue(place, diffusion_pytorch_model=sha256(BIG))
    files_of_vae = CONTENT["me/vae"]["diffusion_pytorch_model.safetensors"]
    text = (
        (place / "catalogue.yaml").read_text().replace(f"model.safetensors: {sha256(BIG)}", "model.safetensors: null")
    )
    (place / "catalogue.yaml").write_text(text)
    part = place / "weights" / PART
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 100)
    assert_refused(fetch(place), "may be damaged; it was thrown away, so run the same command again")
    assert not (place / "weights.json").exists()
    assert fetch(place).returncode == 0
    assert (place / "weights" / UNET).read_bytes() == BIG
    assert (place / "weights/vae-01234567/diffusion_pytorch_model.safetensors").read_bytes() == files_of_vae


def test_another_file_than_published_is_refused_and_not_kept(place):
    (place / "mirror/me/layer/attention.safetensors").write_bytes(b"another")
    expected = sha256(CONTENT["me/layer"]["attention.safetensors"])
    result = fetch(place)
    assert_refused(result, f"{sha256(b'another')} instead of {expected}")
    assert "me/layer" in result.stderr
    assert not (place / "weights/layer-01234567/attention.safetensors").exists()
    assert not (place / "weights.json").exists()


def test_what_was_recorded_at_the_first_fetch_is_checked_ever_after(place):
    fetch(place)
    decoder = place / "weights/decoder-01234567/decoder.safetensors"
    decoder.write_bytes(b"another")
    assert_refused(fetch(place), "recorded at its first fetch")
    with pytest.raises(ValueError, match=r"decoder\.safetensors is not the file that it should be"):
        files.check(record(place))
    decoder.unlink()
    with pytest.raises(FileNotFoundError, match=r"decoder\.safetensors is missing; run snakemake"):
        files.check(record(place))
    (place / "mirror/me/decoder/decoder.safetensors").write_bytes(b"another")
    assert_refused(fetch(place), "it is another file")


def test_a_small_disk_is_told_before_anything_is_copied(place, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    result = fetch(place)
    assert_refused(result, "set paths.weights to a folder on a larger one")
    assert "0.0 GB more" in result.stderr
    assert not list((place / "weights").rglob("*.safetensors*"))


def test_a_disk_that_fills_up_meanwhile_is_told_and_the_part_is_kept(place, monkeypatch):
    def full(read, write, length):
        write.write(read.read(5000))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.shutil, "copyfileobj", full)
    assert_refused(fetch(place), "is full; free some space and run again")
    monkeypatch.undo()
    assert fetch(place).returncode == 0
    assert (place / "weights" / UNET).read_bytes() == BIG


def test_weights_of_one_s_own_stay_where_they_are(place):
    own = place / "own.safetensors"
    own.write_bytes(b"own")
    assert fetch(place, "--decoder", own).returncode == 0
    found = record(place)
    assert files.place(found, "decoder") == own
    assert found["parts"]["decoder"]["licence"] == "your own"
    own.write_bytes(b"edited")
    assert_refused(fetch(place, "--decoder", own), "recorded when it was first used")


def test_a_folder_without_safetensors_is_refused(place):
    (place / "pickles").mkdir()
    (place / "pickles" / "model.bin").write_bytes(b"x")
    assert_refused(fetch(place, "--base", place / "pickles"), "holds no .safetensors file")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--base", "nothing"], "layerdiffuse.base names nothing, which is no entry of the catalogue (decoder"),
        (["--catalogue", "absent.yaml"], "absent.yaml"),
        (["--mirror", "absent"], "no mirror at absent"),
        (["--base", "layer", "--layout", ""], "layerdiffuse.layout"),
        (["--attention", ""], "layerdiffuse.attention must name weights"),
    ],
)
def test_mistakes_are_one_sentence(place, more, word):
    assert_refused(fetch(place, *more), word)
    assert not (place / "weights.json").exists()


def test_a_mirror_that_lacks_a_file_is_named(place):
    (place / "mirror/me/vae/config.json").unlink()
    assert_refused(fetch(place), "me/vae/config.json")


# The hub -------------------------------------------------------------------------------------------------------------


class Hub(http.server.BaseHTTPRequestHandler):
    """The few things of the Hugging Face hub that a download needs, with large files elsewhere and by ranges."""

    cut = 0  # bytes after which a first download is cut off
    asked = None

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        match = re.fullmatch(rf"/(me/\w+)/resolve/{REVISION}/(.+)", self.path)
        data = CONTENT.get(match[1], {}).get(match[2]) if match else None
        if data is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            return
        first = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        if body:
            type(self).asked.append((match[2], first))
        self.send_response(206 if first else 200)
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{sha256(data)}"')
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        if body:
            cut, type(self).cut = type(self).cut, 0
            self.wfile.write(data[first : first + cut] if cut else data[first:])

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def hub(cut: int = 0):
    Hub.cut, Hub.asked = cut, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch_from(endpoint: str, place: Path, **environment: str) -> subprocess.CompletedProcess:
    """In a process of its own, since the hub's address is read when its library is imported."""
    command = [sys.executable, SCRIPTS / "fetch_weights.py", *map(str, words(place, mirror=False))]
    base = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    base |= {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HOME": str(place / "home")} | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, env=base)


def test_the_hub_gives_what_is_missing_from_where_it_stopped(place):
    part = place / "weights" / PART
    part.parent.mkdir(parents=True)
    part.write_bytes(BIG[:70000])
    with hub() as endpoint:
        result = fetch_from(endpoint, place)
        assert result.returncode == 0, result.stderr
        assert ("unet/diffusion_pytorch_model.fp16.safetensors", 70000) in Hub.asked
    assert (place / "weights" / UNET).read_bytes() == BIG


def test_a_connection_that_breaks_is_taken_up_again(place):
    with hub(cut=1) as endpoint:  # of the first file, model_index.json, one byte of two
        result = fetch_from(endpoint, place)
        assert result.returncode == 0, result.stderr
        assert len([name for name, _ in Hub.asked if name == "model_index.json"]) == 2
    assert (place / "weights/sdxl-01234567/model_index.json").read_bytes() == b"{}"


def test_the_sha256_that_the_hub_names_is_heeded(place):
    part = place / "weights" / PART
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 100)  # nothing is published for this file in the catalogue
    with hub() as endpoint:
        assert_refused(fetch_from(endpoint, place), f"instead of {sha256(BIG)}")


def test_a_repository_that_is_not_there_is_named(place):
    text = (place / "catalogue.yaml").read_text().replace("repo: me/vae", "repo: me/nothing")
    (place / "catalogue.yaml").write_text(text)
    with hub() as endpoint:
        result = fetch_from(endpoint, place)
    assert_refused(result, "The hub does not give me/nothing at 01234567")
    assert "paths.mirror" in result.stderr


def test_no_network_is_told_in_a_sentence(place):
    assert_refused(fetch_from("http://127.0.0.1:9", place), "what was fetched is kept")
    result = fetch_from("http://127.0.0.1:9", place, HF_HUB_OFFLINE="1")
    assert_refused(result, "HF_HUB_OFFLINE is set")


# The catalogue -------------------------------------------------------------------------------------------------------


def test_the_shipped_catalogue_has_every_documented_choice_at_a_pinned_revision():
    catalogue = files.load_catalogue(CATALOGUE)
    assert {"realvisxl-v4", "juggernaut-xl-v6", "layerdiffuse-attention", "layerdiffuse-decoder"} <= catalogue.keys()
    attention = catalogue["layerdiffuse-attention"]
    assert attention.files == {
        "ld_diffusers_sdxl_attn.safetensors": "22edbe45583644952c1613c6a62eda33503e4c032a8798d0acf198b3ebef2f13"
    }
    assert attention.revision == "e76ba7e9031888ee9c2595391f218a69a5cbfc20"


def test_a_base_in_one_file_brings_its_layout_and_a_folder_does_not():
    catalogue = files.load_catalogue(CATALOGUE)
    section = {"base": "juggernaut-xl-v6", "vae": None, "attention": "layerdiffuse-attention"}
    section |= {"decoder": "layerdiffuse-decoder", "layout": "sdxl-layout"}
    assert files.choose(section, catalogue)["layout"].name == "sdxl-layout"
    assert "layout" not in files.choose(section | {"base": "realvisxl-v4"}, catalogue)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"revision": "main"}, "revision must be a commit"),
        ({"files": {"model.bin": None}}, "model.bin"),
        ({"files": {"../model.safetensors": None}}, "must lie in its folder"),
        ({"files": {"model.safetensors": "123"}}, "64 hexadecimal digits"),
        ({"files": {}}, "files must map"),
        ({"licence": None, "extra": 1}, "exactly the keys"),
    ],
)
def test_a_wrong_catalogue_is_refused(tmp_path, change, word):
    entry = {"repo": "a/b", "revision": REVISION, "licence": "MIT", "terms": "x", "files": {"m.safetensors": None}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"thing": entry | change}))
    with pytest.raises(ValueError, match=word):
        files.load_catalogue(tmp_path / "c.yaml")
