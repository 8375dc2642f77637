"""Cross-validation on arrays, against Surprise's."""

import numpy as np
import pandas as pd
import pytest
from surprise import Dataset, Reader
from surprise.model_selection import KFold

from surprise_autorec import AutoRec, compare, datasets
from surprise_autorec.data.tables import encode
from surprise_autorec.fitting import Ratings
from surprise_autorec.model import RatingScale
from surprise_autorec.study import arrays
from surprise_autorec.study.arrays import kfold, measure_autorec
from surprise_autorec.trainsets import ratings_of

FRAME = datasets.make_ratings(30, 40, 203)
RATINGS = Ratings(*encode([FRAME]), RatingScale(1, 5))
DATA = Dataset.load_from_df(FRAME, Reader(rating_scale=(1, 5)))


def triples(ratings):
    users, items = ratings.user_ids, ratings.item_ids
    return [
        (users[user], items[item], value)
        for user, item, value in zip(ratings.users, ratings.items, ratings.values, strict=True)
    ]


def test_folds_are_those_of_surprise():
    folds = list(kfold(RATINGS, 3, 7))
    for fold, (trainset, testset) in zip(folds, KFold(3, random_state=7).split(DATA), strict=True):
        wanted = ratings_of(trainset)
        assert (fold.train.user_ids, fold.train.item_ids) == (wanted.user_ids, wanted.item_ids)
        assert sorted(triples(fold.train)) == sorted(triples(wanted))
        users, items = ({one: n for n, one in enumerate(ids)} for ids in (wanted.user_ids, wanted.item_ids))
        assert fold.test.users.tolist() == [users.get(uid, -1) for uid, _, _ in testset]
        assert fold.test.items.tolist() == [items.get(iid, -1) for _, iid, _ in testset]
        np.testing.assert_array_equal(fold.test[2], [rating for *_, rating in testset])
    assert any((fold.test.users < 0).any() or (fold.test.items < 0).any() for fold in folds)


@pytest.mark.parametrize("keywords", [{}, {"biased": False}])
def test_figures_are_those_of_a_comparison(keywords, capsys):
    keywords = {"n_factors": 4, "n_epochs": 2, "random_state": 0, **keywords}
    algorithms = {"a": AutoRec(**keywords), "b": AutoRec(**keywords, variant="user")}
    found = measure_autorec(algorithms, RATINGS, 3, 7).folds
    wanted = compare(algorithms, DATA, KFold(3, random_state=7)).folds
    figures = ["fold", "algorithm", "rmse", "mae", "error"]
    pd.testing.assert_frame_equal(found[figures], wanted[figures])
    assert (found[["fit_time", "test_time"]] > 0).all(axis=None)
    assert "6/6" in capsys.readouterr().err


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_fails_is_a_row_that_says_why(n_jobs):
    algorithms = {
        "diverges": AutoRec(lr_all=1e4, batch_size=2, n_epochs=2, random_state=0),
        "fine": AutoRec(n_factors=2, n_epochs=1, random_state=0),
    }
    found = measure_autorec(algorithms, RATINGS, 2, 0, n_jobs).folds
    assert found["algorithm"].tolist() == ["diverges", "fine"] * 2
    assert found["error"].str.startswith("DivergenceError: training diverged").tolist() == [True, False] * 2
    assert found["rmse"].isna().tolist() == [True, False] * 2


def test_finished_fits_are_kept_and_not_done_again(tmp_path, monkeypatch):
    algorithms = {"a": AutoRec(n_factors=2, n_epochs=1, random_state=0)}
    first = measure_autorec(algorithms, RATINGS, 2, 0, output=tmp_path)
    monkeypatch.setattr(arrays, "fit_model", None)
    again = measure_autorec(algorithms, RATINGS, 2, 0, output=tmp_path)
    pd.testing.assert_frame_equal(again.folds, first.folds)


def test_interrupted_measurement_says_what_is_done(monkeypatch):
    fits = iter([arrays.fit_model])

    def interrupted(*arguments):
        fit = next(fits, None)
        if fit is None:
            raise KeyboardInterrupt
        return fit(*arguments)

    monkeypatch.setattr(arrays, "fit_model", interrupted)
    algorithms = {"a": AutoRec(n_factors=2, n_epochs=1, random_state=0)}
    measured = measure_autorec(algorithms, RATINGS, 3, 0)
    assert measured.interrupted
    assert (len(measured.folds), measured.n_planned) == (1, 3)
    with pytest.raises(KeyboardInterrupt):
        measure_autorec(algorithms, RATINGS, 3, 0)


def test_a_generator_of_random_numbers_is_refused_where_fits_are_kept_or_parallel(tmp_path):
    algorithms = {"a": AutoRec(random_state=np.random.RandomState(0))}
    with pytest.raises(ValueError, match="random_state of a must be an int where fits are kept"):
        measure_autorec(algorithms, RATINGS, 2, 0, output=tmp_path)


def test_more_folds_than_ratings_are_refused():
    few = Ratings(*encode([FRAME[:2]]), RatingScale(1, 5))
    with pytest.raises(ValueError, match="number of folds must be at most that of the ratings, 2, got 3"):
        next(kfold(few, 3, 0))
    assert [len(fold.test.users) for fold in kfold(few, 2, 0)] == [1, 1]
