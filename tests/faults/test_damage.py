"""Damaged shards and data sets: nothing wrong is taken for right, and the message names the file and the way out."""

import hashlib
import shutil
import tarfile

import numpy as np
import pandas as pd
import pytest
import stages
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

import train_matting
from ldportrait import datasets, images, shards, training_data

SHARD = "shard-0000000.tar"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run's shards and, of the refined ones, a data set."""
    root = stages.make(tmp_path_factory.mktemp("made"), count=4, per_shard=4)
    done = stages.call("assemble_dataset.py", *stages.folders(root), root / "set", "--shards", 1, "--run", "demo")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "made")


def told(items: list[shards.Item]) -> list[tuple]:
    return [(str(item.row), item.rgba.tobytes(), item.truth.tobytes()) for item in items]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A shard of two portraits, and what it holds."""
    folder = synthetic.results(tmp_path_factory.mktemp("small"), count=2, shard_size=2, size=16).folder
    tar = folder / "generated" / SHARD
    return tar, told(list(shards.read_shard(tar)))


def read_or_refuse(tar) -> list[tuple] | None:
    """What a shard holds; None if it is refused as it should be: by name, and with the way out."""
    try:
        return told(list(shards.read_shard(tar)))
    except ValueError as error:
        sentence = str(error)
    refused = "shard-0000000." in sentence and ("snakemake --cores all" in sentence or "no column" in sentence)
    return None if refused else [(sentence,)]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["tar", "parquet"]), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_a_flipped_bit_is_noticed_or_does_no_harm(small, suffix, where, bit):
    """Anywhere in tar or manifest: the shard is refused, with its name and the way out, or reads as it was."""
    tar, expected = small
    path = tar.with_suffix(f".{suffix}")
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[int(where * len(whole))] ^= 1 << bit
    path.write_bytes(spoilt)
    found = read_or_refuse(tar)
    path.write_bytes(whole)
    assert found in (expected, None)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["tar", "parquet"]), st.floats(0, 1, exclude_max=True))
def test_a_shard_that_is_cut_off_is_refused_or_whole(small, suffix, where):
    tar, expected = small
    path = tar.with_suffix(f".{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(where * len(whole))])
    found = read_or_refuse(tar)
    path.write_bytes(whole)
    assert found in (expected, None)  # whole where only the tar's empty end was cut off


def test_a_manifest_that_says_other_things_of_an_item(root):
    tar = root / "generated" / SHARD
    table = shards.read_manifest(tar)
    shards.write_table(table.assign(hair_style="a lie"), shards.manifest_of(tar))
    with pytest.raises(ValueError, match=r"shard-0000000\.tar and its manifest say different things of demo-000000000"):
        list(shards.read_shard(tar))
    shards.write_table(table.drop(columns="sha256"), shards.manifest_of(tar))
    with pytest.raises(ValueError, match=r"shard-0000000\.parquet is no shard's manifest: it has no column sha256"):
        list(shards.read_shard(tar))


def members(tar) -> list[tuple[str, bytes]]:
    with tarfile.open(tar) as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive]


def write(tar, contents: list[tuple[str, bytes]]) -> None:
    with tarfile.open(tar, "w") as archive:
        for name, content in contents:
            shards.add_member(archive, name, content)


JSON = {"none": b"\xff{", "a list": b"[]", "deep": b"[" * 100_000, "a large number": b'{"a": ' + b"9" * 5000 + b"}"}


@pytest.mark.parametrize("kind", ["picture twice", "item twice", *JSON])
def test_a_tar_that_says_a_thing_twice_or_in_other_words(root, kind):
    """The former might be one thing for this reader and another for the next."""
    tar = root / "generated" / SHARD
    contents = members(tar)
    if kind == "picture twice":
        contents.insert(0, (contents[0][0], contents[3][1]))
    elif kind == "item twice":
        contents += contents[:3]
    else:
        contents = [(name, JSON[kind] if name.endswith("json") else content) for name, content in contents]
    write(tar, contents)
    with pytest.raises(ValueError, match=r"shard-0000000\.tar .*snakemake --cores all"):
        list(shards.read_shard(tar))


def test_tables_that_list_an_item_twice_or_say_too_little_of_it(root):
    tar, path = root / "generated" / SHARD, root / "set" / "metadata.parquet"
    table = shards.read_manifest(tar)
    shards.write_table(pd.concat([table, table[:1]]), shards.manifest_of(tar))
    with pytest.raises(ValueError, match=r"shard-0000000\.parquet lists demo-000000000 twice"):
        shards.read_manifest(tar)
    table = datasets.metadata(root / "set")
    for wrong, said in (
        (pd.concat([table, table[:1]]), "twice"),
        (table.drop(columns="shard"), "every portrait's shard"),
        (table.assign(sha256=None), "every portrait's sha256"),
    ):
        shards.write_table(wrong, path)
        with pytest.raises(ValueError, match=rf"metadata\.parquet .*{said}.*assemble the data set again"):
            datasets.metadata(root / "set")


def pack(tar, rows: list[dict], pictures: list[bytes]) -> None:
    """A shard as its maker wants it, with digests that agree."""
    rows = [row | {"sha256": hashlib.sha256(content).hexdigest()} for row, content in zip(rows, pictures, strict=True)]
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar, "w") as archive:
        for row, content in zip(rows, pictures, strict=True):
            shards.add_member(archive, f"{row['id']}.rgba.webp", content)
            shards.add_member(archive, f"{row['id']}.json", shards.member_json(row))
    shards.write_table(pd.DataFrame(rows), shards.manifest_of(tar))


def test_a_picture_that_was_broken_from_the_start(tmp_path):
    """Its digest agrees, so only decoding tells."""
    tar = tmp_path / "generated" / SHARD
    good = shards.encode(np.zeros((8, 8, 4), np.uint8))
    pack(tar, [{"id": "a-0"}, {"id": "a-1"}], [good, good[:-9]])
    result = stages.call("refine_mattes.py", tar, tmp_path / "refined" / SHARD)
    assert result.returncode == 2
    assert result.stderr.startswith(f"a-1.rgba.webp in {tar} is not a readable picture")
    assert f"snakemake --cores all {tar}" in result.stderr
    assert not (tmp_path / "refined" / SHARD).exists()


@pytest.mark.parametrize("stage", ["generated", "refined"])
def test_a_deleted_shard_is_named_with_the_way_out(root, stage):
    tar = root / stage / SHARD
    tar.unlink()
    result = stages.call(
        "measure_portraits.py", root / "generated" / SHARD, root / "refined" / SHARD, root / "m.parquet"
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"There is no shard at {tar}; if it is the workflow's, make it by: snakemake")
    assert not (root / "m.parquet").exists()


def test_a_training_notices_a_flipped_bit_of_its_data_set(root):
    """Lossless WebP has no checksum of its own: with a bit flipped it is another picture, but for the digest."""
    tar = root / "set" / "train" / SHARD
    table = train_matting.part(root / "set", "train", 100, 0)
    (shard,) = train_matting.shards_of(table, root / "set")
    pictures = dict(training_data.read(shard))
    assert pictures.keys() == set(table.id)
    with tarfile.open(tar) as archive:
        offset = archive.getmember(f"{table.id[1]}.rgba.webp").offset_data
    spoilt = bytearray(tar.read_bytes())
    spoilt[offset + len(pictures[table.id[1]]) // 2] ^= 4
    tar.write_bytes(spoilt)
    with pytest.raises(
        ValueError, match=rf"shard-0000000\.tar is damaged \({table.id[1]}.*assemble the data set again"
    ):
        list(training_data.read(shard))


@pytest.mark.parametrize("way_out", ["predict again", "make it again", "segment the clip again"])
def test_a_matte_that_was_changed_is_not_taken(tmp_path, way_out):
    def read(path, sha256):
        return images.read_grey(path, sha256, way_out)

    path = tmp_path / "a.png"
    path.write_bytes(images.png(np.zeros((8, 8), np.uint8), 1))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read(path, sha256).shape == (8, 8)
    path.write_bytes(images.png(np.full((8, 8), 9, np.uint8), 1))
    with pytest.raises(ValueError, match=rf"a\.png is not the file that .* lists; {way_out}"):
        read(path, sha256)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"a\.png is missing; {way_out}"):
        read(path, sha256)


def test_a_data_set_without_its_metadata_s_tar(root):
    (root / "set" / "train" / SHARD).unlink()
    with pytest.raises(FileNotFoundError, match=r"has no train/shard-0000000\.tar; assemble it again"):
        train_matting.shards_of(train_matting.part(root / "set", "train", 100, 0), root / "set")
    with pytest.raises(FileNotFoundError, match="assemble it again"):
        list(datasets.read(root / "set", "train"))
