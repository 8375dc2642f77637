"""Comparison studies, under the name that users import; the code is in `surprise_autorec.study`."""

from surprise_autorec.study.comparison import compare, format_comparison, ranking_scores

__all__ = ["compare", "format_comparison", "ranking_scores"]
