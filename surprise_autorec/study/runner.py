"""All fits of a study: every algorithm on every fold, one after another or several at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from joblib import delayed
from surprise import AlgoBase, Dataset, Trainset

from surprise_autorec.study.fits import (
    NUMBERS,
    Outcome,
    Wanted,
    fit_and_test,
    fit_and_test_packed,
    in_parallel,
    limited_threads,
)
from surprise_autorec.study.inputs import describe_splitter
from surprise_autorec.study.packing import PackedFold, Test
from surprise_autorec.study.storage import Key, Store, inputs_of


@dataclass
class Results:
    """What a study has found so far.

    Attributes
    ----------
    rows : list of dict
        A row for each finished fit, in the order in which they finished.
    predictions : dict
        The predictions of each finished fit, by data, algorithm, repeat, fold and train_size; without ids.
    n_planned : int or None
        Number of fits of the whole study; None if an iterator does not know its number of folds.
    interrupted : bool
        Whether Ctrl-C ended the study.
    """

    n_planned: int | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    predictions: dict[Key, pd.DataFrame] = field(default_factory=dict)
    interrupted: bool = False

    def add(self, key: Key, outcome: Outcome) -> None:
        """Add a finished fit."""
        self.rows.append({**key._asdict(), **outcome.figures})
        if outcome.predictions is not None:
            self.predictions[key] = outcome.predictions[NUMBERS]  # ids would take most of the memory


class _Fold(NamedTuple):
    data: str
    repeat: int
    number: int
    train_size: float
    trainset: Trainset
    testset: Test


class Job(NamedTuple):
    """A fit that is still to be done."""

    key: Key
    trainset: Trainset
    testset: Test
    #: Packed if it is to be kept or sent to another process.
    packed: PackedFold | None
    fingerprint: str
    algorithm: AlgoBase


class Study:
    """A study that is about to run.

    Parameters
    ----------
    algorithms : mapping of str to AlgoBase
    datasets : mapping of str to surprise.Dataset
    splitters : sequence of cross-validation iterators
        One for each repeat.
    train_sizes : sequence of float
        Shares of each fold's training ratings, in (0, 1].
    wanted : Wanted
        What to record.
    store : Store or None
        Where finished fits are kept.
    """

    def __init__(
        self,
        algorithms: Mapping[str, AlgoBase],
        datasets: Mapping[str, Dataset],
        splitters: Sequence[Any],
        train_sizes: Sequence[float],
        wanted: Wanted,
        store: Store | None,
    ) -> None:
        self._algorithms, self._datasets = algorithms, datasets
        self._splitters, self._train_sizes = splitters, train_sizes
        self._wanted, self._store = wanted, store
        self._inputs = (
            {} if store is None else {name: inputs_of(name, one) for name, one in algorithms.items()}
        )

    def run(self, n_jobs: int, parallel: int | None, n_threads: int | None, verbose: bool) -> Results:
        """Do all fits that the store does not have.

        Parameters
        ----------
        n_jobs : int
            How many fits run at a time. With 1 they run in this process.
        parallel : int or None
            What to pass to `joblib.Parallel`, which may get its backend from the caller's context.
        n_threads : int or None
            Threads of each fit; None leaves them as they are.
        verbose : bool
            Whether to show a progress bar and, above it, a line for each fit.
        """
        from tqdm.auto import tqdm  # here, to keep the import of the package fast

        results = Results(self._n_planned())
        with (
            tqdm(total=results.n_planned, unit="fit", disable=not verbose) as bar,
            limited_threads(n_threads),
        ):
            jobs = self._jobs(results, bar, pack=n_jobs > 1)
            try:
                if n_jobs == 1:
                    for job in jobs:
                        bar.set_description(job.key.algorithm)
                        outcome = fit_and_test(job.algorithm, job.trainset, job.testset, self._wanted)
                        self._finish(job.key, job.fingerprint, outcome, 1, results, bar)
                else:
                    for key, fingerprint, outcome in self._in_parallel(jobs, parallel, n_threads or 1):
                        self._finish(key, fingerprint, outcome, n_jobs, results, bar)
            except KeyboardInterrupt:
                if not results.rows:
                    raise
                results.interrupted = True
        return results

    def _in_parallel(
        self, jobs: Iterable[Job], parallel: int | None, n_threads: int
    ) -> Iterator[tuple[Key, str, Outcome]]:
        calls = (
            delayed(_labelled)(
                job.key, job.fingerprint, job.algorithm, job.packed, self._wanted, n_threads, os.getpid()
            )
            for job in jobs
        )
        yield from in_parallel(calls, parallel)

    def _jobs(self, results: Results, bar: Any, pack: bool) -> Iterator[Job]:
        """The fits that the store does not have; those that it has go to the results."""
        for fold in self._folds():
            packed = PackedFold.of(fold.trainset, fold.testset) if pack or self._store is not None else None
            fingerprint = "" if packed is None or self._store is None else packed.fingerprint()
            for name, algorithm in self._algorithms.items():
                key = Key(fold.data, name, fold.repeat, fold.number, fold.train_size)
                if self._store is not None:
                    outcome = self._store.find(key, self._inputs[name], fingerprint)
                    if outcome is not None:
                        results.add(key, outcome)
                        bar.update()
                        continue
                yield Job(key, fold.trainset, fold.testset, packed, fingerprint, algorithm)

    def _finish(
        self, key: Key, fingerprint: str, outcome: Outcome, n_jobs: int, results: Results, bar: Any
    ) -> None:
        outcome = outcome._replace(figures={**outcome.figures, "n_jobs": n_jobs})
        if self._store is not None:
            self._store.save(key, self._inputs[key.algorithm], fingerprint, outcome)
        results.add(key, outcome)
        if not bar.disable:
            bar.write(_line(key, outcome.figures, several_data_sets=len(self._datasets) > 1), file=sys.stderr)
        bar.update()

    def _folds(self) -> Iterator[_Fold]:
        for name, data in self._datasets.items():
            for repeat, splitter in enumerate(self._splitters, 1):
                for number, (trainset, testset) in enumerate(splitter.split(data), 1):
                    for size in self._train_sizes:
                        part = trainset if size == 1 else _part(data, trainset, size, number)
                        yield _Fold(name, repeat, number, size, part, testset)

    def _n_planned(self) -> int | None:
        try:
            n_folds = sum(splitter.get_n_folds() for splitter in self._splitters)
        except AttributeError:  # Surprise's PredefinedKFold does not know before it has split
            return None
        return int(n_folds) * len(self._datasets) * len(self._train_sizes) * len(self._algorithms)

    def describe_folds(self) -> str:
        """The iterator over folds as a call."""
        return describe_splitter(self._splitters[0])


def _labelled(key: Key, fingerprint: str, *arguments: Any) -> tuple[Key, str, Outcome]:
    return key, fingerprint, fit_and_test_packed(*arguments)


def _line(key: Key, figures: Mapping[str, Any], several_data_sets: bool) -> str:
    """A finished fit in a line, so that results can be seen long before the table."""
    name = f"{key.data}, {key.algorithm}" if several_data_sets else key.algorithm
    if figures.get("error"):
        return f"{name}: failed"
    seconds = figures["fit_time"] + figures["test_time"]
    return f"{name}: RMSE {figures['rmse']:.4f} in {seconds:.1f} s"


def _part(data: Dataset, trainset: Trainset, size: float, seed: int) -> Trainset:
    """A random part of a trainset. A larger part of the same fold contains every smaller one."""
    ratings = list(trainset.all_ratings())
    order = np.random.default_rng(seed).permutation(len(ratings))
    chosen = np.sort(order[: max(1, round(size * len(ratings)))])
    triples = (ratings[n] for n in chosen)
    raw = [(trainset.to_raw_uid(u), trainset.to_raw_iid(i), rating, None) for u, i, rating in triples]
    return data.construct_trainset(raw)
