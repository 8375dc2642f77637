"""Costs before training: importing the package, and turning the ratings of a Trainset into arrays.

Usage: python docs/benchmarks/overheads.py
"""

import subprocess
import sys
from statistics import median

from accuracy import RandomTenth
from measuring import seconds
from tables import publish_lines

from surprise_autorec import datasets
from surprise_autorec.algorithm import ratings_of

ROUNDS = 15
IMPORT = """
import time, surprise, torch
start = time.perf_counter()
from surprise_autorec import AutoRec
print(time.perf_counter() - start)
"""


def seconds_of_import() -> float:
    """Seconds that a new process takes to import the package after Surprise and torch."""
    return float(subprocess.check_output([sys.executable, "-c", IMPORT], text=True))


def main() -> None:
    ((trainset, _),) = RandomTenth([0]).split(datasets.load("ml-1m"))
    times = [seconds(lambda: ratings_of(trainset)) for _ in range(ROUNDS)]
    imports = [seconds_of_import() for _ in range(ROUNDS)]
    lines = (
        f"import of `surprise_autorec` beyond Surprise and torch: {1e3 * median(imports):.0f} ms",
        f"ratings of a Trainset: {1e6 * median(times) / trainset.n_ratings:.2f} s a million "
        f"({trainset.n_ratings:,} ratings)",
    )
    publish_lines(__file__, [f"medians of {ROUNDS}", *lines])


if __name__ == "__main__":
    main()
