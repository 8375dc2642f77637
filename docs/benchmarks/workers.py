"""A study by two workers, compared with one fit after another.

Usage: python docs/benchmarks/workers.py [n_epochs]

Four random tenths of MovieLens-1M to test with, and the rest to train, with `compare`. One fit after another
has as many threads as the machine has cores, or one thread; a worker, which joblib has started before, has
one thread. Each study runs once; its time is that of splitting, sending, fits and tests.
"""

import sys
from functools import partial

import joblib
from measuring import timed
from surprise import SVD
from surprise.model_selection import ShuffleSplit
from tables import publish_table

from surprise_autorec import AutoRec, compare, datasets

N_SPLITS = 4


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
        splits = ShuffleSplit(N_SPLITS, test_size=0.1, random_state=0)
        study, alone = partial(compare, {name: algorithm}, data, splits), 0.0
        for way, run in ways.items():
            seconds, comparison = timed(partial(run, study))
            alone, folds = alone or seconds, comparison.folds
            fit_time, rmse = folds["fit_time"].median(), folds["rmse"].mean()
            rows.append((name, way, fit_time, seconds, seconds / alone, rmse))
            print(rows[-1], flush=True)
    headers = ["algorithm", "way", "a fit [s]", "study [s]", "ratio", "RMSE"]
    title = f"{len(data.raw_ratings):,} ratings, {N_SPLITS} splits"
    publish_table(__file__, title, rows, headers, ("", "", ".1f", ".1f", ".2f", ".6f"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else None)
