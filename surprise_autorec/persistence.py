"""Reading fitted algorithms from files."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from surprise_autorec.fitted import FittedAutoRec
from surprise_autorec.fitting import Fit
from surprise_autorec.model.files import ModelFileError, problems_named, read

__all__ = ["ModelFileError", "load"]

#: The modules of the classes that can be saved, imported when one is read.
_MODULES = {"AutoRec": "surprise_autorec.algorithm", "AutoRecRegressor": "surprise_autorec.regressor"}


def load(path: str | os.PathLike[str], verify: bool = True) -> Any:
    """Read what ``save`` has written.

    The model's arrays are mapped into memory and read when they are needed. Processes that load the same file
    share that memory. So replace a file by another one, as ``save`` does, and do not change it in place while
    a process uses it.

    Parameters
    ----------
    path : str or path-like
    verify : bool, default=True
        Whether to compare the checksum. Without, loading does not have to read all of the file, but
        damage may go unnoticed.

    Returns
    -------
    AutoRec or AutoRecRegressor
        As it was saved: it predicts the same bits, recommends, and takes new users. It does not have the
        ratings that it was trained on, which `partial_fit` and `explain` need; the ``trainset`` of an
        `AutoRec` has their ids alone.

    Raises
    ------
    ModelFileError
        If the file is not a saved model, is damaged, or was written by a newer version.
    FileNotFoundError
        If there is none.
    """
    saved = read(path, verify)
    with problems_named(path):
        if saved.class_name not in _MODULES:
            raise ValueError(f"its class is {saved.class_name!r}")
        constructor = getattr(import_module(_MODULES[saved.class_name]), saved.class_name)
        algorithm: FittedAutoRec = constructor(**saved.parameters)
        algorithm._restore(Fit(saved.model, list(saved.epochs)), saved.state)
        return algorithm
