"""How long a fit takes beside other work: with the number of threads that it chooses, with one, and with all.

Usage: python docs/benchmarks/load.py [ml-100k | ml-1m]

Every fit is one with defaults, in a process of its own that has fitted for an epoch before. The ways to
choose threads take turns. Busy processes are started here and ended here. The machine should do nothing else.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

import numpy as np
import torch
from accuracy import RandomTenth
from measuring import seconds
from surprise import Dataset, Trainset
from surprise.model_selection import KFold, cross_validate
from tables import publish_table

from surprise_autorec import AutoRec, datasets
from surprise_autorec.core.threads import ThreadChooser

ROUNDS, N_FITS = 2, {"ml-100k": 3, "ml-1m": 1}
BUSY = "while True: pass"
#: What a process of fits is started with: a prefix of its command.
ONE_CORE = ["taskset", "-c", "0"]
WAYS = ["chosen", "one", "all"]


def trainset(name: str) -> Trainset:
    ((part, _),) = RandomTenth([0]).split(datasets.load(name))
    return part


def use(way: str) -> None:
    """Make fits of this process use the number of threads that they choose, one, or all."""
    if way == "one":
        torch.set_num_threads(1)
    if way == "all":
        ThreadChooser._choose = lambda chooser, _: max(chooser.numbers)  # type: ignore[method-assign]


def fit(name: str, way: str) -> None:
    """Print the seconds of each fit, once a line has come on standard input."""
    use(way)
    part = trainset(name)
    AutoRec(n_epochs=1).fit(part)  # what only the first fit of a process costs
    print("ready", flush=True)
    sys.stdin.readline()
    print(*(seconds(lambda: AutoRec(random_state=0).fit(part)) for _ in range(N_FITS[name])))


def folds(name: str, way: str) -> None:
    """Print the seconds of the fits of a cross-validation in two processes, which are joblib's to set up."""
    use(way)
    data: Dataset = datasets.load(name)
    print("ready", flush=True)
    sys.stdin.readline()
    splits = KFold(6, random_state=0)
    print(*cross_validate(AutoRec(random_state=0), data, ["rmse"], splits, n_jobs=2)["fit_time"])


@contextmanager
def busy(n_processes: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(n_processes):
            process = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(process.wait)
            stack.callback(process.kill)
        time.sleep(1)
        yield


def measure(what: str, name: str, way: str, n_processes: int, prefix: list[str]) -> float:
    """Median seconds of a fit, in processes that fit at the same time."""
    command = [*prefix, sys.executable, __file__, what, name, way]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(n_processes)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    return median(float(number) for process in processes for number in process.communicate()[0].split())


def main(names: list[str]) -> None:
    situations = {
        "quiet": ("fit", 0, 1, []),
        "beside 1 busy process": ("fit", 1, 1, []),
        "beside 2 busy processes": ("fit", 2, 1, []),
        "on one core": ("fit", 0, 1, ONE_CORE),
        "two fits at once": ("fit", 0, 2, []),
        "cross_validate(n_jobs=2)": ("folds", 0, 1, []),
    }
    for name in names or N_FITS:
        rows = []
        for situation, (what, n_busy, n_processes, prefix) in situations.items():
            # All threads beside other work take minutes: the small data and two situations show enough.
            shows_all = name == "ml-100k" and situation in {"quiet", "beside 1 busy process"}
            ways = WAYS if shows_all else WAYS[:2]
            times = []
            for _ in range(ROUNDS):
                with busy(n_busy):
                    times.append([measure(what, name, way, n_processes, prefix) for way in ways])
            chosen, one, *every = np.array(times).T
            rows.append((situation, median(chosen), median(one), median(chosen / one)))
            rows[-1] += (median(every[0]), median(chosen / every[0])) if every else (None, None)
            print(rows[-1], flush=True)
        headers = ["situation", "chosen [s]", "one [s]", "chosen / one", "all [s]", "chosen / all"]
        title = f"{name}, {torch.get_num_threads()} cores, medians of {ROUNDS} rounds"
        publish_table(__file__, title, rows, headers, ("", *[".2f"] * 5), name)


if __name__ == "__main__":
    if sys.argv[1:2] in (["fit"], ["folds"]):
        {"fit": fit, "folds": folds}[sys.argv[1]](*sys.argv[2:])
    else:
        main(sys.argv[1:])
