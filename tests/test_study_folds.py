"""The loop over folds."""

import weakref

import numpy as np
import pandas as pd
import pytest
from surprise import AlgoBase, Dataset, Reader
from surprise.model_selection import KFold, PredefinedKFold, cross_validate

from surprise_autorec.study.folds import measure, summarise


class Mean(AlgoBase):
    """The mean rating; keeps a record of its fits, and fails in those whose numbers are given."""

    def __init__(self, name="mean", turns=None, fails_in=()):
        super().__init__()
        self.name, self.turns, self.fails_in = name, [] if turns is None else turns, fails_in

    def fit(self, trainset):
        super().fit(trainset)
        self.turns.append(self.name)
        if self.turns.count(self.name) in self.fails_in:
            raise ArithmeticError(f"{self.name} failed")
        return self

    def estimate(self, _u, _i):
        return self.trainset.global_mean


def folds():
    return KFold(3, random_state=0)


def always(algorithm):
    return lambda: algorithm


def test_every_algorithm_has_its_turn_on_each_fold(data):
    turns = []
    makers = {name: always(Mean(name, turns)) for name in ("a", "b")}
    frame = measure(makers, data, folds())
    assert turns == ["a", "b"] * 3
    assert list(frame.columns) == ["fold", "algorithm", "rmse", "mae", "fit_time", "test_time"]
    assert frame["algorithm"].tolist() == turns
    assert frame["fold"].tolist() == [1, 1, 2, 2, 3, 3]


def test_rows_are_those_of_cross_validate(data):
    frame = measure({"mean": Mean}, data, folds())
    expected = cross_validate(Mean(), data, cv=folds())
    np.testing.assert_array_equal(frame["rmse"], expected["test_rmse"])
    np.testing.assert_array_equal(frame["mae"], expected["test_mae"])


def test_makers_may_return_an_algorithm_for_each_turn_that_is_not_kept(data):
    alive = weakref.WeakSet()

    def make():
        assert len(alive) == 0
        algorithm = Mean()
        alive.add(algorithm)
        return algorithm

    assert len(measure({"mean": make}, data, folds())) == 3


def test_score_adds_figures(data):
    frame = measure({"mean": Mean}, data, folds(), score=lambda predictions, trainset: {
        "n_test": len(predictions), "n_train": trainset.n_ratings
    })  # fmt: skip
    assert (frame["n_test"] + frame["n_train"]).tolist() == [len(data.raw_ratings)] * 3


def test_a_failure_is_raised_by_default(data):
    with pytest.raises(ArithmeticError, match="b failed"):
        measure({"a": Mean, "b": always(Mean("b", fails_in=[2]))}, data, folds())


def test_the_study_goes_on_without_an_algorithm_that_failed_where_the_caller_says_so(data, capsys):
    turns, failures = [], []
    makers = {"a": always(Mean("a", turns)), "b": always(Mean("b", turns, fails_in=[2]))}
    frame = measure(makers, data, folds(), on_failure=lambda *failure: failures.append(failure), verbose=True)
    assert turns == ["a", "b", "a", "b", "a"]
    assert [(name, str(error)) for name, error in failures] == [("b", "b failed")]
    assert frame["algorithm"].tolist() == ["a"] * 3
    assert "6/6" in capsys.readouterr().err


def test_what_the_caller_raises_ends_the_study(data):
    def end(_name, error):
        raise error

    with pytest.raises(ArithmeticError, match="mean failed"):
        measure({"mean": always(Mean(fails_in=[1]))}, data, folds(), on_failure=end)


def test_a_study_in_which_all_fail_has_no_rows(data):
    assert measure({"mean": always(Mean(fails_in=[1]))}, data, folds(), on_failure=lambda *_: None).empty


def test_folds_whose_number_is_not_known_beforehand_can_be_measured(tmp_path, capsys):
    for name in ("train", "test"):
        (tmp_path / name).write_text("1 1 3\n2 1 4\n")
    reader = Reader(line_format="user item rating", sep=" ")
    data = Dataset.load_from_folds([(str(tmp_path / "train"), str(tmp_path / "test"))], reader)
    frame = measure({"mean": Mean}, data, PredefinedKFold(), verbose=True)
    assert frame["rmse"].tolist() == [0.5]
    assert "1fit [" in capsys.readouterr().err


def test_summary_has_means_spreads_and_medians():
    frame = pd.DataFrame(
        {
            "fold": [1, 1, 2, 2],
            "algorithm": ["slow", "fast", "slow", "fast"],
            "rmse": [1.0, 2.0, 3.0, 2.0],
            "mae": [1.0, 1.0, 2.0, 1.0],
            "fit_time": [6.0, 1.0, 8.0, 2.0],
            "test_time": [1.0, 0.5, 1.0, 0.5],
            "ndcg": [0.25, 0.5, 0.75, 0.5],
        }
    )
    summary = summarise(frame)
    assert summary.loc["slow"].to_dict() == {
        "rmse": 2.0, "rmse_std": 1.0, "mae": 1.5, "mae_std": 0.5, "fit_time": 7.0, "test_time": 1.0,
        "time_ratio": 4.0, "ndcg": 0.5,
    }  # fmt: skip
    assert summary.loc["fast", "time_ratio"] == 1.0
