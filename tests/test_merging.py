"""Runs merged into one data set: nothing lost, nothing twice, no persona in two splits, readable by others' tools."""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import stages
import webdataset
from etils import epath
from test_dag import copy, dry_run, snakemake, write
from test_scripts import assert_refused

from ldportrait import assembling, datasets, duplicates, merging, shards
from ldportrait.columns import SPLITS

RUNS = ("run-a", "run-b", "run-c")
VARIANT = "refined"


def make(root, run, count=6, **words):
    """A finished run with its data set."""
    folder = stages.make(root / run, count=count, run=run, **words)
    finish(folder, run)
    return folder


def finish(folder, run, shard_size=2):
    number = len(list((folder / "generated").glob("*.tar")))
    output = folder / "datasets" / VARIANT
    assembling.assemble(VARIANT, *stages.folders(folder), output, run=run, count=number, shard_size=shard_size)
    (folder / "provenance.json").write_text(json.dumps({"config": {"run": run}}))


def hash_as(folder, run, hashes):
    """Give portraits of a run other perceptual hashes, by their index, and assemble it again."""
    table = pd.read_parquet(folder / "screened.parquet")
    for index, value in hashes.items():
        table.loc[table.id == f"{run}-{index:09d}", "phash"] = value
    shards.write_table(table, folder / "screened.parquet")
    finish(folder, run)


def merge(folders, output, distance=4):
    return merging.merge(folders, output, VARIANT, run="all", distance=distance)


def items(folder):
    return {item.row["id"]: item for split in SPLITS for item in datasets.read(folder, split)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs of the same personas. Two portraits of run-b resemble portraits of run-a, and one persona of run-c has
    another split there."""
    root = tmp_path_factory.mktemp("runs")
    folders = [make(root, run) for run in RUNS[:2]]
    table = pd.read_parquet(folders[0] / "screened.parquet")
    (near,) = duplicates.parse(table.phash[table.id == "run-a-000000001"])
    hash_as(folders[1], "run-b", {0: f"{int(near) ^ 0b10011:016x}", 5: f"{int(near) ^ 0b11111:016x}"})
    torn = next(i for i, split in enumerate(table.split) if split != "test")
    folders.append(make(root, "run-c", changes={torn: {"split": "test"}}))
    return folders, torn


@pytest.fixture(scope="module")
def merged(runs, tmp_path_factory):
    output = tmp_path_factory.mktemp("merged") / "datasets" / VARIANT
    return merge(runs[0], output)[0], output


def test_it_holds_the_portraits_of_all_runs_but_doubles_and_torn_personas(runs, merged):
    folders, torn = runs
    expected = {}
    for folder in folders:
        expected |= items(folder / "datasets" / VARIANT)
    del expected["run-b-000000000"]  # three bits from one of run-a; five bits away is another picture
    del expected[f"run-c-{torn:09d}"]
    found = items(merged[1])
    assert list(datasets.metadata(merged[1]).id) == sorted(expected)
    assert set(found) == set(expected)
    for id, item in found.items():
        np.testing.assert_array_equal(item.rgba, expected[id].rgba)
        for name in ("prompt", "seed", "persona", "split", "phash", "removed_background"):
            assert item.row[name] == expected[id].row[name]
    assert [(source.doubles, source.torn) for source in merged[0]] == [(0, 0), (1, 0), (0, 1)]


def test_no_persona_is_in_two_splits(merged):
    table = datasets.metadata(merged[1])
    assert table.groupby("persona").split.nunique().max() == 1
    assert table.groupby("persona").id.nunique().max() > 1  # the runs do share personas


def test_the_order_in_which_runs_are_named_does_not_matter(runs, merged, tmp_path):
    merge(runs[0][::-1], tmp_path / "d")
    assert stages.tree(tmp_path / "d") == stages.tree(merged[1])


def test_tables_read_in_small_parts_give_the_same(runs, merged, tmp_path, monkeypatch):
    monkeypatch.setattr(merging, "ROWS", 2)
    merge(runs[0], tmp_path / "d")
    pd.testing.assert_frame_equal(datasets.metadata(tmp_path / "d"), datasets.metadata(merged[1]))
    cards = [(folder / "README.md").read_text() for folder in (tmp_path / "d", merged[1])]
    assert cards[0] == cards[1]


def test_checksums_cover_all_other_files(merged):
    folder = merged[1]
    result = subprocess.run(
        ["sha256sum", "--strict", "-c", "checksums.sha256"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    listed = {line.split("  ")[1] for line in (folder / "checksums.sha256").read_text().splitlines()}
    assert listed == set(stages.tree(folder)) - {"checksums.sha256"}


def test_whole_tars_are_links_and_the_others_copies(runs, merged):
    links = {path.stat().st_ino for run in runs[0] for path in (run / "datasets" / VARIANT).rglob("*.tar")}
    tars = list(merged[1].rglob("*.tar"))
    (copy,) = [tar for tar in tars if tar.stat().st_ino not in links]
    with tarfile.open(copy) as tar:
        assert tar.getnames()[0] == "run-b-000000001.rgba.webp"  # what was beside the one that is left out
    assert len(tars) == len(set(datasets.metadata(merged[1]).shard))  # nor is there one of the torn persona alone


def test_where_links_are_impossible_tars_are_copied(runs, merged, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    merge(runs[0], tmp_path / "d")
    assert stages.tree(tmp_path / "d") == stages.tree(merged[1])


def test_the_provenance_of_each_run_is_kept(merged, runs):
    for run in RUNS:
        kept = json.loads((merged[1] / "provenance" / f"{run}.json").read_text())
        assert kept["config"]["run"] == run


def test_the_card_counts_and_names_the_runs(merged):
    text, table = (merged[1] / "README.md").read_text(), datasets.metadata(merged[1])
    assert f"\n{len(table)} portraits" in text
    for split, rows in table.groupby("split"):
        assert f"| {split} | {len(rows)} | {rows.persona.nunique()} | {rows.shard.nunique()} |" in text
    assert "| run-a | 6 | 0 | 0 |" in text
    assert "| run-b | 5 | 1 | 0 |" in text
    assert "| run-c | 5 | 0 | 1 |" in text
    for style, number in table.hair_style.value_counts().items():
        assert f"{style} {number}" in text


@pytest.fixture
def mlc(tmp_path, monkeypatch):
    """mlcroissant with a cache of its own: it keeps what it extracts by the tar's relative name, of any data set."""
    module = pytest.importorskip("mlcroissant")
    place = "mlcroissant._src.operation_graph.operations.extract.EXTRACT_PATH"
    monkeypatch.setattr(place, epath.Path(tmp_path / "extracted"))
    return module


def test_croissant_is_valid_and_gives_the_portraits(mlc, merged):
    described = mlc.Dataset(jsonld=merged[1] / "croissant.json")
    assert not described.metadata.issues.errors
    rows = list(described.records("portraits"))
    assert [row["portraits/id"].decode() for row in rows] == list(datasets.metadata(merged[1]).id)
    mattes = {row["mattes/id"].decode(): row["mattes/rgba"] for row in described.records("mattes")}
    assert set(mattes) == set(datasets.metadata(merged[1]).id)


def test_it_loads_with_webdataset(merged):
    seen = []
    for tar in sorted(merged[1].glob("*/*.tar")):
        for sample in webdataset.WebDataset(str(tar), shardshuffle=False).decode("pilrgba"):
            assert sample["json"]["split"] == tar.parent.name
            assert "shard" not in sample["json"]  # it would be the tar's name in its run
            seen.append(sample["__key__"])
    assert sorted(seen) == list(datasets.metadata(merged[1]).id)


def test_doubles_stay_where_they_are_to(runs, tmp_path):
    sources, tally = merge(runs[0], tmp_path / "d", distance=-1)
    assert [source.doubles for source in sources] == [0, 0, 0]
    assert tally.portraits == 17


def test_what_resembles_within_one_run_is_that_runs_affair(tmp_path):
    folder, other = make(tmp_path, "run-a", count=4), make(tmp_path, "run-b", count=4)
    hash_as(folder, "run-a", dict.fromkeys(range(4), "00000000000000ff"))
    sources, _ = merge([folder, other], tmp_path / "d")
    assert [int(source.keep.sum()) for source in sources] == [4, 4]


def test_a_merged_run_can_be_merged_again(runs, merged, tmp_path):
    folders = runs[0]
    first = tmp_path / "first"
    merge(folders[:2], first / "datasets" / VARIANT)
    (first / "provenance.json").write_text(json.dumps({"config": {"run": "first"}}))
    merge([first, folders[2]], tmp_path / "d")
    assert list(datasets.metadata(tmp_path / "d").id) == list(datasets.metadata(merged[1]).id)
    names = {path.stem for path in (tmp_path / "d" / "provenance").iterdir()}
    assert names == {"first", *RUNS}


def test_columns_that_one_run_lacks_are_empty_there(mlc, tmp_path):
    folders = [make(tmp_path, "run-a", count=2), make(tmp_path, "run-b", count=2, lens="wide", stars=3)]
    merge(folders, tmp_path / "d")
    table = datasets.metadata(tmp_path / "d").set_index("id")
    assert table.lens.isna().tolist() == [True, True, False, False]
    assert table.stars.tolist()[2:] == [3, 3]
    assert len(list(mlc.Dataset(jsonld=tmp_path / "d" / "croissant.json").records("portraits"))) == 4


def test_memory_does_not_grow_with_the_pictures(tmp_path):
    """Two runs of 8 MB members: one tar is linked, of the other one portrait is left out and the rest copied."""
    for run, hashes in {"run-a": ["0" * 16, "f" * 16], "run-b": ["0" * 16, "0f" * 8]}.items():
        folder = tmp_path / run / "datasets" / VARIANT
        (folder / "train").mkdir(parents=True)
        rows = []
        with tarfile.open(folder / "train" / "shard-0000000.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for index, phash in enumerate(hashes):
                row = {"id": f"{run}-{index:09d}", "persona": "", "split": "train", "phash": phash, "backend": "bank"}
                row |= {"weights_sha256": "", "width": 1, "height": 1, "variant": VARIANT, "sha256": "0" * 64}
                shards.add_member(tar, f"{row['id']}.rgba.webp", os.urandom(8 << 20))
                rows.append(row | {"shard": "train/shard-0000000.tar"})
        shards.write_table(pd.DataFrame(rows), folder / "metadata.parquet")
        (folder / "checksums.sha256").write_text(assembling.checksums(folder))
        (tmp_path / run / "provenance.json").write_text("{}")
    merge([tmp_path / "run-a", tmp_path / "run-b"], tmp_path / "warm")  # imports what is imported late
    tracemalloc.start()
    merge([tmp_path / "run-a", tmp_path / "run-b"], tmp_path / "d")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    with tarfile.open(tmp_path / "d" / "train" / "shard-0000001.tar") as tar:
        assert [(member.name, member.size) for member in tar] == [("run-b-000000001.rgba.webp", 8 << 20)]


# Mistakes


def test_two_runs_of_one_name_are_refused(runs, tmp_path):
    other = tmp_path / "elsewhere" / "run-a"
    shutil.copytree(runs[0][0], other)
    with pytest.raises(ValueError, match="named run-a"):
        merge([runs[0][0], other], tmp_path / "d")
    other.rename(tmp_path / "renamed")
    with pytest.raises(ValueError, match=r"both begin with run-a"):
        merge([runs[0][0], tmp_path / "renamed"], tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("gone", "word"),
    [
        ("datasets/refined/metadata.parquet", "metadata.parquet"),
        ("datasets/refined/checksums.sha256", "checksums.sha256"),
        ("provenance.json", "provenance.json"),
        ("datasets/refined/train/shard-0000000.tar", "train/shard-0000000.tar"),
    ],
)
def test_what_is_missing_is_named(runs, tmp_path, gone, word):
    folder = tmp_path / "run-d"
    shutil.copytree(runs[0][0], folder)
    (folder / gone).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(word)):
        merge([folder], tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_a_data_set_without_hashes_is_named(runs, tmp_path):
    folder = tmp_path / "run-d"
    shutil.copytree(runs[0][0], folder)
    path = folder / "datasets" / VARIANT / "metadata.parquet"
    shards.write_table(pd.read_parquet(path).drop(columns="phash"), path)
    with pytest.raises(ValueError, match="no column phash; assemble"):
        merge([folder], tmp_path / "d")


def test_a_data_set_that_is_damaged_or_hostile_is_named(runs, tmp_path):
    folder = tmp_path / "run-d"
    shutil.copytree(runs[0][0], folder)
    place = folder / "datasets" / VARIANT
    table, listed = pd.read_parquet(place / "metadata.parquet"), (place / "checksums.sha256").read_text()
    (place / "checksums.sha256").write_text(listed.replace("train/shard-0000000.tar", "train/other.tar"))
    with pytest.raises(ValueError, match=r"does not list train/shard-0000000\.tar"):
        merge([folder], tmp_path / "d")
    (place / "checksums.sha256").write_text(listed)
    shards.write_table(table.assign(shard="../../" + table.shard), place / "metadata.parquet")
    with pytest.raises(ValueError, match="not within the data set"):
        merge([folder], tmp_path / "d")
    (place / "metadata.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"metadata\.parquet is not a readable Parquet table"):
        merge([folder], tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_the_command(runs, tmp_path):
    result = stages.call("merge_datasets.py", tmp_path / "d", *runs[0], "--run", "all")
    assert result.returncode == 0, result.stderr
    assert "16 portraits (" in result.stdout
    assert "1 that resemble" in result.stdout
    assert_refused(stages.call("merge_datasets.py", tmp_path / "d", tmp_path / "no", "--run", "all"), "no/datasets")
    assert_refused(
        stages.call("merge_datasets.py", tmp_path / "d", *runs[0], "--run", "all", "--variant", "clean"), "clean"
    )


def test_the_rule_merges_what_the_configuration_lists(runs, merged, tmp_path):
    """By Snakemake, in a copy of the workflow; blanks in the path are no trouble."""
    copy(tmp_path)
    for folder in runs[0]:
        shutil.copytree(folder / "datasets", tmp_path / "my results" / folder.name / "datasets")
        shutil.copyfile(folder / "provenance.json", tmp_path / "my results" / folder.name / "provenance.json")
    listed = [f"my results/{run}" for run in RUNS]
    write(
        tmp_path,
        paths={"results": "my results"},
        assemble={"variants": [VARIANT], "merge": listed},
        compare={"variants": [VARIANT], "capacity_variant": VARIANT, "others": []},
    )
    result = snakemake(tmp_path, "--quiet", "all", "--", "dataset")
    assert result.returncode == 0, result.stderr
    made = tmp_path / "my results" / "demo" / "datasets" / VARIANT
    assert list(datasets.metadata(made).id) == list(datasets.metadata(merged[1]).id)
    assert dry_run(tmp_path, "dataset") == {}
