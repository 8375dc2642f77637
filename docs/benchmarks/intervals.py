"""What intervals hold and how wide they are, on several data sets.

Usage: python docs/benchmarks/intervals.py

Models with and without ``uncertainty`` are fitted in turn on the same folds. The tables are written beside
this file and the calibration plot to ``docs/images``. ``surprise_autorec.datasets`` finds the data.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from accuracy import RandomTenth, dense_extract, sparse_sample, synthetic
from measuring import timed
from surprise import Dataset, Reader, accuracy
from surprise.model_selection import KFold
from tables import publish_table

from surprise_autorec import AutoRec, datasets

mpl.use("Agg")
import matplotlib.pyplot as plt

LEVELS = [0.5, 0.8, 0.9, 0.95]
CURVE = np.linspace(0.05, 0.95, 19)
PLOT = Path(__file__).parents[1] / "images" / "intervals.png"


def noisy_users() -> Dataset:
    """Ratings from 0 to 100 with noise that differs by user: by a factor of e for a standard deviation."""
    frame = datasets.make_ratings(2000, 500, 100_000, noise=0, rating_scale=(0, 100), random_state=1)
    generator = np.random.default_rng(0)
    noise = 8 * generator.lognormal(sigma=1, size=2000)
    frame["rating"] += noise[frame["user"]] * generator.normal(size=len(frame))
    return Dataset.load_from_df(
        frame.assign(rating=frame["rating"].clip(0, 100)), Reader(rating_scale=(0, 100))
    )


DATA = {
    "ML-100K": (lambda: datasets.load("ml-100k"), KFold(5, random_state=0)),
    "latest-small": (lambda: datasets.load("ml-latest-small"), KFold(5, random_state=0)),
    "ML-1M": (lambda: datasets.load("ml-1m"), RandomTenth([0])),
    "5 % of ML-1M": (sparse_sample, KFold(5, random_state=0)),
    "dense extract of ML-1M": (dense_extract, KFold(5, random_state=0)),
    "synthetic, -10..10": (synthetic, KFold(5, random_state=0)),
    "synthetic, 0..100, noise by user": (noisy_users, KFold(5, random_state=0)),
}


class Outcome:
    """What intervals and standard errors are for test ratings, the users with the fewest ratings first."""

    def __init__(self, algorithm: AutoRec, testset: list) -> None:
        counts = {uid: len(algorithm.trainset.ur[n]) for uid, n in algorithm.model_.user_index.items()}
        testset = sorted(testset, key=lambda rating: counts.get(rating[0], 0))
        predictions = algorithm.test(testset, return_std=True)
        self.truth = np.array([rating for _, _, rating in testset])
        self.estimates = np.array([prediction.est for prediction in predictions])
        self.std = np.array([prediction.details["std"] for prediction in predictions])
        self.errors = np.abs(self.truth - self.estimates)
        self.scale = algorithm.trainset.rating_scale
        self.bounds = {level: algorithm.predict_interval(testset, level) for level in [*LEVELS, *CURVE]}

    def is_held(self, level: float) -> np.ndarray:
        """Whether each interval holds its rating, in percent."""
        low, high = self.bounds[level].T
        return 100.0 * ((low - 1e-9 <= self.truth) & (self.truth <= high + 1e-9))

    def widths(self) -> tuple[float, float, float]:
        """Of intervals of 90 %, of constant ones that hold as many ratings, and of these clipped."""
        low, high = self.bounds[0.9].T
        constant = np.quantile(self.errors, self.is_held(0.9).mean() / 100)
        clipped = np.clip([self.estimates - constant, self.estimates + constant], *self.scale)
        return (high - low).mean(), 2 * constant, (clipped[1] - clipped[0]).mean()


def outcomes(data: Dataset, cv) -> Iterator[tuple[Outcome, float, float]]:
    """For each fold: what intervals are, by how much the RMSE rises for them, and the ratio of times."""
    for trainset, testset in cv.split(data):
        (plain_time, plain), (time, algorithm) = (
            timed(partial(AutoRec(uncertainty=on, random_state=0).fit, trainset)) for on in (False, True)
        )
        rise = np.subtract(*(accuracy.rmse(a.test(testset), verbose=False) for a in (algorithm, plain)))
        yield Outcome(algorithm, testset), rise, time / plain_time


def mean(values) -> np.ndarray:
    return np.mean(list(values), axis=0)


def main() -> None:
    coverage, rest = [], []
    figure, axes = plt.subplots(figsize=(5, 5))
    axes.plot([0, 100], [0, 100], color="0.8")
    for name, (load, cv) in DATA.items():
        folds, rises, ratios = zip(*outcomes(load(), cv), strict=True)
        row = [name]
        for level in LEVELS:
            quintiles = mean(
                [part.mean() for part in np.array_split(fold.is_held(level), 5)] for fold in folds
            )
            row += [
                mean(fold.is_held(level).mean() for fold in folds),
                f"{min(quintiles):.1f}-{max(quintiles):.1f}",
            ]
        coverage.append(row)
        ours, constant, clipped = mean(fold.widths() for fold in folds)
        correlation = mean(np.corrcoef(fold.std, fold.errors)[0, 1] for fold in folds)
        widths = [100 * (ours / width - 1) for width in (constant, clipped)]
        rest.append([name, *widths, correlation, mean(rises), np.median(ratios)])
        print(coverage[-1], rest[-1], flush=True)
        observed = [mean(fold.is_held(level).mean() for fold in folds) for level in CURVE]
        axes.plot(100 * CURVE, observed, marker=".", label=name)
    axes.set(xlabel="coverage [%]", ylabel="test ratings inside [%]", title="Test ratings in intervals")
    axes.legend(fontsize="small")
    figure.savefig(PLOT, dpi=100, bbox_inches="tight")

    levels = [text for level in LEVELS for text in (f"{level:.0%}", "quintiles")]
    publish_table(__file__, "", coverage, ["", *levels], ("", *[".1f", ""] * len(LEVELS)), part="coverage")
    headers = ["", "width [%]", "if both are clipped [%]", "correlation", "RMSE", "time"]
    publish_table(__file__, "", rest, headers, ("", "+.1f", "+.1f", ".2f", "+.4f", ".2f"), part="width")


if __name__ == "__main__":
    main()
