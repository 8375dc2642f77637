"""Forged model files with right checksums: each is refused, or loads as a model that answers.

``python tests/forgery.py FOLDER FIRST N`` forges N files from the models in a folder, with the seeds from
FIRST on, and ends with 1 if one of them breaks that rule. It is a program of its own, so that a crash ends
nothing else.
"""

import copy
import json
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from surprise_autorec import AutoRec
from surprise_autorec.model import files
from surprise_autorec.persistence import ModelFileError, load

#: What a forger puts in the place of an entry.
JUNK = [
    *(None, True, False, 0, 1, -1, 2, 3.5, -0.5, 10**9, -(2**31), 2**70, 10**400, 1e300, 1e-300),
    *(float("nan"), float("inf"), -float("inf"), "", "x", "item", "user", "sigmoid", "identity", "\ud800"),
    *([], [1], [5, 1], [1, 5], [0, 0, 0, 1], [1, 2, 3, 4], ["item", "x"], ["user", 1.0], {}, {"dict": {}}),
    *(
        ["item", 1.0, 0.0],
        ["user", 1.0, -1e-9],
        ["item", 0.5, float("nan")],
        ["item", 1.0, 1.0, 1.0],
        [["item"], 1],
    ),
    *(
        1e-320,
        1 + 1e-9,
        2**53 + 1,
        "9" * 5000,
        [1e300, 1e-300],
        [1.0, 0.0],
        [[1.0], 1.0],
        [1e12] * 6,
        [0] * 6,
    ),
    *(
        {"numpy": "int64", "value": "x"},
        {"numpy": "float32", "value": 1e300},
        {"tuple": [1, 2]},
        {"list": []},
    ),
    {"RandomState": ["MT19937", [0] * 624, 10**6, 0, 0.0]},
    {"type": None, "ids": [1, 1]},
    {"type": "mixed", "ids": [{"tuple": [float("nan")]}, {"list": [1]}]},
    {"type": None, "ids": list(range(60_000))},
]
NUMBERS = [0, 1, -1, 7, 10**9, -(2**31), 2**31 - 1, 1e-30, 1e13, -1e30, 3e38, np.nan, np.inf, -np.inf]
DTYPES = ["float32", "float64", "float16", "int32", "int64", "uint8", "bool"]


def places(value, path=()):
    """The paths of all entries inside of JSON."""
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))[:20]
    else:
        return [path]
    return [path, *(place for key, one in inside for place in places(one, (*path, key)))][
        1 if not path else 0 :
    ]


def forge_contents(rng, contents):
    """Change one entry of the JSON."""
    *outer, last = (found := places(contents))[rng.integers(len(found))]
    holder = contents
    for key in outer:
        holder = holder[key]
    kind = rng.integers(8)
    value = holder[last]
    if kind == 0:
        del holder[last]
    elif kind == 1 and isinstance(holder, dict):
        holder[f"{last}x"] = holder.pop(last)
    elif kind == 2 and isinstance(value, list) and value:
        value.append(value[rng.integers(len(value))])
    elif kind == 3 and isinstance(value, list) and value:
        del value[rng.integers(len(value))]
    else:
        holder[last] = copy.deepcopy(JUNK[rng.integers(len(JUNK))])


def forge_arrays(rng, arrays):
    """Change one array."""
    names = sorted(arrays)
    name, other = (names[n] for n in rng.integers(len(names), size=2))
    array = arrays[name]
    kind = rng.integers(10)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[f"{name}{['x', '.0', ''][rng.integers(2)]}"] = arrays[other]
    elif kind == 2:
        arrays[name] = arrays[other]
    elif kind == 3:
        with np.errstate(all="ignore"):
            arrays[name] = array.astype(DTYPES[rng.integers(len(DTYPES))])
    elif kind == 4:
        arrays[name] = array[: rng.integers(len(array))]
    elif kind == 5:
        arrays[name] = np.concatenate([array] * int(rng.integers(2, 40)))
    elif kind == 6:
        arrays[name] = np.ascontiguousarray(array.T) if array.ndim == 2 else array.reshape(-1, 1)
    elif kind == 7:
        arrays[name] = np.sort(array.reshape(-1))[::-1].reshape(array.shape).copy()
    else:
        with np.errstate(all="ignore"):
            number = np.float64(NUMBERS[rng.integers(len(NUMBERS))]).astype(array.dtype)
        where = rng.random(array.shape) < (1 if kind == 8 else 0.05)
        arrays[name] = np.where(where, number, array)


def use(algorithm, again):
    """All that reads what was in the file: every answer is finite, and it is a file again."""
    model = algorithm.model_
    uids, iids = list(model.user_ids)[:40], list(model.item_ids)[:40]
    uids, iids, (low, high) = [*uids, "nobody"], [*iids, "nothing"], model.scale
    pairs = [(uid, iid) for uid in uids for iid in iids]
    as_given = pairs if isinstance(algorithm, AutoRec) else np.array(pairs, dtype=object)
    if isinstance(algorithm, AutoRec):
        answers = [prediction.est for prediction in algorithm.test([(*pair, None) for pair in pairs])]
        answers += [algorithm.predict(*pair).est for pair in pairs[:3]]
        answers += algorithm.get_neighbors(0, 3)
    else:
        answers = algorithm.predict(as_given).tolist()
    new_user, new_item = {iids[0]: low, iids[-2]: high}, {uids[0]: low, uids[-2]: high}
    answers += algorithm.predict_new_user(new_user, iids).tolist()
    answers += algorithm.predict_new_item(new_item, uids).tolist()
    answers += algorithm.recommend(uids[:3], n=3)["estimate"].tolist()
    answers += algorithm.explain_new_user(new_user, iids[0])["contribution"].tolist()
    answers += algorithm.similar_items(iids[0])["similarity"].tolist()
    answers += algorithm.similar_users(uids[0])["similarity"].tolist()
    if model.errors is not None:
        answers += algorithm.predict_interval(as_given).ravel().tolist()
        answers += algorithm.predict_new_user(new_user, iids, return_std=True)[1].tolist()
        answers += algorithm.predict_new_item(new_item, uids, return_std=True)[1].tolist()
    assert np.isfinite(answers).all(), answers
    algorithm.save(again)


def read(path):
    """The JSON and the arrays of a file."""
    with files.safe_open(path, framework="numpy") as file:
        contents = json.loads(file.metadata()["surprise_autorec"].partition(" ")[2])
        return contents, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def write(path, contents, arrays):
    """Write them with the right checksum."""
    text = json.dumps(contents)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(arrays, path, {"surprise_autorec": f"{files._checksum(text, arrays)} {text}"})


def main(folder, first, n):
    """Forge, load and use; print how many were refused and how many were used."""
    warnings.simplefilter("ignore")
    genuine, forged = sorted(folder.glob("*.model")), folder / "forged"
    counts = Counter()
    for seed in range(first, first + n):
        rng = np.random.default_rng(seed)
        contents, arrays = read(genuine[seed % len(genuine)])
        for _ in range(rng.integers(1, 3)):
            if rng.random() < 0.5:
                forge_contents(rng, contents)
            else:
                forge_arrays(rng, arrays)
        write(forged, contents, arrays)
        print(seed, flush=True, file=sys.stderr)
        try:
            algorithm = load(forged)
        except ModelFileError:
            counts["refused"] += 1
            continue
        try:
            use(algorithm, folder / "again")
        except ValueError as error:  # ids that a file may hold, and scikit-learn's side does not take
            if "ids must not be missing" not in str(error):
                raise
        counts["used"] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
