import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from test_scripts import assert_refused, run

import measure_portraits
from ldportrait import images, screening, shards

BANK = ROOT / "resources" / "bank"


def make(tar, pictures: list[np.ndarray], first: int = 0) -> None:
    rows = [
        {"id": f"run-{first + i:09d}", "split": "val", "persona": "p", "width": 512, "height": 512, "seconds": 1.0}
        for i in range(len(pictures))
    ]
    jobs = (
        (row["id"], lambda row=row, rgba=rgba: shards.Item(row, rgba)) for row, rgba in zip(rows, pictures, strict=True)
    )
    shards.make_shard(tar, tar.parent / ".partial", {}, jobs)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    paths = pd.read_parquet(BANK / "bank.parquet").path
    return [images.read_rgba(BANK / path) for path in paths[paths.str.startswith("portraits/")].iloc[:2]]


def test_a_pair_of_shards_is_measured(tmp_path, pictures):
    softened = [np.dstack([picture[..., :3], picture[..., 3] // 5 * 5]) for picture in pictures]
    make(tmp_path / "raw.tar", softened)
    make(tmp_path / "refined.tar", pictures)
    output = tmp_path / "measured" / "shard-0000000.parquet"
    result = run("measure_portraits.py", tmp_path / "raw.tar", tmp_path / "refined.tar", output)
    assert result.returncode == 0, result.stderr
    table = pd.read_parquet(output)
    assert table["id"].tolist() == ["run-000000000", "run-000000001"]
    assert table["split"].tolist() == ["val", "val"]
    assert table["persona"].tolist() == ["p", "p"]
    assert table.faces.tolist() == [1, 1]
    expected = [
        np.abs(a[..., 3].astype(float) - b[..., 3]).mean() / 255 for a, b in zip(pictures, softened, strict=True)
    ]
    assert table.changed.tolist() == pytest.approx(expected, rel=1e-4)
    assert table.area.tolist() == pytest.approx([(picture[..., 3] >= 128).mean() for picture in pictures])
    assert screening.verdicts(table, screening.Thresholds()).accepted.all()


def test_shards_that_do_not_belong_together_are_refused(tmp_path, pictures):
    make(tmp_path / "raw.tar", pictures[:1])
    make(tmp_path / "refined.tar", pictures[:1], first=5)
    output = tmp_path / "out.parquet"
    assert_refused(run("measure_portraits.py", tmp_path / "raw.tar", tmp_path / "refined.tar", output), "refined.tar")
    with pytest.raises(FileNotFoundError, match="absent"):
        measure_portraits.main(tmp_path / "raw.tar", tmp_path / "absent.tar", output)
    assert not output.exists()
