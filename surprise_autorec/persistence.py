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
    """Load a model that was saved with ``save``.

    The arrays of the model are mapped into memory and read when they are needed. Processes that load the same
    file share this memory. To replace a model, write a new file and rename it, as ``save`` does. Do not
    change a file in place while a process uses it.

    Parameters
    ----------
    path : str or path-like
    verify : bool, default=True
        Whether to check the checksum. Without this check, `load` does not read the whole file, but does not
        notice all damage.

    Returns
    -------
    AutoRec or AutoRecRegressor
        The saved model, with the same predictions, bit for bit. It does not have its training ratings, which
        `partial_fit` and `explain` need. The ``trainset`` of an `AutoRec` only has their ids.
        ``AutoRec.load`` and ``AutoRecRegressor.load`` load a model of either class as their own.

    Raises
    ------
    ModelFileError
        If the file is not a saved model, is damaged, or was written by a newer version.
    FileNotFoundError
        If there is no such file.
    """
    saved = read(path, verify)
    with problems_named(path):
        name = saved.class_name
        constructor: type[AutoRec | AutoRecRegressor] = getattr(import_module(_MODULES[name]), name)
    return constructor._of_saved(path, saved)
