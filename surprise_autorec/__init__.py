"""AutoRec for Surprise: autoencoders that predict ratings."""

from importlib.metadata import version

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.comparison import compare
from surprise_autorec.core.training import DivergenceError
from surprise_autorec.parameters import BEST, PAPER

__version__ = version("surprise-autorec")

__all__ = ["BEST", "PAPER", "AutoRec", "DivergenceError", "__version__", "compare"]
