"""The two operations on observed cells, with their gradients.

Both directions of both operations come down to two kernels: weighted sums of table rows (``embedding_bag``)
and inner products at given cells (``sampled_addmm``). A forward and backward pass is five of them, each of
``2 * n_ratings * n_factors`` floating-point operations, and nothing of size rows x columns is ever made.

Precision is mixed (Micikevicius et al., ICLR 2018). Encoding, and the gradient of hidden activations, sum up
one row of weights for each rating. If the weights do not fit into a cache, that takes the time of reading
them over and over. So these products read a working copy in bfloat16, half as many bytes. What they return,
the weights themselves, their gradients, their optimiser and every prediction are float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from surprise_autorec.core.arrays import check_count
from surprise_autorec.core.collective import ALONE, Collective
from surprise_autorec.core.ratings import RatingMatrix, check_cells, csr_array

#: Some rows of a matrix: which, and their values.
Block: TypeAlias = tuple[slice, Tensor]
#: So large are the blocks that gradients of weights are made in: a cache holds one until it has been used.
BLOCK_BYTES = 4 * 2**20

#: Types of numbers, by the names that users know.
PRECISIONS: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Cells:
    """Where a sparse matrix has values, in row order and in column order.

    Parameters
    ----------
    row_offsets : Tensor of int32, shape (n_rows + 1,)
        The cells of row ``z`` are ``row_offsets[z]:row_offsets[z + 1]`` of the row order.
    columns : Tensor of int32, shape (n_cells,)
        The column of each cell, in row order.
    column_offsets : Tensor of int32, shape (n_columns + 1,)
        The cells of column ``c`` are ``column_offsets[c]:column_offsets[c + 1]`` of the column order.
    rows : Tensor of int32, shape (n_cells,)
        The row of each cell, in column order.
    order : Tensor of int32, shape (n_cells,)
        The position in row order of each cell of the column order.
    """

    row_offsets: Tensor
    columns: Tensor
    column_offsets: Tensor
    rows: Tensor
    order: Tensor

    @classmethod
    def of(cls, ratings: RatingMatrix, device: torch.device) -> Cells:
        """The observed cells of a rating matrix. Raises ValueError if int32 positions cannot number them."""
        check_count("ratings", len(ratings.values))
        positions = np.arange(len(ratings.values), dtype=np.int32)
        shape = ratings.n_own_rows, ratings.n_columns
        by_column = csr_array((positions, ratings.columns, ratings.row_offsets), shape).tocsc()
        arrays = (ratings.row_offsets, ratings.columns, by_column.indptr, by_column.indices, by_column.data)
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    @cached_property
    def row_counts(self) -> Tensor:
        """Number of cells in each row, int32, shape (n_rows,)."""
        return self.row_offsets.diff()

    def keep(self, kept: Tensor) -> tuple[Cells, Tensor]:
        """The cells where ``kept`` (bool, shape (n_cells,), in row order) is true, and their positions here.

        This is done at every step of training. (Positions found once and ``index_select`` take a third of the
        time of indexing each array with a mask or with int32 indices, which torch turns into int64 indices
        first.)
        """
        kept_by_column = kept.index_select(0, self.order)
        positions, positions_by_column = _positions(kept), _positions(kept_by_column)
        new_positions = _counts_before(kept)
        cells = Cells(
            new_positions.index_select(0, self.row_offsets),
            self.columns.index_select(0, positions),
            _counts_before(kept_by_column).index_select(0, self.column_offsets),
            self.rows.index_select(0, positions_by_column),
            new_positions.index_select(0, self.order.index_select(0, positions_by_column)),
        )
        return cells, positions


# torch warns once per process that its CSR tensors are in beta: nothing that a user of ours can act on. Let
# it do so here, where nobody sees it, so that nobody has to silence warnings (a process-wide setting) while
# threads are running.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.eye(1).to_sparse_csr()


def _counts_before(flags: Tensor) -> Tensor:
    """Number of true flags before each position, and before the end: shape (n + 1,)."""
    check_count("ratings", len(flags))
    counts = torch.zeros(len(flags) + 1, dtype=torch.int32, device=flags.device)
    torch.cumsum(flags, 0, dtype=torch.int32, out=counts[1:])
    return counts


def _positions(flags: Tensor) -> Tensor:
    """Where flags are true, as int64. On the CPU, NumPy takes a tenth of the time that torch does."""
    if flags.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(flags.numpy()))
    return flags.nonzero().squeeze(1)


def sum_rows(table: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of table rows, of the weights' dtype, shape (n_out, k).

    That is, ``out[z] = sum(weights[n] * table[indices[n]] for n in offsets[z]:offsets[z + 1])``. Indices and
    offsets are int32. If the table is of another dtype than the weights, weights and sums are rounded to
    that, while terms are added up in float32.

    Raises IndexError if offsets fall or do not begin at 0. If an index or an offset is too large, torch
    raises RuntimeError.
    """
    if offsets.is_cpu:  # (where torch does not look for this; a device would have to be waited for)
        in_order = offsets.numpy()
        if not len(in_order) or in_order[0] != 0 or (in_order[1:] < in_order[:-1]).any():
            raise IndexError("offsets must begin at 0 and must not fall")
    terms = weights.to(table.dtype)
    # This is what torch.nn.functional.embedding_bag calls, after checks; mode 0 is the sum.
    sums, *_ = torch.embedding_bag(
        table, indices, offsets, mode=0, per_sample_weights=terms, include_last_offset=True
    )
    return sums.to(weights.dtype)


def products_at(left: Tensor, right: Tensor, row_offsets: Tensor, columns: Tensor) -> Tensor:
    """Inner products ``left[z] @ right[c]`` at the given cells, in row order, shape (n_cells,).

    ``left`` and ``right`` have the shapes (n_rows, k) and (n_columns, k). Raises IndexError if offsets or
    columns lead out of the matrix of all products.
    """
    check_cells(row_offsets.cpu().numpy(), columns.cpu().numpy(), len(right))
    if len(row_offsets) != len(left) + 1:
        raise IndexError(f"there must be {len(left) + 1} row offsets, got {len(row_offsets)}")
    return _products_at(left, right, row_offsets, columns)


def _products_at(left: Tensor, right: Tensor, row_offsets: Tensor, columns: Tensor) -> Tensor:
    """`products_at` of cells that have been checked: those of `Cells` are, once and not at every step."""
    pattern = torch.sparse_csr_tensor(
        row_offsets,
        columns,
        left.new_zeros(len(columns)),
        (len(left), len(right)),
        check_invariants=False,
    )
    products: Tensor = torch.sparse.sampled_addmm(pattern, left, right.t(), beta=0.0).values()
    return products


def row_blocks(n_rows: int, row_bytes: int) -> Iterator[slice]:
    """Blocks of the rows of a matrix, first to last.

    Their sizes are whole multiples of any vector register's, so that what is computed elementwise of a block
    has the bits that it has in the whole.
    """
    size = max(BLOCK_BYTES // row_bytes // 16, 1) * 16
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))


def gather_blocks_(matrix: Tensor, collective: Collective) -> None:
    """Replace each row of a matrix by what it is in the process that updates it.

    That is the one whose share of a block of the gradient, which is float32, has the row. The matrix may be
    of any dtype.
    """
    if collective.size > 1:
        for rows in row_blocks(len(matrix), matrix.shape[1] * torch.float32.itemsize):
            collective.gather_shares_(matrix[rows])


def _with_cells(blocks: Iterable[slice], offsets: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Blocks of rows, the slice of the cells of each, and the rows' offsets in that."""
    blocks = list(blocks)
    if len(blocks) == 1:
        yield blocks[0], slice(None), offsets
        return
    for rows in blocks:
        first, last = offsets[rows.start].item(), offsets[rows.stop].item()
        yield rows, slice(first, last), offsets[rows.start : rows.stop + 1] - first


class RowSums(NamedTuple):
    """The result of `sum_rows`, whose arguments it has, yet to be made, whole or a block at a time."""

    table: Tensor
    indices: Tensor
    offsets: Tensor
    weights: Tensor

    def blocks(self) -> Iterator[Block]:
        """Blocks of rows, first to last, each made when it is asked for."""
        n_rows, row_bytes = len(self.offsets) - 1, self.table.shape[1] * self.weights.element_size()
        for rows, terms, offsets in _with_cells(row_blocks(n_rows, row_bytes), self.offsets):
            yield rows, sum_rows(self.table, self.indices[terms], offsets, self.weights[terms])


def summed(parts: Sequence[RowSums], precision: torch.dtype, collective: Collective) -> Tensor:
    """The sum of some results, of those of all processes.

    Parameters
    ----------
    parts : sequence of RowSums
        One at least, of one shape.
    precision : torch.dtype
        What the sum is rounded to.
    collective : Collective

    Returns
    -------
    Tensor of precision, shape (n_out, k)
    """
    first = parts[0]
    result = first.table.new_empty(len(first.offsets) - 1, first.table.shape[1], dtype=precision)
    for blocks in zip(*(part.blocks() for part in parts), strict=True):
        rows, total = blocks[0]
        for _, sums in blocks[1:]:
            total += sums
        collective.sum_(total)
        result[rows] = total
    return result


class _DecodeCells(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, cells: Cells) -> Tensor:
        ctx.cells = cells
        ctx.save_for_backward(weight)
        # Column by column, as a batch has fewer rows than columns: hidden stays in the cache and weight is
        # read once.
        by_column = hidden.new_empty(len(cells.rows))
        blocks = row_blocks(len(weight), hidden.shape[1] * hidden.element_size())
        for columns, these, offsets in _with_cells(blocks, cells.column_offsets):
            by_column[these] = _products_at(
                weight[columns].to(hidden.dtype), hidden, offsets, cells.rows[these]
            )
        products = torch.empty_like(by_column).scatter_(0, cells.order.long(), by_column)
        return products.add_(bias.index_select(0, cells.columns))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        cells = ctx.cells
        gradient = gradients[0].contiguous()
        return (
            sum_rows(weight, cells.columns, cells.row_offsets, gradient),
            None,
            gradient.new_zeros(len(weight)).index_add_(0, cells.columns, gradient),
            None,
        )


def encode_cells(weight: Tensor, values: Tensor, cells: Cells) -> Tensor:
    """Sparse rows times a dense matrix: ``X @ weight`` with X the matrix that has ``values`` at ``cells``.

    ``weight`` is float32 or bfloat16, of shape (n_columns, k). Values are in row order. The result, of shape
    (n_rows, k), is without autograd's knowledge. The gradient of weight is the `weight_gradient` of values
    and that of the product.
    """
    return sum_rows(weight.detach(), cells.columns, cells.row_offsets, values)


def decode_cells(hidden: Tensor, weight: Tensor, bias: Tensor, cells: Cells) -> Tensor:
    """``hidden[z] @ weight[c] + bias[c]`` at the given cells (z, c) only, in row order, shape (n_cells,).

    ``hidden``, of shape (n_rows, k), and ``bias`` get a gradient. ``weight``, of shape (n_columns, k), gets
    none by autograd: it is the `weight_gradient` of the product's and of hidden.

    Raises IndexError if the numbers of rows and columns are not those of the cells.
    """
    n_rows, n_columns = len(cells.row_offsets) - 1, len(cells.column_offsets) - 1
    if (len(hidden), len(weight), len(bias)) != (n_rows, n_columns, n_columns):
        raise IndexError(
            f"cells of {n_rows} rows and {n_columns} columns cannot be decoded from {len(hidden)} rows, "
            f"{len(weight)} columns and {len(bias)} biases"
        )
    result: Tensor = _DecodeCells.apply(hidden, weight, bias, cells)  # type: ignore[no-untyped-call]
    return result


def weight_gradient(values: Tensor, factors: Tensor, cells: Cells) -> RowSums:
    """``X^T @ factors`` with X the matrix that has ``values`` at ``cells``: the gradient of a weight matrix.

    Autograd would make it whole, in memory, long before it is used. For the encoder, values are its inputs,
    in row order, and factors the gradient of its products, of shape (n_rows, k). For the decoder, values are
    the gradient of its products and factors the hidden activations.
    """
    return RowSums(factors, cells.rows, cells.column_offsets, values.index_select(0, cells.order))


class WorkingCopy:
    """Weights in training, as sparse products read them: the weights, or their sum with a constant.

    ``values`` are what products read. They are no copy where they are the weights themselves, of shape (n,
    k). Training changes the weights, and `refresh` brings the copy up to date. ``plus`` is the constant, of
    the copy's precision. Updates of the weights are divided among the processes of ``collective``.
    """

    def __init__(
        self,
        weight: Tensor,
        precision: torch.dtype,
        plus: Tensor | None = None,
        collective: Collective = ALONE,
    ) -> None:
        self.weight, self.precision, self.plus, self.collective = weight.detach(), precision, plus, collective
        self.values = self.weight
        if plus is not None or precision != weight.dtype:
            self.values = torch.empty_like(self.weight, dtype=precision)
            self.refresh_all()

    def refresh_all(self) -> None:
        """Bring the copy up to date, as all weights may have changed, in all processes alike."""
        for rows in row_blocks(len(self.weight), self.weight[0].nbytes):
            self._copy(rows)

    def refresh(self, rows: slice) -> None:
        """Bring a block of rows up to date, as each process has changed the weights of its share."""
        self._copy(self.collective.share(rows))
        self.collective.gather_shares_(self.values[rows])

    def gather_weights(self) -> None:
        """Bring the weights themselves up to date, whose copies alone were sent to all processes."""
        if self.values is not self.weight:
            gather_blocks_(self.weight, self.collective)

    def _copy(self, rows: slice) -> None:
        if self.values is self.weight:
            return
        if self.plus is None:
            self.values[rows] = self.weight[rows]
        elif self.precision == self.weight.dtype:
            torch.add(self.weight[rows], self.plus[rows], out=self.values[rows])
        else:  # torch adds numbers of two kinds slowly
            self.values[rows] = self.plus[rows].to(self.weight.dtype, copy=True).add_(self.weight[rows])
