"""The learning curves, and the command that draws them."""

import json

import numpy as np
import pandas as pd
import pytest

import plot_training
from ldportrait import figures_training
from ldportrait.figures_training import Run


def log_of(steps: int = 40, **columns: object) -> pd.DataFrame:
    step = np.arange(1, steps + 1)
    return pd.DataFrame({"step": step, "loss": 1 / step, "learning_rate": 0.01, "skipped": 0} | columns)


def test_smoothing_is_a_mean_of_the_last_finite_values():
    values = np.array([1.0, 3, np.nan, 5, np.inf, np.nan])
    assert figures_training.smoothed(values, 2).tolist()[:5] == [1, 2, 3, 5, 5]
    assert np.isnan(figures_training.smoothed(values, 2)[5])
    assert figures_training.smoothed(np.arange(5.0), 1).tolist() == [0, 1, 2, 3, 4]


def test_a_line_a_run_and_one_name_for_all_seeds():
    validated = np.where(np.arange(1, 41) % 10 == 0, 0.1, np.nan)
    runs = [Run("small-trimap", "raw", 100, seed, log_of(val_mad=validated)) for seed in (0, 1)]
    runs.insert(0, Run("small-free", "truth", 25, 0, log_of(skipped=3)))
    figure = figures_training.learning_curves(runs, "Short.")
    _, error, rate = figure.axes
    assert [len(axes.lines) for axes in figure.axes] == [3, 2, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "small-trimap, raw",
        "small-free, truth 25 %",
    ]
    assert error.lines[0].get_xdata().tolist() == [10, 20, 30, 40]
    assert rate.lines[0].get_ydata()[0] == 0.01
    small_print = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert "3 steps without a finite loss" in small_print
    assert "Short." in small_print


def test_a_short_run_s_loss_is_averaged_over_twenty_steps_and_the_network_of_most_runs_is_solid():
    runs = [Run("b", variant, 100, 0, log_of(loss=np.arange(40.0))) for variant in ("truth", "raw")]
    loss = figures_training.learning_curves([Run("a", "raw", 100, 0, log_of()), *runs]).axes[0]
    assert [line.get_label() for line in loss.lines] == ["b, raw", "b, truth", "a, raw"]
    assert [line.get_linestyle() for line in loss.lines] == ["-", "-", "--"]
    assert loss.lines[0].get_ydata()[-1] == np.arange(20, 40).mean()


def test_without_validation_or_runs():
    assert len(figures_training.learning_curves([Run("m", "raw", 100, 0, log_of())]).axes) == 2
    assert figures_training.learning_curves([]).texts


def test_the_command_reads_a_model_s_folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    info = {"model": "small-trimap", "variant": "raw", "fraction": 100, "seed": 0, "sha256": "", "settings": {}}
    (folder / "model.json").write_text(json.dumps(info))
    with pytest.raises(FileNotFoundError, match=r"log\.csv"):
        plot_training.main(tmp_path / "figure", [folder])
    (folder / "log.csv").write_text("step,loss\n1,x\n")
    with pytest.raises(ValueError, match=r"log\.csv"):
        plot_training.main(tmp_path / "figure", [folder])
    log_of().to_csv(folder / "log.csv", index=False)
    plot_training.main(tmp_path / "figure", [folder])
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
