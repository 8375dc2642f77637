"""What the file of a saved model holds: every entry, its type, its shape and its rule, in one place.

What is written is checked against this before it is written, and what is read before anything is made of it.
docs/file-format.md has the same for readers. To add an entry, add a line here, and one there.
"""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from surprise_autorec.checks import is_nan, is_positive_integer
from surprise_autorec.core.network import ACTIVATIONS
from surprise_autorec.core.uncertainty import N_FEATURES
from surprise_autorec.model.scoring import SCALE_RULE, is_rating_scale

#: Raised by one whenever an older version of this package could not read what is written, or would read it
#: wrongly.
FORMAT_VERSION = 5

#: No number of a trained model comes near to this, and products of such numbers do not overflow.
LARGEST_NUMBER = 1e12

Arrays = dict[str, npt.NDArray[Any]]
#: Lengths of arrays by their names, such as "n_users".
Sizes: TypeAlias = dict[str, int]


def _are_moderate(array: npt.NDArray[Any], *_: object) -> bool:
    return bool(array.min() >= -LARGEST_NUMBER and array.max() <= LARGEST_NUMBER)  # (not of NaN)


class Array(NamedTuple):
    """The rule of an array.

    ``shape`` has names of sizes. The first array that has a size sets it. All others must agree, and none is
    0. ``rule`` is what its values must be, in words, and ``holds`` tells whether they are, by the array, all
    arrays and all sizes.
    """

    dtype: str
    shape: tuple[str, ...]
    rule: str = f"numbers from {-LARGEST_NUMBER:g} to {LARGEST_NUMBER:g}"
    holds: Callable[[npt.NDArray[Any], Arrays, Sizes], bool] = _are_moderate
    optional: bool = False


class Entry(NamedTuple):
    """The rule of an entry of the JSON.

    ``rule`` is what it must be, in words, and ``holds`` tells whether it is, by the entry and all entries
    that stand beside it. ``default`` is what it is in older files, which lack it. Without one there are none
    such.
    """

    rule: str
    holds: Callable[[Any, Mapping[str, Any]], bool]
    default: Any = ...


def _is_number(value: Any, low: float = -LARGEST_NUMBER, high: float = LARGEST_NUMBER) -> bool:
    """Whether it is a float, or an integer that fits into one, in an interval."""
    is_integer = type(value) is int and abs(value) <= 2**53
    return (is_integer or isinstance(value, float)) and low <= value <= high


def _is_penalty(value: Any) -> bool:
    return _is_number(value, 0, sys.float_info.max)


def _is_list(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, (list, tuple)) and all(map(holds, value))


def _is_loss(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _are_ids(ids: Any, _: Mapping[str, Any]) -> bool:
    return len(ids) > 0 and len(set(ids)) == len(ids) and not any(map(_has_nan, ids))


def _has_nan(one: Any) -> bool:
    return any(map(_has_nan, one)) if isinstance(one, tuple) else is_nan(one)


def _is_mean(mean: Any, contents: Mapping[str, Any]) -> bool:
    low, high = contents["scale"]
    rounding = 1e-6 * (high - low) + 1e-9 * max(abs(low), abs(high))
    return _is_number(mean, low - rounding, high + rounding)


def _are_baselines(value: Any, _: Mapping[str, Any]) -> bool:
    mean, *of_sides, per_rating = value[:4]
    are_penalties = len(of_sides) == 2 and _is_penalty(per_rating)
    are_penalties = are_penalties and all(one == math.inf or _is_penalty(one) for one in of_sides)
    are_shares = len(value) in (4, 6) and all(_is_number(share, 0, 1) for share in value[4:])
    return _is_number(mean) and are_penalties and are_shares


def _is_evidence(value: Any, _: Mapping[str, Any]) -> bool:
    return value is None or (len(value) == 2 and all(map(_is_number, value)) and value[1] > 0)


def _is_state_of_algorithm(state: Any) -> bool:
    return isinstance(state, dict) and not state


def _is_state_of_regressor(state: Any) -> bool:
    n_features, names, columns = state["n_features_in_"], state["feature_names_in_"], state["columns_"]
    are_columns = (
        is_positive_integer(n_features)
        and _is_list(columns, lambda column: type(column) is int and 0 <= column < n_features)
        and len(columns) == len(set(columns)) == 2
    )
    are_names = names is None or (
        _is_list(names, lambda name: isinstance(name, str)) and len(names) == n_features
    )
    return len(state) == 3 and are_columns and are_names


#: The classes that can be saved, and whether what else they need is right.
_STATES: dict[str, Callable[[Any], bool]] = {
    "AutoRec": _is_state_of_algorithm,
    "AutoRecRegressor": _is_state_of_regressor,
}


def _are_rules(value: Any, _: Mapping[str, Any]) -> bool:
    return len(value) == 4 and all(_is_number(x, 0) for x in value) and max(value[:2]) <= 1 and value[3] > 0


def _is_member(value: Any, _: Mapping[str, Any]) -> bool:
    side, *shares = value[:3]
    are_shares = len(shares) in (1, 2) and all(_is_number(one, 0, 1) for one in shares)
    is_gain = len(value) < 4 or (len(value) == 4 and _is_number(value[3]) and value[3] > -1)
    return side in ("user", "item") and are_shares and is_gain


def _are_networks(networks: Any, contents: Mapping[str, Any]) -> bool:
    # An infinite penalty on the sum of two biases would be infinity less infinity in the equations.
    are_joint = any(network["joint_biases"] for network in networks)
    are_possible = not are_joint or max(contents["baselines"][1:3]) <= LARGEST_NUMBER
    return are_possible and math.isclose(sum(network["member"][1] for network in networks), 1)


_ACTIVATION = Entry(
    f"one of {', '.join(ACTIVATIONS)}", lambda value, _: isinstance(value, str) and value in ACTIVATIONS
)
_PENALTY = Entry("a number >= 0", lambda value, _: _is_penalty(value))
_FLAG = Entry("true or false", lambda value, _: isinstance(value, bool))
_IDS = Entry("distinct ids, at least one, none of them NaN", _are_ids)

#: The JSON.
CONTENTS: dict[str, Entry] = {
    "version": Entry(f"1 to {FORMAT_VERSION}", lambda value, _: value in range(1, FORMAT_VERSION + 1)),
    "class": Entry(f"one of {', '.join(_STATES)}", lambda value, _: value in _STATES),
    "parameters": Entry("values by the names of parameters", lambda value, _: isinstance(value, dict)),
    "state": Entry("what the class needs", lambda value, contents: _STATES[contents["class"]](value)),
    "loss_curve": Entry("finite numbers, one for each epoch", lambda value, _: _is_list(value, _is_loss)),
    "validation_scores": Entry(
        "finite numbers, one for each epoch, or empty",
        lambda value, contents: _is_list(value, _is_loss) and len(value) in (0, len(contents["loss_curve"])),
    ),
    "user_ids": _IDS,
    "item_ids": _IDS,
    "scale": Entry(SCALE_RULE, lambda value, _: len(value) == 2 and is_rating_scale(*value)),
    "mean_rating": Entry("a number on the scale", _is_mean),
    "biased": _FLAG,
    "decoder_activation": _ACTIVATION,
    "baselines": Entry("a mean, three penalties >= 0 and two shares in [0, 1]", _are_baselines),
    "networks": Entry(
        "networks whose weights add up to 1, and biases are joint only under penalties up to "
        f"{LARGEST_NUMBER:g} in baselines",
        _are_networks,
    ),
    "errors": Entry("null, or a mean and a mean square > 0", _is_evidence, default=None),
}

#: Each of the JSON's networks.
NETWORK: dict[str, Entry] = {
    "member": Entry(
        "the side that is encoded, user or item, two shares in [0, 1] and a gain > -1", _is_member
    ),
    "encoder_activation": _ACTIVATION,
    "rules": Entry("two shares in [0, 1], an exponent >= 0 and a count > 0", _are_rules),
    "reg": _PENALTY,
    "reg_bias": _PENALTY,
    "joint_biases": _FLAG._replace(default=False),
}


def _are_indices(array: npt.NDArray[Any], _: Arrays, sizes: Sizes) -> bool:
    return bool(array.min() >= 0 and array.max() < sizes["n_items"])


def _are_offsets(offsets: npt.NDArray[Any], arrays: Arrays, sizes: Sizes) -> bool:
    if offsets[0] != 0 or offsets[-1] != sizes["n_rated"] or (np.diff(offsets) < 0).any():
        return False
    is_first = np.zeros(sizes["n_rated"] + 1, np.bool_)
    is_first[offsets] = True
    return bool((is_first[1:-1] | (np.diff(arrays["rated_items"]) > 0)).all())


#: The arrays of a model.
ARRAYS: dict[str, Array] = {
    "user_biases": Array("float64", ("n_users",)),
    "item_biases": Array("float64", ("n_items",)),
    "rated_items": Array("int32", ("n_rated",), "indices of items", _are_indices),
    "rated_offsets": Array(
        "int32",
        ("n_users + 1",),
        "ascending from 0 to n_rated, with ascending items between two",
        _are_offsets,
    ),
}


def _are_counts(array: npt.NDArray[Any], *_: object) -> bool:
    return bool(array.min() >= 0)


def _are_coefficients(array: npt.NDArray[Any], *_: object) -> bool:
    return len(array) == N_FEATURES and _are_moderate(array)


def _are_scores(array: npt.NDArray[Any], *_: object) -> bool:
    return bool(array[0] >= 0 and (np.diff(array) >= 0).all()) and _are_moderate(array)


#: Those that stand beside the JSON's errors.
ERROR_ARRAYS: dict[str, Array] = {
    "errors.coefficients": Array(
        "float64",
        ("n_features",),
        f"{N_FEATURES} numbers from {-LARGEST_NUMBER:g} to {LARGEST_NUMBER:g}",
        _are_coefficients,
    ),
    "errors.scores": Array("float64", ("n_scores",), "numbers >= 0, ascending", _are_scores),
    "errors.user_counts": Array("int32", ("n_users",), "numbers >= 0", _are_counts),
    "errors.user_noise": Array("float64", ("n_users",)),
    "errors.item_counts": Array("int32", ("n_items",), "numbers >= 0", _are_counts),
    "errors.item_noise": Array("float64", ("n_items",)),
}


def network_arrays(n_deeper: int) -> dict[str, Array]:
    """The arrays of a network whose encoder has so many layers besides the first.

    The widths of its layers are ``k0``, ``k1``, and so on.
    """
    k = f"k{n_deeper}"
    deeper: dict[str, Array] = {}
    for n in range(n_deeper):
        deeper[f"network.deeper_weights.{n}"] = Array("float32", (f"k{n}", f"k{n + 1}"))
        deeper[f"network.deeper_biases.{n}"] = Array("float32", (f"k{n + 1}",))
    return {
        "network.encoder_weight": Array("float32", ("n_columns", "k0")),
        "network.encoder_bias": Array("float32", ("k0",)),
        **deeper,
        "network.decoder_weight": Array("float32", ("n_columns", k), optional=True),
        "network.column_encoder_weight": Array("float32", ("n_rows", k), optional=True),
        "hidden": Array("float32", ("n_rows", k)),
        "mean_hidden": Array("float32", (k,)),
        "weight": Array("float32", ("n_columns", k)),
        "bias": Array("float32", ("n_columns",)),
    }


def of_network(arrays: Arrays, n: int) -> Arrays:
    """The arrays of network ``n``, by their names without the number."""
    prefix = f"{n}."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def checked(contents: Mapping[str, Any], arrays: Arrays, numbers: bool = True) -> dict[str, Any]:
    """Check the JSON of a model, with its ids and parameters decoded, and its arrays.

    Returns the contents, with defaults for what older files lack. Raises ValueError if an entry or an array
    is unknown, missing, or breaks its rule. What is not even of the expected kind may raise LookupError,
    TypeError or ArithmeticError.
    """
    networks = [_with_defaults(f"networks[{n}]", NETWORK, one) for n, one in enumerate(contents["networks"])]
    contents = _with_defaults("the contents", CONTENTS, {**contents, "networks": networks})
    sizes = {"n_users": len(contents["user_ids"]), "n_items": len(contents["item_ids"])}
    sizes["n_users + 1"] = sizes["n_users"] + 1
    left = dict(arrays)
    for n, network in enumerate(networks):
        own = of_network(arrays, n)
        for name in own:
            del left[f"{n}.{name}"]
        rows, columns = "n_users", "n_items"
        if network["member"][0] == "item":
            rows, columns = columns, rows
        rules = network_arrays(sum(name.startswith("network.deeper_biases.") for name in own))
        _check_arrays(f"{n}.", rules, own, {"n_rows": sizes[rows], "n_columns": sizes[columns]}, numbers)
        if ("network.decoder_weight" in own) != ("network.column_encoder_weight" in own):
            raise ValueError(f"network {n} must have both encoders' arrays or those of the first alone")
    rules = ARRAYS if contents["errors"] is None else {**ARRAYS, **ERROR_ARRAYS}
    _check_arrays("", rules, left, sizes, numbers)
    return contents


def _with_defaults(where: str, rules: Mapping[str, Entry], entries: Mapping[str, Any]) -> dict[str, Any]:
    """Entries that follow their rules, and the defaults of those that are missing."""
    _refuse_unknown(where, rules, entries)
    found = {name: entries.get(name, rule.default) for name, rule in rules.items()}
    for name, rule in rules.items():
        if found[name] is ...:
            raise ValueError(f"{where} must have {name}")
        if not rule.holds(found[name], found):
            raise ValueError(f"{name} must be {rule.rule}, got {reprlib.repr(found[name])}")
    return found


def _check_arrays(
    prefix: str, rules: Mapping[str, Array], arrays: Arrays, sizes: Sizes, numbers: bool
) -> None:
    _refuse_unknown("the arrays", rules, arrays)
    for name, rule in rules.items():
        if name not in arrays:
            if rule.optional:
                continue
            raise ValueError(f"the arrays must have {prefix}{name}")
        array = arrays[name]
        for size, length in zip(rule.shape, array.shape, strict=False):
            sizes.setdefault(size, length)
        shape = tuple(sizes.get(size, -1) for size in rule.shape)
        if array.dtype != rule.dtype or array.shape != shape or 0 in shape:
            raise ValueError(
                f"{prefix}{name} must be {rule.dtype} of shape ({', '.join(rule.shape)}), "
                f"got {array.dtype} of shape {array.shape}, where sizes are {sizes}"
            )
        if (numbers or rule.dtype == "int32") and not rule.holds(array, arrays, sizes):
            raise ValueError(f"{prefix}{name} must be {rule.rule}, got {reprlib.repr(array.tolist())}")


def _refuse_unknown(where: str, rules: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    for name in found:
        if name not in rules:
            raise ValueError(f"{where} must not have {reprlib.repr(name)}")
