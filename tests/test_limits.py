"""More ratings than int32 indices can number are refused before any memory is taken for them.

The arrays here repeat one element in memory, and so are as long as one likes.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FAST

from surprise_autorec import AutoRec
from surprise_autorec.core import arrays
from surprise_autorec.core.ratings import RatingMatrix, cells_of_rows
from surprise_autorec.core.sparse import Cells, _counts_before
from surprise_autorec.data.tables import encode
from surprise_autorec.fitting import Ratings, fit_model
from surprise_autorec.model import RatingScale

MANY = 2**31
TOO_MANY = r"must be at most 2,147,483,647, as indices have 32 bits, got 2,147,483,648"


def repeated(value, dtype, length=MANY):
    return np.broadcast_to(np.array(value, dtype), (length,))


def test_a_matrix_of_too_many_ratings():
    zeros = repeated(0, np.int32)
    with pytest.raises(ValueError, match=TOO_MANY):
        RatingMatrix.from_cells(zeros, zeros, repeated(0, np.float32), (1, 1))


@pytest.mark.parametrize("shape", [(MANY, 1), (1, MANY)])
def test_a_matrix_of_too_many_rows_or_columns(shape):
    with pytest.raises(ValueError, match=f"rows and columns {TOO_MANY}"):
        RatingMatrix.from_cells([0], [0], [1.0], shape)


def test_rows_that_are_asked_for_again_and_again():
    row_offsets = np.array([0, 2**20], np.int32)
    with pytest.raises(ValueError, match=f"ratings of the rows asked for {TOO_MANY}"):
        cells_of_rows(row_offsets, repeated(0, np.int64, 2**11))


def test_cells_chosen_from_a_matrix(monkeypatch):
    matrix = RatingMatrix.from_cells([0, 0, 1], [0, 1, 1], [1.0, 2.0, 3.0], (2, 2))
    monkeypatch.setattr(arrays, "MOST_RATINGS", 1)
    assert matrix.take_cells(np.array([False, True, False])).n_ratings == 1
    with pytest.raises(ValueError, match="ratings chosen must be at most 1, as indices have 32 bits, got 2"):
        matrix.take_cells(np.array([True, True, False]))


def test_cells_in_both_orders():
    matrix = SimpleNamespace(values=repeated(0, np.float32))
    with pytest.raises(ValueError, match=TOO_MANY):
        Cells.of(matrix, torch.device("cpu"))


def test_flags_of_cells():
    with pytest.raises(ValueError, match=TOO_MANY):
        _counts_before(torch.zeros(1, dtype=torch.bool).expand(MANY))


def test_pairs_to_predict(trainset):
    model = AutoRec(**FAST).fit(trainset).model_
    zeros = repeated(0, np.int32)
    with pytest.raises(ValueError, match=f"pairs to predict at once {TOO_MANY}"):
        model.predict(zeros, zeros)


def test_pairs_may_be_more_than_there_are(trainset):
    model = AutoRec(**FAST).fit(trainset).model_
    once = np.indices((80, 50), np.int32).reshape(2, -1)
    thrice = np.random.default_rng(0).permutation(np.tile(np.arange(80 * 50), 3))
    found = model.predict(*once[:, thrice])
    np.testing.assert_allclose(found, model.predict(*once)[thrice], rtol=1e-6)


def test_ratings_to_fit():
    zeros = repeated(0, np.int32)
    ratings = Ratings(zeros, zeros, repeated(1, np.float64), [0], [0], RatingScale(1, 5))
    with pytest.raises(ValueError, match=f"ratings {TOO_MANY}"):
        fit_model(ratings, AutoRec())


def test_batches_of_ratings(monkeypatch):
    batch = pd.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [1.0, 2.0]})
    monkeypatch.setattr(arrays, "MOST_RATINGS", 3)
    read = []
    with pytest.raises(ValueError, match="ratings must be at most 3, as indices have 32 bits, got 4"):
        encode(read.append(n) or batch for n in range(9))
    assert read == [0, 1]


def test_numbers_of_pairs_do_not_wrap():
    """The largest that there can be: the last item of the last of 2^31 - 1 users."""
    last = np.array([2**31 - 2], np.int32)
    ratings = Ratings(last, last, np.ones(1), [], [], RatingScale(1, 5))
    n_items = 2**31 - 1
    assert ratings.pairs(n_items).tolist() == [(2**31 - 2) * n_items + 2**31 - 2]
