"""What processes tell one another, and matrices that are spread over them."""

from itertools import chain

import numpy as np
import pytest
import torch
from core_helpers import random_ratings, training_options
from together import Threads, together

from surprise_autorec.core import automatic
from surprise_autorec.core.baselines import als_baselines, sgd_baselines
from surprise_autorec.core.collective import ALONE
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Member
from surprise_autorec.core.training import make_learner, train

SIZES = [2, 3]
RATINGS = random_ratings(41, 30, 500)


def spread(ratings, collective):
    """A matrix, of which each process brings cells that follow one another."""
    ends = [len(ratings.values) * rank // collective.size for rank in (collective.rank, collective.rank + 1)]
    own = slice(*ends)
    shape = ratings.n_rows, ratings.n_columns
    return RatingMatrix.spread(
        ratings.rows[own], ratings.columns[own], ratings.values[own], shape, collective
    )


def cells(ratings):
    return list(zip(ratings.rows.tolist(), ratings.columns.tolist(), ratings.values.tolist(), strict=True))


def test_alone_everything_is_what_it_was():
    array = np.arange(5)
    assert ALONE.gather(array)[0] is array
    assert ALONE.exchange(array, np.zeros(5, int)) is array
    assert ALONE.sum_array(array) is array
    assert ALONE.own(array) is array
    assert ALONE.all_rows(array) is array
    assert ALONE.sums(1.5, 2) == [1.5, 2.0]
    tensor = torch.arange(3.0)
    ALONE.sum_(tensor)
    ALONE.gather_shares_(tensor)
    assert tensor.tolist() == [0, 1, 2]
    assert ALONE.sum_share(tensor) is tensor
    assert ALONE.share(slice(3, 8)) == slice(3, 8)
    with pytest.raises(KeyError), ALONE.errors_shared():
        raise KeyError


@pytest.mark.parametrize("size", SIZES)
def test_sums_are_over_all_processes(size):
    def work(collective):
        array = np.array([1, 10]) * (collective.rank + 1)
        tensors = [torch.full((2, 2), float(collective.rank)), torch.tensor(1.0)]
        return collective.sum_array(array).tolist(), collective.sums(0.5), collective.sum_all(tensors), array

    total = sum(range(1, size + 1))
    for rank, (array, half, (square, one), before) in enumerate(together(size, work)):
        assert array == [total, 10 * total]
        assert half == [size / 2]
        assert square.tolist() == [[total - size] * 2] * 2
        assert one.item() == size
        assert before.tolist() == [rank + 1, 10 * (rank + 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n_rows", [1, 2, 7, 12])
def test_every_row_of_a_block_is_summed_in_one_process_and_sent_to_all(size, n_rows):
    gradients = np.random.default_rng(0).normal(size=(size, n_rows, 4)).astype(np.float32)

    def work(collective):
        share = collective.share(slice(100, 100 + n_rows))
        matrix = torch.full((n_rows, 4), np.nan)
        own = slice(share.start - 100, share.stop - 100)
        matrix[own] = collective.sum_share(torch.from_numpy(gradients[collective.rank]))
        collective.gather_shares_(matrix)
        return list(range(share.start, share.stop)), matrix.numpy()

    results = together(size, work)
    assert list(chain.from_iterable(rows for rows, _ in results)) == list(range(100, 100 + n_rows))
    for _, total in results:
        np.testing.assert_allclose(total, gradients.sum(0), rtol=1e-5)
        np.testing.assert_array_equal(total, results[0][1])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n_rows", [1, 2, 7, 12])
def test_every_row_is_held_by_one_process_and_all_rows_are_put_together(size, n_rows):
    whole = np.random.default_rng(0).normal(size=(n_rows, 4))
    rows = np.random.default_rng(1).permutation(n_rows)

    def work(collective):
        own = collective.own(rows)
        assert len(own) == collective.n_own(n_rows)
        places = own // collective.size
        part = np.empty((len(own), 4))
        part[places] = whole[own]
        return own, collective.all_rows(part), collective.all_rows(part[:, 0].copy())

    results = together(size, work)
    assert sorted(np.concatenate([own for own, _, _ in results])) == list(range(n_rows))
    for _, every_row, first_column in results:
        np.testing.assert_array_equal(every_row, whole)
        np.testing.assert_array_equal(first_column, whole[:, 0])


@pytest.mark.parametrize(
    ("error", "told"), [(OSError("the disk is full"), "the disk is full"), (KeyError("a"), "KeyError: 'a'")]
)
def test_an_error_of_one_process_is_raised_by_all(error, told):
    def work(collective):
        def fail():
            if collective.rank == 1:
                raise error

        with pytest.raises((type(error), ValueError)) as raised, collective.errors_shared():
            fail()
        return raised.value

    first, second, third = together(3, work)
    assert str(first) == str(third) == f"process 1 of 3: {told}"
    assert second is error


@pytest.mark.parametrize("size", SIZES)
def test_a_matrix_that_is_spread_knows_of_all_rows_and_holds_some(size):
    def work(collective):
        ratings = spread(RATINGS, collective)
        assert set(ratings.rows % size) == {collective.rank}
        assert ratings.n_own_rows == collective.n_own(41)
        assert (ratings.n_rows, ratings.n_columns, ratings.n_ratings) == (41, 30, 500)
        np.testing.assert_array_equal(ratings.row_counts, RATINGS.row_counts)
        np.testing.assert_array_equal(ratings.column_counts, RATINGS.column_counts)
        assert ratings.mean == pytest.approx(RATINGS.mean)
        for whole, expected in zip(ratings.all_cells(), RATINGS.all_cells(), strict=True):
            np.testing.assert_array_equal(whole, expected)
        back = ratings.transposed.transposed
        for ours, theirs in zip((ratings.rows, ratings.columns), (back.rows, back.columns), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        return cells(ratings), cells(ratings.transposed)

    parts, transposed = zip(*together(size, work), strict=True)
    assert sorted(chain.from_iterable(parts)) == cells(RATINGS)
    assert sorted(chain.from_iterable(transposed)) == cells(RATINGS.transposed)


@pytest.mark.parametrize("size", SIZES)
def test_the_ratings_held_out_are_those_of_one_process(size):
    kept, held_out = RATINGS.split(0.2, torch.Generator().manual_seed(3))

    def work(collective):
        parts = spread(RATINGS, collective).split(0.2, torch.Generator().manual_seed(3))
        return [cells(part) for part in parts]

    ours = [sorted(chain.from_iterable(parts)) for parts in zip(*together(size, work), strict=True)]
    assert ours == [cells(kept), cells(held_out)]


def test_a_pair_that_two_processes_have_gets_the_mean_of_its_ratings():
    def work(collective):
        values = [1.0, 5.0] if collective.rank else [2.0]
        own = RatingMatrix.spread([1, 0][: len(values)], [0, 1][: len(values)], values, (2, 2), collective)
        return own.n_ratings, cells(own)

    assert together(2, work) == [(2, [(0, 1, 5.0)]), (2, [(1, 0, 1.5)])]


@pytest.mark.parametrize("size", SIZES)
def test_baselines_are_those_of_one_process(size):
    def work(collective):
        ratings = spread(RATINGS, collective)
        return als_baselines(ratings), automatic.baseline_penalties(ratings), automatic.centering(ratings)

    expected = als_baselines(RATINGS)
    for baselines, penalties, centering in together(size, work):
        assert baselines.mean == pytest.approx(expected.mean)
        np.testing.assert_allclose(baselines.row_biases, expected.row_biases, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(baselines.column_biases, expected.column_biases, rtol=1e-10, atol=1e-12)
        assert penalties == pytest.approx(automatic.baseline_penalties(RATINGS))
        assert centering == automatic.centering(RATINGS)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("most_pairs", [10**6, 10**3])
def test_structure_is_that_of_one_process(monkeypatch, size, most_pairs):
    monkeypatch.setattr(automatic, "MOST_PAIRS", most_pairs)
    expected = automatic.structure(RATINGS, als_baselines(RATINGS))

    def work(collective):
        ratings = spread(RATINGS, collective)
        return automatic.structure(ratings, als_baselines(ratings))

    assert together(size, work) == pytest.approx([expected] * size)


def test_baselines_rating_by_rating_are_for_one_process():
    with pytest.raises(ValueError, match=r"bsl_options\['method'\] must be 'als' where several .* got 'sgd'"):
        together(2, lambda collective: sgd_baselines(spread(RATINGS, collective)))


@pytest.mark.parametrize("gradient_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", ["user", "item"])
def test_a_step_exchanges_gradients_and_weights_of_two_matrices(side, precision, gradient_dtype):
    ratings = random_ratings(60, 70, 3000)
    options = training_options(
        n_factors=(16,), two_sided=True, biased=True, dropout=0.5, batch_size=9, precision=precision
    )

    def work(collective):
        own = spread(ratings, collective)
        baselines = als_baselines(own)
        learner = make_learner(Member(side, 1.0), own, baselines, options, torch.Generator().manual_seed(0))
        total = 0

        def count(tensor, before=collective.sum_):
            nonlocal total
            total += tensor.nbytes
            before(tensor)

        collective.sum_ = count
        learner.stepper.begin_epoch(learner.batches)
        collective.weight_bytes = total = 0
        for batch in learner.batches:
            learner.stepper.step(batch)
        sums = collective.gradient_bytes, collective.weight_bytes, total
        return [n_bytes / len(learner.batches) for n_bytes in sums]

    n_columns = 70 if side == "user" else 60
    n_weights = 2 * n_columns * 16
    for of_gradients, of_weights, of_the_rest in together(2, work, gradient_dtype=gradient_dtype):
        assert of_gradients == n_weights * gradient_dtype.itemsize
        assert of_weights == n_weights * precision.itemsize
        # The biases of columns above all: they weigh little beside k = 256.
        assert of_the_rest < 4 * (n_columns + 16 * 4)


def test_callbacks_of_one_process_stop_all():
    from surprise_autorec.core.training import StopTraining

    options = training_options(n_epochs=9)

    def work(collective):
        seen = []

        def on_epoch_end(epoch):
            seen.append(epoch.number)
            if collective.rank == 1 and epoch.number == 2:
                raise StopTraining

        train(spread(RATINGS, collective), [Member("user", 1.0)], options, als_baselines, 0, on_epoch_end)
        return seen

    assert together(2, work) == [[1, 2], [1, 2]]


def test_threads_play_processes():
    assert together(3, lambda collective: (collective.rank, collective.size, type(collective))) == [
        (rank, 3, Threads) for rank in range(3)
    ]
