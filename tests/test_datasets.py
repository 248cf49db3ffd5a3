"""The data set: whole, equal, honest about its splits, and readable by others' tools."""

import io
import json
import subprocess
import tarfile

import numpy as np
import pandas as pd
import pytest
import stages
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from ldportrait import assembling, datasets, shards
from ldportrait.columns import SPLITS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = stages.make(tmp_path_factory.mktemp("run"), count=10, per_shard=4)
    stages.reject(root, "demo-000000002", "demo-000000007")
    return root


def assemble(root, variant="refined", output=None, **words):
    options = {"run": "demo", "count": len(list((root / "generated").glob("*.tar"))), "shard_size": 3} | words
    output = output or root / "datasets" / variant
    assembling.assemble(variant, *stages.folders(root), output, **options)
    return output


@pytest.fixture(scope="module")
def written(run):
    return {variant: assemble(run, variant) for variant in datasets.VARIANTS}


def items(folder):
    return {item.row["id"]: item for split in SPLITS for item in datasets.read(folder, split)}


def stage_items(root, stage):
    return {item.row["id"]: item for tar in sorted((root / stage).glob("*.tar")) for item in shards.read_shard(tar)}


def test_all_variants_hold_the_accepted_portraits(run, written):
    verdicts = pd.read_parquet(run / "screened.parquet")
    for folder in written.values():
        assert list(datasets.metadata(folder).id) == list(verdicts.id[verdicts.accepted])
        assert set(items(folder)) == set(verdicts.id[verdicts.accepted])
    assert len(verdicts) - verdicts.accepted.sum() == 2


@pytest.mark.parametrize(("variant", "stage"), [("raw", "generated"), ("refined", "refined"), ("keyed", "keyed")])
def test_a_variant_is_its_stage(run, written, variant, stage):
    source = stage_items(run, stage)
    for id, item in items(written[variant]).items():
        np.testing.assert_array_equal(item.rgba, source[id].rgba)


def test_the_truth_is_the_exact_alpha_under_the_refined_colour(run, written):
    refined, generated = stage_items(run, "refined"), stage_items(run, "generated")
    for id, item in items(written["truth"]).items():
        np.testing.assert_array_equal(item.rgba[..., 3], generated[id].truth)
        np.testing.assert_array_equal(item.rgba[..., :3], refined[id].rgba[..., :3])


def test_metadata(run, written):
    table = datasets.metadata(written["refined"])
    source = pd.concat([shards.read_manifest(tar) for tar in sorted((run / "refined").glob("*.tar"))]).set_index("id")
    assert (table.variant == "refined").all()
    assert "seconds" not in table
    for name in ("prompt", "seed", "persona", "split", "removed_background"):
        assert list(table[name]) == list(source.loc[table.id, name])
    for row in table.itertuples():
        assert row.shard.startswith(f"{row.split}/shard-")
    assert table.groupby("shard").size().max() == 3


def test_checksums_cover_all_other_files(written):
    for folder in written.values():
        result = subprocess.run(
            ["sha256sum", "--strict", "-c", "checksums.sha256"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        listed = {line.split("  ")[1] for line in (folder / "checksums.sha256").read_text().splitlines()}
        assert listed == set(stages.tree(folder)) - {"checksums.sha256"}
        assert {"README.md", "croissant.json", "metadata.parquet", "train/shard-0000000.tar"} <= listed


def test_equal_input_gives_equal_bytes(run, written, tmp_path):
    again = assemble(run, "keyed", tmp_path / "elsewhere")
    assert stages.tree(again) == stages.tree(written["keyed"])


def test_it_loads_with_webdataset(written):
    folder = written["refined"]
    expected = items(folder)
    seen = []
    for tar in sorted(folder.glob("*/*.tar")):
        for sample in webdataset.WebDataset(str(tar), shardshuffle=False).decode("pilrgba"):
            assert sample["rgba.webp"].mode == "RGBA"
            np.testing.assert_array_equal(np.array(sample["rgba.webp"]), expected[sample["__key__"]].rgba)
            row = sample["json"]
            assert row["id"] == sample["__key__"]
            assert row["split"] == tar.parent.name
            assert row["variant"] == "refined"
            seen.append(row["id"])
    assert sorted(seen) == sorted(expected)


def test_croissant_is_valid_and_gives_the_portraits(written):
    mlc = pytest.importorskip("mlcroissant")
    folder = written["refined"]
    described = mlc.Dataset(jsonld=folder / "croissant.json")
    assert not described.metadata.issues.errors
    rows = list(described.records("portraits"))
    table = datasets.metadata(folder)
    assert [row["portraits/id"].decode() for row in rows] == list(table.id)
    assert [row["portraits/seed"] for row in rows] == list(table.seed)
    mattes = {row["mattes/id"].decode(): row["mattes/rgba"] for row in described.records("mattes")}
    assert set(mattes) == set(table.id)
    assert all(picture.mode == "RGBA" for picture in mattes.values())


def test_the_card_counts(run, written):
    text = (written["keyed"] / "README.md").read_text()
    table = datasets.metadata(written["keyed"])
    assert text.startswith("---\n")
    assert f"\n{len(table)} portraits" in text
    for split, rows in table.groupby("split"):
        assert f"| {split} | {len(rows)} | {rows.persona.nunique()} |" in text
    assert "CC0" in text
    assert "key_source" in text
    assert "key_source" not in (written["raw"] / "README.md").read_text()


@pytest.mark.parametrize(("backend", "licence"), [("layerdiffuse", "RAIL"), ("folder", "the user's own")])
def test_the_card_names_the_licence(tmp_path, backend, licence):
    folder = assemble(stages.make(tmp_path, count=2, backend=backend, weights_sha256="ab" * 32))
    text = (folder / "README.md").read_text()
    assert licence in text
    assert "CC0" not in text
    assert "ab" * 32 in text


# Selection


def test_a_limit_takes_the_first(run, tmp_path):
    table = datasets.metadata(assemble(run, output=tmp_path / "d", limit=3))
    assert list(table.id) == ["demo-000000000", "demo-000000001", "demo-000000003"]


@pytest.mark.parametrize("words", [{"limit": 20}, {"minimum": 20}])
def test_too_few_is_a_sentence_with_the_count_to_ask_for(run, tmp_path, words):
    # 8 of 10 accepted: for 20 one needs 25, and 5 % more
    with pytest.raises(ValueError, match=r"8 of 10 .* 20 are needed; set prompts\.count to 27"):
        assemble(run, output=tmp_path / "d", **words)
    assert not list(tmp_path.iterdir())


def test_none_accepted_is_a_sentence(tmp_path):
    root = stages.make(tmp_path, count=2)
    stages.reject(root, "demo-000000000", "demo-000000001")
    with pytest.raises(ValueError, match="None of the 2"):
        assemble(root)


def test_an_unknown_truth_is_refused_and_leaves_nothing(tmp_path):
    root = stages.make(tmp_path, count=2, truth=False)
    before = set(stages.tree(root))
    with pytest.raises(ValueError, match="demo-000000000"):
        assemble(root, "truth")
    assert set(stages.tree(root)) == before
    assert not list((root / "datasets").iterdir())
    assert assemble(root, "refined").is_dir()


def test_a_failure_keeps_the_old_data_set(run, tmp_path):
    output = assemble(run, output=tmp_path / "d")
    before = stages.tree(output)
    with pytest.raises(ValueError, match="needed"):
        assemble(run, output=output, minimum=99)
    assert stages.tree(output) == before
    assemble(run, output=output, limit=2)
    assert len(datasets.metadata(output)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_persona_in_two_splits_is_refused(tmp_path):
    root = stages.make(tmp_path, count=10, per_shard=10, persona="persona-07")
    with pytest.raises(ValueError, match="persona-07"):
        assemble(root)
    assert not (root / "datasets" / "refined").exists()


def test_splits_never_share_a_persona(written):
    table = datasets.metadata(written["refined"])
    assert table.groupby("persona").split.nunique().max() == 1
    assert table.split.nunique() > 1


def test_an_accepted_portrait_that_no_shard_holds_is_named(tmp_path):
    root = stages.make(tmp_path, count=4, per_shard=2)
    with pytest.raises(ValueError, match="demo-000000002"):
        assemble(root, count=1)


def test_an_unknown_variant_is_refused(run):
    with pytest.raises(ValueError, match=r"cleaned.*raw, refined"):
        assemble(run, "cleaned")


# Reading


def test_a_subset_is_read(written):
    table = datasets.metadata(written["raw"])
    wanted = list(table.id[table.split == "train"])[1::2]
    assert [item.row["id"] for item in datasets.read(written["raw"], "train", wanted)] == wanted
    assert list(datasets.read(written["raw"], "nowhere")) == []


def test_damage_is_named(run, tmp_path):
    folder = assemble(run, output=tmp_path / "d")
    tar = folder / "train" / "shard-0000000.tar"
    content = bytearray(tar.read_bytes())
    content[700] ^= 1  # within the first picture
    tar.write_bytes(content)
    with pytest.raises(ValueError, match=r"train/shard-0000000\.tar is damaged"):
        list(datasets.read(folder, "train"))
    tar.write_bytes(content[:2000])
    with pytest.raises(ValueError, match=r"train/shard-0000000\.tar is damaged"):
        list(datasets.read(folder, "train"))
    tar.unlink()
    with pytest.raises(FileNotFoundError, match=r"train/shard-0000000\.tar"):
        list(datasets.read(folder, "train"))
    with pytest.raises(FileNotFoundError, match=r"metadata\.parquet"):
        datasets.metadata(tmp_path / "elsewhere")


def test_the_tars_are_plain(written):
    """Members carry no time or owner, and pictures are lossless WebP."""
    with tarfile.open(written["raw"] / "train" / "shard-0000000.tar") as archive:
        members = archive.getmembers()
        assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}
        picture = archive.extractfile(members[0]).read()
        assert b"VP8L" in picture[:64]
        assert json.load(io.BytesIO(archive.extractfile(members[1]).read()))["id"] == members[0].name.split(".")[0]


# Subsets

IDS = [f"demo-{index:09d}" for index in range(40)]


@given(st.integers(0, 2**31), st.lists(st.floats(0.1, 100), min_size=2, max_size=5), st.booleans())
def test_subsets_are_nested(seed, percents, stratified):
    personas = [f"persona-{index % 7}" for index in range(len(IDS))] if stratified else None
    sets = [set(datasets.subset(IDS, percent, seed, personas)) for percent in sorted(percents)]
    assert all(small <= large for small, large in zip(sets, sets[1:], strict=False))


def test_subset_sizes_and_order():
    for percent, size in [(25, 10), (50, 20), (100, 40), (0.01, 1)]:
        found = datasets.subset(IDS, percent, 3)
        assert len(found) == size
        assert found == sorted(found)
    assert datasets.subset(IDS, 25, 3) != datasets.subset(IDS, 25, 4)
    assert datasets.subset(IDS[::-1], 25, 3) == datasets.subset(IDS, 25, 3)[::-1]


def test_a_stratified_subset_has_every_persona_first():
    personas = {id: f"persona-{min(index, 9)}" for index, id in enumerate(IDS)}  # one persona has 31 of 40
    found = datasets.subset(IDS, 25, 0, list(personas.values()))
    assert {personas[id] for id in found} == set(personas.values())


@pytest.mark.parametrize("percent", [0, -5, 101])
def test_an_impossible_share_is_refused(percent):
    with pytest.raises(ValueError, match=str(percent)):
        datasets.subset(IDS, percent, 0)
