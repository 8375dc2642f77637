"""AutoRec for Surprise: autoencoders that predict ratings."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.core.training import DivergenceError
from surprise_autorec.parameters import BEST, PAPER

if TYPE_CHECKING:
    from surprise_autorec.comparison import compare

__version__ = version("surprise-autorec")

__all__ = ["BEST", "PAPER", "AutoRec", "DivergenceError", "__version__", "compare"]

#: Where the names are that are imported when first asked for, since their modules load pandas.
_LAZY = {"compare": "surprise_autorec.comparison"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
