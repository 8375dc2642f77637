"""Ids of another type than those of a model."""

from __future__ import annotations

import warnings
from collections.abc import Container, Hashable, Iterable
from contextlib import suppress
from itertools import islice
from numbers import Real

#: How many unknown ids to look at: enough to find a wrong type, and few enough to cost nothing.
_LOOKED_AT = 10


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
