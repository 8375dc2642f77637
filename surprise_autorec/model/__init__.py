"""The fitted model: it scores, ranks, takes new users and items, and is written to and read from files."""

from surprise_autorec.model.scoring import AutoRecModel, Rated, RatingScale

__all__ = ["AutoRecModel", "Rated", "RatingScale"]
