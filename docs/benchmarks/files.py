"""From a file of ratings to a saved model: the command line against `AutoRecRegressor` on a table in memory.

Usage: python docs/benchmarks/files.py [n_ratings] [n_epochs]

Each way runs in its own process, which reads the file, fits and saves, one after the other in turns. Time and
peak memory are given as ratios to those of the regressor, which has the table read by pandas; both count
from the start of the process, imports included.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from measuring import peak
from tables import publish_table

from surprise_autorec import AutoRecRegressor, datasets

ROUNDS = 3
SUFFIXES = ("parquet", "csv")


def with_regressor(source: Path, n_epochs: int) -> None:
    import pandas as pd

    frame = pd.read_parquet(source) if source.suffix == ".parquet" else pd.read_csv(source)
    regressor = AutoRecRegressor(rating_scale=(1, 5), n_epochs=n_epochs, random_state=0)
    regressor.fit(frame[["user", "item"]], frame["rating"]).save(source.with_suffix(".model"))


def with_batches(source: Path, n_epochs: int) -> None:
    regressor = AutoRecRegressor(rating_scale=(1, 5), n_epochs=n_epochs, random_state=0)
    regressor.fit_batches(source).save(source.with_suffix(".model"))


def with_command_line(source: Path, n_epochs: int) -> None:
    from surprise_autorec.cli import app

    settings = ["--rating-scale", "1,5", "-p", f"n_epochs={n_epochs}", "-p", "verbose=False"]
    app(["fit", str(source), "-o", str(source.with_suffix(".model")), *settings], standalone_mode=False)


WAYS = {"regressor": with_regressor, "fit_batches": with_batches, "command line": with_command_line}


def measure(way: str, source: Path, n_epochs: int) -> tuple[float, int]:
    """The seconds and the peak memory of a process that does it."""
    start = time.perf_counter()
    command = [sys.executable, __file__, way, str(source), str(n_epochs)]
    output = subprocess.check_output(command, text=True)
    return time.perf_counter() - start, int(output.splitlines()[-1])


def main(n_ratings: int, n_epochs: int) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        frame = datasets.make_ratings(n_ratings // 100, n_ratings // 400, n_ratings)
        frame["rating"] = frame["rating"].round(1)
        frame.to_parquet(Path(folder, "ratings.parquet"))
        frame.to_csv(Path(folder, "ratings.csv"), index=False)
        for suffix in SUFFIXES:
            source = Path(folder, f"ratings.{suffix}")
            rounds = [[measure(way, source, n_epochs) for way in WAYS] for _ in range(ROUNDS)]
            times, peaks = (
                [median(values) for values in zip(*each, strict=True)]
                for each in (
                    [[time for time, _ in ways] for ways in rounds],
                    [[memory for _, memory in ways] for ways in rounds],
                )
            )
            for way, seconds, memory in zip(WAYS, times, peaks, strict=True):
                rows.append((suffix, way, seconds, seconds / times[0], memory / 1e9, memory / peaks[0]))
                print(rows[-1], flush=True)
    headers = ["file", "way", "time [s]", "ratio", "memory [GB]", "ratio"]
    title = f"{n_ratings:,} ratings, {n_epochs} epochs, medians of {ROUNDS}"
    publish_table(__file__, title, rows, headers, ("", "", ".1f", ".2f", ".2f", ".2f"))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        WAYS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
        print(peak())
    else:
        main(*map(int, [*sys.argv[1:], *(["4000000", "16"][len(sys.argv) - 1 :])]))
