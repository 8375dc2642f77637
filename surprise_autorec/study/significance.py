"""Tests of significance: over the folds of one data set, and over several data sets."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from surprise_autorec.checks import check, choice
from surprise_autorec.study.tables import NAMES, p_text


class FoldTest(NamedTuple):
    """The result of `corrected_t_test`.

    Attributes
    ----------
    difference : float
        The mean difference.
    low, high : float
        The ends of its confidence interval.
    t, p : float
        The test statistic, and the two-sided p-value.
    """

    difference: float
    low: float
    high: float
    t: float
    p: float


def corrected_t_test(
    differences: ArrayLike, n_test: float, n_train: float, confidence: float = 0.95
) -> FoldTest:
    r"""Test whether the differences between two algorithms over folds have mean zero.

    The training parts of folds overlap, so a plain t-test finds differences too often. The corrected
    resampled t-test (Nadeau, Bengio: Inference for the Generalization Error, Machine Learning 52, 2003)
    enlarges the variance: with :math:`k` differences of mean :math:`\bar d` and variance :math:`s^2` (divided
    by :math:`k-1`), :math:`t = \bar d / \sqrt{(1/k + n_{test}/n_{train})\,s^2}` has :math:`k-1` degrees of
    freedom.

    Parameters
    ----------
    differences : array-like of shape (k,)
        A difference for each fold of each repeat.
    n_test, n_train : float
        Numbers of test and training ratings of a fold.
    confidence : float, default=0.95
        Of the interval.

    Raises
    ------
    ValueError
        If there are fewer than two differences, or ``confidence`` is not between 0 and 1.
    """
    values = np.asarray(differences, np.float64)
    check("a test over folds", len(values), "given at least 2 folds", len(values) >= 2)
    check("confidence", confidence, "between 0 and 1", 0 < confidence < 1)
    k, mean = len(values), float(values.mean())
    error = math.sqrt((1 / k + n_test / n_train) * values.var(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, k - 1)) * error
    t = mean / error if error else math.copysign(math.inf, mean) if mean else 0.0
    return FoldTest(mean, mean - half, mean + half, t, float(2 * stats.t.sf(abs(t), k - 1)))


class FriedmanTest(NamedTuple):
    """The result of `friedman`.

    Attributes
    ----------
    chi2, p : float
        Friedman's statistic and its p-value.
    f, f_p : float
        The statistic of Iman and Davenport, which is less conservative, and its p-value. If all data sets
        agree on all ranks, ``f`` is infinite, and ``f_p`` is the probability of that by chance.
    n_data, n_algorithms : int
    """

    chi2: float
    p: float
    f: float
    f_p: float
    n_data: int
    n_algorithms: int


def friedman(ranks: pd.DataFrame) -> FriedmanTest:
    """Test whether all algorithms have the same mean rank over data sets.

    As in Demsar: Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006, section 3.2.2.

    Parameters
    ----------
    ranks : DataFrame
        A row for each data set, a column for each algorithm. The best has rank 1; equal ones share the mean
        of their ranks.

    Raises
    ------
    ValueError
        If there are fewer than two data sets or algorithms.
    """
    n, k = ranks.shape
    check("a test over data sets", n, "given at least 2 data sets", n >= 2)
    check("a test over data sets", k, "given at least 2 algorithms", k >= 2)
    mean = ranks.mean(axis="index").to_numpy()
    chi2 = float(12 * n / (k * (k + 1)) * (np.sum(mean**2) - k * (k + 1) ** 2 / 4))
    rest = n * (k - 1) - chi2
    if rest > 1e-9:
        f = (n - 1) * chi2 / rest
        f_p = float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    else:
        f, f_p = math.inf, math.factorial(k) ** (1.0 - n)
    return FriedmanTest(
        chi2,
        float(stats.chi2.sf(chi2, k - 1)),
        f,
        f_p,
        n,
        k,
    )


def critical_difference(n_algorithms: int, n_data: int, alpha: float = 0.05) -> float:
    """The smallest difference of two mean ranks that is significant by the Nemenyi test.

    Demsar 2006, section 3.2.2: ``q * sqrt(k (k + 1) / 6 N)`` for k algorithms and N data sets, where q is the
    quantile of the studentised range, divided by the square root of 2.
    """
    q = float(stats.studentized_range.isf(alpha, n_algorithms, np.inf)) / math.sqrt(2)
    return q * _standard_error(n_algorithms, n_data)


def nemenyi(mean_ranks: pd.Series[float], n_data: int) -> pd.DataFrame:
    """The p-values of the Nemenyi test for all pairs of algorithms.

    Parameters
    ----------
    mean_ranks : Series
        The mean rank of each algorithm.
    n_data : int

    Returns
    -------
    DataFrame
        Algorithms in rows and columns; 1 on the diagonal.
    """
    k, means = len(mean_ranks), mean_ranks.to_numpy()
    q = np.abs(means[:, None] - means) / _standard_error(k, n_data) * math.sqrt(2)
    p = np.where(np.eye(k, dtype=bool), 1.0, stats.studentized_range.sf(q, k, np.inf))
    return pd.DataFrame(p, index=mean_ranks.index, columns=mean_ranks.index)


def rank_tests(mean_ranks: pd.Series[float], n_data: int, reference: str) -> pd.DataFrame:
    """Compare each algorithm with one of them, by mean ranks.

    Demsar 2006, section 3.2.2: ``z`` is the difference of mean ranks divided by ``sqrt(k (k + 1) / 6 N)``.

    Returns
    -------
    DataFrame
        A row for each algorithm but the reference: ``difference`` (of its mean rank minus that of the
        reference), ``z``, ``p``, ``p_holm`` (adjusted by Holm's step-down procedure) and ``p_nemenyi``.
    """
    choice("reference", reference, list(mean_ranks.index))
    difference = mean_ranks.drop(reference) - mean_ranks[reference]
    z = difference / _standard_error(len(mean_ranks), n_data)
    p = 2 * stats.norm.sf(np.abs(z))
    pairs = nemenyi(mean_ranks, n_data)
    return pd.DataFrame(
        {
            "difference": difference,
            "z": z,
            "p": p,
            "p_holm": holm(p),
            "p_nemenyi": pairs.loc[difference.index, reference],
        }
    )


def holm(p: Iterable[float]) -> list[float]:
    """Adjust p-values of several tests (Holm: A Simple Sequentially Rejective Multiple Test Procedure, 1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none becomes smaller than one before.
    """
    values = np.asarray(list(p), np.float64)
    order = np.argsort(values)
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(value) for value in adjusted]


@dataclass(frozen=True)
class Significance:
    """The result of `Comparison.significance`.

    Attributes
    ----------
    reference : str
        The algorithm that all others are compared with.
    measure : str
    alpha : float
    differences : DataFrame
        The corrected resampled t-test on each data set: ``data``, ``algorithm``, ``difference`` (the mean of
        the algorithm's measure minus the reference's), ``low`` and ``high`` (its confidence interval at
        1 - alpha), ``t``, ``p``, ``p_holm`` (adjusted for the algorithms on this data set) and
        ``significant`` (``p_holm`` below ``alpha``).
    friedman : FriedmanTest or None
        The test of all algorithms over data sets; None with a single data set.
    ranks : DataFrame or None
        `rank_tests` with the reference; None with a single data set.
    critical_difference : float or None
        By the Nemenyi test; None with a single data set.
    """

    reference: str
    measure: str
    alpha: float
    differences: pd.DataFrame
    friedman: FriedmanTest | None
    ranks: pd.DataFrame | None
    critical_difference: float | None

    def __str__(self) -> str:
        name = NAMES[self.measure]
        lines = [
            f"{name} minus that of {self.reference}: corrected resampled t-test over folds (Nadeau, Bengio "
            f"2003), {1 - self.alpha:.0%} interval, p adjusted by Holm on each data set",
            self.differences.to_string(index=False, float_format="{:.4f}".format),
        ]
        if self.friedman is not None and self.ranks is not None:
            test = self.friedman
            lines += [
                f"\n{test.n_data} data sets: Friedman chi2 = {test.chi2:.2f} ({p_text(test.p)}), "
                f"Iman-Davenport F = {test.f:.2f} ({p_text(test.f_p)}); critical difference of mean ranks "
                f"(Nemenyi, alpha = {self.alpha:g}): {self.critical_difference:.2f}",
                f"mean rank minus that of {self.reference}:",
                self.ranks.to_string(float_format="{:.4f}".format),
            ]
        return "\n".join(lines)

    __repr__ = __str__


def cliques(mean_ranks: pd.Series[float], difference: float) -> list[tuple[float, float]]:
    """The lowest and highest mean rank of each largest group that spans no more than a difference."""
    ranks = np.sort(mean_ranks.to_numpy())
    spans: list[tuple[float, float]] = []
    for low in ranks:
        high = float(ranks[ranks <= low + difference].max())
        if high > low and (not spans or high > spans[-1][1]):
            spans.append((float(low), high))
    return spans


def _standard_error(n_algorithms: int, n_data: int) -> float:
    return math.sqrt(n_algorithms * (n_algorithms + 1) / (6 * n_data))
