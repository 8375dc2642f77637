"""Time, memory and error on wide, very sparse ratings, next to Surprise's SVD.

Usage: python docs/benchmarks/wide.py

762,000 synthetic ratings by 18,500 users of 262,600 items, of which 176,000 are rated once and the others by
a power law. A random tenth of the ratings is held out. Each algorithm has its defaults and a process of its
own; they take turns, three times. The time is that of `fit`, in the median, also as a multiple of SVD's. The
memory is the peak of the process, with Surprise's trainset (for AutoRecRegressor: with the DataFrame), less
what it used after the imports.
"""

import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from measuring import peak, seconds
from surprise import SVD, Dataset, Reader, accuracy
from tables import publish_table

from surprise_autorec import AutoRec, AutoRecRegressor, datasets

ALGORITHMS = ["SVD", "AutoRec", "AutoRec, hybrid", "AutoRecRegressor"]
N_RUNS = 3


def measure(name: str, path: str) -> None:
    """Print the seconds of a fit, the gigabytes used, and the RMSE on the last tenth of the ratings."""
    variant = "hybrid" if name.endswith("hybrid") else "item"
    AutoRec(n_epochs=1).check_parameters()  # with whatever it imports
    before = peak()
    frame = pd.read_parquet(path)
    is_held_out = np.arange(len(frame)) >= 0.9 * len(frame)
    train, test = frame[~is_held_out], frame[is_held_out]
    if name == "AutoRecRegressor":
        regressor = AutoRecRegressor(rating_scale=(1, 5), random_state=0)
        time = seconds(lambda: regressor.fit(train[["user", "item"]], train["rating"]))
        used = peak() - before
        errors = regressor.predict(test[["user", "item"]]) - test["rating"]
        rmse = float(np.sqrt(np.mean(errors**2)))
    else:
        trainset = Dataset.load_from_df(train, Reader(rating_scale=(1, 5))).build_full_trainset()
        algorithm = SVD(random_state=0) if name == "SVD" else AutoRec(variant=variant, random_state=0)
        time = seconds(lambda: algorithm.fit(trainset))
        used = peak() - before
        rmse = accuracy.rmse(algorithm.test([*test.itertuples(index=False, name=None)]), verbose=False)
    print(time, used / 1e9, rmse)


def main() -> None:
    with TemporaryDirectory() as folder:
        path = str(Path(folder, "ratings.parquet"))
        frame = datasets.make_ratings(
            18_500, 262_600, 762_000, n_rated_once=176_000, popularity_skew=0.8, noise=0.8
        )
        frame.to_parquet(path)
        measured = {name: [] for name in ALGORITHMS}
        for _ in range(N_RUNS):
            for name in ALGORITHMS:
                command = [sys.executable, __file__, name, path]
                output = subprocess.check_output(command, text=True)
                measured[name].append([float(part) for part in output.split()])
                print(name, *measured[name][-1])
    medians = {
        name: [median(column) for column in zip(*runs, strict=True)] for name, runs in measured.items()
    }
    rows = [
        (name, time, time / medians["SVD"][0], memory, rmse) for name, (time, memory, rmse) in medians.items()
    ]
    headers = ["algorithm", "fit [s]", "over SVD's", "memory [GB]", "RMSE"]
    title = f"{len(frame):,} ratings by {frame.user.nunique():,} users of {frame.item.nunique():,} items"
    publish_table(__file__, title, rows, headers, ("", ".1f", ".2f", ".2f", ".4f"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(*sys.argv[1:])
    else:
        main()
