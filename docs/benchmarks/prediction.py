"""Time of ``test`` on MovieLens-1M's held-out tenth, AutoRec and SVD in turn.

Usage: python docs/benchmarks/prediction.py
"""

import time
from statistics import median

import torch
from accuracy import RandomTenth
from surprise import SVD
from tables import publish_lines

from surprise_autorec import AutoRec, datasets

ROUNDS = 9


def main() -> None:
    ((trainset, testset),) = RandomTenth([0]).split(datasets.load("ml-1m"))
    algorithms = {"AutoRec": AutoRec(random_state=0), "SVD": SVD(n_epochs=1, random_state=0)}
    seconds: dict[str, list[float]] = {name: [] for name in algorithms}
    for algorithm in algorithms.values():
        algorithm.fit(trainset)
    for _ in range(ROUNDS):
        for name, algorithm in algorithms.items():
            start = time.perf_counter()
            predictions = algorithm.test(testset)
            seconds[name].append(time.perf_counter() - start)
            del predictions
    lines = [f"{len(testset):,} pairs, {torch.get_num_threads()} threads, {ROUNDS} rounds"]
    for name, times in seconds.items():
        microseconds = 1e6 * median(times) / len(testset)
        lines.append(f"{name}: first {times[0]:.3f} s, median {median(times):.3f} s, {microseconds:.2f} us a pair")
    lines.append(f"median ratio: {median(a / b for a, b in zip(*seconds.values(), strict=True)):.2f}")
    publish_lines(__file__, lines)


if __name__ == "__main__":
    main()
