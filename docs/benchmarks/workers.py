"""A study by two workers, compared with one fit after another.

Usage: python docs/benchmarks/workers.py [n_epochs]

Four folds of MovieLens-1M, with `compare`. One fit after another has as many threads as the machine has
cores, or one thread; a worker, which joblib has started before, has one thread. The ways take turns, twice;
the times are the shorter ones. They are those of the whole study: splitting, sending, fits and tests.
"""

import sys
from functools import partial

import joblib
from measuring import timed
from surprise import SVD
from surprise.model_selection import KFold
from tables import publish_table

from surprise_autorec import AutoRec, compare, datasets

ROUNDS = 2
N_FOLDS = 4


def main(n_epochs: int | None) -> None:
    data = datasets.load("ml-1m")
    settings = {} if n_epochs is None else {"n_epochs": n_epochs}
    algorithms = {
        "AutoRec, hybrid": AutoRec(variant="hybrid", random_state=0, **settings),
        "SVD": SVD(random_state=0, **settings),
    }
    ways = {
        "one fit after another": lambda study: study(n_jobs=1),
        "the same, one thread": lambda study: study(n_jobs=1, n_threads=1),
        "two workers": lambda study: study(n_jobs=2),
    }
    rows = []
    joblib.Parallel(2)(joblib.delayed(AutoRec)() for _ in range(2))
    for name, algorithm in algorithms.items():
        study = partial(compare, {name: algorithm}, data, KFold(N_FOLDS, random_state=0))
        rounds = [{way: timed(partial(run, study)) for way, run in ways.items()} for _ in range(ROUNDS)]
        times = {way: min(measured[way][0] for measured in rounds) for way in ways}
        alone = next(iter(times.values()))
        for way, seconds in times.items():
            folds = rounds[0][way][1].folds
            fit_time, rmse = folds["fit_time"].median(), folds["rmse"].mean()
            rows.append((name, way, fit_time, seconds, seconds / alone, rmse))
            print(rows[-1], flush=True)
    headers = ["algorithm", "way", "a fit [s]", "study [s]", "ratio", "RMSE"]
    title = f"{len(data.raw_ratings):,} ratings, {N_FOLDS} folds"
    publish_table(__file__, title, rows, headers, ("", "", ".1f", ".1f", ".2f", ".6f"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else None)
