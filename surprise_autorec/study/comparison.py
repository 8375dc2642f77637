"""Comparison studies: algorithms measured on the same folds, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from surprise import AlgoBase, Dataset, Prediction, Trainset
from tabulate import tabulate

from surprise_autorec.checks import positive_integer
from surprise_autorec.study.folds import measure, summarise


def compare(
    algorithms: Mapping[str, AlgoBase] | Iterable[AlgoBase],
    data: Dataset,
    cv: Any = None,
    verbose: bool = False,
    rank_at: int | None = None,
) -> pd.DataFrame:
    """Cross-validate algorithms on the same folds.

    Algorithms take turns on each fold, so that their times can be compared even if the speed of the machine
    drifts.

    Parameters
    ----------
    algorithms : mapping of str to AlgoBase, or iterable of AlgoBase
        The algorithms to compare, named by the keys of the mapping or else by their classes.
    data : surprise.Dataset
    cv : int, cross-validation iterator of Surprise, or None, default=None
        As in ``surprise.model_selection.cross_validate``: None means 5 folds. An iterator with a
        ``random_state``, such as ``KFold(5, random_state=0)``, makes the folds reproducible.
    verbose : bool, default=False
        Whether to show a progress bar.
    rank_at : int, optional
        Length of the lists that `ranking_scores` evaluates. Default: rankings are not evaluated.

    Returns
    -------
    DataFrame
        A row for each algorithm, best first, indexed by name. The columns are ``rmse`` and ``mae`` (means
        over folds), ``rmse_std`` and ``mae_std`` (standard deviations over folds), ``fit_time`` and
        ``test_time`` (medians over folds, in seconds) and ``time_ratio`` (fit plus test time, divided by that
        of the fastest algorithm). With ``rank_at`` there are also ``precision``, ``recall``, ``ndcg`` and
        ``coverage`` (means over folds).

    Raises
    ------
    ValueError
        If there are no algorithms, two of them have the same name, or ``rank_at`` is not a positive integer.
    """
    score = None if rank_at is None else partial(ranking_scores, n=positive_integer("rank_at", rank_at))
    makers = {name: lambda given=given: given for name, given in _by_name(algorithms).items()}
    folds = measure(makers, data, cv, score=score, verbose=verbose)
    return summarise(folds).sort_values("rmse")


def ranking_scores(predictions: list[Prediction], trainset: Trainset, n: int) -> dict[str, float]:
    """Evaluate how predictions rank the test items of each user.

    The test items of each user are ordered by prediction, and the first n of them are the user's list. (All
    other items are left out, because it is unknown whether the user would like them.) An item is relevant if
    its true rating is at least the mean of the training ratings.

    Parameters
    ----------
    predictions : list of surprise.Prediction
        Predictions that contain the true ratings.
    trainset : surprise.Trainset
    n : int
        Length of the lists. A user with fewer test items has a shorter list.

    Returns
    -------
    dict of str to float
        ``precision`` is the share of a list that is relevant. ``recall`` is the share of a user's relevant
        items that are in the list. ``ndcg`` is the discounted cumulative gain divided by the highest possible
        one, where the gain of an item is its rating minus the lowest rating of the scale (Järvelin,
        Kekäläinen, ACM TOIS 2002). These three are means over users; for recall, over users with a relevant
        item, and for ndcg, over users with any gain. ``coverage`` is the share of the trainset's items that
        appear in at least one list.
    """
    frame = pd.DataFrame({"user": [p.uid for p in predictions], "item": [p.iid for p in predictions]})
    frame["gain"] = np.array([p.r_ui for p in predictions]) - trainset.rating_scale[0]
    frame["relevant"] = frame["gain"] >= trainset.global_mean - trainset.rating_scale[0]
    users = frame["user"]
    listed = {}
    for order, by in {"ideal": frame["gain"], "list": pd.Series([p.est for p in predictions])}.items():
        rank = by.groupby(users).rank(method="first", ascending=False)
        listed[order] = rank <= n
        frame[order] = frame["gain"] * listed[order] / np.log2(rank + 1)
    in_list = listed["list"]
    sums = (
        frame.assign(hits=frame["relevant"] & in_list, length=in_list)
        .groupby("user")[["hits", "length", "relevant", "list", "ideal"]]
        .sum()
    )
    known = {trainset.to_raw_iid(item) for item in trainset.all_items()}
    return {
        "precision": float((sums["hits"] / sums["length"]).mean()),
        "recall": float((sums["hits"] / sums["relevant"])[sums["relevant"] > 0].mean()),
        "ndcg": float((sums["list"] / sums["ideal"])[sums["ideal"] > 0].mean()),
        "coverage": len(known & set(frame["item"][in_list])) / trainset.n_items,
    }


def _by_name(algorithms: Mapping[str, AlgoBase] | Iterable[AlgoBase]) -> dict[str, AlgoBase]:
    if isinstance(algorithms, Mapping):
        named = dict(algorithms)
    else:
        listed = list(algorithms)
        named = {type(algorithm).__name__: algorithm for algorithm in listed}
        if len(named) < len(listed):
            names = [type(algorithm).__name__ for algorithm in listed]
            raise ValueError(
                f"several algorithms of one class must be given as a mapping that names them, got {names}"
            )
    if not named:
        raise ValueError("algorithms must contain at least one, got none")
    return named


def format_comparison(frame: pd.DataFrame, tablefmt: str = "github") -> str:
    """The result of `compare` as a text table.

    Parameters
    ----------
    frame : DataFrame
        The result of `compare`.
    tablefmt : str, default="github"
        A table format of the tabulate library; "github" is Markdown.
    """
    names = {"precision": "precision", "recall": "recall", "ndcg": "NDCG", "coverage": "coverage"}
    scores = {column: name for column, name in names.items() if column in frame}
    rows = [
        [
            name,
            f"{row.rmse:.4f} ± {row.rmse_std:.4f}",
            f"{row.mae:.4f} ± {row.mae_std:.4f}",
            f"{row.fit_time:.2f}",
            f"{row.test_time:.2f}",
            f"{row.time_ratio:.1f}",
            *(f"{row[score]:.4f}" for score in scores),
        ]
        for name, row in frame.iterrows()
    ]
    headers = ["algorithm", "RMSE", "MAE", "fit [s]", "test [s]", "time / fastest", *scores.values()]
    alignment = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(rows, headers, tablefmt=tablefmt, disable_numparse=True, colalign=alignment)
