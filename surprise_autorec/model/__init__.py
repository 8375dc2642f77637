"""What was fitted: a model that scores, ranks, takes new users and items, and is read from and written to files."""

from surprise_autorec.model.scoring import AutoRecModel, Rated, RatingScale

__all__ = ["AutoRecModel", "Rated", "RatingScale"]
