"""A fitted AutoRec as a file: tensors in safetensors, all else as JSON in its header; no pickle, nothing executed."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import uuid
import warnings
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

import surprise_autorec
from surprise_autorec.callbacks import Epoch
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import InputRules, RowsAndColumns
from surprise_autorec.core.fold_in import FoldIn
from surprise_autorec.core.learner import Factors
from surprise_autorec.core.network import AutoEncoder
from surprise_autorec.core.training import Member, TrainedNetwork
from surprise_autorec.fitted import FittedAutoRec
from surprise_autorec.fitting import Fit
from surprise_autorec.model import AutoRecModel, Rated, RatingScale

#: Raised by one whenever an older version of this package could not read what is written.
FORMAT_VERSION = 1

#: What safetensors reads of a header, and somewhat less.
LARGEST_TEXT = 90_000_000

_CLASSES = ("AutoRec", "AutoRecRegressor")

#: The name that the checksum and the JSON have in the file's header.
_CONTENTS = "surprise_autorec"

Arrays = dict[str, npt.NDArray[Any]]


class ModelFileError(ValueError):
    """A file is no saved model, or a damaged one, or one of a newer version."""


def save(algorithm: FittedAutoRec, path: str | os.PathLike[str]) -> None:
    """Write a fitted algorithm; see `FittedAutoRec.save`."""
    model = algorithm._fitted_model()
    if type(algorithm).__name__ not in _CLASSES:
        raise ValueError(f"the class must be one of {', '.join(_CLASSES)} to be saved, got {type(algorithm).__name__}")
    arrays: Arrays = {
        "user_biases": model.baselines.row_biases,
        "item_biases": model.baselines.column_biases,
        "rated_offsets": model.rated.offsets,
        "rated_items": model.rated.items,
    }
    networks = []
    for n, (member, factors, fold_in) in enumerate(model.networks):
        assert fold_in is not None  # only models of new users or items have none
        weights = {name: tensor.numpy() for name, tensor in fold_in.network.state_dict().items()}
        arrays |= {f"{n}.network.{name}": array for name, array in weights.items() if name != "decoder_bias"}
        if "column_encoder_weight" not in weights:  # then all of the decoder's weights are among the factors
            del arrays[f"{n}.network.decoder_weight"]
        arrays |= {f"{n}.{name}": array for name, array in factors._asdict().items()}
        arrays[f"{n}.mean_hidden"] = fold_in.mean_hidden.numpy()
        rules = [*fold_in.rules.centering, fold_in.rules.row_scaling, fold_in.rules.typical_count]
        networks.append(
            {
                "member": member,
                "encoder_activation": fold_in.network.encoder_activation,
                "rules": rules,
                "reg": fold_in.reg,
                "reg_bias": fold_in.reg_bias,
            }
        )
    baselines = model.baselines
    contents = {
        "version": FORMAT_VERSION,
        "class": type(algorithm).__name__,
        "parameters": _parameters(algorithm),
        "state": _encoded(algorithm._own_state()),
        "loss_curve": algorithm.loss_curve_,
        "validation_scores": algorithm.validation_scores_,
        "user_ids": _encoded_ids("user", model.user_ids),
        "item_ids": _encoded_ids("item", model.item_ids),
        "scale": [float(end) for end in model.scale],
        "mean_rating": model.mean_rating,
        "biased": model.biased,
        "decoder_activation": model.decoder_activation,
        "baselines": [baselines.mean, baselines.row_reg, baselines.column_reg, baselines.reg_per_rating],
        "networks": networks,
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps(contents)
    if len(text) > LARGEST_TEXT:
        raise ValueError(f"ids and parameters must have at most {LARGEST_TEXT:,} characters as JSON, got {len(text):,}")
    _write(Path(path), to_safetensors(arrays, {_CONTENTS: f"{_checksum(text, arrays)} {text}"}))


def _write(path: Path, data: bytes) -> None:
    """Write a file, all or nothing: whatever happens, there is the old file under its name or the new one."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _checksum(text: str, arrays: Arrays) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def load(path: str | os.PathLike[str]) -> Any:
    """Read what ``save`` has written.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    AutoRec or AutoRecRegressor
        As it was saved: it predicts the same bits, recommends, and takes new users. It does not have the ratings that
        it was trained on, which `partial_fit` needs; the ``trainset`` of an `AutoRec` has their ids alone.

    Raises
    ------
    ModelFileError
        If the file is no saved model, is damaged, or was written by a newer version.
    FileNotFoundError
        If there is none.
    """
    path = Path(path)
    with path.open("rb"):  # what hinders reading is to be told as by any other program
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ModelFileError(f"{path} is no saved model, or a damaged one: {error}") from error
    if _CONTENTS not in header:
        raise ModelFileError(f"{path} is no saved model: it is a safetensors file of something else")
    checksum, _, text = header[_CONTENTS].partition(" ")
    if checksum != _checksum(text, arrays):
        raise ModelFileError(f"{path} is damaged: its checksum is not that of what it holds")
    try:
        contents = json.loads(text)
        version = contents["version"]
        if version <= FORMAT_VERSION:
            return _restored(contents, arrays)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is no saved model: {type(error).__name__}: {error}") from error
    raise ModelFileError(
        f"{path} has format version {version}, and this package reads versions up to {FORMAT_VERSION}: upgrade "
        "surprise-autorec"
    )


def _restored(contents: Mapping[str, Any], arrays: Arrays) -> FittedAutoRec:
    """The algorithm that was saved."""
    if contents["class"] not in _CLASSES:
        raise ValueError(f"its class is {contents['class']!r}")
    constructor = getattr(surprise_autorec, contents["class"])
    biased, decoder_activation = contents["biased"], contents["decoder_activation"]
    networks = []
    for n, saved in enumerate(contents["networks"]):
        factors = Factors(*(arrays[f"{n}.{name}"] for name in Factors._fields))
        weights = {"decoder_weight": factors.weight, "decoder_bias": factors.bias}
        prefix = f"{n}.network."
        weights |= {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
        network = AutoEncoder.of_weights(tensors, saved["encoder_activation"], decoder_activation, biased)
        *centering, row_scaling, typical_count = saved["rules"]
        rules = InputRules(RowsAndColumns(*centering), row_scaling, typical_count)
        mean_hidden = torch.from_numpy(arrays[f"{n}.mean_hidden"])
        fold_in = FoldIn(network, mean_hidden, rules, saved["reg"], saved["reg_bias"])
        networks.append(TrainedNetwork(Member(*saved["member"]), factors, fold_in))
    mean, *regs = contents["baselines"]
    model = AutoRecModel(
        user_ids=_decoded_ids(contents["user_ids"]),
        item_ids=_decoded_ids(contents["item_ids"]),
        scale=RatingScale(*contents["scale"]),
        mean_rating=contents["mean_rating"],
        biased=biased,
        decoder_activation=decoder_activation,
        baselines=Baselines(mean, arrays["user_biases"], arrays["item_biases"], *regs),
        networks=networks,
        rated=Rated(arrays["rated_offsets"], arrays["rated_items"]),
    )
    losses = contents["loss_curve"]
    scores = contents["validation_scores"] or [None] * len(losses)
    epochs = [
        Epoch(n, len(losses), loss, score) for n, (loss, score) in enumerate(zip(losses, scores, strict=True), start=1)
    ]
    algorithm: FittedAutoRec = constructor(**_decoded(contents["parameters"]))
    algorithm._restore(Fit(model, epochs), _decoded(contents["state"]))
    return algorithm


def _parameters(algorithm: FittedAutoRec) -> Any:
    """The constructor's keywords, encoded."""
    names = inspect.signature(type(algorithm)).parameters
    values = {name: getattr(algorithm, name) for name in names}
    if values["callbacks"]:
        warnings.warn("callbacks cannot be saved: the loaded algorithm will have none", UserWarning, stacklevel=4)
    values["callbacks"] = ()
    try:
        return _encoded(values)
    except TypeError as error:
        raise ValueError(f"the parameters must be numbers, texts and the like to be saved: {error}") from error


#: NumPy's scalars that ids and parameters may be.
_NUMPY_TYPES = {
    kind.__name__: kind
    for kind in (np.bool_, np.str_, *np.sctypeDict.values())
    if issubclass(kind, (np.bool_, np.str_, np.integer, np.floating)) and kind is not np.longdouble
}


def _encoded(value: Any) -> Any:
    """A value as JSON that tells its type. Raises TypeError where it cannot."""
    if isinstance(value, np.generic) and type(value).__name__ in _NUMPY_TYPES:
        return {"numpy": type(value).__name__, "value": value.item()}
    if isinstance(value, np.random.RandomState):
        state: Any = value.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            raise TypeError(f"got a RandomState of {state['bit_generator']}")
        inner = state["state"]
        return {"RandomState": ["MT19937", inner["key"].tolist(), inner["pos"], state["has_gauss"], state["gauss"]]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (tuple, list):
        return {type(value).__name__: [_encoded(item) for item in value]}
    if type(value) is dict and all(type(key) is str for key in value):
        return {"dict": {key: _encoded(item) for key, item in value.items()}}
    raise TypeError(f"got {value!r}, of type {type(value).__name__}")


def _decoded(value: Any) -> Any:
    """The inverse of `_encoded`."""
    if not isinstance(value, dict):
        return value
    if "numpy" in value:
        return _NUMPY_TYPES[value["numpy"]](value["value"])
    ((kind, contents),) = value.items()
    if kind == "RandomState":
        state = np.random.RandomState()
        state.set_state(tuple(contents))
        return state
    if kind == "dict":
        return {key: _decoded(item) for key, item in contents.items()}
    return {"tuple": tuple, "list": list}[kind](_decoded(item) for item in contents)


def _encoded_ids(side: str, ids: Sequence[Hashable]) -> Any:
    """Ids as JSON: their values, and NumPy's type if all are of one, or else each with its own."""
    types = {type(one) for one in ids}
    if types <= {str, int, float, bool}:
        return {"type": None, "ids": list(ids)}
    if len(types) == 1 and (name := next(iter(types)).__name__) in _NUMPY_TYPES:
        return {"type": name, "ids": [one.item() for one in ids]}  # type: ignore[attr-defined]
    encoded = []
    for one in ids:
        try:
            encoded.append(_encoded(one))
        except TypeError as error:
            raise ValueError(
                f"the ids of {side}s must be texts, numbers or NumPy's of either to be saved: {error}"
            ) from error
    return {"type": "mixed", "ids": encoded}


def _decoded_ids(saved: Mapping[str, Any]) -> Sequence[Hashable]:
    """The inverse of `_encoded_ids`."""
    if saved["type"] is None:
        return list(saved["ids"])
    if saved["type"] == "mixed":
        return [_decoded(one) for one in saved["ids"]]
    kind = _NUMPY_TYPES[saved["type"]]
    return [kind(one) for one in saved["ids"]]
