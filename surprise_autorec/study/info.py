"""How a comparison was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = ["surprise-autorec", "scikit-surprise", "torch", "numpy", "scipy", "pandas", "joblib"]


@dataclass(frozen=True)
class StudyInfo:
    """How a comparison was made.

    Attributes
    ----------
    folds : str
        The iterator over folds.
    repeats : int
    train_sizes : tuple of float
    n_planned : int or None
        Number of fits that were asked for; None if an iterator does not know its number of folds.
    interrupted : bool
        Whether Ctrl-C ended it before all fits were done.
    command : str
        The command of the process.
    machine : str
    versions : dict of str to str
        Versions of Python and of the packages that matter.
    """

    folds: str
    repeats: int
    train_sizes: tuple[float, ...]
    n_planned: int | None
    interrupted: bool
    command: str
    machine: str
    versions: dict[str, str]

    @classmethod
    def of(
        cls,
        folds: str,
        repeats: int,
        train_sizes: tuple[float, ...],
        n_planned: int | None,
        interrupted: bool,
    ) -> StudyInfo:
        """A study by this process, on this machine."""
        return cls(
            folds,
            repeats,
            train_sizes,
            n_planned,
            interrupted,
            shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            {
                "python": platform.python_version(),
                **{package: importlib.metadata.version(package) for package in _PACKAGES},
            },
        )
