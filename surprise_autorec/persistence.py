"""Reading fitted algorithms from files."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from surprise_autorec.model.files import ModelFileError, problems_named, read

if TYPE_CHECKING:
    from surprise_autorec.algorithm import AutoRec
    from surprise_autorec.regressor import AutoRecRegressor

__all__ = ["ModelFileError", "load"]

#: The modules of the classes that can be saved, imported when one is read.
_MODULES = {"AutoRec": "surprise_autorec.algorithm", "AutoRecRegressor": "surprise_autorec.regressor"}


def load(path: str | os.PathLike[str], verify: bool = True) -> AutoRec | AutoRecRegressor:
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
        `AutoRec` has their ids alone. ``AutoRec.load`` and ``AutoRecRegressor.load`` read either as theirs.

    Raises
    ------
    ModelFileError
        If the file is not a saved model, is damaged, or was written by a newer version.
    FileNotFoundError
        If there is none.
    """
    saved = read(path, verify)
    with problems_named(path):
        name = saved.class_name
        constructor: type[AutoRec | AutoRecRegressor] = getattr(import_module(_MODULES[name]), name)
    return constructor._of_saved(path, saved)
