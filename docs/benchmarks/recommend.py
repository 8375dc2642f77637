"""Top-10 lists for every user of MovieLens-1M: time and peak memory.

Usage: python docs/benchmarks/recommend.py
"""

from functools import partial
from statistics import median

import torch
from measuring import peak, timed
from tables import publish_table

from surprise_autorec import AutoRec, datasets

ROUNDS = 5


def main() -> None:
    trainset = datasets.load("ml-1m").build_full_trainset()
    rows = []
    for variant in ("item", "user", "hybrid"):
        algorithm = AutoRec(variant=variant, random_state=0).fit(trainset)
        before, times = peak(), []
        for _ in range(ROUNDS):
            time, frame = timed(partial(algorithm.recommend, n=10))
            times.append(time)
        rows.append((variant, f"{len(frame):,}", median(times), (peak() - before) / 1e6))
        print(rows[-1], flush=True)
    headers = ["variant", "rows", "time [s]", "memory beyond fit's peak [MB]"]
    title = (
        f"{trainset.n_users:,} users, {trainset.n_items:,} items, {torch.get_num_threads()} threads, "
        f"medians of {ROUNDS}"
    )
    publish_table(__file__, title, rows, headers, ("", "", ".2f", ".0f"))


if __name__ == "__main__":
    main()
