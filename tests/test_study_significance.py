"""Tests of significance, against published examples and formulas worked out by hand."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from surprise_autorec.study.significance import (
    cliques,
    corrected_t_test,
    critical_difference,
    friedman,
    holm,
    nemenyi,
    rank_tests,
)

#: Demsar 2006, table 6: ranks of four versions of C4.5 on fourteen data sets.
DEMSAR = pd.DataFrame(
    [
        [4, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3], [4, 1, 3, 2], [4, 2, 3, 1], [1, 2.5, 4, 2.5], [3, 2, 4, 1],
        [2.5, 2.5, 4, 1], [4, 3, 2, 1], [2.5, 2.5, 2.5, 2.5], [4, 2.5, 1, 2.5], [3, 2, 4, 1], [4, 1, 2, 3],
        [3, 1, 4, 2],
    ],
    columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
)  # fmt: skip
MEANS = DEMSAR.mean()


def test_the_published_mean_ranks():
    assert MEANS.round(3).tolist() == [3.143, 2.000, 2.893, 1.964]


def test_friedman_is_that_of_demsars_example():
    test = friedman(DEMSAR)
    assert test.chi2 == pytest.approx(9.28, abs=0.005)
    assert test.f == pytest.approx(3.69, abs=0.005)
    assert stats.f.isf(0.05, 3, 39) == pytest.approx(2.85, abs=0.005)  # the critical value that he names
    assert test.f_p < 0.05
    assert (test.n_data, test.n_algorithms) == (14, 4)


def test_friedman_is_that_of_scipy_where_no_ranks_are_equal():
    values = np.random.default_rng(0).normal(size=(9, 5)) + np.arange(5) / 2
    ranks = pd.DataFrame(stats.rankdata(values, axis=1))
    wanted = stats.friedmanchisquare(*values.T)
    test = friedman(ranks)
    assert (test.chi2, test.p) == pytest.approx((wanted.statistic, wanted.pvalue))


def test_friedman_of_data_sets_that_agree():
    test = friedman(pd.DataFrame([[1, 2, 3]] * 4))
    assert test.f == math.inf
    assert test.f_p == pytest.approx(1 / 6**3)


@pytest.mark.parametrize(("alpha", "wanted"), [(0.05, 1.25), (0.10, 1.12)])
def test_critical_difference_is_that_of_demsars_example(alpha, wanted):
    assert critical_difference(4, 14, alpha) == pytest.approx(wanted, abs=0.005)


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (8, 3.031), (10, 3.164)])
def test_quantiles_are_those_of_demsars_table_5(k, q):
    assert critical_difference(k, 1) / math.sqrt(k * (k + 1) / 6) == pytest.approx(q, abs=0.001)


def test_nemenyi_finds_no_pair_at_5_percent_and_two_at_10_as_demsar():
    p = nemenyi(MEANS, 14)
    assert (np.diag(p) == 1).all()
    pd.testing.assert_frame_equal(p, p.T)
    assert (p.to_numpy() > 0.05).all()
    pairs = [(a, b) for a, b in itertools.combinations(p.index, 2) if p.loc[a, b] < 0.1]
    assert pairs == [("C4.5", "C4.5+m"), ("C4.5", "C4.5+m+cf")]


def test_holm_is_that_of_demsars_example():
    frame = rank_tests(MEANS, 14, "C4.5").loc[["C4.5+m+cf", "C4.5+m", "C4.5+cf"]]
    assert (-frame["z"]).tolist() == pytest.approx([2.416, 2.342, 0.512], abs=0.005)
    assert frame["p"].tolist() == pytest.approx([0.016, 0.019, 0.607], abs=0.0015)
    assert (frame["p_holm"] < 0.05).tolist() == [True, True, False]


def test_holm_multiplies_and_never_falls():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_corrected_t_test_worked_out_by_hand():
    # Mean .03, variance .0001 (ddof=1), (1/5 + 1/4) * .0001 = .000045; t = .03 / .0067082 = 4.4721
    test = corrected_t_test([0.03, 0.04, 0.02, 0.04, 0.02], n_test=20, n_train=80)
    assert test.difference == pytest.approx(0.03)
    assert test.t == pytest.approx(4.4721, abs=1e-4)
    assert test.p == pytest.approx(2 * stats.t.sf(4.4721, 4), abs=1e-6)
    assert test.high - test.difference == pytest.approx(2.776445 * math.sqrt(0.000045), rel=1e-6)
    assert test.low == pytest.approx(0.06 - test.high)


def test_corrected_t_test_is_a_plain_one_without_the_correction():
    differences = np.random.default_rng(0).normal(0.1, 1, 12)
    wanted = stats.ttest_1samp(differences, 0)
    test = corrected_t_test(differences, n_test=0, n_train=1)
    assert (test.t, test.p) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert (test.low, test.high) == pytest.approx(tuple(wanted.confidence_interval()))


@pytest.mark.parametrize(("differences", "t", "p"), [([0, 0, 0], 0, 1), ([-2, -2], -math.inf, 0)])
def test_differences_without_variance(differences, t, p):
    test = corrected_t_test(differences, 1, 4)
    assert (test.t, test.p) == (t, p)


def test_too_little_to_test_is_named():
    with pytest.raises(ValueError, match="a test over folds must be given at least 2 folds, got 1"):
        corrected_t_test([0.1], 1, 4)
    with pytest.raises(ValueError, match="a test over data sets must be given at least 2 data sets, got 1"):
        friedman(DEMSAR.head(1))
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        corrected_t_test([0.1, 0.2], 1, 4, 95)
    with pytest.raises(ValueError, match="reference must be one of"):
        rank_tests(MEANS, 14, "C5")


def test_cliques_are_the_largest_groups_within_the_difference():
    ranks = pd.Series([1.0, 1.5, 2.4, 4.0, 4.2])
    assert cliques(ranks, 1.0) == [(1.0, 1.5), (1.5, 2.4), (4.0, 4.2)]
    assert cliques(ranks, 0.1) == []
    assert cliques(ranks, 5) == [(1.0, 4.2)]
