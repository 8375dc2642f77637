"""Splits that Surprise lacks, under the name that users import; the code is in `surprise_autorec.study`."""

from surprise_autorec.study.splits import LastOfEachUser, NewUsers, RandomOfEachUser, TimeSplit

__all__ = ["LastOfEachUser", "NewUsers", "RandomOfEachUser", "TimeSplit"]
