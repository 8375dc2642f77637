"""A comparison study as in a paper: four data sets, eight algorithms, five folds, tests of significance.

Usage: python docs/benchmarks/study.py FOLDER

Every finished fit is kept in FOLDER, so the script can be stopped at any time and started again. It runs two
fits at a time and writes study.md, study.tex, study-ranks.png and study.html beside this file.
"""

import sys
from pathlib import Path

from accuracy import dense_extract, synthetic
from surprise import NMF, SVD, BaselineOnly, KNNBaseline, SlopeOne, SVDpp
from surprise.model_selection import KFold
from tables import publish

from surprise_autorec import AutoRec, compare, datasets

ALGORITHMS = {
    "AutoRec": AutoRec(random_state=0),
    "AutoRec, hybrid": AutoRec(variant="hybrid", random_state=0),
    "SVD++": SVDpp(random_state=0, cache_ratings=True),
    "SVD": SVD(random_state=0),
    "NMF": NMF(random_state=0),
    "KNNBaseline": KNNBaseline(verbose=False),
    "SlopeOne": SlopeOne(),
    "BaselineOnly": BaselineOnly(verbose=False),
}


def main(folder: str) -> None:
    data = {
        "ml-100k": datasets.load("ml-100k"),
        "ml-latest-small": datasets.load("ml-latest-small"),
        "ml-1m, dense extract": dense_extract(),
        "synthetic": synthetic(),
    }
    comparison = compare(
        ALGORITHMS,
        data,
        cv=KFold(5, random_state=0),
        verbose=True,
        n_jobs=2,
        output=folder,
        keep_predictions=True,
    )
    test = comparison.significance()
    publish(__file__, f"{comparison.to_markdown()}\n\n```text\n{test}\n```")
    here = Path(__file__)
    here.with_suffix(".tex").write_text(f"{comparison.to_latex()}\n", encoding="utf-8")
    comparison.plot_ranks().savefig(here.with_name("study-ranks.png"), dpi=150)
    comparison.report(here.with_suffix(".html"))


if __name__ == "__main__":
    main(sys.argv[1])
