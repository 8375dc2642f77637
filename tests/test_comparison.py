"""The comparison study."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from surprise import AlgoBase, BaselineOnly, NormalPredictor
from surprise.model_selection import KFold, cross_validate

from surprise_autorec import AutoRec, compare, comparison
from surprise_autorec.comparison import format_comparison, plot_comparison

mpl.use("Agg")

COLUMNS = ["rmse", "rmse_std", "mae", "mae_std", "fit_time", "test_time", "time_ratio"]


class Mean(AlgoBase):
    """An algorithm of one's own: the mean rating; remembers the testsets it saw."""

    def __init__(self):
        super().__init__()
        self.testsets = []

    def test(self, testset, verbose=False):
        self.testsets.append(testset)
        return super().test(testset, verbose)

    def estimate(self, _u, _i):
        return self.trainset.global_mean


def folds():
    return KFold(3, random_state=0)


@pytest.fixture(scope="module")
def frame(data):
    algorithms = [
        NormalPredictor(),
        AutoRec(n_factors=8, n_epochs=2, random_state=0),
        BaselineOnly(verbose=False),
        Mean(),
    ]
    return compare(algorithms, data, cv=folds())


def test_each_algorithm_has_a_row_best_first(frame):
    assert list(frame.columns) == COLUMNS
    assert set(frame.index) == {"NormalPredictor", "AutoRec", "BaselineOnly", "Mean"}
    assert frame["rmse"].is_monotonic_increasing
    assert frame.index[-1] == "NormalPredictor"


def test_errors_are_those_of_cross_validate(frame, data):
    expected = cross_validate(BaselineOnly(verbose=False), data, cv=folds())
    row = frame.loc["BaselineOnly"]
    for measure in ("rmse", "mae"):
        assert row[measure] == pytest.approx(expected[f"test_{measure}"].mean(), rel=1e-12)
        assert row[f"{measure}_std"] == pytest.approx(np.std(expected[f"test_{measure}"], ddof=0), rel=1e-9)


@pytest.mark.parametrize("cv", [KFold(3, random_state=0), 3], ids=["seeded", "not seeded"])
def test_every_algorithm_sees_the_same_folds(data, cv):
    first, second = Mean(), Mean()
    frame = compare({"first": first, "second": second}, data, cv=cv)
    assert first.testsets == second.testsets
    assert sorted(first.testsets[0] + first.testsets[1] + first.testsets[2]) == sorted(
        rating[:3] for rating in data.raw_ratings
    )
    assert set(frame.index) == {"first", "second"}
    assert frame.loc["first", "rmse"] == frame.loc["second", "rmse"]


def test_times_are_medians_and_their_ratio_is_to_the_fastest(monkeypatch, data):
    fast, slow = Mean(), Mean()
    times = {fast: iter([(1.0, 1.0), (1.0, 2.0), (90.0, 1.0)]), slow: iter([(6.0, 2.0)] * 3)}
    monkeypatch.setattr(
        comparison, "fit_and_score", lambda algo, *_: ({"rmse": 1.0, "mae": 1.0}, {}, *next(times[algo]))
    )
    frame = compare({"slow": slow, "fast": fast}, data, cv=folds())
    assert frame.loc["fast", ["fit_time", "test_time", "time_ratio"]].tolist() == [1, 1, 1]
    assert frame.loc["slow", ["fit_time", "test_time", "time_ratio"]].tolist() == [6, 2, 4]


def test_two_of_one_class_need_names(data):
    with pytest.raises(ValueError, match=r"mapping that names them.*'Mean', 'Mean'"):
        compare([Mean(), Mean()], data)


@pytest.mark.parametrize("algorithms", [[], {}, iter(())])
def test_no_algorithms_are_refused(algorithms, data):
    with pytest.raises(ValueError, match="at least one, got none"):
        compare(algorithms, data)


@pytest.mark.parametrize(("cv", "n_folds"), [(2, 2), (None, 5)])
def test_cv_may_be_a_number_or_the_default_of_five(data, cv, n_folds):
    algorithm = Mean()
    compare([algorithm], data, cv=cv)
    assert len(algorithm.testsets) == n_folds


def test_a_generator_of_algorithms_will_do(data):
    assert list(compare((algorithm for algorithm in [Mean()]), data, cv=2).index) == ["Mean"]


def test_verbose_shows_a_bar_on_stderr(data, capsys):
    compare([Mean()], data, cv=2, verbose=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Mean" in err
    assert "2/2" in err


def test_nothing_is_shown_by_default(data, capsys):
    compare([Mean()], data, cv=2)
    assert capsys.readouterr() == ("", "")


def test_markdown_has_a_header_and_a_row_for_each_in_order(frame):
    header, rule, *rows = format_comparison(frame).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")][:3] == ["algorithm", "RMSE", "MAE"]
    assert set(rule) <= set("|-: ")
    assert [row.split("|")[1].strip() for row in rows] == list(frame.index)
    best = frame.iloc[0]
    assert f"{best.rmse:.4f} ± {best.rmse_std:.4f}" in rows[0]
    assert f"{best.mae:.4f} ± {best.mae_std:.4f}" in rows[0]


def test_other_table_formats_can_be_had(frame):
    assert format_comparison(frame, "latex").startswith(r"\begin{tabular}")


def test_plot_draws_every_algorithm_on_the_axes_given(frame):
    ax = Figure().subplots()
    assert plot_comparison(frame, ax) is ax
    assert {text.get_text() for text in ax.texts} == set(frame.index)
    assert ax.get_xscale() == "log"
    points = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in ax.lines if line.get_marker() == "o"}
    assert points == set(zip(frame["fit_time"] + frame["test_time"], frame["rmse"], strict=True))


def test_plot_makes_axes_of_its_own(frame):
    from matplotlib import pyplot as plt

    ax = plot_comparison(frame)
    assert ax.figure.number in plt.get_fignums()
    assert len(ax.texts) == len(frame)
    plt.close(ax.figure)
