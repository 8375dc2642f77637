"""Peak memory of a process that loads MovieLens-1M, fits AutoRec with its defaults on 90 % of it, and tests the rest.

Usage: python docs/benchmarks/memory.py [variant]
"""

import resource
import sys

from accuracy import RandomTenth
from surprise import accuracy
from tables import publish_lines

from surprise_autorec import AutoRec, datasets


def peak() -> float:
    """Peak resident memory so far, in GB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    variant = sys.argv[1] if len(sys.argv) > 1 else "item"
    lines = [f"imports: {peak():.2f} GB"]
    ((trainset, testset),) = RandomTenth([0]).split(datasets.load("ml-1m"))
    lines.append(f"with Surprise's data set and trainset: {peak():.2f} GB")
    predictions = AutoRec(variant=variant, random_state=0).fit(trainset).test(testset)
    lines.append(f"with AutoRec({variant!r}) fitted and tested: {peak():.2f} GB")
    lines.append(f"RMSE: {accuracy.rmse(predictions, verbose=False):.4f}")
    publish_lines(__file__, lines)


if __name__ == "__main__":
    main()
