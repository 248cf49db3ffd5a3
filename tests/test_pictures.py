"""Small pictures keep their mattes, and portraits are chosen as told."""

import numpy as np
import pandas as pd
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from ldportrait import pictures, shards


def test_shrinking_lets_no_hidden_colour_bleed_in():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., 0] = 255  # red everywhere, hidden on the left
    rgba[:, 3:] = (0, 0, 200, 255)
    small = pictures.shrink(rgba, 4, 4)
    assert small[0, 1].tolist() == [0, 0, 200, 128]  # half of it is covered, by blue alone
    assert small[0, 0].tolist() == [255, 0, 0, 0]  # colour under alpha 0 is kept
    assert small[0, 3].tolist() == [0, 0, 200, 255]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64))
def test_fit_keeps_the_shape(height, width, side):
    fitted = pictures.fit(np.zeros((height, width, 4), np.uint8), side)
    assert max(fitted.shape[:2]) == min(side, max(height, width))
    assert abs(fitted.shape[0] / height - fitted.shape[1] / width) <= 1 / min(height, width)


def test_square_keeps_the_head():
    tall = np.arange(6)[:, None] * np.ones((1, 4))
    assert pictures.square(tall)[:, 0].tolist() == [0, 1, 2, 3]
    assert pictures.square(tall.T).shape == (4, 4)


def test_grid_tiles_row_by_row():
    cells = [np.full((2, 2, 3), value, np.uint8) for value in (1, 2, 3)]
    sheet = pictures.grid(cells, 2, gap=1, ground=9)
    assert sheet[..., 0].tolist() == [[1, 1, 9, 2, 2], [1, 1, 9, 2, 2], [9] * 5, [3, 3, 9, 9, 9], [3, 3, 9, 9, 9]]


def test_the_views_of_a_matte():
    alpha = np.array([[0, 1, 21, 22, 233, 234, 254, 255]], np.uint8)
    assert pictures.near_zero(alpha).tolist() == [[0, 12, 252, 255, 255, 255, 255, 255]]
    assert pictures.near_one(alpha).tolist() == [[0, 0, 0, 0, 0, 3, 243, 255]]


def test_the_window_is_where_alpha_is_fractional():
    alpha = np.zeros((64, 96), np.uint8)
    alpha[40:60, 70:90] = 128
    rows, columns = pictures.most_detailed(alpha)
    assert rows.stop - rows.start == columns.stop - columns.start == 32
    assert rows.start <= 40 < 60 <= rows.stop
    assert columns.start <= 70 < 90 <= columns.stop


def test_a_box_is_drawn_inside_its_window_and_leaves_the_picture_as_it_was():
    picture = np.zeros((12, 12, 3), np.uint8)
    boxed = pictures.boxed(picture, (slice(2, 10), slice(3, 11)), (9, 0, 0), 4)  # two pixels wide
    assert np.argwhere(boxed[..., 0]).tolist() == [
        [y, x] for y in range(2, 10) for x in range(3, 11) if not (4 <= y < 8 and 5 <= x < 9)
    ]
    assert not picture.any()


def people(personas: str) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"p{i}" for i in range(len(personas))], "persona": list(personas)})


def test_varied_takes_every_persona_before_any_twice():
    table = people("aaaabbc")
    chosen = table.set_index("id").persona[pictures.choose_varied(table, 5, seed=3)]
    assert sorted(chosen[:3]) == ["a", "b", "c"]
    assert sorted(chosen[3:]) == ["a", "b"]
    assert pictures.choose_varied(table, 5, 3) == pictures.choose_varied(table.iloc[::-1], 5, 3)
    assert len(pictures.choose_varied(table, 99, 3)) == 7
    assert pictures.choose_varied(table.iloc[:0], 5, 3) == []


def test_changed_takes_the_most_changed_and_the_hairiest():
    table = people("aabcd").assign(
        removed_background=[5, 4, 3, 2, 0], filled_foreground=[0, 3, 0, 0, 0], band=[1, 9, 2, 3, 4]
    )
    assert pictures.choose_changed(table, 3) == ["p1", "p2", "p4"]  # p0 is p1's persona; p4 has the most hair left
    assert pictures.choose_changed(table, 1) == ["p1"]
    assert sorted(pictures.choose_changed(table, 5)) == table.id.tolist()
    assert sorted(pictures.choose_changed(table.assign(persona="same"), 5)) == table.id.tolist()


def test_pick_reads_only_the_shards_that_it_needs(tmp_path):
    made = synthetic.results(tmp_path, count=6, shard_size=2, size=16)
    manifest = shards.read_manifests(made / "refined", 3)
    assert manifest.shard.tolist() == [0, 0, 1, 1, 2, 2]
    shards.tar_of(made / "refined", 0).unlink()
    found = pictures.pick(made / "refined", manifest, made.ids[3:5])
    assert sorted(found) == made.ids[3:5]
    with pytest.raises(FileNotFoundError, match="shard-0000000"):
        pictures.pick(made / "refined", manifest, made.ids)


def test_a_missing_shard_is_named(tmp_path):
    made = synthetic.results(tmp_path, count=2, shard_size=2, size=16)
    shards.manifest_of(shards.tar_of(made / "refined", 0)).unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-0000000\.parquet"):
        shards.read_manifests(made / "refined", 1)
