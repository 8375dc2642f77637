"""Rating data: the MovieLens data sets, files of your own, and synthetic ratings."""

from surprise_autorec.data.known import DATA_FOLDER, DatasetNotFoundError, load
from surprise_autorec.data.readers import read
from surprise_autorec.data.synthetic import make_ratings

__all__ = ["DATA_FOLDER", "DatasetNotFoundError", "load", "make_ratings", "read"]
