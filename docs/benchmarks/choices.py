"""The RMSE of AutoRec with each default parameter changed, one at a time, on ratings held out for validation.

Usage: python docs/benchmarks/choices.py

A random tenth of every data set, the test tenth of ``RandomTenth([0])`` in accuracy.py, is set aside and
never used. The RMSE is measured on another tenth of the remaining ratings. The table is written beside this
file.
"""

import copy

import numpy as np
from accuracy import RandomTenth, dense_extract, sparse_sample, synthetic
from surprise import Dataset
from tables import publish_table

from surprise_autorec import BEST, AutoRec, compare, datasets

ALTERNATIVES = {
    "item": {
        "two_sided": [False],
        "n_estimators": [4],
        "n_factors": [64, 128, 256, 500],
        "bsl_options": [{}],
        "n_epochs": [12, 24],
        "lr_all": [0.0015, 0.006],
        "reg_all": [60.0, 120.0, 240.0, 480.0],
        "reg_bias": [0.0, 30.0],
        "dropout": [0.0, 0.25, 0.75],
        "input_centering": [0.0, 0.5, 1.0],
        "input_scaling": [0.0, 1.0],
        "averaging": [0.0, 0.9],
        "biased": [False],
        "optimizer": ["sgd", "rprop", "lbfgs"],
        "precision": ["float32", "bfloat16"],
    },
    "user": {"two_sided": [False], "input_centering": [0.0, 0.5, 1.0]},
    "hybrid": {"two_sided": [False], "item_weight": [0.7, 0.8]},
}


def training_part(data: Dataset) -> Dataset:
    """The data set without the test tenth of ``RandomTenth([0])``."""
    rest = copy.copy(data)
    order = np.random.default_rng(0).permutation(len(data.raw_ratings))
    rest.raw_ratings = [data.raw_ratings[n] for n in order[len(order) // 10 :]]
    return rest


def main() -> None:
    data = {
        "ML-100K": datasets.load("ml-100k"),
        "latest-small": datasets.load("ml-latest-small"),
        "ML-1M": datasets.load("ml-1m"),
        "5 % of ML-1M": sparse_sample(),
        "dense extract of ML-1M": dense_extract(),
        "synthetic, 70 % observed, -10..10": synthetic(),
    }
    algorithms = {}
    for variant, alternatives in ALTERNATIVES.items():
        algorithms[f"**{variant}: defaults**"] = AutoRec(variant=variant, random_state=0)
        for name, values in alternatives.items():
            for value in values:
                algorithms[f"{variant}: {name}={value}"] = AutoRec(
                    variant=variant, random_state=0, **{name: value}
                )
    algorithms["**BEST**"] = AutoRec(**BEST, random_state=0)
    errors = {}
    for name, ratings in data.items():
        comparison = compare(algorithms, training_part(ratings), cv=RandomTenth([1]), verbose=True, n_jobs=2)
        errors[name] = comparison.summary()["rmse"]
    rows = [(name, *(error[name] for error in errors.values())) for name in algorithms]
    publish_table(__file__, "", rows, ["algorithm", *errors], ["", *[".4f"] * len(errors)])


if __name__ == "__main__":
    main()
