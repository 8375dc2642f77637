"""``partial_fit`` with a ninth of the training ratings of MovieLens-1M, compared with a fit on all of them.

Usage: python docs/benchmarks/partial_fit.py

The RMSE is measured on another tenth of the training part of ``RandomTenth([0])``; its test tenth is never
used.
"""

import copy

import torch
from accuracy import RandomTenth
from choices import training_part
from measuring import seconds
from surprise import accuracy
from tables import publish_table

from surprise_autorec import AutoRec, datasets


def main() -> None:
    data = training_part(datasets.load("ml-1m"))
    ((trainset, testset),) = RandomTenth([1]).split(data)
    ratings = [(trainset.to_raw_uid(u), trainset.to_raw_iid(i), r) for u, i, r in trainset.all_ratings()]
    order = torch.randperm(len(ratings), generator=torch.Generator().manual_seed(0)).tolist()
    n_new = len(ratings) // 9
    old, new = ([ratings[n] for n in part] for part in (order[n_new:], order[:n_new]))
    first = AutoRec(random_state=0).fit(data.construct_trainset([(*rating, None) for rating in old]))

    rows = []

    def measure(name: str, algorithm: AutoRec, train) -> None:
        time = seconds(lambda: train(algorithm))
        rows.append((name, accuracy.rmse(algorithm.test(testset), verbose=False), time))
        print(rows[-1], flush=True)

    measure("fit on the old ratings", copy.deepcopy(first), lambda _: None)
    for n_epochs in (1, 2, 4, 8):
        measure(
            f"partial_fit, {n_epochs} epochs",
            copy.deepcopy(first),
            lambda algorithm, n_epochs=n_epochs: algorithm.partial_fit(new, n_epochs=n_epochs),
        )
    trainset = data.construct_trainset([(*rating, None) for rating in old + new])
    measure("fit on all ratings", AutoRec(random_state=0), lambda algorithm: algorithm.fit(trainset))
    title = f"{len(old):,} ratings and {len(new):,} new ones, {torch.get_num_threads()} threads"
    publish_table(__file__, title, rows, ["", "RMSE", "time [s]"], ("", ".4f", ".2f"))


if __name__ == "__main__":
    main()
