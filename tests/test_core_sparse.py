import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import torch
from together import together

from surprise_autorec.core import sparse
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import (
    Cells,
    decode_cells,
    encode_cells,
    gather_blocks_,
    products_at,
    row_blocks,
    sum_rows,
    weight_gradient,
)

CPU = torch.device("cpu")
N_ROWS, N_COLUMNS, K = 6, 5, 3


@pytest.fixture(params=["some", "none", "all"])
def ratings(request):
    """Row 2 and column 4 are empty where some cells are observed."""
    rng = np.random.default_rng(0)
    observed = rng.random((N_ROWS, N_COLUMNS)) < {"some": 0.6, "none": 0.0, "all": 1.0}[request.param]
    if request.param == "some":
        observed[2], observed[:, 4] = False, False
    rows, columns = np.nonzero(observed)
    return RatingMatrix.from_cells(rows, columns, rng.normal(size=len(rows)), (N_ROWS, N_COLUMNS))


def random(*shape, seed=0):
    return torch.randn(
        shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    ).requires_grad_()


def values_and_dense(ratings):
    values = torch.from_numpy(ratings.values).double()
    dense = torch.zeros(N_ROWS, N_COLUMNS, dtype=torch.float64)
    dense[ratings.rows, ratings.columns] = values
    return values, dense


def gradients(output, parameters):
    """Gradients of a weighted sum of the outputs, each output having a weight of its own."""
    return torch.autograd.grad((output * random(*output.shape, seed=9).detach()).sum(), parameters)


def whole(row_sums):
    return torch.cat([block for _, block in row_sums.blocks()])


def test_encode_cells_is_the_dense_product(ratings):
    values, dense = values_and_dense(ratings)
    weight, cells = random(N_COLUMNS, K), Cells.of(ratings, CPU)
    output = encode_cells(weight, values, cells)
    assert not output.requires_grad
    wanted = dense @ weight
    torch.testing.assert_close(output, wanted.detach())
    output_gradient = random(N_ROWS, K, seed=9).detach()
    (weights_gradient,) = gradients(wanted, [weight])
    torch.testing.assert_close(whole(weight_gradient(values, output_gradient, cells)), weights_gradient)


def test_decode_cells_is_the_dense_product_at_the_cells(ratings):
    hidden, weight, bias = random(N_ROWS, K), random(N_COLUMNS, K, seed=1), random(N_COLUMNS, seed=2)
    cells = Cells.of(ratings, CPU)
    output = decode_cells(hidden, weight, bias, cells)
    wanted = (hidden @ weight.T + bias)[ratings.rows, ratings.columns]
    torch.testing.assert_close(output, wanted)
    hidden_gradient, bias_gradient, weights_gradient = gradients(wanted, [hidden, bias, weight])
    torch.testing.assert_close(gradients(output, [hidden, bias]), (hidden_gradient, bias_gradient))
    output_gradient = random(ratings.n_ratings, seed=9).detach()
    torch.testing.assert_close(
        whole(weight_gradient(output_gradient, hidden.detach(), cells)), weights_gradient
    )


def test_decode_cells_passes_gradcheck(ratings):
    cells, weight = Cells.of(ratings, CPU), random(N_COLUMNS, K, seed=1).detach()
    parameters = random(N_ROWS, K), random(N_COLUMNS, seed=2)
    assert torch.autograd.gradcheck(
        lambda hidden, bias: decode_cells(hidden, weight, bias, cells), parameters
    )


@pytest.mark.parametrize("rows_in_bytes", [0, 31, 32, 1000])
@pytest.mark.parametrize("n_columns", [0, 1, 16, 75])
def test_blocks_are_the_rows_of_the_sums_bit_by_bit(monkeypatch, n_columns, rows_in_bytes):
    rng, n_ratings = np.random.default_rng(0), 3 * n_columns
    rows, columns = np.divmod(rng.choice(20 * n_columns, n_ratings, replace=False), max(n_columns, 1))
    cells = Cells.of(RatingMatrix.from_cells(rows, columns, rng.normal(size=n_ratings), (20, n_columns)), CPU)
    sums = weight_gradient(random(n_ratings).detach(), random(20, K, seed=1).detach(), cells)
    monkeypatch.setattr(sparse, "BLOCK_BYTES", rows_in_bytes * K * 8)
    blocks = list(sums.blocks())
    size = {0: 16, 31: 16, 32: 32, 1000: 992}[rows_in_bytes]
    assert [rows for rows, _ in blocks] == [
        slice(n, min(n + size, n_columns)) for n in range(0, n_columns, size)
    ]
    assert torch.equal(torch.cat([random(0, K).detach(), *(block for _, block in blocks)]), sum_rows(*sums))


def test_blocks_are_as_large_as_a_cache_can_hold():
    blocks = list(row_blocks(10_000, row_bytes=1024))
    assert [(rows.stop - rows.start) * 1024 for rows in blocks[:-1]] == [4 * 2**20] * 2  # 4 MiB
    assert blocks[-1] == slice(8192, 10_000)


def test_rows_are_gathered_from_the_processes_that_have_them_in_gradients(monkeypatch):
    """Also those of a matrix of another type than the gradients', whose blocks would be others."""
    monkeypatch.setattr(sparse, "BLOCK_BYTES", 32 * K * torch.float32.itemsize)
    cells = Cells.of(RatingMatrix.from_cells(range(75), range(75), np.ones(75), (75, 75)), CPU)
    gradient = weight_gradient(torch.ones(75), torch.ones(75, K), cells)

    def work(collective):
        matrix, updated = torch.full((75, K), -1.0).bfloat16(), np.full(75, False)
        for rows, _ in gradient.blocks():
            matrix[collective.share(rows)] = collective.rank
            updated[collective.share(rows)] = True
        gather_blocks_(matrix, collective)
        return matrix[:, 0].float().numpy(), updated

    (first, updated_by_first), (second, updated_by_second) = together(2, work)
    np.testing.assert_array_equal(first, updated_by_second)
    np.testing.assert_array_equal(second, updated_by_second)
    assert (updated_by_first != updated_by_second).all()


def test_products_at_are_the_inner_products_at_the_cells(ratings):
    left, right = random(N_ROWS, K).detach(), random(N_COLUMNS, K, seed=1).detach()
    cells = Cells.of(ratings, CPU)
    products = products_at(left, right, cells.row_offsets, cells.columns)
    torch.testing.assert_close(products, (left @ right.T)[ratings.rows, ratings.columns])


def test_sum_rows_is_the_sparse_product_in_either_order(ratings):
    values, dense = values_and_dense(ratings)
    cells = Cells.of(ratings, CPU)
    by_column, by_row = random(N_COLUMNS, K).detach(), random(N_ROWS, K, seed=1).detach()
    torch.testing.assert_close(
        sum_rows(by_column, cells.columns, cells.row_offsets, values), dense @ by_column
    )
    ordered = values.index_select(0, cells.order)
    torch.testing.assert_close(sum_rows(by_row, cells.rows, cells.column_offsets, ordered), dense.T @ by_row)


def test_cells_hold_both_orders(ratings):
    cells = Cells.of(ratings, CPU)
    assert all(getattr(cells, field.name).dtype == torch.int32 for field in fields(Cells))
    np.testing.assert_array_equal(cells.row_offsets, ratings.row_offsets)
    np.testing.assert_array_equal(cells.row_counts, ratings.row_counts)
    np.testing.assert_array_equal(cells.columns, ratings.columns)
    np.testing.assert_array_equal(cells.column_offsets, ratings.transposed.row_offsets)
    np.testing.assert_array_equal(cells.rows, ratings.transposed.columns)
    np.testing.assert_array_equal(ratings.values[cells.order], ratings.transposed.values)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_keep_gives_the_cells_of_the_filtered_matrix(ratings, share):
    kept = np.random.default_rng(1).random(ratings.n_ratings) < share
    filtered, positions = Cells.of(ratings, CPU).keep(torch.from_numpy(kept))
    np.testing.assert_array_equal(positions, np.flatnonzero(kept))
    wanted = Cells.of(ratings.take_cells(kept), CPU)
    for field in fields(Cells):
        torch.testing.assert_close(
            getattr(filtered, field.name), getattr(wanted, field.name), rtol=0, atol=0, msg=field.name
        )


def test_importing_and_using_it_neither_warns_nor_changes_the_warning_filters():
    # The parent package, with all that it imports, is none of this test's business: a stub stands in for it.
    script = """
import sys, types, warnings
import numpy, scipy.sparse, torch
parent = types.ModuleType("surprise_autorec")
parent.__path__ = [sys.argv[1]]
sys.modules["surprise_autorec"] = parent
warnings.simplefilter("error")  # again: the imports above have put filters of their own before it
before = list(warnings.filters)
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import Cells, decode_cells, encode_cells
assert warnings.filters == before
cells = Cells.of(RatingMatrix.from_cells([0, 1], [1, 0], [2.0, 3.0], (2, 2)), torch.device("cpu"))
weight, bias = torch.ones(2, 3), torch.zeros(2, requires_grad=True)
kept, positions = cells.keep(torch.tensor([True, True]))
hidden = encode_cells(weight, torch.ones(2)[positions], kept).requires_grad_()
decode_cells(hidden, weight, bias, cells).sum().backward()
assert warnings.filters == before
"""
    package = sys.modules["surprise_autorec"].__path__[0]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, package], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


I32 = torch.int32


def test_products_at_reads_nothing_outside_of_its_tables():
    """torch's kernel looks for none of this, and ends the process."""
    left, right = torch.ones(2, K), torch.ones(N_COLUMNS, K)

    def at(offsets, columns):
        return products_at(left, right, torch.tensor(offsets, dtype=I32), torch.tensor(columns, dtype=I32))

    assert at([0, 1, 2], [0, 4]).tolist() == [K, K]
    for columns in ([0, 5], [0, 10**9], [-1, 0], [-(2**31), 0]):
        with pytest.raises(IndexError, match=f"columns must be 0 to 4, got {min(columns)} to {max(columns)}"):
            at([0, 1, 2], columns)
    for offsets in ([1, 1, 2], [0, 1, 3], [0, 1, 10**9], [-1, 1, 2], [0, 1, 1], []):
        with pytest.raises(IndexError, match="row offsets must lead from 0 to the number of cells, 2"):
            at(offsets, [0, 4])
    for middle in (3, 10**9, -1, -(2**31)):
        with pytest.raises(IndexError, match="row offsets must not fall"):
            at([0, middle, 2], [0, 4])
    with pytest.raises(IndexError, match="there must be 3 row offsets, got 2"):
        at([0, 2], [0, 4])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sum_rows_reads_nothing_outside_of_its_table(dtype):
    table = torch.ones(4, 64, dtype=dtype)

    def sums(indices, offsets):
        weights = torch.ones(len(indices))
        return sum_rows(table, torch.tensor(indices, dtype=I32), torch.tensor(offsets, dtype=I32), weights)

    assert sums([0, 3], [0, 2, 2])[:, 0].tolist() == [2, 0]
    for indices in ([0, 4], [10**9, 0], [-1, 0], [-(2**31), 0]):
        with pytest.raises(RuntimeError, match="not in the valid range"):
            sums(indices, [0, 2])
    for offsets in ([0, 2, 1, 2], [1, 2], [-1, 2], [0, -(2**31), 2], []):
        with pytest.raises(IndexError, match="offsets must begin at 0 and must not fall"):
            sums([0, 3], offsets)
    with pytest.raises(RuntimeError, match="can not be greater than input's length"):
        sums([0, 3], [0, 10**9])


def test_cells_lie_inside_of_their_matrix():
    values = np.ones(2, np.float32)
    for offsets, columns in (
        ([0, 1, 2], [0, 5]),
        ([0, 1, 2], [-1, 0]),
        ([0, 3, 2], [0, 1]),
        ([0, 1, 1], [0, 1]),
    ):
        with pytest.raises(IndexError, match=r"columns must be 0 to 4|row offsets must"):
            RatingMatrix(np.array(offsets, np.int32), np.array(columns, np.int32), values, N_COLUMNS)


@pytest.mark.parametrize("short", ["hidden", "weight", "bias"])
def test_decode_cells_wants_tables_of_the_size_of_its_cells(short):
    cells = Cells.of(RatingMatrix.from_cells([0, 5], [0, 4], [1, 2], (N_ROWS, N_COLUMNS)), CPU)
    tables = {"hidden": random(N_ROWS, K), "weight": random(N_COLUMNS, K), "bias": random(N_COLUMNS)}
    decode_cells(**tables, cells=cells)
    tables[short] = tables[short][:-1]
    with pytest.raises(IndexError, match="cells of 6 rows and 5 columns cannot be decoded from"):
        decode_cells(**tables, cells=cells)
