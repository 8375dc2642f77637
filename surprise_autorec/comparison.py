"""The comparison study: `surprise_autorec.study.comparison`, under the name that users import."""

from surprise_autorec.study.comparison import compare, format_comparison, ranking_scores

__all__ = ["compare", "format_comparison", "ranking_scores"]
