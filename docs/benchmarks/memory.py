"""Peak memory of a process that loads MovieLens-1M, fits AutoRec on 90 % of it, and tests on the rest.

Usage: python docs/benchmarks/memory.py [variant]
"""

import sys

from accuracy import RandomTenth
from measuring import peak
from surprise import accuracy
from tables import publish_lines

from surprise_autorec import AutoRec, datasets


def gigabytes() -> str:
    return f"{peak() / 1e9:.2f} GB"


def main() -> None:
    variant = sys.argv[1] if len(sys.argv) > 1 else "item"
    lines = [f"imports: {gigabytes()}"]
    ((trainset, testset),) = RandomTenth([0]).split(datasets.load("ml-1m"))
    lines.append(f"with Surprise's data set and trainset: {gigabytes()}")
    predictions = AutoRec(variant=variant, random_state=0).fit(trainset).test(testset)
    lines.append(f"with AutoRec({variant!r}) fitted and tested: {gigabytes()}")
    lines.append(f"RMSE: {accuracy.rmse(predictions, verbose=False):.4f}")
    publish_lines(__file__, lines)


if __name__ == "__main__":
    main()
