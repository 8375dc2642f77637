"""Accuracy and time of AutoRec and the algorithms of Surprise, each with its default parameters.

Usage: python docs/benchmarks/accuracy.py [PROTOCOL ...]

The protocols are ml-100k, u1, ml-latest-small, dense, sparse, synthetic, ml-1m-seeds and ml-1m; the default
is all of them. Each one writes its table beside this file. ``surprise_autorec.datasets`` finds the data. u1
needs the files u1.base and u1.test in the folder ml-100k of ``SURPRISE_AUTOREC_DATA``.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from surprise import SVD, BaselineOnly, Dataset, KNNBaseline, Reader, SVDpp, Trainset
from surprise.model_selection import KFold, PredefinedKFold
from tables import publish

from surprise_autorec import BEST, PAPER, AutoRec, compare, datasets


class RandomTenth:
    """One split for each seed: ``numpy.random.default_rng(seed)`` draws a tenth for testing."""

    def __init__(self, seeds: list[int]) -> None:
        self.seeds = seeds

    def get_n_folds(self) -> int:
        return len(self.seeds)

    def split(self, data: Dataset) -> Iterator[tuple[Trainset, list]]:
        ratings = data.raw_ratings
        for seed in self.seeds:
            order = np.random.default_rng(seed).permutation(len(ratings))
            test, train = np.split(order, [len(ratings) // 10])
            yield (
                data.construct_trainset([ratings[n] for n in train]),
                data.construct_testset([ratings[n] for n in test]),
            )


def u1() -> Dataset:
    folder = Path(os.environ[datasets.DATA_FOLDER], "ml-100k")
    files = (str(folder / "u1.base"), str(folder / "u1.test"))
    return Dataset.load_from_folds([files], Reader("ml-100k"))


def frame_of(data: Dataset) -> pd.DataFrame:
    """The ratings of a data set as columns user, item and rating."""
    return pd.DataFrame(data.raw_ratings, columns=["user", "item", "rating", "time"]).drop(columns="time")


def dense_extract() -> Dataset:
    """The ratings of the 300 most rated items of MovieLens-1M by its 300 most active users."""
    data = datasets.load("ml-1m")
    frame = frame_of(data)
    for column, chosen in {c: frame[c].value_counts().index[:300] for c in ("user", "item")}.items():
        frame = frame[frame[column].isin(chosen)]
    return Dataset.load_from_df(frame, data.reader)


def sparse_sample() -> Dataset:
    """A random twentieth of MovieLens-1M: 8 ratings of a user, 14 of an item, on average."""
    data = datasets.load("ml-1m")
    order = np.random.default_rng(0).permutation(len(data.raw_ratings))
    chosen = pd.DataFrame([data.raw_ratings[n] for n in order[: len(order) // 20]]).iloc[:, :3]
    return Dataset.load_from_df(chosen, data.reader)


def synthetic() -> Dataset:
    """Ratings of 100 items by 2,000 users, 70 % observed, from -10 to 10."""
    frame = datasets.make_ratings(2000, 100, 140_000, noise=3, rating_scale=(-10, 10))
    return Dataset.load_from_df(frame, Reader(rating_scale=(-10, 10)))


AUTOREC = {
    "AutoRec": AutoRec(random_state=0),
    "AutoRec(**BEST)": AutoRec(**BEST, random_state=0),
    "AutoRec, user": AutoRec(variant="user", random_state=0),
    "AutoRec, hybrid": AutoRec(variant="hybrid", random_state=0),
}
OTHERS = {
    "BaselineOnly": BaselineOnly(verbose=False),
    "KNNBaseline": KNNBaseline(verbose=False),
    "SVD": SVD(random_state=0),
    "SVD++": SVDpp(random_state=0, cache_ratings=True),
}
PROTOCOLS = {
    "ml-100k": (
        "MovieLens-100K, KFold(5, random_state=0)",
        lambda: datasets.load("ml-100k"),
        KFold(5, random_state=0),
    ),
    "u1": ("MovieLens-100K, u1.base and u1.test", u1, PredefinedKFold()),
    "ml-latest-small": (
        "MovieLens-latest-small, KFold(5, random_state=0)",
        lambda: datasets.load("ml-latest-small"),
        KFold(5, random_state=0),
    ),
    "dense": (
        "300 users x 300 items of MovieLens-1M, KFold(5, random_state=0)",
        dense_extract,
        KFold(5, random_state=0),
    ),
    "sparse": (
        "5 % of the ratings of MovieLens-1M, KFold(5, random_state=0)",
        sparse_sample,
        KFold(5, random_state=0),
    ),
    "synthetic": (
        "synthetic, 70 % observed, -10..10, KFold(5, random_state=0)",
        synthetic,
        KFold(5, random_state=0),
    ),
    "ml-1m-seeds": (
        "MovieLens-1M, 90/10, seeds 0 to 4",
        lambda: datasets.load("ml-1m"),
        RandomTenth([*range(5)]),
    ),
    "ml-1m": ("MovieLens-1M, 90/10, seed 0", lambda: datasets.load("ml-1m"), RandomTenth([0])),
}


def main(names: list[str]) -> None:
    for name in names or PROTOCOLS:
        title, load, cv = PROTOCOLS[name]
        algorithms = {**AUTOREC, **OTHERS}
        if name == "ml-1m-seeds":
            algorithms = {name: AUTOREC[name] for name in ("AutoRec", "AutoRec(**BEST)")}
        if name == "ml-1m":
            algorithms["AutoRec(**PAPER)"] = AutoRec(**PAPER, random_state=0)
            del algorithms["KNNBaseline"]  # to keep the run short
        comparison = compare(algorithms, load(), cv=cv, verbose=True)
        title = f"{title}, {torch.get_num_threads()} threads"
        publish(__file__, f"{title}\n\n{comparison.to_markdown()}", part=name)


if __name__ == "__main__":
    main(sys.argv[1:])
