"""Costs besides training: importing the package, a Trainset as arrays, the first fit, the first prediction.

Usage: python docs/benchmarks/overheads.py
"""

import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from accuracy import RandomTenth
from measuring import seconds
from tables import publish_lines

from surprise_autorec import AutoRec, datasets
from surprise_autorec.trainsets import ratings_of

ROUNDS = 15
IMPORT = """
import gc, time, surprise, torch
gc.disable()
start = time.perf_counter()
from surprise_autorec import AutoRec
print(time.perf_counter() - start)
"""
FITS = """
import time
from surprise import Dataset, Reader
from surprise_autorec import AutoRec, datasets
data = Dataset.load_from_df(datasets.make_ratings(), Reader(rating_scale=(1, 5))).build_full_trainset()
for _ in range(2):
    start = time.perf_counter()
    AutoRec(random_state=0).fit(data)
    print(time.perf_counter() - start)
"""
#: From the start of a process that serves predictions, in parts; its argument is a saved model.
SERVING = """
import sys, time
start = time.perf_counter()
import surprise, torch
imported = time.perf_counter()
import surprise_autorec
model = surprise_autorec.load(sys.argv[1])
model.predict("196", "302")
print(imported - start, time.perf_counter() - imported)
"""


def seconds_of_first_prediction(file: Path) -> tuple[float, float]:
    """Seconds that a new process takes to import Surprise and torch, and from there to a prediction."""
    libraries, rest = subprocess.check_output([sys.executable, "-c", SERVING, file], text=True).split()
    return float(libraries), float(rest)


def seconds_of_first_fits() -> tuple[float, float]:
    """Seconds that the first and the second fit of a new process take."""
    first, second = subprocess.check_output([sys.executable, "-c", FITS], text=True).split()
    return float(first), float(second)


def seconds_of_import() -> float:
    """Seconds that a new process takes to import the package after Surprise and torch.

    The garbage collector is off: a pass over all of torch's objects, which may fall into it, takes longer.
    """
    return float(subprocess.check_output([sys.executable, "-c", IMPORT], text=True))


def main() -> None:
    ((trainset, _),) = RandomTenth([0]).split(datasets.load("ml-1m"))
    times = [seconds(lambda: ratings_of(trainset)) for _ in range(ROUNDS)]
    imports = [seconds_of_import() for _ in range(ROUNDS)]
    first, second = zip(*(seconds_of_first_fits() for _ in range(ROUNDS)), strict=True)
    with TemporaryDirectory() as folder:
        file = Path(folder, "model.safetensors")
        AutoRec(random_state=0).fit(datasets.load("ml-100k").build_full_trainset()).save(file)
        libraries, rest = zip(*(seconds_of_first_prediction(file) for _ in range(ROUNDS)), strict=True)
    lines = (
        f"import of `surprise_autorec` beyond Surprise and torch: {1e3 * median(imports):.0f} ms",
        f"ratings of a Trainset: {1e6 * median(times) / trainset.n_ratings:.2f} s a million "
        f"({trainset.n_ratings:,} ratings)",
        f"fit of `make_ratings()`: {median(first):.2f} s in a new process, {median(second):.2f} s again",
        f"from the start of a process to the first prediction of a saved model (ML-100K): "
        f"{median(libraries):.2f} s to import Surprise and torch, {median(rest):.2f} s for the rest",
    )
    publish_lines(__file__, [f"medians of {ROUNDS}", *lines])


if __name__ == "__main__":
    main()
