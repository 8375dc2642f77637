"""AutoRec for Surprise: autoencoders that predict ratings."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.core.training import DivergenceError
from surprise_autorec.parameters import BEST, PAPER

if TYPE_CHECKING:
    from surprise_autorec.persistence import load
    from surprise_autorec.regressor import AutoRecRegressor
    from surprise_autorec.study.comparison import compare
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
    "plot_comparison",
    "plot_history",
]

#: Names that are imported when first used, and their modules: few programs need them, and some load pandas.
_LAZY = {
    "AutoRecRegressor": "surprise_autorec.regressor",
    "load": "surprise_autorec.persistence",
    "compare": "surprise_autorec.study.comparison",
    "plot_comparison": "surprise_autorec.study.plots",
    "plot_history": "surprise_autorec.study.plots",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
