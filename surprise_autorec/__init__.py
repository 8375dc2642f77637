"""AutoRec for Surprise: autoencoders that predict ratings."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surprise_autorec.algorithm import AutoRec
    from surprise_autorec.comparison import compare
    from surprise_autorec.core.training import DivergenceError
    from surprise_autorec.memory import memory_needed
    from surprise_autorec.parameters import BEST, PAPER
    from surprise_autorec.persistence import load
    from surprise_autorec.regressor import AutoRecRegressor
    from surprise_autorec.study.plots import plot_comparison, plot_history

__version__ = version("surprise-autorec")

__all__ = [
    "BEST",
    "PAPER",
    "AutoRec",
    "AutoRecRegressor",
    "DivergenceError",
    "__version__",
    "compare",
    "load",
    "memory_needed",
    "plot_comparison",
    "plot_history",
]

#: Where the names are. They are imported when first asked for, as torch and pandas take seconds to load.
_LAZY = {
    "AutoRec": "surprise_autorec.algorithm",
    "AutoRecRegressor": "surprise_autorec.regressor",
    "BEST": "surprise_autorec.parameters",
    "DivergenceError": "surprise_autorec.core.training",
    "PAPER": "surprise_autorec.parameters",
    "compare": "surprise_autorec.comparison",
    "load": "surprise_autorec.persistence",
    "memory_needed": "surprise_autorec.memory",
    "plot_comparison": "surprise_autorec.study.plots",
    "plot_history": "surprise_autorec.study.plots",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, "callbacks", "comparison", "datasets"})
