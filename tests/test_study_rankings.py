"""Scores of rankings."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import ndcg_score
from surprise import Dataset, Prediction, Reader

from surprise_autorec.comparison import ranking_scores


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
