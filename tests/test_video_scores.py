"""What tables and figures of video matting say, against numbers worked out by hand; and their commands."""

import clip_mattes
import numpy as np
import pandas as pd
import pytest
import stages
from PIL import Image
from test_scripts import assert_refused

import plot_video
import tabulate_video
from ldportrait import figures_video, pictures, scores, shards, tables_video
from ldportrait.figures_video import Shot

CLIPS = 6


def score_table(values, benchmark="bank-clips", frames=4):
    """Scores of {method: error of each clip}: mad is that error in each frame, dtssd a tenth of it but in frame 0."""
    rows = []
    for method, errors in values.items():
        for index, error in enumerate(errors):
            keys = {"run": "r", "model": "m", "variant": "v", "fraction": 100, "seed": 0, "benchmark": benchmark}
            keys |= {"protocol": "definition", "method": method, "item": f"clip-{index:02d}", "region": "whole"}
            for frame in range(frames):
                found = dict.fromkeys(("mad", "mse", "grad", "conn"), error)
                found |= dict.fromkeys(("dtssd", "messddt"), error / 10) if frame else {}
                rows += [keys | {"frame": frame, "metric": name, "value": value} for name, value in found.items()]
    return scores.table_of(rows, scores.VIDEO_TYPES)


WORSE = np.linspace(0.02, 0.03, CLIPS)
TABLE = score_table({"truth": WORSE - 0.015, "ours": WORSE - 0.01, "unsmoothed": WORSE - 0.009, "frames": WORSE})


def row(numbers, method, metric="mad", benchmark="bank-clips"):
    (found,) = numbers[
        (numbers.method == method) & (numbers.metric == metric) & (numbers.benchmark == benchmark)
    ].itertuples()
    return found


def test_means_are_over_frames_first_and_clips_then():
    table = score_table({"ours": [0.01, 0.03]})
    longer = table[(table["item"] == "clip-00") & (table.frame == 3)]
    table = pd.concat([table, *(longer.assign(frame=frame) for frame in range(4, 20))], ignore_index=True)
    wide = scores.by_clip(table, "bank-clips", "mad")
    assert wide.loc["ours"].to_dict() == pytest.approx({"clip-00": 10, "clip-01": 30})
    assert row(tables_video.summary(table), "ours").mean == pytest.approx(20)  # a long clip counts as one


def test_the_numbers_of_the_table():
    numbers = tables_video.summary(TABLE)
    assert list(dict.fromkeys(numbers.method)) == ["frames", "unsmoothed", "ours", "truth"]
    assert row(numbers, "frames").mean == pytest.approx(25)
    assert row(numbers, "ours", "dtssd").mean == pytest.approx(0.15)
    assert row(numbers, "ours", "messddt").mean == pytest.approx(15)
    assert row(numbers, "ours").clips == CLIPS
    # the difference is the same on every clip, so that its interval has no length, though the means have one
    ours = row(numbers, "ours")
    assert (ours.difference, ours.difference_low, ours.difference_high) == pytest.approx((-10, -10, -10))
    assert ours.low < ours.mean < ours.high
    assert np.isnan(row(numbers, "frames").difference)
    assert set(numbers.method[numbers.best]) == {"ours"}  # truth is less, but no rival


def test_what_is_not_clear_is_not_bold():
    mixed = WORSE + np.array([-1, 1, -1, 1, -1, 0.9]) * 0.01  # better on three clips, worse on the others
    numbers, table = tables_video.of_video(score_table({"frames": WORSE, "ours": mixed}))
    assert not numbers.best.any()
    assert not table.bold
    assert "Bold" not in table.note
    low, high = row(numbers, "ours").difference_low, row(numbers, "ours").difference_high
    assert low < 0 < high


def test_of_few_clips_none_is_bold_however_clear():
    """Five coins that fall alike are no proof at 95 %: 2 / 2^5 is above 0.05."""
    few = TABLE[TABLE["item"] != TABLE["item"].iloc[-1]]
    numbers, table = tables_video.of_video(few)
    assert row(numbers, "ours").clips == 5
    assert not table.bold


def test_a_method_is_explained_by_those_that_are_shown():
    note = tables_video.of_video(TABLE[TABLE.method.isin(["frames", "ours"])])[1].note
    assert "unsmoothed" not in note
    assert "the bound aside" not in note
    assert "Bold" in note


def test_the_table_as_people_read_it():
    both = pd.concat([TABLE, TABLE.assign(benchmark="bank-clips-moving")])
    _, table = tables_video.of_video(both, "Short.")
    assert [line[:2] for line in table.rows[:2]] == [["bank-clips", "frames"], ["bank-clips", "unsmoothed"]]
    assert table.rules == {4}
    ours = table.rows[2]
    assert ours[2].startswith("15.0 ±")
    assert ours[-2].startswith("−10.0 [−10.0, −10.0]")
    assert table.rows[0][-2:] == ["", ""]
    assert {(line, 2) for line in (2, 6)} <= table.bold
    for words in ("6 clips of bank-clips and 6 clips of bank-clips-moving", "Δ: paired difference to frames", "Short."):
        assert words in table.note
    assert "mask" not in table.note


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda table: pd.concat([table, table.tail(1)]), "twice"),
        (lambda table: table[(table.method != "ours") | (table["item"] != "clip-03")], "lack mad of ours on clip-03"),
    ],
)
def test_scores_that_do_not_fit_are_refused(spoil, words):
    with pytest.raises(ValueError, match=words):
        tables_video.of_video(spoil(TABLE))


def test_tabulate_writes_the_table(tmp_path):
    shards.write_table(TABLE, tmp_path / "a.parquet")
    rvm = TABLE.assign(protocol="rvm", benchmark="bank-clips-moving")
    shards.write_table(rvm, tmp_path / "b.parquet")
    tabulate_video.main(tmp_path / "tables" / "video", [tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert sorted(path.suffix for path in (tmp_path / "tables").iterdir()) == [".csv", ".md", ".tex"]
    assert set(pd.read_csv(tmp_path / "tables" / "video.csv").benchmark) == {"bank-clips"}  # by the definitions alone
    shards.write_table(TABLE.drop(columns="frame"), tmp_path / "b.parquet")
    assert_refused(stages.call("tabulate_video.py", tmp_path / "it", tmp_path / "b.parquet"), "no column frame")


def test_errors_are_coloured_by_their_sign():
    truth = np.uint8([[0, 100, 200, 255]])
    alpha = np.uint8([[255, 100, 190, 0]])
    view = figures_video.error_view(alpha, truth)
    assert tuple(view[0, 0]) == figures_video.TOO_MUCH
    assert tuple(view[0, 1]) == (255, 255, 255)
    assert tuple(view[0, 3]) == figures_video.TOO_LITTLE
    # 10 levels too few: a part 3 · 10 / 255 of the way from white to blue
    assert tuple(view[0, 2]) == (225, 238, 246)


def shot(number=0, value=200):
    image, alpha = np.full((30, 40, 3), 50, np.uint8), np.full((30, 40), 255, np.uint8)
    return Shot(number, image, alpha, {"frames": alpha * 0, "ours": alpha // 255 * np.uint8(value)})


def test_a_strip_has_a_column_a_frame_and_a_row_a_view():
    figure = figures_video.strip([shot(0), shot(7)], side=8, note="Short.")
    assert len(figure.axes) == 2 * 6
    words = [text.get_text() for text in figure.texts]
    for name in ("frame 7", "true alpha", "ours", "ours, error"):
        assert name in words
    without = Shot(3, shot().image, None, shot().mattes)
    assert len(figures_video.strip([shot(0), without], side=8).axes) == 6
    assert figures_video.strip([without]).texts


def test_dtssd_over_time_is_the_mean_over_clips():
    table = score_table({"frames": [0.1, 0.3], "mask": [0.2, 0.2]}, frames=3)
    figure = figures_video.dtssd(pd.concat([table, table.assign(benchmark="bank-clips-moving")]))
    assert len(figure.axes) == 2
    frames, mask = figure.axes[0].lines
    assert frames.get_xdata().tolist() == [1, 2]
    np.testing.assert_allclose(frames.get_ydata(), 2)  # a hundred times (0.01 + 0.03) / 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["frames", "mask"]
    assert len(figure.axes[0].collections) == 1  # a band of frames alone
    np.testing.assert_allclose(mask.get_ydata(), 2)
    three = [table.assign(benchmark=f"b{number}") for number in range(3)]
    assert [axes.get_title(loc="left") for axes in figures_video.dtssd(pd.concat(three)).axes] == ["b0", "b1", "b2", ""]
    larger = table.assign(benchmark="b", value=10 * table.value)
    assert figures_video.dtssd(pd.concat([table, larger])).axes[1].get_ylim()[1] > 30  # the band of the larger one
    assert figures_video.dtssd(table[table.metric == "mad"]).texts


def test_a_preview_frame_shows_what_the_matte_keeps():
    found = figures_video.preview_frame(shot(value=255), 40)
    assert found.shape == (pictures.HEAD + 30, 3 * 40 + 2 * 4, 3)
    picture, frames, ours = (found[pictures.HEAD + 5, place] for place in (5, 49, 93))
    assert picture.tolist() == ours.tolist() == [50, 50, 50]
    assert frames.tolist() == [38, 168, 82]
    assert found[: pictures.HEAD].min() < 100  # names


def test_a_preview_loops(tmp_path):
    frames = [np.full((8, 8, 3), value, np.uint8) for value in (0, 100, 200)]
    figures_video.write_preview(frames, tmp_path / "p.webp", 10)
    with Image.open(tmp_path / "p.webp") as found:
        assert (found.n_frames, found.info["loop"]) == (3, 0)
        values = []
        for number in range(3):
            found.seek(number)
            values.append(int(np.array(found.convert("RGB")).mean()))
            assert found.info["duration"] == 100
    np.testing.assert_allclose(values, [0, 100, 200], atol=3)
    assert [path.name for path in tmp_path.iterdir()] == ["p.webp"]


def test_clips_are_counted():
    assert scores.clip_counts({"a": 6, "b": 1}) == "6 clips of a and 1 clip of b"


def test_the_clip_shown_is_the_median_one():
    table = score_table({"frames": [0.1, 0.1, 0.1], "ours": [0.09, 0.02, 0.05]})
    assert plot_video.middle_clip(table, "bank-clips", ["frames", "ours"]) == "clip-02"
    with pytest.raises(ValueError, match="no scores of mask"):
        plot_video.middle_clip(table, "bank-clips", ["frames", "mask"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bank, mattes of two methods, a segmentation, and scores."""
    folder = tmp_path_factory.mktemp("made")
    bank = clip_mattes.write_bank(folder / "bank")
    places = {"frames": 40, "ours": 5}
    for name, error in places.items():
        home = folder / "video" / "bank-clips" / name
        clip_mattes.write_mattes(home, bank, lambda index, frame, e=error: e * (index + frame % 2), name)
        arguments = [home, folder / f"{name}.parquet", "--benchmark", "bank-clips", "--root", bank]
        assert stages.call("score_video.py", *arguments).returncode == 0
    home = folder / "video" / "bank-clips" / "segments"
    clip_mattes.as_segments(clip_mattes.write_mattes(home, bank, lambda index, frame: 0, "mask"))
    return folder


def plot(made, output, *more):
    files = [made / "frames.parquet", made / "ours.parquet"]
    places = ["--benchmark", "bank-clips", "--root", made / "bank"]
    return stages.call("plot_video.py", output, made / "video", *files, *places, *more)


def test_plot_writes_two_figures_and_a_preview(made, tmp_path):
    result = plot(made, tmp_path / "figures", "--columns", 3)
    assert result.returncode == 0, result.stderr
    names = {"video_strip.pdf", "video_strip.png", "video_dtssd.pdf", "video_dtssd.png", "video_preview.webp"}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names
    with Image.open(tmp_path / "figures" / "video_preview.webp") as preview:
        assert preview.n_frames == clip_mattes.FRAMES


def test_a_segmentation_may_be_shown(made, tmp_path):
    result = plot(made, tmp_path, "--columns", 2, "--method", "mask", "--method", "ours", "--item", "clip-01")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("more", "word"), [(["--item", "clip-99"], "clip-99"), (["--method", "nobody"], "no scores of nobody")]
)
def test_plot_names_what_is_wrong(made, tmp_path, more, word):
    assert_refused(plot(made, tmp_path / "figures", *more), word)
    assert not (tmp_path / "figures").exists()
