"""Rating data: the MovieLens sets, your own files, and synthetic ratings."""

from surprise_autorec.data.known import DATA_FOLDER, DatasetNotFoundError, load, make_ratings, read

__all__ = ["DATA_FOLDER", "DatasetNotFoundError", "load", "make_ratings", "read"]
