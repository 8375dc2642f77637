"""A fitted AutoRec as a file: tensors in safetensors, all else as JSON in its header; no pickle.

The JSON tells the types of ids and parameters.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from surprise_autorec.core.atomic import other_kind, written_whole
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import InputRules, RowsAndColumns
from surprise_autorec.core.network import Architecture
from surprise_autorec.core.trained import Encoders, Factors, Member, TrainedNetwork
from surprise_autorec.core.uncertainty import ErrorModel, Evidence, Support
from surprise_autorec.model.file_format import FORMAT_VERSION, Arrays, checked, of_network
from surprise_autorec.model.scoring import AutoRecModel, Rated, RatingScale

#: What safetensors reads of a header, and somewhat less.
LARGEST_TEXT = 90_000_000

#: The name that the checksum and the JSON have in the file's header.
_CONTENTS = "surprise_autorec"


#: NumPy's scalars that ids and parameters may be.
_NUMPY_TYPES = {
    kind.__name__: kind
    for kind in (np.bool_, np.str_, *np.sctypeDict.values())
    if issubclass(kind, (np.bool_, np.str_, np.integer, np.floating)) and kind is not np.longdouble
}


class ModelFileError(ValueError):
    """A file is not a saved model, or is damaged, or was written by a newer version."""


class SavedModel(NamedTuple):
    """What a file holds.

    ``parameters`` are the keywords of the constructor of the class, ``state`` is what else the algorithm
    needs. ``loss_curve`` and ``validation_scores`` have a number for each epoch; the second is empty without
    early stopping.
    """

    class_name: str
    parameters: dict[str, Any]
    state: dict[str, Any]
    model: AutoRecModel
    loss_curve: list[float]
    validation_scores: list[float]


def write(path: str | os.PathLike[str], saved: SavedModel) -> None:
    """Write a file.

    Raises ValueError if an id or a parameter is of a type that cannot be written, or an id is NaN, or all of
    them are too long, or no file can be written at the path; and OSError if writing fails.
    """
    contents, arrays = _entries(saved)
    contents = {
        **checked(contents, arrays),
        "parameters": parameters_to_json(saved.parameters),
        "state": to_json(saved.state),
        "user_ids": ids_to_json("user", saved.model.user_ids),
        "item_ids": ids_to_json("item", saved.model.item_ids),
    }
    text = json.dumps(contents)
    if len(text) > LARGEST_TEXT:
        raise ValueError(
            f"ids and parameters must have at most {LARGEST_TEXT:,} characters as JSON, got {len(text):,}"
        )
    data = to_safetensors(arrays, {_CONTENTS: f"{_checksum(text, arrays)} {text}"})
    with written_whole(path) as file:
        file.write(data)


def _entries(saved: SavedModel) -> tuple[dict[str, Any], Arrays]:
    """A model as JSON, but for its ids and parameters, which are as they are, and as arrays."""
    model = saved.model
    baselines, errors = model.baselines, model.errors
    penalties = baselines.row_reg, baselines.column_reg, baselines.reg_per_rating
    shares = baselines.row_share, baselines.column_share
    arrays: Arrays = {
        "user_biases": baselines.row_biases,
        "item_biases": baselines.column_biases,
        "rated_offsets": model.rated.offsets,
        "rated_items": model.rated.items,
    }
    if errors is not None:
        arrays |= _error_arrays(errors)
    networks = []
    for n, network in enumerate(model.networks):
        description, own_arrays = _network_entries(network)
        networks.append(description)
        arrays |= {f"{n}.{name}": array for name, array in own_arrays.items()}
    contents = {
        "version": FORMAT_VERSION,
        "class": saved.class_name,
        "parameters": saved.parameters,
        "state": saved.state,
        "loss_curve": saved.loss_curve,
        "validation_scores": saved.validation_scores,
        "user_ids": model.user_ids,
        "item_ids": model.item_ids,
        "scale": [float(end) for end in model.scale],
        "mean_rating": model.mean_rating,
        "biased": model.biased,
        "decoder_activation": model.decoder_activation,
        "baselines": [float(number) for number in (baselines.mean, *penalties, *shares)],
        "networks": networks,
        "errors": errors and [errors.evidence.mean, errors.evidence.mean_square],
    }
    return contents, {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _network_entries(network: TrainedNetwork) -> tuple[dict[str, Any], Arrays]:
    """A network as JSON and arrays."""
    encoders = network.required_encoders()
    encoded, decoded = network.users, network.items
    if network.member.side == "item":
        encoded, decoded = decoded, encoded
    weights = {f"network.{name}": array for name, array in encoders.weights.items() if name != "decoder_bias"}
    if not encoders.architecture.two_sided:  # then all of the decoder's weights are among the factors
        del weights["network.decoder_weight"]
    arrays = {
        **weights,
        "hidden": encoded.vectors,
        "weight": decoded.vectors,
        "bias": decoded.biases,
        "mean_hidden": encoders.mean_hidden,
    }
    rules = encoders.rules
    description = {
        "member": network.member,
        "encoder_activation": encoders.architecture.encoder_activation,
        "rules": [*rules.centering, rules.row_scaling, rules.typical_count],
        "reg": encoders.reg,
        "reg_bias": encoders.reg_bias,
        "joint_biases": encoders.joint_biases,
    }
    return description, arrays


def _network(
    saved: Mapping[str, Any], arrays: Arrays, biased: bool, decoder_activation: str, item_share: float
) -> TrainedNetwork:
    """The inverse of `_network_entries`, which leaves what all networks of a model share to the model."""
    prefix = "network."
    weights = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    weights = {"decoder_weight": arrays["weight"], "decoder_bias": arrays["bias"], **weights}
    n_deeper = sum(name.startswith("deeper_biases.") for name in weights)
    deeper = [len(weights[f"deeper_biases.{n}"]) for n in range(n_deeper)]
    architecture = Architecture(
        n_factors=(weights["encoder_weight"].shape[1], *deeper),
        two_sided="column_encoder_weight" in weights,
        biased=biased,
        encoder_activation=saved["encoder_activation"],
        decoder_activation=decoder_activation,
    )
    *centering, row_scaling, typical_count = saved["rules"]
    rules = InputRules(RowsAndColumns(*centering), row_scaling, typical_count)
    encoders = Encoders(
        architecture,
        weights,
        arrays["mean_hidden"],
        rules,
        saved["reg"],
        saved["reg_bias"],
        saved["joint_biases"],
    )
    encoded = Factors(arrays["hidden"], np.zeros(len(arrays["hidden"]), np.float32))
    decoded = Factors(arrays["weight"], arrays["bias"])
    side, weight, *others = saved["member"]  # (older files have no gain, or one share for all networks)
    member = Member(side, weight, *others or [item_share])
    users, items = (encoded, decoded) if member.side == "user" else (decoded, encoded)
    return TrainedNetwork(member, users, items, encoders)


def _error_arrays(errors: ErrorModel) -> Arrays:
    users, items = errors.evidence.users, errors.evidence.items
    return {
        "errors.coefficients": errors.coefficients,
        "errors.scores": errors.scores,
        "errors.user_counts": users.counts,
        "errors.user_noise": users.noise,
        "errors.item_counts": items.counts,
        "errors.item_noise": items.noise,
    }


def _errors(saved: Sequence[float], arrays: Arrays) -> ErrorModel:
    """The inverse of `_error_arrays`, given what is saved as JSON."""
    users, items = (
        Support(arrays[f"errors.{side}_counts"], arrays[f"errors.{side}_noise"]) for side in ("user", "item")
    )
    mean, mean_square = saved
    evidence = Evidence(mean, mean_square, users, items)
    return ErrorModel(arrays["errors.coefficients"], arrays["errors.scores"], evidence)


def _checksum(text: str, arrays: Arrays) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def read(path: str | os.PathLike[str], verify: bool = True) -> SavedModel:
    """Read a file. Its arrays stay there: processes that read the same file share the memory.

    Parameters
    ----------
    path : str or path-like
    verify : bool, default=True
        Whether to compare the checksum and check every number, for which all of the file is read.

    Raises
    ------
    ModelFileError
        If the file is not a saved model, is damaged, or was written by a newer version.
    FileNotFoundError
        If there is none.
    """
    path = Path(path)
    if (kind := other_kind(path.stat())) and kind != "a folder":  # opening a FIFO would wait for a writer
        raise ModelFileError(f"{path} is not a saved model: it is {kind}")
    with path.open("rb"):  # what keeps it from being read is reported as by any other program
        pass
    try:
        # (As tensors, which are mapped into memory. Of NumPy's arrays it would make copies.)
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, TypeError) as error:  # TypeError: numbers of a type that NumPy does not have
        raise ModelFileError(f"{path} is not a saved model, or is damaged: {error}") from error
    if _CONTENTS not in header:
        raise ModelFileError(f"{path} is not a saved model: it is a safetensors file of something else")
    checksum, _, text = header[_CONTENTS].partition(" ")
    if verify and checksum != _checksum(text, arrays):
        raise ModelFileError(f"{path} is damaged: its checksum does not match what it holds")
    with problems_named(path):
        contents = json.loads(text)
        version = contents["version"]
        if version <= FORMAT_VERSION:
            decoded = {
                "parameters": from_json(contents["parameters"]),
                "state": from_json(contents["state"]),
                "user_ids": ids_from_json(contents["user_ids"]),
                "item_ids": ids_from_json(contents["item_ids"]),
            }
            return _saved_model(checked({**contents, **decoded}, arrays, verify), arrays)
    raise ModelFileError(
        f"{path} has format version {version}, and this package reads versions up to {FORMAT_VERSION}: "
        "upgrade surprise-autorec"
    )


@contextmanager
def problems_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong with a file's contents into a ModelFileError that names the file."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is not a saved model: {type(error).__name__}: {error}") from error


def _saved_model(contents: Mapping[str, Any], arrays: Arrays) -> SavedModel:
    """The inverse of `_entries`."""
    biased, decoder_activation = contents["biased"], contents["decoder_activation"]
    mean, *others = contents["baselines"]
    baselines = Baselines(mean, arrays["user_biases"], arrays["item_biases"], *others)
    networks = [
        _network(saved, of_network(arrays, n), biased, decoder_activation, baselines.column_share)
        for n, saved in enumerate(contents["networks"])
    ]
    model = AutoRecModel(
        user_ids=contents["user_ids"],
        item_ids=contents["item_ids"],
        scale=RatingScale(*contents["scale"]),
        mean_rating=contents["mean_rating"],
        biased=biased,
        decoder_activation=decoder_activation,
        baselines=baselines,
        networks=networks,
        rated=Rated(arrays["rated_offsets"], arrays["rated_items"]),
        errors=contents["errors"] and _errors(contents["errors"], arrays),
    )
    return SavedModel(
        contents["class"],
        contents["parameters"],
        contents["state"],
        model,
        contents["loss_curve"],
        contents["validation_scores"],
    )


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
