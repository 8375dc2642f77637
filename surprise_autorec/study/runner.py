"""Doing the fits of a study, one after another or several at a time, but for those that were done before."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend
from surprise import AlgoBase
from threadpoolctl import threadpool_limits

from surprise_autorec.study.fits import NUMBERS, Outcome, Wanted
from surprise_autorec.study.inputs import ONLY, check_seeds
from surprise_autorec.study.storage import Key, Store

_PACKAGES = ["surprise-autorec", "scikit-surprise", "torch", "numpy", "scipy", "pandas", "joblib"]


class Job(NamedTuple):
    """A fit of a study.

    Attributes
    ----------
    key : Key
    fingerprint : str
        Of the fold's ratings; needed where finished fits are kept.
    fit : callable
        Does the fit. It is sent to another process if several fits run at a time.
    """

    key: Key
    fingerprint: str
    fit: Callable[[], Outcome]


class Results(NamedTuple):
    """What a study has found.

    Attributes
    ----------
    folds : DataFrame
        A row for each finished fit, in the order of the study, with the columns of `Comparison.folds`.
    predictions : dict of Key to DataFrame
        The predictions of each finished fit, without ids.
    n_planned : int or None
        Number of fits of the whole study; None if an iterator does not know its number of folds.
    interrupted : bool
        Whether Ctrl-C ended the study.
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

    Parameters
    ----------
    algorithms : mapping of str to AlgoBase
    wanted : Wanted
        What to record of each fit.
    n_jobs, n_threads, output
        As in `surprise_autorec.compare`.

    Attributes
    ----------
    n_parallel : int
        How many fits run at a time. If it is 1, they run in this process.
    store : Store or None
        Where finished fits are kept.

    Raises
    ------
    ValueError
        If a seed is not an integer where it must be, or the folder cannot be written.
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
            check_seeds(algorithms)
        self.store = None if output is None else Store(output, wanted, algorithms)

    def run(self, jobs: Iterable[Job], n_planned: int | None, verbose: bool) -> Results:
        """Do all fits that the folder does not have.

        Parameters
        ----------
        jobs : iterable of Job
        n_planned : int or None
            How many there are, if that is known.
        verbose : bool
            Whether to show a progress bar and, above it, a line for each fit.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C comes before a fit is done.
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
