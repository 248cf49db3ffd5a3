"""key_mattes: the chroma-key baseline of a shard."""

import numpy as np
import pytest
import stages
from test_scripts import assert_refused

from ldportrait import shards

SHARD = "shard-0000000.tar"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return stages.make(tmp_path_factory.mktemp("run"), count=3)


def key(root, output, *options):
    return stages.call("key_mattes.py", root / "generated" / SHARD, root / "refined" / SHARD, output, *options)


def keyed(root, output, *options):
    result = key(root, output, *options)
    assert result.returncode == 0, result.stderr
    return list(shards.read_shard(output))


def test_a_shard_is_keyed(root, tmp_path):
    items = keyed(root, tmp_path / "keyed" / SHARD)
    generated = list(shards.read_shard(root / "generated" / SHARD))
    assert [item.row["id"] for item in items] == [item.row["id"] for item in generated]
    for item, source in zip(items, generated, strict=True):
        assert item.row["key_source"] == "truth"
        assert item.row["prompt"] == source.row["prompt"]
        np.testing.assert_array_equal(item.truth, source.truth)
        error = np.abs(item.rgba[..., 3].astype(float) - source.truth).mean() / 255
        assert 1e-4 < error < 0.03  # keyed from the exact alpha, and not a copy of it


def test_without_truth_the_refined_alpha_is_used_and_said(tmp_path):
    root = stages.make(tmp_path, count=2, truth=False)
    items = keyed(root, tmp_path / "out" / SHARD)
    assert {item.row["key_source"] for item in items} == {"refined"}
    assert all(item.truth is None for item in items)
    for item, source in zip(items, shards.read_shard(root / "refined" / SHARD), strict=True):
        assert np.abs(item.rgba[..., 3].astype(float) - source.rgba[..., 3]).mean() / 255 < 0.04


def test_equal_work_gives_equal_bytes(root, tmp_path):
    for name in "ab":
        keyed(root, tmp_path / name / SHARD)
    assert (tmp_path / "a" / SHARD).read_bytes() == (tmp_path / "b" / SHARD).read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ["--keyer", "cbcr"],
        ["--keyer", "colour-difference"],
        ["--clip-white", 0.5],
        ["--core", 0],
        ["--despill", "max"],
        ["--unevenness", 0.3],
        ["--spill", 0.3],
        ["--noise", 0],
    ],
)
def test_every_option_matters(root, tmp_path, options):
    plain, other = keyed(root, tmp_path / "a" / SHARD), keyed(root, tmp_path / "b" / SHARD, *options)
    assert any((one.rgba != two.rgba).any() for one, two in zip(plain, other, strict=True))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--keyer", "primatte"], "primatte"),
        (["--clip-black", 0.9, "--clip-white", 0.1], "0.9"),
        (["--despill", "x"], "x"),
    ],
)
def test_bad_options_are_refused(root, tmp_path, options, word):
    assert_refused(key(root, tmp_path / "keyed" / SHARD, *options), word)
    assert not (tmp_path / "keyed" / SHARD).exists()


def test_other_portraits_are_refused(root, tmp_path):
    other = stages.make(tmp_path / "other", count=2)
    result = stages.call("key_mattes.py", root / "generated" / SHARD, other / "refined" / SHARD, tmp_path / SHARD)
    assert_refused(result, "refined")


def test_a_missing_shard_is_named(root, tmp_path):
    result = stages.call(
        "key_mattes.py", root / "generated" / "shard-9.tar", root / "refined" / SHARD, tmp_path / SHARD
    )
    assert_refused(result, "shard-9")


def test_a_run_goes_on_in_its_partial_folder(root, tmp_path):
    keyed(root, tmp_path / "a" / SHARD)
    # what a killed run leaves: a lock, and pictures without the state of this work
    partial = tmp_path / "partial"
    partial.mkdir()
    (partial / "demo-000000000.rgba.webp").write_bytes(b"half a picture")
    keyed(root, tmp_path / "b" / SHARD, "--partial", partial)
    assert (tmp_path / "a" / SHARD).read_bytes() == (tmp_path / "b" / SHARD).read_bytes()
    assert not partial.exists()
