"""Comparison studies: what goes in, and the tables that come out."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from joblib import parallel_config
from surprise import SVD, AlgoBase, BaselineOnly, Dataset, KNNBasic, NormalPredictor, Reader
from surprise.model_selection import KFold, PredefinedKFold, cross_validate

from surprise_autorec import AutoRec, compare, datasets
from surprise_autorec import comparison as comparison_module
from surprise_autorec.comparison import errors_by_count, errors_by_rating, ranking_scores
from surprise_autorec.study.fits import Outcome

SUMMARY = [
    "rmse", "rmse_std", "mae", "mae_std", "fit_time", "test_time", "time_ratio", "peak_memory", "fits",
    "failed",
]  # fmt: skip
FOLDS = [
    "data", "algorithm", "repeat", "fold", "train_size", "n_train", "n_test", "rmse", "mae", "fit_time",
    "test_time", "peak_memory", "n_jobs", "error",
]  # fmt: skip


class Mean(AlgoBase):
    """A custom algorithm: it predicts the mean rating."""

    def estimate(self, _u, _i):
        return self.trainset.global_mean


class Failing(Mean):
    """Fails on trainsets that begin with another rating than the first fold of `folds` does."""

    def __init__(self, first_mean):
        super().__init__()
        self.first_mean = first_mean

    def fit(self, trainset):
        super().fit(trainset)
        if trainset.global_mean != self.first_mean:
            raise ArithmeticError("too\n  odd")
        return self


class Interrupting(Mean):
    """Behaves as if the user pressed Ctrl-C in the second fold."""

    def __init__(self, first_mean):
        super().__init__()
        self.first_mean = first_mean

    def fit(self, trainset):
        if trainset.global_mean != self.first_mean:
            raise KeyboardInterrupt
        return super().fit(trainset)


def folds():
    return KFold(3, random_state=0)


def baseline():
    return BaselineOnly(verbose=False)


def fitted(data, algorithm):
    """An algorithm's predictions for each fold, with the trainset."""
    return [(algorithm.fit(train).test(test), train) for train, test in folds().split(data)]


@pytest.fixture(scope="module")
def first_mean(data):
    return next(iter(folds().split(data)))[0].global_mean


@pytest.fixture(scope="module")
def other():
    frame = datasets.make_ratings(n_users=60, n_items=40, n_ratings=1200, random_state=2)
    return Dataset.load_from_df(frame, Reader(rating_scale=(1, 5)))


@pytest.fixture(scope="module")
def algorithms():
    return {
        "random": NormalPredictor(),
        "AutoRec": AutoRec(n_factors=8, n_epochs=2, random_state=0),
        "base_line": baseline(),
        "mean": Mean(),
    }


@pytest.fixture(scope="module")
def one(data, algorithms):
    return compare(algorithms, data, folds(), keep_predictions=True)


@pytest.fixture(scope="module")
def two(data, other, algorithms):
    return compare(algorithms, {"first": data, "second": other}, folds(), keep_predictions=True)


# What goes in


def test_errors_are_those_of_cross_validate(one, data):
    expected = cross_validate(baseline(), data, cv=folds())
    rows = one.folds[one.folds["algorithm"] == "base_line"]
    row = one.summary().loc["base_line"]
    for measure in ("rmse", "mae"):
        np.testing.assert_array_equal(rows[measure], expected[f"test_{measure}"])
        assert row[measure] == pytest.approx(expected[f"test_{measure}"].mean(), rel=1e-12)
        assert row[f"{measure}_std"] == pytest.approx(np.std(expected[f"test_{measure}"], ddof=0), rel=1e-9)


def test_folds_are_in_order_of_turns(two, algorithms):
    frame = two.folds
    assert list(frame.columns) == FOLDS
    assert frame["data"].tolist() == ["first"] * 12 + ["second"] * 12
    assert frame["fold"].tolist() == [fold for fold in (1, 2, 3) for _ in range(4)] * 2
    assert frame["algorithm"].tolist() == list(algorithms) * 6
    assert (frame["error"] == "").all()
    assert (frame.loc[frame["data"] == "first", ["n_train", "n_test"]].sum(axis=1) == 2000).all()
    assert frame["peak_memory"].gt(50).all()


def test_the_algorithms_given_are_left_as_they_are(data):
    algorithm = Mean()
    compare([algorithm], data, cv=2)
    assert "trainset" not in vars(algorithm)


def test_data_may_be_tables_of_pandas_and_polars_and_names(data, tmp_path):
    rows = [rating[:3] for rating in data.raw_ratings]
    frame = pd.DataFrame(rows, columns=["item", "user", "rating"])
    named = frame.rename(columns={"item": "user", "user": "item"}).assign(note="x")[
        ["rating", "item", "note", "user"]
    ]
    named.to_csv(tmp_path / "mine.csv", index=False)
    given = {
        "surprise": data,
        "pandas, by position": pd.DataFrame(rows, columns=["a", "b", "c"]),
        "pandas, by name": named,
        "polars": pl.DataFrame(named),
        "name": str(tmp_path / "mine.csv"),
    }
    summary = compare([baseline()], given, cv=folds()).summary()
    assert summary.index.tolist() == [(name, "BaselineOnly") for name in given]
    assert summary["rmse"].to_numpy() == pytest.approx(summary["rmse"].iloc[0], rel=1e-3)  # the scales differ
    by_name = compare([baseline()], str(tmp_path / "mine.csv"), cv=folds())
    assert by_name.folds["data"].unique().tolist() == [str(tmp_path / "mine.csv")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], "data must be a Surprise Dataset, a pandas or polars DataFrame, a name that datasets.load "),
        ({}, "data must be a mapping with at least one data set"),
        (
            pd.DataFrame({"user": [1], "stars": [2]}),
            r"data must be a table with columns user, item and rating, ",
        ),
        (
            {"a": pd.DataFrame({"u": [], "i": [], "r": []})},
            r"data\['a'\] must be a table with at least one rating",
        ),
        (
            pd.DataFrame({"u": [1, 2], "i": [1, 2], "r": [3, "much"]}),
            "data: the rating in row 2 must be a finite number, got 'much'",
        ),
        ("ml-9", "name must be one of .* or the path of an existing file, got 'ml-9'"),
    ],
)
def test_wrong_data_is_named(given, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        compare([Mean()], given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([Mean(), Mean()], r"mapping that names them.*'Mean', 'Mean'"),
        ([], "at least one, got none"),
        ({}, "at least one, got none"),
        (iter(()), "at least one, got none"),
        ([SVD], r"algorithms must be an algorithm, not its class: pass SVD\(\) instead of SVD"),
        ({"a": SVD}, r"algorithms\['a'\] must be an algorithm, not its class: pass SVD\(\)"),
        (SVD(), "algorithms must be a list of algorithms or a mapping"),
        ({"a": 3}, r"algorithms\['a'\] must be an algorithm of Surprise \(an AlgoBase\), got 3"),
    ],
)
def test_wrong_algorithms_are_named(given, message, data):
    with pytest.raises(ValueError, match=message):
        compare(given, data)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"cv": 1}, "cv must be at least 2 folds, got 1"),
        ({"cv": "5"}, "cv must be a number of folds or an iterator over folds, such as KFold.5., got '5'"),
        ({"cv": KFold}, "cv must be a number of folds or an iterator over folds"),
        ({"repeats": 0}, "repeats must be a positive integer, got 0"),
        ({"cv": KFold(3), "repeats": 2}, "repeats needs a cv with an integer as random_state, got .*None"),
        ({"train_sizes": [0.5, 2]}, r"train_sizes\[1\] must be in \(0, 1\], got 2"),
        ({"train_sizes": []}, "train_sizes must be at least one share"),
        ({"n_jobs": 0}, "n_jobs must be an integer other than 0, or None, got 0"),
        ({"n_threads": 0}, "n_threads must be a positive integer, got 0"),
        ({"rank_at": True}, "rank_at must be a positive integer, got True"),
        ({"rank_at": 2.5}, "rank_at must be a positive integer, got 2.5"),
        ({"keep_predictions": "no"}, "keep_predictions must be True or False, got 'no'"),
    ],
)
def test_wrong_options_are_named(option, message, data):
    with pytest.raises(ValueError, match=message):
        compare([Mean()], data, **option)


def test_a_random_generator_is_refused_where_its_state_would_depend_on_the_order(data, tmp_path):
    algorithm = SVD(random_state=np.random.RandomState(0))
    for option in ({"n_jobs": 2}, {"output": tmp_path}):
        with pytest.raises(ValueError, match=r"of SVD must be an int where fits .* got a RandomState"):
            compare([algorithm], data, **option)


@pytest.mark.parametrize(("cv", "n_folds"), [(2, 2), (None, 5)])
def test_cv_may_be_a_number_or_the_default_of_five(data, cv, n_folds):
    comparison = compare([Mean()], data, cv)
    assert comparison.n_folds == len(comparison.folds) == n_folds
    assert comparison.folds["rmse"].equals(compare([Mean()], data, cv).folds["rmse"])


def test_folds_whose_number_is_not_known_beforehand(tmp_path, capsys):
    for name in ("train", "test"):
        (tmp_path / name).write_text("1 1 3\n2 1 4\n")
    reader = Reader(line_format="user item rating", sep=" ")
    data = Dataset.load_from_folds([(str(tmp_path / "train"), str(tmp_path / "test"))], reader)
    comparison = compare([Mean()], data, PredefinedKFold(), verbose=True)
    assert comparison.folds["rmse"].tolist() == [0.5]
    assert "1fit [" in capsys.readouterr().err
    with pytest.raises(ValueError, match="significance must be given at least 2 algorithms"):
        comparison.significance()


def test_repeats_have_other_folds_each_time(data):
    comparison = compare([Mean()], data, folds(), repeats=2)
    second = compare([Mean()], data, KFold(3, random_state=1))
    assert comparison.folds["repeat"].tolist() == [1, 1, 1, 2, 2, 2]
    assert comparison.folds["rmse"].tolist()[3:] == second.folds["rmse"].tolist()
    assert comparison.n_folds == 6
    assert "2 repeats" in comparison.header()


def test_verbose_shows_a_bar_on_stderr_and_nothing_is_shown_by_default(data, capsys):
    compare([Mean()], data, cv=2, verbose=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Mean" in err
    assert "2/2" in err
    compare([Mean()], data, cv=2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_verbose_shows_each_fit_as_soon_as_it_is_done(data, capsys, n_jobs):
    algorithms = {"mean": Mean(), "failing": Failing(first_mean=None)}
    folds = compare(algorithms, data, cv=2, verbose=True, n_jobs=n_jobs).folds.set_index("algorithm")
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", capsys.readouterr().err)]
    for rmse in folds.loc["mean", "rmse"]:
        assert [line for line in lines if re.fullmatch(rf"mean: RMSE {rmse:.4f} in [0-9.]+ s", line)]
    assert "failing: failed" in lines
    compare({"mean": Mean()}, {"one": data, "other": data}, cv=2, verbose=True)
    assert capsys.readouterr().err.count("other, mean: RMSE ") == 2


# Several at a time


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_errors_are_the_same_with_several_fits_at_a_time(data, other, backend):
    algorithms = {
        "AutoRec": AutoRec(n_factors=8, n_epochs=2, random_state=0, variant="hybrid"),
        "SVD": SVD(random_state=0, n_epochs=3),
        "KNN": KNNBasic(verbose=False),
    }
    options = {"data": {"a": data, "b": other}, "cv": 2, "train_sizes": [0.5, 1], "keep_predictions": True}
    alone = compare(algorithms, **options)
    with parallel_config(backend=backend):
        beside = compare(algorithms, **options, n_jobs=2, rank_at=3)
    shared = ["data", "algorithm", "fold", "train_size", "n_train", "n_test", "rmse", "mae"]
    pd.testing.assert_frame_equal(alone.folds[shared], beside.folds[shared], check_exact=True)
    pd.testing.assert_frame_equal(alone.errors(), beside.errors(), check_exact=True)
    assert (beside.folds["n_jobs"] == 2).all()
    assert alone.times_are_comparable
    assert not beside.times_are_comparable
    assert "each fit ran alone" in alone.header()
    assert "times: medians per fold, not comparable, as 2 fits ran at a time" in beside.header()


def test_workers_have_one_thread_unless_another_number_is_given(data):
    class Threads(Mean):
        def estimate(self, *_):
            import torch

            return torch.get_num_threads()

    for option, wanted in (({}, 1), ({"n_threads": 2}, 2)):
        comparison = compare([Threads()], data, 2, n_jobs=2, keep_predictions=True, **option)
        estimates = pd.concat(comparison._predictions.values())["estimate"]
        assert (estimates == wanted).all()


# What goes wrong


def test_an_algorithm_that_fails_is_a_row_that_says_why_and_the_others_go_on(data, first_mean):
    comparison = compare([Failing(first_mean), Mean()], data, folds())
    frame = comparison.folds
    assert frame["error"].tolist() == ["", "", *["ArithmeticError: too odd", ""] * 2]
    assert frame["rmse"].isna().tolist() == [False, False, True, False, True, False]
    summary = comparison.summary()
    assert summary.index.tolist() == ["Mean", "Failing"]
    assert summary.loc["Failing", ["fits", "failed"]].tolist() == [3, 2]
    assert summary.loc["Failing"].drop(["fits", "failed"]).isna().all()
    assert comparison.notes() == ["Failing failed on 2 folds: ArithmeticError: too odd"]
    assert comparison.notes()[0] in repr(comparison)
    assert comparison.notes()[0] in comparison.to_markdown()
    assert comparison.ranks().index.tolist() == ["Mean"]


def test_a_study_in_which_all_fail_has_only_the_reasons(data):
    comparison = compare([Failing(None)], data, folds(), n_jobs=2)
    assert comparison.folds["error"].tolist() == ["ArithmeticError: too odd"] * 3
    assert "Failing failed on 3 folds" in repr(comparison)
    assert "--" in comparison.to_latex()


def test_ctrl_c_returns_what_is_done(data, first_mean):
    comparison = compare([Mean(), Interrupting(first_mean)], data, folds())
    assert comparison.info.interrupted
    assert len(comparison.folds) == 3
    assert "interrupted: 3 of 6 fits are done" in repr(comparison)
    summary = comparison.summary()
    assert summary.loc["Mean", "fits"] == 2
    with pytest.raises(KeyboardInterrupt):
        compare([Interrupting(None)], data, folds())


# Tables


def test_summary_has_a_row_for_each_algorithm_best_first(one, two):
    summary = one.summary()
    assert list(summary.columns) == SUMMARY
    assert summary["rmse"].is_monotonic_increasing
    assert summary.index[-1] == "random"
    both = two.summary()
    assert both.index.names == ["data", "algorithm"]
    assert both.loc["second", "rmse"].is_monotonic_increasing
    pd.testing.assert_series_equal(both.loc["first", "mae"].drop("random"), summary["mae"].drop("random"))


def test_times_are_medians_and_their_ratio_is_to_the_fastest(monkeypatch, data):
    times = {"fast": iter([(1.0, 1.0), (1.0, 2.0), (90.0, 1.0)]), "slow": iter([(6.0, 2.0)] * 3)}

    class Named(Mean):
        def __init__(self, name):
            super().__init__()
            self.name = name

    def measure(algorithm, *_):
        fit_time, test_time = next(times[algorithm.name])
        figures = {"rmse": 1.0, "mae": 1.0, "fit_time": fit_time, "test_time": test_time, "peak_memory": 1.0}
        return Outcome({"n_train": 4, "n_test": 1, **figures})

    monkeypatch.setattr(comparison_module, "fit_and_test", measure)
    summary = compare({"slow": Named("slow"), "fast": Named("fast")}, data, folds()).summary()
    assert summary.loc["fast", ["fit_time", "test_time", "time_ratio"]].tolist() == [1, 1, 1]
    assert summary.loc["slow", ["fit_time", "test_time", "time_ratio"]].tolist() == [6, 2, 4]


def test_rankings_are_evaluated_if_asked_for(data):
    comparison = compare([Mean(), baseline()], data, folds(), rank_at=5)
    summary = comparison.summary()
    assert list(summary.columns) == [
        *SUMMARY[:-2],
        "precision",
        "recall",
        "ndcg",
        "coverage",
        "fits",
        "failed",
    ]
    wanted = pd.DataFrame([ranking_scores(*pair, 5) for pair in fitted(data, baseline())]).mean()
    assert summary.loc["BaselineOnly", wanted.index].to_dict() == pytest.approx(wanted.to_dict())
    assert comparison.ranks("ndcg").index[0] == "BaselineOnly"  # more is better
    assert "NDCG" in repr(comparison)


def test_ranks_are_those_of_the_means(two):
    ranks = two.ranks()
    assert list(ranks.columns) == ["first", "second", "mean"]
    for name in ("first", "second"):
        order = two.summary().loc[name].index
        assert ranks.loc[order, name].tolist() == [1, 2, 3, 4]
    assert ranks["mean"].tolist() == sorted((ranks["first"] + ranks["second"]) / 2)
    with pytest.raises(ValueError, match=r"measure must be one of \['mae', 'rmse'\], got 'ndcg'"):
        two.ranks("ndcg")


def test_significance_compares_with_the_best_or_the_one_given(two):
    best = two.ranks().index[0]
    test = two.significance()
    assert test.reference == best
    assert len(test.differences) == 6
    row = test.differences.query("data == 'second' and algorithm == 'random'").iloc[0]
    rmse = two.folds.query("data == 'second'").pivot_table(index="fold", columns="algorithm", values="rmse")
    d = rmse["random"] - rmse[best]
    assert row["difference"] == pytest.approx(d.mean())
    assert row["t"] == pytest.approx(d.mean() / np.sqrt((1 / 3 + 400 / 800) * d.var()))
    assert row["low"] < row["difference"] < row["high"]
    assert row["significant"] == (row["p_holm"] < 0.05)
    assert (test.friedman.n_data, test.friedman.n_algorithms) == (2, 4)
    other = two.significance("mean", "mae", 0.1)
    assert "mean" not in set(other.differences["algorithm"])
    assert "90% interval" in str(other)
    assert "MAE minus that of mean" in repr(other)


def test_significance_on_one_data_set_has_no_ranks(one):
    test = one.significance("mean")
    assert test.friedman is test.ranks is test.critical_difference is None
    assert set(test.differences["data"]) == {"data"}
    assert "Friedman" not in str(test)


def test_wrong_parameters_of_significance_are_named(one):
    with pytest.raises(ValueError, match=r"reference must be one of .* got 'SVD'"):
        one.significance("SVD")
    with pytest.raises(ValueError, match="alpha must be between 0 and 1, got 5"):
        one.significance(alpha=5)
    with pytest.raises(ValueError, match="a test over data sets must be given at least 2 data sets, got 1"):
        one.plot_ranks()


def test_markdown_and_text_have_a_row_for_each_in_order(one):
    summary = one.summary()
    best = summary.iloc[0]
    rows = [line for line in one.to_markdown().splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in rows[0].strip("|").split("|")][:3] == ["algorithm", "RMSE", "MAE"]
    assert set(rows[1]) <= set("|-: ")
    assert [row.split("|")[1].strip() for row in rows[2:]] == list(summary.index)
    for text in (rows[2], repr(one), one._repr_html_()):
        assert f"{best.rmse:.4f} ± {best.rmse_std:.4f}" in text
        assert f"{best.mae:.4f} ± {best.mae_std:.4f}" in text
    assert "2,000 ratings; KFold(n_splits=3, shuffle=True, random_state=0)" in repr(one)
    assert "(ddof=0)" in repr(one)
    assert "<table>" in one._repr_html_()


def test_several_data_sets_are_a_column_of_the_table(two):
    rows = [line for line in two.to_markdown().splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["first"] * 4 + ["second"] * 4
    assert "first: 2,000 ratings, second: 1,200 ratings" in repr(two)


def test_latex_is_a_table_of_booktabs_with_the_best_in_bold_and_daggers(two, one):
    text = two.to_latex()
    summary, test = two.summary(), two.significance()
    assert text.startswith(r"\begin{tabular}{lrr}" + "\n" + r"\toprule")
    assert r"\multicolumn{1}{c}{second}" in text
    for name in ("first", "second"):
        assert rf"\textbf{{{summary.loc[name, 'rmse'].min():.4f}}}" in text
    assert r"base\_line" in text
    assert text.count(r"\textbf") == 2
    assert text.count(r"$^{\dagger}$") == test.differences["significant"].sum() > 0
    assert "RMSE & MAE" in one.to_latex()


# Where errors come from


def test_errors_are_those_of_the_pooled_predictions(two, data):
    errors = two.errors("rating")
    part = errors.query("data == 'first' and algorithm == 'base_line'")
    pooled = [prediction for predictions, _ in fitted(data, baseline()) for prediction in predictions]
    wanted = errors_by_rating(pooled, 5)
    columns = ["label", "n", "rmse", "mae", "bias"]
    pd.testing.assert_frame_equal(part[columns].reset_index(drop=True), wanted[columns])
    assert set(errors["data"]) == {"first", "second"}


@pytest.mark.parametrize("side", ["user", "item"])
def test_errors_by_count_are_those_of_the_function_for_one_fold(data, side):
    cv = KFold(2, random_state=0)
    comparison = compare([baseline()], data, cv, keep_predictions=True)
    key = next(key for key in comparison._predictions if key.fold == 1)
    only_first = type(comparison)(comparison.folds, comparison.info, {key: comparison._predictions[key]})
    train, test = next(iter(cv.split(data)))
    wanted = errors_by_count(baseline().fit(train).test(test), train, side)
    found = only_first.errors(side)
    pd.testing.assert_frame_equal(found[list(wanted.columns)], wanted)


def test_errors_need_predictions(data):
    comparison = compare([Mean()], data, 2)
    with pytest.raises(ValueError, match="errors needs predictions: call compare with keep_predictions=True"):
        comparison.errors()
    with pytest.raises(ValueError, match="by must be one of"):
        comparison.errors("time")


def test_learning_curve_has_the_errors_of_each_size(data):
    comparison = compare([baseline(), Mean()], data, folds(), train_sizes=[1, 0.25, 0.5])
    curve = comparison.learning_curve().query("algorithm == 'BaselineOnly'")
    assert curve["train_size"].tolist() == [0.25, 0.5, 1.0]
    assert curve["n_train"].round(-1).tolist() == [330, 670, 1330]
    assert curve["rmse"].is_monotonic_decreasing
    assert comparison.summary().loc["BaselineOnly", "rmse"] == curve["rmse"].iloc[-1]
    assert comparison.summary().loc["BaselineOnly", "fits"] == 3


def test_a_smaller_part_of_a_trainset_is_in_every_larger_one(trainset, data):
    parts = [comparison_module._part(data, trainset, size, 1) for size in (0.2, 0.6)]
    small, large = (
        {(part.to_raw_uid(u), part.to_raw_iid(i)) for u, i, _ in part.all_ratings()} for part in parts
    )
    assert small < large
    assert (len(small), len(large)) == (400, 1200)


def test_only_is_the_part_of_one_data_set(two):
    part = two.only("second")
    assert set(part.folds["data"]) == {"second"}
    assert part.errors()["data"].unique().tolist() == ["second"]
    with pytest.raises(ValueError, match="data must be one of"):
        two.only("third")
