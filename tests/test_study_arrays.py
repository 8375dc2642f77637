"""Cross-validation on arrays, against Surprise's."""

import numpy as np
import pandas as pd
import pytest
from surprise import Dataset, Reader
from surprise.model_selection import KFold

from surprise_autorec import AutoRec, DivergenceError, datasets
from surprise_autorec.algorithm import ratings_of
from surprise_autorec.data.encoding import encode
from surprise_autorec.fitting import Ratings
from surprise_autorec.model import RatingScale
from surprise_autorec.study.arrays import kfold, measure_autorec
from surprise_autorec.study.folds import measure

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
def test_figures_are_those_of_surprise(keywords, capsys):
    keywords = {"n_factors": 4, "n_epochs": 2, "random_state": 0, **keywords}
    found = measure_autorec(
        {"a": AutoRec(**keywords), "b": AutoRec(**keywords, variant="user")}, RATINGS, 3, 7
    )
    makers = {"a": lambda: AutoRec(**keywords), "b": lambda: AutoRec(**keywords, variant="user")}
    wanted = measure(makers, DATA, KFold(3, random_state=7))
    assert list(found.columns) == list(wanted.columns)
    figures = ["fold", "algorithm", "rmse", "mae"]
    pd.testing.assert_frame_equal(found[figures], wanted[figures])
    assert (found[["fit_time", "test_time"]] > 0).all(axis=None)
    assert "6/6" in capsys.readouterr().err


def test_what_fails_is_told_or_raised():
    algorithms = {
        "diverges": AutoRec(lr_all=1e4, batch_size=2, n_epochs=2, random_state=0),
        "fine": AutoRec(n_factors=2, n_epochs=1, random_state=0),
    }
    with pytest.raises(DivergenceError):
        measure_autorec(algorithms, RATINGS, 2, 0)
    failed = []
    found = measure_autorec(algorithms, RATINGS, 2, 0, lambda name, error: failed.append((name, type(error))))
    assert failed == [("diverges", DivergenceError)]
    assert found["algorithm"].tolist() == ["fine", "fine"]


def test_more_folds_than_ratings_are_refused():
    few = Ratings(*encode([FRAME[:2]]), RatingScale(1, 5))
    with pytest.raises(ValueError, match="number of folds must be at most that of the ratings, 2, got 3"):
        next(kfold(few, 3, 0))
    assert [len(fold.test.users) for fold in kfold(few, 2, 0)] == [1, 1]
