"""The folder of a study: each finished fit in a file of its own, so that a second run can continue."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import pandas as pd
from surprise import AlgoBase

from surprise_autorec.core.atomic import written_whole
from surprise_autorec.study.fits import NUMBERS, Outcome, Wanted

#: An attribute that does not change a result.
_SILENT = "verbose"


class Key(NamedTuple):
    """Which fit of a study it is."""

    data: str
    algorithm: str
    repeat: int
    fold: int
    train_size: float


class Store:
    """Finished fits on disk.

    A fit's file is named after the fit and a fingerprint of its inputs: the ratings of the fold, the
    algorithm's class and attributes, and what is recorded. If an input changes, the fit has another file, so
    that nothing is overwritten and no result is taken for that of other inputs.

    Parameters
    ----------
    folder : str or path-like
    wanted : Wanted
        What is recorded of each fit.
    algorithms : mapping of str to AlgoBase

    Raises
    ------
    ValueError
        If the folder cannot be written, or an attribute of an algorithm cannot be hashed.
    """

    def __init__(
        self, folder: str | os.PathLike[str], wanted: Wanted, algorithms: Mapping[str, AlgoBase]
    ) -> None:
        self.folder, self._wanted = Path(folder), wanted
        self._inputs = {name: _inputs_of(name, algorithm) for name, algorithm in algorithms.items()}
        self._fits = self.folder / "fits"
        try:
            self._fits.mkdir(parents=True, exist_ok=True)
            probe = self._fits / f".{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(
                f"output must be a folder that can be written, got {folder!s} ({error})"
            ) from None
        self._files: dict[str, list[Path]] = {}
        for file in sorted(self._fits.glob("*.json")):
            self._files.setdefault(file.name[: -len("-0123456789abcdef.json")], []).append(file)
        self._told: set[tuple[str, str]] = set()

    def find(self, key: Key, fold: str) -> Outcome | None:
        """The outcome of a fit, if it was done with the same inputs; a warning says what has changed.

        Parameters
        ----------
        key : Key
        fold : str
            The fold's fingerprint.
        """
        file = self._file(key, fold)
        if file in self._files.get(_slug(key), []):
            saved = json.loads(file.read_text(encoding="utf-8"))
            predictions = self._predictions(file)
            return Outcome(saved["figures"], _read(predictions) if self._wanted.predictions else None)
        others = [json.loads(one.read_text(encoding="utf-8")) for one in self._files.get(_slug(key), [])]
        same_names = [one for one in others if (one["data"], one["algorithm"]) == (key.data, key.algorithm)]
        if same_names:
            algorithm = self._inputs[key.algorithm]
            self._tell(key, min((_changes(one["inputs"], algorithm, fold) for one in same_names), key=len))
        return None

    def save(self, key: Key, fold: str, outcome: Outcome) -> None:
        """Write a fit's outcome, all of it or nothing. Failed fits are not written and are tried again."""
        if "error" in outcome.figures:
            return
        file = self._file(key, fold)
        if outcome.predictions is not None:
            predictions = self._predictions(file)
            predictions.parent.mkdir(exist_ok=True)
            with written_whole(predictions) as table:
                outcome.predictions.to_csv(table, index=False, compression="gzip")
        saved = {
            **key._asdict(),
            "inputs": {"algorithm": self._inputs[key.algorithm], "fold": fold},
            "figures": outcome.figures,
        }
        with written_whole(file) as fit:
            fit.write(json.dumps(saved, indent=1).encode())

    def _file(self, key: Key, fold: str) -> Path:
        hashes = {name: value[0] for name, value in self._inputs[key.algorithm].items()}
        inputs = [list(key), hashes, fold, list(self._wanted)]
        fingerprint = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
        return self._fits / f"{_slug(key)}-{fingerprint}.json"

    def _predictions(self, file: Path) -> Path:
        return self.folder / "predictions" / f"{file.stem}.csv.gz"

    def _tell(self, key: Key, changes: list[str]) -> None:
        what = ", ".join(changes) or "what is recorded of each fit"
        if (key.algorithm, what) not in self._told:
            self._told.add((key.algorithm, what))
            warnings.warn(
                f"{self.folder} has fits of {key.algorithm} on {key.data} with other inputs ({what}); they "
                "are kept, and fits with the new inputs are added",
                UserWarning,
                stacklevel=2,
            )


def _changes(saved: dict[str, Any], algorithm: dict[str, Any], fold: str) -> list[str]:
    """What differs between the inputs of a saved fit and those of this one."""
    before, changes = saved["algorithm"], []
    for name in sorted({*before, *algorithm}):
        old, new = (tuple(inputs.get(name, (None, "nothing"))) for inputs in (before, algorithm))
        if old[0] != new[0]:
            changes.append(f"{name} was {old[1]}, is {new[1]}" if old[1] != new[1] else name)
    return changes if saved["fold"] == fold else [*changes, "the ratings or the folds"]


def _inputs_of(name: str, algorithm: AlgoBase) -> dict[str, Any]:
    """The class and the attributes of an algorithm: for each a hash, and a short text.

    Raises
    ------
    ValueError
        If an attribute cannot be hashed.
    """
    kind = f"{type(algorithm).__module__}.{type(algorithm).__qualname__}"
    inputs = {"class": [kind, kind]}
    for attribute, value in vars(algorithm).items():
        if attribute != _SILENT:
            try:
                digest = joblib.hash(value)
            except Exception as error:
                raise ValueError(
                    f"algorithms[{name!r}] cannot be kept in an output folder, because its attribute "
                    f"{attribute} cannot be pickled ({error})"
                ) from error
            text = repr(value)
            inputs[attribute] = [str(digest), text if len(text) <= 60 else f"{text[:57]}..."]
    return inputs


def _slug(key: Key) -> str:
    """A name for a fit's files. Different names may share one; the fingerprint tells them apart."""
    names = f"{key.data}-{key.algorithm}"[:120]  # file systems limit the length of names
    return re.sub(r"[^\w.+-]+", "_", f"{names}-{key.repeat}-{key.fold}-{key.train_size:g}")


def _read(predictions: Path) -> pd.DataFrame:
    # By way of texts, because not every version of pandas reads the very numbers that were written.
    numbers = ["rating", "estimate"]
    frame = pd.read_csv(predictions, dtype=dict.fromkeys(numbers, "str"), usecols=NUMBERS)
    return frame.astype(dict.fromkeys(numbers, "float64"))
