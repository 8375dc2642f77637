"""Doing the fits of a study, one after another or several at a time, and keeping them in a folder.

Each finished fit is in a file of its own, so that a second run can continue.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend
from surprise import AlgoBase
from threadpoolctl import threadpool_limits

from surprise_autorec.core.atomic import written_whole
from surprise_autorec.study.fits import NUMBERS, Outcome, Wanted

#: An attribute that does not change a result.
_SILENT = "verbose"

#: The name of a data set that was given without one.
ONLY = "data"


_PACKAGES = ["surprise-autorec", "scikit-surprise", "torch", "numpy", "scipy", "pandas", "joblib"]


class Key(NamedTuple):
    """Which fit of a study it is."""

    data: str
    algorithm: str
    repeat: int
    fold: int
    train_size: float


class Job(NamedTuple):
    """A fit of a study.

    ``fingerprint`` is that of the fold's ratings, which is needed where finished fits are kept. ``fit`` does
    the fit. It is sent to another process if several fits run at a time.
    """

    key: Key
    fingerprint: str
    fit: Callable[[], Outcome]


class Results(NamedTuple):
    """What a study has found.

    ``folds`` has a row for each finished fit, in the order of the study, with the columns of
    `Comparison.folds`. ``predictions`` are those of each finished fit, without ids. ``n_planned`` is the
    number of fits of the whole study, None if an iterator does not know its number of folds. ``interrupted``
    tells whether Ctrl-C ended the study.
    """

    folds: pd.DataFrame
    predictions: dict[Key, pd.DataFrame]
    n_planned: int | None
    interrupted: bool


@dataclass(frozen=True)
class StudyInfo:
    """How a comparison was made.

    Attributes
    ----------
    folds : str
        The iterator over folds.
    repeats : int
    train_sizes : tuple of float
    n_planned : int or None
        Number of fits that were asked for; None if an iterator does not know its number of folds.
    interrupted : bool
        Whether Ctrl-C ended it before all fits were done.
    command : str
        The command of the process.
    machine : str
    versions : dict of str to str
        Versions of Python and of the packages that matter.
    """

    folds: str
    repeats: int
    train_sizes: tuple[float, ...]
    n_planned: int | None
    interrupted: bool
    command: str
    machine: str
    versions: dict[str, str]

    @classmethod
    def of(cls, folds: str, repeats: int, train_sizes: tuple[float, ...], results: Results) -> StudyInfo:
        """A study by this process, on this machine."""
        return cls(
            folds,
            repeats,
            train_sizes,
            results.n_planned,
            results.interrupted,
            shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            {
                "python": platform.python_version(),
                **{package: importlib.metadata.version(package) for package in _PACKAGES},
            },
        )


class Runner:
    """Does fits, and keeps them in a folder if there is one.

    ``n_jobs``, ``n_threads`` and ``output`` are as in `surprise_autorec.compare`. ``n_parallel`` fits run at
    a time. If it is 1, they run in this process. ``store`` is where finished fits are kept, or None.

    Raises ValueError if a seed is not an integer where it must be, or the folder cannot be written.
    """

    def __init__(
        self,
        algorithms: Mapping[str, AlgoBase],
        wanted: Wanted,
        n_jobs: int | None = 1,
        n_threads: int | None = None,
        output: str | os.PathLike[str] | None = None,
    ) -> None:
        self._n_jobs, self.n_parallel = n_jobs, effective_n_jobs(n_jobs)
        self._n_threads = n_threads or (1 if self.n_parallel > 1 else None)
        if self.n_parallel > 1 or output is not None:
            _check_seeds(algorithms)
        self.store = None if output is None else Store(output, wanted, algorithms)

    def run(self, jobs: Iterable[Job], n_planned: int | None, verbose: bool) -> Results:
        """Do all fits that the folder does not have.

        ``n_planned`` is how many there are, if that is known. With ``verbose`` there is a progress bar and,
        above it, a line for each fit. Raises KeyboardInterrupt if Ctrl-C comes before a fit is done.
        """
        from tqdm.auto import tqdm  # here, to keep the import of the package fast

        fingerprints: dict[Key, str] = {}  # in the order of the study
        outcomes: dict[Key, Outcome] = {}
        interrupted = False
        with (
            tqdm(total=n_planned, unit="fit", disable=not verbose) as bar,
            _limited_threads(self._n_threads),
        ):

            def missing() -> Iterator[Job]:
                for job in jobs:
                    fingerprints[job.key] = job.fingerprint
                    found = self.store.find(job.key, job.fingerprint) if self.store else None
                    if found is not None:
                        outcomes[job.key] = found
                        bar.update()
                        continue
                    if self.n_parallel == 1:
                        bar.set_description(job.key.algorithm)
                    yield job

            try:
                for key, outcome in self._outcomes(missing()):
                    if self.store:
                        self.store.save(key, fingerprints[key], outcome)
                    if outcome.predictions is not None:  # whose ids would take most of the memory
                        outcome = outcome._replace(predictions=outcome.predictions[NUMBERS])
                    outcomes[key] = outcome
                    if verbose:
                        bar.write(_line(key, outcome.figures), file=sys.stderr)
                    bar.update()
            except KeyboardInterrupt:
                if not outcomes:
                    raise
                interrupted = True
        done = {key: outcomes[key] for key in list(fingerprints) if key in outcomes}
        predictions = {key: one.predictions for key, one in done.items() if one.predictions is not None}
        return Results(_table(done), predictions, n_planned, interrupted)

    def _outcomes(self, jobs: Iterable[Job]) -> Iterator[tuple[Key, Outcome]]:
        """What comes of fits, each as soon as it is done, in any order."""
        if self.n_parallel == 1:
            done = ((job.key, job.fit()) for job in jobs)
        else:
            backend, _ = get_active_backend()
            # (Ray's backend can only return all results when all are there.)
            return_as = "generator_unordered" if backend.supports_return_generator else "list"
            parallel = Parallel(n_jobs=self._n_jobs, return_as=return_as, max_nbytes="100K")
            done = parallel(delayed(_done_by_worker)(job, self._n_threads, os.getpid()) for job in jobs)
        for key, outcome in done:
            yield key, outcome._replace(figures={**outcome.figures, "n_jobs": self.n_parallel})


def _done_by_worker(job: Job, n_threads: int | None, caller: int) -> tuple[Key, Outcome]:
    # A worker may be a thread of the calling process, which has limited its threads already.
    with _limited_threads(None if os.getpid() == caller else n_threads):
        return job.key, job.fit()


def _check_seeds(algorithms: Mapping[str, AlgoBase]) -> None:
    """Refuse random generators, whose state depends on which fits came before."""
    for name, algorithm in algorithms.items():
        given = vars(algorithm).get("random_state")
        if isinstance(given, np.random.RandomState):
            raise ValueError(
                f"random_state of {name} must be an int where fits are kept or run at the same time, because "
                "a RandomState gives other numbers to each fit; got a RandomState"
            )


@contextmanager
def _limited_threads(n_threads: int | None) -> Iterator[None]:
    """Limit the threads of NumPy's and torch's libraries; None leaves them as they are."""
    if n_threads is None:
        yield
        return
    before = torch.get_num_threads()
    with threadpool_limits(n_threads):
        torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _line(key: Key, figures: Mapping[str, Any]) -> str:
    """A finished fit in a line, so that results can be seen long before the table."""
    name = key.algorithm if key.data == ONLY else f"{key.data}, {key.algorithm}"
    if figures.get("error"):
        return f"{name}: failed"
    seconds = figures["fit_time"] + figures["test_time"]
    return f"{name}: RMSE {figures['rmse']:.4f} in {seconds:.1f} s"


def _table(outcomes: Mapping[Key, Outcome]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {**key._asdict(), "error": "", **outcome.figures} for key, outcome in outcomes.items()
    ]
    frame = pd.DataFrame(rows)
    for column in ("rmse", "mae", "fit_time", "test_time", "peak_memory"):
        if column not in frame:  # every fit failed
            frame[column] = float("nan")
    last = ["fit_time", "test_time", "peak_memory", "n_jobs", "error"]
    return frame[[*frame.columns.difference(last, sort=False), *last]]


class Store:
    """Finished fits on disk.

    A fit's file is named after the fit and a fingerprint of its inputs: the ratings of the fold, the
    algorithm's class and attributes, and what is recorded. If an input changes, the fit has another file, so
    that nothing is overwritten and no result is taken for that of other inputs.

    Raises ValueError if the folder cannot be written, or an attribute of an algorithm cannot be hashed.
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

        ``fold`` is the fold's fingerprint.
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

    Raises ValueError if an attribute cannot be hashed.
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
