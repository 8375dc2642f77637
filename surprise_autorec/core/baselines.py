"""Baseline estimates ``mu + b_u + b_i`` (Koren, "Factor in the Neighbors", ACM TKDD 2010, section 2.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from surprise_autorec.core.arrays import Float64Array
from surprise_autorec.core.ratings import RatingMatrix


@dataclass(frozen=True, eq=False)
class Baselines:
    """A mean and one bias for each row and column: ``mean + row_biases[z] + column_biases[c]``.

    A network that is added to the baselines may learn a part of the biases of one side itself. For rows and
    columns that it knows, only a share of these biases is added.

    Parameters
    ----------
    mean : float
    row_biases, column_biases : ndarray of float64, shapes (n_rows,) and (n_columns,)
    row_reg, column_reg : float
        The penalty on a bias: that of a row with n ratings is the sum of their deviations over ``row_reg +
        n``. Infinite where biases are to stay zero.
    reg_per_rating : float
        A penalty that grows with n: ``n * reg_per_rating``, in addition.
    row_share, column_share : float
        The share of a bias that is added to a network's output.
    """

    mean: float
    row_biases: Float64Array
    column_biases: Float64Array
    row_reg: float = 0.0
    column_reg: float = 0.0
    reg_per_rating: float = 0.0
    row_share: float = 1.0
    column_share: float = 1.0

    @property
    def transposed(self) -> Baselines:
        """The same baselines with rows and columns exchanged."""
        return replace(
            self,
            row_biases=self.column_biases,
            column_biases=self.row_biases,
            row_reg=self.column_reg,
            column_reg=self.row_reg,
            row_share=self.column_share,
            column_share=self.row_share,
        )

    @property
    def whole(self) -> Baselines:
        """The same baselines with whole biases."""
        return replace(self, row_share=1.0, column_share=1.0)

    def take_rows(self, rows: npt.NDArray[np.integer]) -> Baselines:
        """The baselines of the given rows, in the given order."""
        return replace(self, row_biases=self.row_biases[rows])

    def of_new_rows(
        self,
        rows: npt.NDArray[np.integer],
        columns: npt.NDArray[np.integer],
        values: npt.NDArray[np.floating],
        n_rows: int,
    ) -> Baselines:
        """Baselines of so many other rows, from their ratings and the biases that columns have.

        ``rows`` and ``columns`` say where each rating stands; a column of -1 has no bias.
        """
        deviations = values - self.at(np.full(len(rows), -1), columns)
        counts = np.bincount(rows, minlength=n_rows)
        return self._of_sums(np.bincount(rows, deviations, n_rows).astype(np.float64), counts)

    def of_one_row_less_each(
        self, columns: npt.NDArray[np.integer], values: npt.NDArray[np.floating]
    ) -> Baselines:
        """Baselines of one other row, from all its ratings (row 0) and from all but the n-th (row n + 1).

        They are those of `of_new_rows`, in time that grows with the number of ratings, not with its square.
        """
        deviations = values - self.at(np.full(len(values), -1), columns)
        less = np.append(0.0, deviations)
        return self._of_sums(deviations.sum() - less, len(values) - (np.arange(len(less)) > 0))

    def _of_sums(self, sums: Float64Array, counts: npt.NDArray[np.integer]) -> Baselines:
        """Baselines of rows whose ratings deviate by these sums from what they would be without the rows."""
        weights = np.maximum(self.row_reg + (1 + self.reg_per_rating) * counts, 1e-12)  # (none rated: 0 / 0)
        return replace(self, row_biases=sums / weights)

    def at(self, rows: npt.NDArray[np.integer], columns: npt.NDArray[np.integer]) -> Float64Array:
        """Baseline estimates of the given cells, shape (n_cells,).

        An index of -1 has no bias. No network predicts for it, so the whole bias of the other side is added.
        """
        row_shares = np.where(np.asarray(columns) >= 0, self.row_share, 1.0)
        column_shares = np.where(np.asarray(rows) >= 0, self.column_share, 1.0)
        biases: Float64Array = (
            np.append(self.row_biases, 0.0)[rows] * row_shares
            + np.append(self.column_biases, 0.0)[columns] * column_shares
        )
        return self.mean + biases


def zero_baselines(ratings: RatingMatrix) -> Baselines:
    """The baselines of a model that has none."""
    return Baselines(0.0, np.zeros(ratings.n_rows), np.zeros(ratings.n_columns), math.inf, math.inf)


def als_baselines(
    users_by_items: RatingMatrix, n_epochs: int = 10, reg_u: float = 15.0, reg_i: float = 10.0
) -> Baselines:
    """Baselines by alternating least squares; the defaults and the order of the sweeps are Surprise's."""
    rows, columns = users_by_items.rows, users_by_items.columns
    n_users, n_items = users_by_items.n_rows, users_by_items.n_columns
    summed = users_by_items.collective.sum_array
    mean = users_by_items.mean
    deviations = users_by_items.values.astype(np.float64) - mean
    user_weights = reg_u + users_by_items.row_counts
    item_weights = reg_i + users_by_items.column_counts
    user_biases, item_biases = np.zeros(n_users), np.zeros(n_items)
    for _ in range(n_epochs):
        item_biases = summed(np.bincount(columns, deviations - user_biases[rows], n_items)) / item_weights
        user_biases = summed(np.bincount(rows, deviations - item_biases[columns], n_users)) / user_weights
    return Baselines(mean, user_biases, item_biases, reg_u, reg_i)


def sgd_baselines(
    users_by_items: RatingMatrix, n_epochs: int = 20, reg: float = 0.02, learning_rate: float = 0.005
) -> Baselines:
    """Baselines by stochastic gradient descent, with Surprise's defaults; rating by rating, hence slow."""
    if users_by_items.collective.size > 1:
        raise ValueError("bsl_options['method'] must be 'als' where several processes train, got 'sgd'")
    mean = users_by_items.mean
    user_biases, item_biases = [0.0] * users_by_items.n_rows, [0.0] * users_by_items.n_columns
    deviations = (users_by_items.values.astype(np.float64) - mean).tolist()
    cells = list(zip(users_by_items.rows.tolist(), users_by_items.columns.tolist(), deviations, strict=True))
    for _ in range(n_epochs):
        for user, item, deviation in cells:
            error = deviation - user_biases[user] - item_biases[item]
            user_biases[user] += learning_rate * (error - reg * user_biases[user])
            item_biases[item] += learning_rate * (error - reg * item_biases[item])
    return Baselines(mean, np.array(user_biases), np.array(item_biases), 0.0, 0.0, reg_per_rating=reg)
