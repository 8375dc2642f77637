"""Time of ``test`` on a held-out tenth of MovieLens-1M, for AutoRec and SVD in turn.

Usage: python docs/benchmarks/prediction.py
"""

from functools import partial
from statistics import median

import torch
from accuracy import RandomTenth
from measuring import seconds
from surprise import SVD
from tables import publish_lines

from surprise_autorec import AutoRec, datasets

ROUNDS = 9


def main() -> None:
    ((trainset, testset),) = RandomTenth([0]).split(datasets.load("ml-1m"))
    algorithms = {"AutoRec": AutoRec(random_state=0), "SVD": SVD(n_epochs=1, random_state=0)}
    times: dict[str, list[float]] = {name: [] for name in algorithms}
    for algorithm in algorithms.values():
        algorithm.fit(trainset)
    for _ in range(ROUNDS):
        for name, algorithm in algorithms.items():
            times[name].append(seconds(partial(algorithm.test, testset)))
    lines = [f"{len(testset):,} pairs, {torch.get_num_threads()} threads, {ROUNDS} rounds"]
    for name, taken in times.items():
        microseconds = 1e6 * median(taken) / len(testset)
        figures = f"first {taken[0]:.3f} s, median {median(taken):.3f} s, {microseconds:.2f} us a pair"
        lines.append(f"{name}: {figures}")
    lines.append(f"median ratio: {median(a / b for a, b in zip(*times.values(), strict=True)):.2f}")
    publish_lines(__file__, lines)


if __name__ == "__main__":
    main()
