"""Top-10 lists for every user of MovieLens-1M: time and peak memory.

Usage: python docs/benchmarks/recommend.py
"""

import time
from statistics import median

import torch
from memory import peak
from tables import publish_table

from surprise_autorec import AutoRec, datasets

ROUNDS = 5


def main() -> None:
    trainset = datasets.load("ml-1m").build_full_trainset()
    rows = []
    for variant in ("item", "user", "hybrid"):
        algorithm = AutoRec(variant=variant, random_state=0).fit(trainset)
        before, seconds = peak(), []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            frame = algorithm.recommend(n=10)
            seconds.append(time.perf_counter() - start)
        rows.append((variant, f"{len(frame):,}", median(seconds), 1e3 * (peak() - before)))
        print(rows[-1], flush=True)
    headers = ["variant", "rows", "time [s]", "memory beyond fit's peak [MB]"]
    title = (
        f"{trainset.n_users:,} users, {trainset.n_items:,} items, {torch.get_num_threads()} threads, "
        f"medians of {ROUNDS}"
    )
    publish_table(__file__, title, rows, headers, ("", "", ".2f", ".0f"))


if __name__ == "__main__":
    main()
