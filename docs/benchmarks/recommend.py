"""Top-10 lists for every user: time and memory.

Usage: python docs/benchmarks/recommend.py [ml-1m | large]

For MovieLens-1M, with `recommend`. For 200,000 users and 10,000 items, with `recommend_to`, by one process
with one thread: there the fit is of one epoch, as how well it predicts does not matter.
"""

import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch
from measuring import peak, timed
from tables import publish_table

from surprise_autorec import AutoRec, AutoRecRegressor, datasets

ROUNDS = 5
N_USERS, N_ITEMS, N_RATINGS, N_FACTORS = 200_000, 10_000, 2_000_000, 256


def ml_1m() -> None:
    trainset = datasets.load("ml-1m").build_full_trainset()
    rows = []
    for variant in ("item", "user", "hybrid"):
        algorithm = AutoRec(variant=variant, random_state=0).fit(trainset)
        before, times = peak(), []
        for _ in range(ROUNDS):
            seconds, frame = timed(partial(algorithm.recommend, n=10))
            times.append(seconds)
        rows.append((variant, f"{len(frame):,}", median(times), (peak() - before) / 1e6))
        print(rows[-1], flush=True)
    headers = ["variant", "rows", "time [s]", "memory beyond fit's peak [MB]"]
    title = (
        f"{trainset.n_users:,} users, {trainset.n_items:,} items, {torch.get_num_threads()} threads, "
        f"medians of {ROUNDS}"
    )
    publish_table(__file__, title, rows, headers, ("", "", ".2f", ".0f"))


def large() -> None:
    ratings = datasets.make_ratings(N_USERS, N_ITEMS, N_RATINGS)
    rows = []
    for variant in ("item", "hybrid"):
        regressor = AutoRecRegressor(variant=variant, n_factors=N_FACTORS, n_epochs=1, random_state=0)
        regressor.fit(ratings[["user", "item"]], ratings["rating"])
        torch.set_num_threads(1)
        n_users = len(regressor.model_.user_ids)
        with tempfile.TemporaryDirectory() as folder:
            before, start, cpu_start = peak(), time.perf_counter(), time.process_time()
            n_rows = regressor.recommend_to(Path(folder, "top.parquet"), n=10)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        per_user = 1e3 * seconds / n_users, 1e3 * cpu_seconds / n_users
        rows.append((variant, f"{n_rows:,}", seconds, *per_user, (peak() - before) / 1e6))
        print(rows[-1], flush=True)
    headers = ["variant", "rows", "time [s]", "ms a user", "CPU ms a user", "memory beyond fit's peak [MB]"]
    title = f"{n_users:,} users, {N_ITEMS:,} items, k = {N_FACTORS}, 1 thread"
    publish_table(__file__, title, rows, headers, ("", "", ".1f", ".3f", ".3f", ".0f"), "large")


if __name__ == "__main__":
    for name in sys.argv[1:] or ["ml-1m", "large"]:
        {"ml-1m": ml_1m, "large": large}[name]()
