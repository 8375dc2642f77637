"""Charts."""

import subprocess
import sys
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.exceptions import NotFittedError
from surprise import BaselineOnly

from surprise_autorec import AutoRec, compare, plot_comparison, plot_history
from surprise_autorec.study.plots import plot_critical_difference, plot_learning_curve

mpl.use("Agg")

SMALL = {"n_factors": 8, "n_epochs": 4, "random_state": 0}


@pytest.fixture
def frame():
    columns = {"rmse": [0.8, 0.9, 1.0], "rmse_std": 0.1, "fit_time": [3.0, 2.0, 1.0], "test_time": 0.5}
    return pd.DataFrame(columns, index=["one", "two", "three"])


def test_comparison_draws_every_algorithm_on_the_axes_given(frame):
    ax = Figure().subplots()
    assert plot_comparison(frame, ax) is ax
    assert {text.get_text() for text in ax.texts} == set(frame.index)
    assert ax.get_xscale() == "log"
    points = {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in ax.lines
        if line.get_marker() == "o"
    }
    assert points == set(zip(frame["fit_time"] + frame["test_time"], frame["rmse"], strict=True))


def test_notebooks_show_the_charts_of_a_comparison(data):
    figure = compare([BaselineOnly(verbose=False)], data, cv=2).plot()
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_comparison_has_autorec_in_colour(frame):
    ax = plot_comparison(frame.set_axis(["AutoRec, user", "SVD", "NMF"]), Figure().subplots())
    assert [line.get_color() for line in ax.lines if line.get_marker() == "o"] == ["C0", "0.5", "0.5"]


def test_names_of_close_points_do_not_overlap(frame):
    frame = frame.assign(rmse=[0.900, 0.901, 1.0], fit_time=[1.0, 1.1, 30.0])
    ax = plot_comparison(frame, Figure().subplots())
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 3
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_history_draws_the_loss(trainset):
    algorithm = AutoRec(**SMALL).fit(trainset)
    ax = Figure().subplots()
    assert plot_history(algorithm, ax) is ax
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_array_equal(line.get_ydata(), algorithm.loss_curve_)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training loss"]
    assert len(ax.figure.axes) == 1


def test_history_draws_the_validation_rmse_and_marks_the_best_epoch(trainset):
    algorithm = AutoRec(
        **{**SMALL, "n_epochs": 30, "lr_all": 0.03}, early_stopping=True, n_iter_no_change=3
    ).fit(trainset)
    ax = plot_history(algorithm, Figure().subplots())
    _, right = ax.figure.axes
    curve, mark = right.lines
    np.testing.assert_array_equal(curve.get_ydata(), algorithm.validation_scores_)
    best = int(np.argmin(algorithm.validation_scores_)) + 1
    assert 1 <= best < algorithm.n_iter_
    assert list(mark.get_xdata()) == [best, best]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["training loss", "validation RMSE", f"best epoch: {best}"]


@pytest.mark.parametrize("picture", ["history", "comparison"])
def test_pictures_make_axes_of_their_own_and_can_be_saved(picture, frame, trainset, tmp_path):
    ax = plot_comparison(frame) if picture == "comparison" else plot_history(AutoRec(**SMALL).fit(trainset))
    assert ax.figure.number in plt.get_fignums()
    ax.figure.savefig(tmp_path / "picture.png")
    plt.close(ax.figure)
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_history_of_nothing_is_an_error():
    with pytest.raises(NotFittedError, match="AutoRec must be fitted first: call fit"):
        plot_history(AutoRec(), Figure().subplots())


def test_without_matplotlib_the_error_is_an_import_error(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('no matplotlib here')")
    script = """
import pandas as pd, surprise_autorec
try:
    surprise_autorec.plot_comparison(pd.DataFrame())
except ImportError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
        check=True,
    )
    assert "no matplotlib here" in run.stdout


def test_rank_diagram_joins_those_within_the_critical_difference():
    ranks = pd.Series({"c": 3.9, "a": 1.1, "b": 1.6, "d": 3.4})
    ax = plot_critical_difference(ranks, 1.0, Figure().subplots())
    bars = [line for line in ax.lines if line.get_linewidth() == 4]
    spans = [tuple(np.round(line.get_xdata(), 2)) for line in bars]
    assert spans == [(1.07, 1.63), (3.37, 3.93)]
    texts = {text.get_text().strip() for text in ax.texts}
    assert {"a (1.10)", "b (1.60)", "(3.40) d", "(3.90) c", "critical difference: 1.00"} == texts


def test_learning_curve_draws_a_line_for_each_algorithm():
    frame = pd.DataFrame(
        {
            "algorithm": ["a", "a", "b", "b"],
            "n_train": [10, 100, 10, 100],
            "rmse": [1.0, 0.8, 1.1, 0.9],
            "rmse_std": 0.1,
        }
    )
    ax = plot_learning_curve(frame, Figure().subplots())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    np.testing.assert_array_equal(ax.containers[1][0].get_ydata(), [1.1, 0.9])


def test_a_comparison_draws_a_panel_for_each_data_set(data):
    algorithms = [AutoRec(**SMALL), BaselineOnly(verbose=False)]
    given = {"one": data, "two": data}
    comparison = compare(algorithms, given, 2, keep_predictions=True, train_sizes=[0.5, 1])
    figures = {
        "plot": comparison.plot(),
        "errors": comparison.plot_errors("item", measure="bias"),
        "curve": comparison.plot_learning_curve(),
    }
    for name, figure in figures.items():
        assert [ax.get_title() for ax in figure.axes] == ["one", "two"], name
    assert {text.get_text() for text in figures["plot"].axes[0].texts} == {"AutoRec", "BaselineOnly"}
    assert figures["errors"].axes[0].get_ylabel() == "mean of estimate minus rating"
    assert len(comparison.plot_ranks().axes) == 1
    assert len(comparison.only("one").plot().axes) == 1
