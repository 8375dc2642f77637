"""Accuracy and time of AutoRec, of SVD++ and of rating predictors from other packages.

Usage: python -m tox -e peers-benchmark

MovieLens-100K in five folds, and a tenth of MovieLens-1M held out. All settings are the defaults of
the packages, except that myFM has ten and 32 factors and runs 200 iterations.
"""

import lenskit.als
import lenskit.knn
import pandas as pd
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
COLUMNS = ("RMSE", "MAE", "fit [s]", "test [s]")
PROTOCOLS = {"ml-100k": KFold(5, random_state=0), "ml-1m": RandomTenth([0])}


def main() -> None:
    results = []
    for name, cv in PROTOCOLS.items():
        results.append(compare(ALGORITHMS, datasets.load(name), cv=cv, verbose=True))
        print(results[-1].to_string(), flush=True)
    columns = ["rmse", "mae", "fit_time", "test_time"]
    table = pd.concat([result[columns] for result in results], axis=1)
    publish_table(
        __file__,
        "MovieLens-100K, KFold(5, random_state=0), and MovieLens-1M, 90/10, seed 0, "
        f"{torch.get_num_threads()} threads",
        [(name, *row) for name, row in zip(table.index, table.to_numpy().tolist(), strict=True)],
        ["algorithm", *(f"{data}: {what}" for data in ("100K", "1M") for what in COLUMNS)],
        ("", *(".4f", ".4f", ".1f", ".1f") * 2),
    )


if __name__ == "__main__":
    main()
