"""Size and time of a saved model, compared with files of ``surprise.dump``, on MovieLens-1M.

Usage: python docs/benchmarks/saving.py
"""

import tempfile
from pathlib import Path
from statistics import median

from measuring import seconds
from surprise import SVD, dump
from tables import publish_table

from surprise_autorec import AutoRec, datasets, load

ROUNDS = 5


def main() -> None:
    trainset = datasets.load("ml-1m").build_full_trainset()
    algorithm = AutoRec(random_state=0).fit(trainset)
    svd = SVD(n_epochs=1, random_state=0).fit(trainset)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs, svds = (Path(folder, name) for name in ("ours", "theirs", "svd"))
        ways = {
            "AutoRec, save and load": (ours, lambda: algorithm.save(ours), lambda: load(ours)),
            "AutoRec, surprise.dump": (
                theirs,
                lambda: dump.dump(str(theirs), algo=algorithm),
                lambda: dump.load(str(theirs)),
            ),
            "SVD, surprise.dump": (
                svds,
                lambda: dump.dump(str(svds), algo=svd),
                lambda: dump.load(str(svds)),
            ),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, (_, write, read) in ways.items():
                times[name].append((seconds(write), seconds(read)))
        rows = [
            (name, path.stat().st_size / 1e6, *(median(column) for column in zip(*times[name], strict=True)))
            for name, (path, *_) in ways.items()
        ]
    headers = ["", "size [MB]", "write [s]", "read [s]"]
    title = f"{trainset.n_ratings:,} ratings, medians of {ROUNDS}"
    publish_table(__file__, title, rows, headers, ("", ".1f", ".2f", ".2f"))


if __name__ == "__main__":
    main()
