"""One fit by two processes of one thread each, compared with one process of one thread.

Usage: python docs/benchmarks/distributed.py

The processes run on this machine, started by torchrun, and send through its loopback device. Fits take
turns, three times; times are medians of `fit`, which each process begins with half of the ratings in memory.
Bytes are what a process sends in a step: gradients, and weights that it has updated. "Tall" ratings have many
for each column: 5 million by 100,000 users of 5,000 items, whose users are encoded.
"""

import os
import subprocess
import sys
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from tables import publish_table
from torch import distributed

from surprise_autorec import AutoRecRegressor, datasets
from surprise_autorec.core.collective import ProcessGroup
from surprise_autorec.core.step import Stepper
from surprise_autorec.distributed import fit

N_RUNS = 3
DATA = ["MovieLens-1M, items", "MovieLens-1M, users", "tall, users"]
GRADIENTS = ["float32", "bfloat16"]


def load(name: str) -> pd.DataFrame:
    if name.startswith("MovieLens"):
        return pd.DataFrame(datasets.load("ml-1m").raw_ratings, columns=["user", "item", "rating", "time"])
    return datasets.make_ratings(100_000, 5_000, 5_000_000)


class Counting(ProcessGroup):
    """It counts the bytes that it sends of gradients and weights."""

    n_bytes = 0

    def sum_share(self, gradient: torch.Tensor) -> torch.Tensor:
        total = super().sum_share(gradient)
        Counting.n_bytes += (gradient.numel() - total.numel()) * self.gradient_dtype.itemsize
        return total

    def gather_shares_(self, matrix: torch.Tensor) -> None:
        super().gather_shares_(matrix)
        own = self.share(slice(0, len(matrix)))
        Counting.n_bytes += (self.size - 1) * matrix[own].nbytes


def measure(data: str, gradient_dtype: str) -> None:
    """Print the seconds of a fit, the megabytes sent a step, and the RMSE on the ratings held out."""
    frame = load(data).sample(frac=1, random_state=0)
    rank, size = (
        int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"))
    )
    size_of_train = int(0.9 * len(frame))
    train, test = frame[:size_of_train], frame[size_of_train:]
    regressor = AutoRecRegressor(
        variant=data.split()[-1].removesuffix("s"), rating_scale=(1, 5), random_state=0
    )
    steps = 0
    step = Stepper.step

    def counted(self: Stepper, batch: object) -> float:
        nonlocal steps
        steps += 1
        return step(self, batch)

    Stepper.step = counted
    if size > 1:
        import surprise_autorec.distributed as module

        module.ProcessGroup = Counting
        distributed.init_process_group("gloo")
        train = train[len(train) * rank // size : len(train) * (rank + 1) // size]
        X, y = train[["user", "item"]], train["rating"]
        distributed.barrier()
        start = perf_counter()
        fit(regressor, X, y, gradient_dtype=gradient_dtype)
    else:
        X, y = train[["user", "item"]], train["rating"]
        start = perf_counter()
        regressor.fit(X, y)
    seconds = perf_counter() - start
    errors = regressor.predict(test[["user", "item"]]) - test["rating"]
    if rank == 0:
        print(seconds, Counting.n_bytes / steps / 1e6, np.sqrt(np.mean(errors**2)))


def run(n_processes: int, data: str, gradient_dtype: str) -> list[float]:
    start = [sys.executable]
    if n_processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = subprocess.check_output([*start, __file__, data, gradient_dtype], text=True, env=environment)
    return [float(number) for number in output.split()]


def main() -> None:
    rows = []
    for data in DATA:
        kinds = [(1, "float32"), *((2, dtype) for dtype in GRADIENTS)]
        runs = {kind: [] for kind in kinds}
        for _ in range(N_RUNS):
            for kind in kinds:
                runs[kind].append(run(kind[0], data, kind[1]))
                print(data, *kind, *runs[kind][-1])
        medians = {kind: [median(column) for column in zip(*runs[kind], strict=True)] for kind in kinds}
        alone = medians[kinds[0]][0]
        for (n_processes, dtype), (seconds, megabytes, rmse) in medians.items():
            sent = dtype if n_processes > 1 else "-"
            rows.append((data, n_processes, sent, seconds, alone / seconds, megabytes, rmse))
    headers = ["ratings, encoded", "processes", "gradients", "fit [s]", "speed-up", "MB sent a step", "RMSE"]
    publish_table(__file__, "", rows, headers, ("", "", "", ".1f", ".2f", ".1f", ".4f"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(*sys.argv[1:])
    else:
        main()
