"""Ratings from files and tables of every kind, in batches."""

import decimal
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from surprise_autorec import datasets
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.data.readers import rating_batches
from surprise_autorec.data.tables import encode

polars = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def frame():
    """Every user and item appears first in the order of its number."""
    frame = datasets.make_ratings(40, 30, 600).sort_values(["user", "item"], ignore_index=True)
    codes = {column: pd.factorize(frame[column])[0].astype(np.int64) for column in ("user", "item")}
    return frame.assign(**codes)


def halves(frame):
    return frame.iloc[:250], frame.iloc[250:]


TABLES = {
    "pandas": lambda frame: frame,
    "pandas, other columns too": lambda frame: frame.assign(when=0)[["when", "rating", "item", "user"]],
    "several": halves,
    "a generator": lambda frame: iter(halves(frame)),
    "of several kinds": lambda frame: [halves(frame)[0], polars.from_pandas(halves(frame)[1])],
    "polars": polars.from_pandas,
    "Arrow table": pa.Table.from_pandas,
    "Arrow batches": lambda frame: pa.Table.from_pandas(frame).to_batches(max_chunksize=100),
    "an Arrow batch": lambda frame: pa.RecordBatch.from_pandas(frame),
    "Arrow reader": lambda frame: pa.Table.from_pandas(frame).to_reader(100),
    "categories": lambda frame: frame.astype({"user": "category", "item": "category"}),
    "structured array": lambda frame: frame.to_records(index=False),
    "sparse": lambda frame: scipy.sparse.coo_array((frame["rating"], (frame["user"], frame["item"]))),
}


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_every_table_is_the_same_ratings(frame, make):
    encoded = encode(rating_batches(make(frame)))
    assert encoded.user_ids == list(range(40))
    assert {type(one) for one in encoded.item_ids} == {int}
    for found, wanted in zip(encoded, frame[["user", "item", "rating"]].to_numpy().T, strict=False):
        np.testing.assert_array_equal(found, wanted)
    assert [array.dtype for array in encoded[:3]] == [np.int32, np.int32, np.float64]


@pytest.mark.parametrize("make", [pa.Table.from_pandas, polars.from_pandas, lambda frame: frame])
def test_texts_stay_texts(frame, make):
    texts = frame.astype({"user": "str"})
    texts["user"] = "0" + texts["user"]
    assert encode(rating_batches(make(texts))).user_ids == [f"0{n}" for n in range(40)]


def test_files_and_folders_are_read(frame, tmp_path):
    for n, half in enumerate(halves(frame)):
        half.to_parquet(tmp_path / f"{n}.parquet")
    for source in (tmp_path, str(tmp_path), [tmp_path / "0.parquet", tmp_path / "1.parquet"]):
        encoded = encode(rating_batches(source))
        np.testing.assert_array_equal(encoded.items, frame["item"])


def test_a_stored_zero_of_a_sparse_matrix_is_a_rating():
    matrix = scipy.sparse.coo_array(([0.0, 2.0], ([3, 3], [1, 0])), (5, 4))
    users, items, values, user_ids, item_ids = encode(rating_batches(matrix))
    assert (user_ids, item_ids) == ([3], [1, 0])
    assert (users.tolist(), items.tolist(), values.tolist()) == ([0, 0], [0, 1], [0.0, 2.0])


def test_the_matrix_is_that_of_all_cells_at_once(frame):
    users, items, values, *_ = encode(rating_batches(halves(frame)))
    found = RatingMatrix.from_cells(users, items, values, (40, 30))
    wanted = RatingMatrix.from_cells(frame["user"], frame["item"], frame["rating"], (40, 30))
    for name in ("row_offsets", "columns", "values"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_reading_needs_25_bytes_a_rating_at_most():
    size, batch = 2_000_000, 20_000

    def batches():
        for start in range(0, size, batch):  # all items of some users, in a mixed order
            users, items = np.divmod(start + np.random.default_rng(0).permutation(batch), 1000)
            yield pd.DataFrame({"user": users, "item": items, "rating": np.linspace(0, 1, batch)})

    tracemalloc.start()
    try:
        users, items, values, *_ = encode(rating_batches(batches()))
        assert tracemalloc.get_traced_memory()[1] <= 25 * size + 2**22  # a batch, and the ids
        RatingMatrix.from_cells(users, items, values, (2000, 1000))
        assert tracemalloc.get_traced_memory()[1] <= (25 + 8) * size + 2**22  # 8 of them are the matrix
    finally:
        tracemalloc.stop()


ONE = pd.DataFrame({"user": [1], "item": [2], "rating": [3.0]})


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (3, TypeError, "the ratings must be a file, a folder, or a table: .* got int"),
        ([ONE, 3], TypeError, "batch 2 must be a file, a folder, or a table: .* got int"),
        (ONE["user"], TypeError, "the ratings must be a file, a folder, or a table: .* got Series"),
        (ONE.to_numpy(), TypeError, "batch 1 must be a file, a folder, or a table: .* got ndarray"),
        ([], ValueError, "the ratings must have at least one rating, got none"),
        (ONE[:0], ValueError, "the ratings must have at least one rating, got none"),
        (ONE[["user", "item"]], ValueError, "the ratings must have a column for the rating"),
        ([ONE, ONE.astype({"item": str})], ValueError, "batch 2: the item column must be of one type in all "
         "parts, got texts in data row 1 and integers in batch 1"),
        ([ONE, ONE.assign(user=1.5)], ValueError, "got numbers in data row 1 and integers in batch 1"),
        ([ONE, ONE.assign(user=True)], ValueError, "got booleans in data row 1 and integers in batch 1"),
        ([ONE, ONE.assign(rating=np.nan)], ValueError, "batch 2: the rating in data row 1 must be a finite"),
        (pa.table({"user": [1, None], "item": [1, 1], "rating": [1, 1]}), ValueError,
         "the user in data row 2 must not be missing, got nan"),
        (polars.DataFrame({"user": ["a", ""], "item": [1, 1], "rating": [1, 1]}), ValueError,
         "the user in data row 2 must not be missing, got ''"),
        (ONE.assign(rating=1j), ValueError, "the rating in data row 1 must be a finite number, got 1j"),
        (ONE.assign(rating=pd.Timestamp(2020, 1, 1)), ValueError, "must be a finite number, got Timestamp"),
        (ONE.assign(rating=pd.Series([10**400], dtype=object)), ValueError, "be a finite number, got 10"),
        (ONE.assign(user=[[1]]), ValueError, r"the user in data row 1 must be a text or a number, got \[1\]"),
        (ONE[["user", "user", "item", "rating"]], ValueError,
         "the ratings must have one column 'user' for the user, got 2 of that name"),
        (pa.table([[1], [1], [2], [3.0]], names=["user", "item", "item", "rating"]), ValueError,
         "the ratings must have one column 'item' for the item, got 2 of that name"),
        (np.zeros((2, 2), [("user", int), ("item", int), ("rating", float)]), ValueError,
         "the ratings must have 1 dimension.* as ndarray, got 2"),
    ],
)  # fmt: skip
def test_what_holds_no_ratings_is_one_line(source, error, message):
    with pytest.raises(error, match=rf"\A[^\n]*{message}[^\n]*\Z"):
        encode(rating_batches(source))


def test_a_sparse_matrix_has_two_dimensions():
    pytest.importorskip("scipy", minversion="1.13")  # before that, all have
    with pytest.raises(ValueError, match=r"the ratings must have 2 dimension.* as coo_array, got 1"):
        encode(rating_batches(scipy.sparse.coo_array(np.ones(3))))


@pytest.mark.parametrize(
    "ratings",
    [["1", "2.5", "1"], [decimal.Decimal(1), decimal.Decimal("2.5"), 1], pd.Categorical(["1", "2.5", "1"])],
)
def test_ratings_may_be_texts_and_decimals(ratings):
    frame = pd.DataFrame({"user": [1, 2, 3], "item": [1, 2, 3], "rating": ratings})
    assert encode(rating_batches(frame))[2].tolist() == [1.0, 2.5, 1.0]
    frame.loc[1, "rating"] = None
    with pytest.raises(ValueError, match="the rating in data row 2 must be a finite number, got "):
        encode(rating_batches(frame))
