"""Accuracy and time of AutoRec, of SVD++ and of rating predictors from other packages.

Usage: python -m tox -e peers-benchmark [-- PROTOCOL ...]

The protocols are ml-100k (five folds) and ml-1m (a tenth held out); the default is both, as columns of one
table. All settings are the defaults of the packages, except that myFM has ten and 32 factors and runs 200
iterations. The README's table gets the new figures.
"""

import sys

import lenskit.als
import lenskit.knn
import pandas as pd
import readme
import torch
from accuracy import RandomTenth
from cornac import models as cornac
from surprise import SVDpp
from surprise.model_selection import KFold
from tables import publish_table

from surprise_autorec import BEST, AutoRec, compare, datasets
from surprise_autorec.adapters import Cornac, LensKit, MyFM

ALGORITHMS = {
    "AutoRec": AutoRec(random_state=0),
    "AutoRec(**BEST)": AutoRec(**BEST, random_state=0),
    "Surprise SVD++": SVDpp(random_state=0, cache_ratings=True),
    "LensKit BiasedMF (ALS)": LensKit(lenskit.als.BiasedMFScorer(), random_state=0),
    "LensKit ItemKNN": LensKit(lenskit.knn.ItemKNNScorer()),
    "Cornac MF": Cornac(cornac.MF(seed=0)),
    "Cornac PMF": Cornac(cornac.PMF(seed=0)),
    "Cornac UserKNN": Cornac(cornac.UserKNN(verbose=False, seed=0)),
    "myFM, rank 10": MyFM(rank=10, n_iter=200, random_state=0),
    "myFM, rank 32": MyFM(rank=32, n_iter=200, random_state=0),
}
PROTOCOLS = {
    "ml-100k": ("MovieLens-100K, KFold(5, random_state=0)", KFold(5, random_state=0)),
    "ml-1m": ("MovieLens-1M, 90/10, seed 0", RandomTenth([0])),
}
COLUMNS = {"rmse": "RMSE", "mae": "MAE", "fit_time": "fit [s]", "test_time": "test [s]"}


def publish_results(results: dict[str, pd.DataFrame]) -> None:
    """Publish the result of `compare` for each protocol, with the algorithms in the order of the first."""
    table = pd.concat([result[list(COLUMNS)] for result in results.values()], axis=1)
    titles = [PROTOCOLS[name][0] for name in results]
    n_threads = torch.get_num_threads()
    publish_table(
        __file__,
        f"{'; '.join(titles)}; {n_threads} thread{'s' * (n_threads > 1)}",
        [(name, *row) for name, row in zip(table.index, table.to_numpy().tolist(), strict=True)],
        ["algorithm", *(f"{name}: {column}" for name in results for column in COLUMNS.values())],
        ("", *(".4f", ".4f", ".2f", ".2f") * len(results)),
    )


def main(names: list[str]) -> None:
    results = {}
    for name in names or PROTOCOLS:
        _, cv = PROTOCOLS[name]
        results[name] = compare(ALGORITHMS, datasets.load(name), cv=cv, verbose=True).summary()
        print(results[name].to_string(), flush=True)
    publish_results(results)
    readme.main()


if __name__ == "__main__":
    main(sys.argv[1:])
