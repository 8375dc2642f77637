"""Ids and parameters as JSON that tells their types."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

#: NumPy's scalars that ids and parameters may be.
_NUMPY_TYPES = {
    kind.__name__: kind
    for kind in (np.bool_, np.str_, *np.sctypeDict.values())
    if issubclass(kind, (np.bool_, np.str_, np.integer, np.floating)) and kind is not np.longdouble
}


def to_json(value: Any) -> Any:
    """A value as JSON that tells its type. Raises TypeError where it cannot."""
    if isinstance(value, np.generic) and type(value).__name__ in _NUMPY_TYPES:
        return {"numpy": type(value).__name__, "value": value.item()}
    if isinstance(value, np.random.RandomState):
        state: Any = value.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            raise TypeError(f"got a RandomState of {state['bit_generator']}")
        inner = state["state"]
        position = [inner["key"].tolist(), inner["pos"], state["has_gauss"], state["gauss"]]
        return {"RandomState": [state["bit_generator"], *position]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (tuple, list):
        return {type(value).__name__: [to_json(item) for item in value]}
    if type(value) is dict and all(type(key) is str for key in value):
        return {"dict": {key: to_json(item) for key, item in value.items()}}
    raise TypeError(f"got {value!r}, of type {type(value).__name__}")


def from_json(value: Any) -> Any:
    """The inverse of `to_json`."""
    if not isinstance(value, dict):
        return value
    if "numpy" in value:
        return _NUMPY_TYPES[value["numpy"]](value["value"])
    ((kind, contents),) = value.items()
    if kind == "RandomState":
        return _random_state(*contents)
    if kind == "dict":
        return {key: from_json(item) for key, item in contents.items()}
    return {"tuple": tuple, "list": list}[kind](from_json(item) for item in contents)


def _random_state(name: str, key: list[int], position: int, has_gauss: int, gauss: float) -> Any:
    """A RandomState. NumPy does not check a position, from which it would read beyond the key."""
    if position not in range(len(key) + 1) or has_gauss not in (0, 1) or not abs(gauss) < np.inf:
        raise ValueError("a RandomState is impossible")
    state = np.random.RandomState()
    state.set_state((name, np.array(key, np.uint32), position, has_gauss, gauss))
    return state


def ids_to_json(side: str, ids: Sequence[Hashable]) -> Any:
    """Ids as JSON: their values, and NumPy's type if all are of one, or else each with its own."""
    types = {type(one) for one in ids}
    if types <= {str, int, float, bool}:
        return {"type": None, "ids": list(ids)}
    if len(types) == 1 and (name := next(iter(types)).__name__) in _NUMPY_TYPES:
        return {"type": name, "ids": [one.item() for one in ids]}  # type: ignore[attr-defined]
    saved = []
    for one in ids:
        try:
            saved.append(to_json(one))
        except TypeError as error:
            raise ValueError(f"only {side} ids that are strings or numbers can be saved: {error}") from error
    return {"type": "mixed", "ids": saved}


def ids_from_json(saved: Mapping[str, Any]) -> Sequence[Hashable]:
    """The inverse of `ids_to_json`."""
    if saved["type"] is None:
        return list(saved["ids"])
    if saved["type"] == "mixed":
        return [from_json(one) for one in saved["ids"]]
    kind = _NUMPY_TYPES[saved["type"]]
    return [kind(one) for one in saved["ids"]]


def parameters_to_json(parameters: Mapping[str, Any]) -> Any:
    """Parameters as JSON. Raises ValueError where one is of a type that cannot be written."""
    try:
        return to_json(dict(parameters))
    except TypeError as error:
        raise ValueError(
            f"only parameters that are numbers, strings, or collections of them can be saved: {error}"
        ) from error
