"""Comparison studies, under the name that users import; the code is in `surprise_autorec.study`."""

from surprise_autorec.study.comparison import compare
from surprise_autorec.study.errors import errors_by_count, errors_by_rating
from surprise_autorec.study.rankings import ranking_scores
from surprise_autorec.study.result import Comparison
from surprise_autorec.study.significance import (
    Significance,
    corrected_t_test,
    critical_difference,
    friedman,
    nemenyi,
    rank_tests,
)

__all__ = [
    "Comparison",
    "Significance",
    "compare",
    "corrected_t_test",
    "critical_difference",
    "errors_by_count",
    "errors_by_rating",
    "friedman",
    "nemenyi",
    "rank_tests",
    "ranking_scores",
]
