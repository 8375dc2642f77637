"""Comparison studies."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import ndcg_score
from surprise import AlgoBase, BaselineOnly, Dataset, NormalPredictor, Prediction, Reader
from surprise.model_selection import KFold, cross_validate

from surprise_autorec import AutoRec, compare
from surprise_autorec.study import folds as study_folds
from surprise_autorec.study.comparison import format_comparison, ranking_scores

COLUMNS = ["rmse", "rmse_std", "mae", "mae_std", "fit_time", "test_time", "time_ratio"]


class Mean(AlgoBase):
    """A custom algorithm: it predicts the mean rating, and remembers its testsets."""

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

    def measure(algorithm, *_):
        fit_time, test_time = next(times[algorithm])
        return {"rmse": 1.0, "mae": 1.0, "fit_time": fit_time, "test_time": test_time}

    monkeypatch.setattr(study_folds, "_fit_and_test", measure)
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


def test_algorithms_may_be_a_generator(data):
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


def test_other_table_formats_are_available(frame):
    assert format_comparison(frame, "latex").startswith(r"\begin{tabular}")


# Rankings


def trainset_of(ratings, scale=(1, 5)):
    frame = pd.DataFrame(ratings, columns=["user", "item", "rating"])
    return Dataset.load_from_df(frame, Reader(rating_scale=scale)).build_full_trainset()


#: Mean 3, so that 3 and more is relevant.
TRAINSET = trainset_of(
    [("z", item, rating) for item, rating in [("a", 1), ("b", 5), ("c", 3), ("d", 2), ("e", 4)]]
)


def predictions(triples):
    return [Prediction(user, item, rating, estimate, {}) for user, item, rating, estimate in triples]


def test_scores_of_lists_worked_out_by_hand():
    scores = ranking_scores(
        predictions(
            [
                ("u", "a", 5, 4.0),  # second of u's list
                ("u", "b", 2, 4.5),  # first
                ("u", "c", 4, 3.0),  # third: not in it
                ("v", "a", 1, 2.0),  # v's only one, with neither relevance nor gain
                ("w", "new", 3, 2.0),  # relevant, and not among the items of the trainset
            ]
        ),
        TRAINSET,
        n=2,
    )
    assert scores["precision"] == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert scores["recall"] == pytest.approx((1 / 2 + 1) / 2)
    of_u = (1 + 4 / np.log2(3)) / (4 + 3 / np.log2(3))
    assert scores["ndcg"] == pytest.approx((of_u + 1) / 2)
    assert scores["coverage"] == 2 / 5


@pytest.mark.parametrize("n", [1, 3, 50])
def test_ndcg_is_that_of_scikit_learn(n):
    generator = np.random.default_rng(0)
    users = [(user, generator.integers(1, 6, 10), generator.normal(size=10)) for user in range(20)]
    triples = [
        (user, item, rating, estimate)
        for user, ratings, estimates in users
        for item, (rating, estimate) in enumerate(zip(ratings, estimates, strict=True))
    ]
    generator.shuffle(triples)
    wanted = np.mean([ndcg_score([ratings - 1], [estimates], k=n) for _, ratings, estimates in users])
    assert ranking_scores(predictions(triples), TRAINSET, n)["ndcg"] == pytest.approx(wanted)


def test_gain_and_relevance_move_with_the_scale():
    triples = [(user, item, 1 + (user * item) % 5, item % 3) for user in range(5) for item in range(9)]
    wide = [(user, item, 25 * rating - 25, estimate) for user, item, rating, estimate in triples]
    trainset = trainset_of([("z", item, rating) for _, item, rating, _ in triples])
    wide_trainset = trainset_of([("z", item, rating) for _, item, rating, _ in wide], scale=(0, 100))
    scores, wide_scores = (
        ranking_scores(predictions(t), s, 4) for t, s in [(triples, trainset), (wide, wide_trainset)]
    )
    assert scores == pytest.approx(wide_scores)


def test_compare_evaluates_rankings_if_asked_to(data):
    frame = compare([Mean(), BaselineOnly(verbose=False)], data, cv=folds(), rank_at=5)
    assert list(frame.columns) == [*COLUMNS, "precision", "recall", "ndcg", "coverage"]
    fitted = [
        (BaselineOnly(verbose=False).fit(trainset), trainset, testset)
        for trainset, testset in folds().split(data)
    ]
    wanted = pd.DataFrame(
        [ranking_scores(algorithm.test(testset), trainset, 5) for algorithm, trainset, testset in fitted]
    )
    assert frame.loc["BaselineOnly", wanted.columns].to_dict() == pytest.approx(wanted.mean().to_dict())
    assert frame.loc["BaselineOnly", "ndcg"] > frame.loc["Mean", "ndcg"]
    assert "NDCG" in format_comparison(frame)


@pytest.mark.parametrize("rank_at", [0, -1, 2.5, "3", True])
def test_wrong_rank_at_is_named(data, rank_at):
    with pytest.raises(ValueError, match=f"rank_at must be a positive integer, got {rank_at!r}"):
        compare([Mean()], data, cv=folds(), rank_at=rank_at)
