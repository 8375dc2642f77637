"""Comparison studies, under the name that users import; the code is in `surprise_autorec.study`."""

from surprise_autorec.study.comparison import compare, format_comparison, ranking_scores
from surprise_autorec.study.errors import errors_by_count, errors_by_rating

__all__ = ["compare", "errors_by_count", "errors_by_rating", "format_comparison", "ranking_scores"]
