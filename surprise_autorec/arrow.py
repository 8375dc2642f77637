"""The optional dependency that reads and writes Parquet."""

from __future__ import annotations

from typing import Any


def pyarrow(what: str) -> Any:
    """Pyarrow, with its reader and writer of Parquet.

    Raises
    ------
    ImportError
        If it is not installed. The message says what needs it, and what to install.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"{what} needs pyarrow: pip install 'surprise-autorec[parquet]'") from error
    return pa
