"""assemble_dataset: the command; what it writes is tested in test_datasets."""

import pytest
import stages
from test_scripts import assert_refused

from ldportrait import datasets


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return stages.make(tmp_path_factory.mktemp("run"), count=4, per_shard=2)


def assemble(root, output, *options):
    options = ["--shards", 2, "--run", "demo", "--variant", "refined", *options]
    return stages.call("assemble_dataset.py", *stages.folders(root), output, *options)


def test_a_data_set_is_assembled(root, tmp_path):
    output = tmp_path / "datasets" / "refined"
    output.mkdir(parents=True)  # Snakemake makes the folder of an output
    result = assemble(root, output, "--shard-size", 1, "--limit", 3)
    assert result.returncode == 0, result.stderr
    assert "3 portraits" in result.stdout
    table = datasets.metadata(output)
    assert len(table) == 3
    assert table.shard.is_unique
    assert (output / "checksums.sha256").is_file()
    assert [path.name for path in output.parent.iterdir()] == ["refined"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--limit", 5], "prompts.count"),
        (["--minimum", 5], "prompts.count"),
        (["--variant", "cleaned"], "cleaned"),
        (["--shards", 3], "shard-0000002"),
    ],
)
def test_mistakes_are_told(root, tmp_path, options, word):
    assert_refused(assemble(root, tmp_path / "d", *options), word)
    assert not list(tmp_path.iterdir())


def test_truth_that_is_unknown_is_refused(tmp_path):
    root = stages.make(tmp_path, count=2, truth=False)
    result = stages.call(
        "assemble_dataset.py",
        *stages.folders(root),
        tmp_path / "d",
        *("--shards", 1, "--run", "demo", "--variant", "truth"),
    )
    assert_refused(result, "truth")
    assert not (tmp_path / "d").exists()


def test_missing_verdicts_are_named(root, tmp_path):
    result = stages.call(
        "assemble_dataset.py",
        *stages.folders(root)[:3],
        tmp_path / "none.parquet",
        tmp_path / "d",
        *("--shards", 2, "--run", "demo"),
    )
    assert_refused(result, "none.parquet")
