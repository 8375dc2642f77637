"""The types of arrays that the package passes around, by the precision of their numbers."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

#: Indices of rows, columns, users or items, and offsets into lists of them.
Int32Array: TypeAlias = npt.NDArray[np.int32]
#: Indices that come from sorting or counting.
Int64Array: TypeAlias = npt.NDArray[np.int64]
#: What networks are made of, and the ratings that they are trained on.
Float32Array: TypeAlias = npt.NDArray[np.float32]
#: Ratings as users give and get them, and baselines.
Float64Array: TypeAlias = npt.NDArray[np.float64]

#: So many ratings can be numbered with int32 indices, which torch's sparse kernels take.
MOST_RATINGS = 2**31 - 1


def check_count(what: str, count: int) -> None:
    """Raise ValueError if int32 indices cannot count so many. To be called before anything is allocated."""
    if count > MOST_RATINGS:
        raise ValueError(f"{what} must be at most {MOST_RATINGS:,}, as indices have 32 bits, got {count:,}")


# The two products below are not left to BLAS: its threads go on looking for work for a while, and would slow
# down the training that follows by a third.
def product(matrix: Float64Array, vector: Float64Array) -> Float64Array:
    """A matrix times a vector, without threads."""
    result: Float64Array = np.einsum("nf,f->n", matrix, vector)
    return result


def gram_matrix(matrix: Float64Array) -> Float64Array:
    """The inner products of all pairs of a matrix's columns, without threads."""
    result: Float64Array = np.einsum("nf,ng->fg", matrix, matrix)
    return result
