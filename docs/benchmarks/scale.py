"""Time of an epoch and peak memory on up to 20 million synthetic ratings of 27,000 items by 138,000 users.

Usage: python docs/benchmarks/scale.py

The ratings are arrays, because a Trainset of 20 million would not fit into the memory of the machine. Each
size runs in its own process. Memory is the peak of the process minus what it used once the arrays were
loaded. It is compared with an allowance: 36 bytes for each rating, 20 bytes for each parameter (weights, the
two moments of Adam, averages, and the size of the weights again for gradients, which never exist as a whole,
and everything else) and 12 bytes for each element of the column vectors (the vectors, their gradient, and
their sum with the weights of the decoder).
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measuring import peak
from tables import publish_table

from surprise_autorec import AutoRec
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Member
from surprise_autorec.core.training import train

N_USERS, N_ITEMS, N_FACTORS = 138_000, 27_000, 200
SIZES = [1_000_000, 5_000_000, 20_000_000]


def make_arrays(size: int) -> dict[str, np.ndarray]:
    """Ratings of distinct pairs, drawn by popularity. Every user and every item has at least one."""
    generator = np.random.default_rng(0)
    pairs = everyone = np.arange(N_USERS) * N_ITEMS + np.arange(N_USERS) % N_ITEMS
    while len(pairs) < size:
        users = (N_USERS * generator.random(size) ** 2).astype(np.int64)
        items = (N_ITEMS * generator.random(size) ** 3).astype(np.int64)
        pairs = np.unique(np.concatenate([pairs, users * N_ITEMS + items]))
    others = generator.permutation(np.setdiff1d(pairs, everyone))[: size - len(everyone)]
    pairs = generator.permutation(np.concatenate([everyone, others]))
    users, items = (pairs // N_ITEMS).astype(np.int32), (pairs % N_ITEMS).astype(np.int32)
    tastes, kinds = generator.normal(size=(N_USERS, 4)), generator.normal(size=(N_ITEMS, 4))
    structure = sum(tastes[users, n] * kinds[items, n] for n in range(4))
    values = 3.5 + structure / 2 + generator.normal(size=size) / 2
    return {"users": users, "items": items, "values": np.clip(np.rint(values), 1, 5).astype(np.float32)}


def measure(folder: str) -> None:
    """Print the seconds of an epoch, and the bytes that training on the arrays in the folder used."""
    users, items, values = (np.load(Path(folder, f"{name}.npy")) for name in ("users", "items", "values"))
    parameters = AutoRec(n_factors=N_FACTORS, n_epochs=4, random_state=0).check_parameters()
    ends: list[float] = []
    before = peak()
    train(
        RatingMatrix.from_cells(users, items, values, (N_USERS, N_ITEMS)),
        [Member("item", 1.0)],
        parameters.options,
        parameters.estimate_baselines,
        seed=0,
        on_epoch_end=lambda _: ends.append(time.perf_counter()),
    )
    print(median(np.diff(ends)), peak() - before)


def main() -> None:
    rows = []
    parameters = N_FACTORS * (2 * N_USERS + N_ITEMS)
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            for name, array in make_arrays(size).items():
                np.save(Path(folder, name), array)
            command = [sys.executable, __file__, folder]
            seconds, memory = map(float, subprocess.check_output(command, text=True).split())
        allowed = 36 * size + 20 * parameters + 12 * N_FACTORS * N_USERS
        rows.append(
            (f"{size:,}", seconds, 1e6 * seconds / size, memory / 1e9, allowed / 1e9, memory / allowed)
        )
        print(rows[-1])
    headers = ["ratings", "epoch [s]", "us a rating", "memory [GB]", "allowed [GB]", "ratio"]
    title = f"{N_ITEMS:,} items, {N_USERS:,} users, k = {N_FACTORS}, {torch.get_num_threads()} threads"
    publish_table(__file__, title, rows, headers, ("", ".2f", ".3f", ".2f", ".2f", ".2f"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        main()
