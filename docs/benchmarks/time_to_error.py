"""Time that AutoRec takes to reach the final RMSE of SVD++ on a held-out tenth of MovieLens-1M.

Usage: python docs/benchmarks/time_to_error.py

Both have their default parameters, except that AutoRec is fitted with 1, 2, 3, ... epochs, each time from
scratch, until its RMSE on the test tenth is not above that of SVD++. So the number of epochs is a result of
the benchmark, not a choice.
"""

import itertools
from functools import partial
from statistics import median

import torch
from accuracy import RandomTenth
from measuring import seconds
from surprise import SVDpp, accuracy
from tables import publish_table

from surprise_autorec import AutoRec, datasets

ROUNDS = 5


def main() -> None:
    ((trainset, testset),) = RandomTenth([0]).split(datasets.load("ml-1m"))
    AutoRec(n_epochs=1, random_state=0).fit(
        trainset
    )  # so that what the first fit of a process loads is not timed

    svdpp = SVDpp(random_state=0, cache_ratings=True)
    svdpp_time = seconds(partial(svdpp.fit, trainset))
    goal = accuracy.rmse(svdpp.test(testset), verbose=False)

    rows = [("SVD++", svdpp.n_epochs, goal, svdpp_time, 1.0)]
    for n_epochs in itertools.count(1):
        algorithm = AutoRec(n_epochs=n_epochs, random_state=0)
        time = median(seconds(partial(algorithm.fit, trainset)) for _ in range(ROUNDS))
        rmse = accuracy.rmse(algorithm.test(testset), verbose=False)
        rows.append(("AutoRec", n_epochs, rmse, time, svdpp_time / time))
        print(rows[-1])
        if rmse <= goal:
            break
    headers = ["algorithm", "epochs", "RMSE", "fit [s]", "SVD++'s time / this"]
    n_threads = torch.get_num_threads()
    title = f"MovieLens-1M, 90/10, seed 0, {n_threads} threads, AutoRec's times medians of {ROUNDS}"
    publish_table(__file__, title, rows, headers, ("", "", ".4f", ".2f", ".0f"))


if __name__ == "__main__":
    main()
