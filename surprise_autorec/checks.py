"""Checks of parameters, ids and pyarrow. The first raise ValueError that names parameter, rule and value."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Container, Hashable, Iterable
from contextlib import suppress
from itertools import islice
from numbers import Integral, Real
from typing import Any

import numpy as np

#: How many unknown ids to look at: enough to find a wrong type, and few enough to cost nothing.
_LOOKED_AT = 10


def check(name: str, value: object, rule: str, holds: bool) -> None:
    """Raise ValueError if a rule does not hold: the name, the rule in words, and the value."""
    if not holds:
        raise ValueError(f"{name} must be {rule}, got {value!r}")


def is_integer(value: Any, least: float = -math.inf) -> bool:
    """Whether a value is an integer, and not below the least one; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def is_positive_integer(value: Any) -> bool:
    """Whether a value is an integer above zero; True is not."""
    return is_integer(value, least=1)


def integer(name: str, value: Any, least: int) -> int:
    """Check that a value is an integer and not below the least one, and return it as an int."""
    check(name, value, f"an integer, {least} or more", is_integer(value, least))
    return int(value)


def positive_integer(name: str, value: Any, rule: str = "a positive integer") -> int:
    """Check that a value is a positive integer, and return it as an int."""
    check(name, value, rule, is_positive_integer(value))
    return int(value)


def is_finite(value: Real) -> bool:
    """Whether a number is neither NaN nor infinite, nor an integer that no float is as large as."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def number(name: str, value: Any, rule: str, holds: Callable[[float], bool]) -> float:
    """Check that a value is a finite number for which a rule holds, and return it as a float."""
    is_number = isinstance(value, Real) and not isinstance(value, bool) and is_finite(value)
    check(name, value, rule, is_number and holds(value))
    return float(value)


def is_nan(one: Any) -> bool:
    """Whether an id is NaN, which equals nothing, so that nobody could ask for it."""
    return isinstance(one, (float, np.floating)) and math.isnan(one)


def flag(name: str, value: Any) -> bool:
    """Check that a value is True or False, and return it as a bool."""
    check(name, value, "True or False", isinstance(value, (Integral, np.bool_)) and value in (0, 1))
    return bool(value)


def choice(name: str, value: Any, allowed: Collection[str], rule: str = "one of") -> str:
    """Check that a value is one of the allowed texts, and return it."""
    check(name, value, f"{rule} {sorted(allowed)}", isinstance(value, str) and value in allowed)
    return str(value)


def pyarrow(what: str) -> Any:
    """Pyarrow, with its reader and writer of Parquet.

    If it is not installed, ImportError says what needs it, and what to install.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"{what} needs pyarrow: pip install 'surprise-autorec[parquet]'") from error
    return pa


def warn_of_types(
    role: str, unknown: Iterable[Hashable], known: Container[Hashable], stacklevel: int
) -> None:
    """Warn if unknown ids would be known as text, or as numbers.

    The message has the types, not the ids, so that Python shows it once for each line of a program.
    """
    for one in islice(unknown, _LOOKED_AT):
        other = _as_other_type(one)
        if other is not None and other in known:
            warnings.warn(
                f"{role} ids of type {type(one).__name__} are unknown to the model, but would be known as "
                f"{type(other).__name__}: convert them with {type(other).__name__}(...)",
                UserWarning,
                stacklevel=stacklevel + 1,
            )
            return


def hint_of_type(one: Hashable, known: Container[Hashable]) -> str:
    """What to add to a message about an unknown id, if it would be known as text, or as a number."""
    other = _as_other_type(one)
    return f"; did you mean {other!r}?" if other is not None and other in known else ""


def _as_other_type(one: Hashable) -> str | int | None:
    """A number as text, and text as a whole number if it is one."""
    with suppress(OverflowError, ValueError):  # of more digits than Python turns into a float or a text
        if isinstance(one, str):
            return int(one) if one.isdecimal() else None
        if isinstance(one, Real):
            return str(int(one)) if float(one).is_integer() else str(one)
    return None
