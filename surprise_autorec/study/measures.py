"""What predictions are worth: errors by training ratings and by true rating, and scores of rankings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from surprise import Prediction, Trainset

from surprise_autorec.checks import check, choice, positive_integer

#: The label of the bin of users or items without training ratings.
UNKNOWN = "unknown"


def errors_by_count(
    predictions: Sequence[Prediction], trainset: Trainset, side: str = "user", n_bins: int = 5
) -> pd.DataFrame:
    """Errors by the number of training ratings that the user or the item has.

    Parameters
    ----------
    predictions : sequence of surprise.Prediction
        Predictions that contain the true ratings.
    trainset : surprise.Trainset
        The ratings that the algorithm was fitted to.
    side : {"user", "item"}, default="user"
        Whose training ratings are counted.
    n_bins : int, default=5
        Number of quantile bins. Each contains about as many predictions as any other. There are fewer bins if
        many predictions have the same count.

    Returns
    -------
    DataFrame
        A row for each bin that contains a prediction, by increasing count. ``by`` is the side. ``bin`` is 0
        for users or items that are not in the trainset, and counts the other bins from 1. ``label`` is the
        range of counts, such as "20 to 45", or "unknown". ``n`` is the number of predictions; ``rmse``,
        ``mae`` and ``bias`` (the mean of estimate minus rating) are their errors.

    Raises
    ------
    ValueError
        If a parameter is not as above, there are no predictions, or one has no true rating.
    """
    side = choice("side", side, ("user", "item"))
    _, errors = _ratings_and_errors(predictions)
    count_of = training_counts(trainset, side)
    ids = (prediction.uid if side == "user" else prediction.iid for prediction in predictions)
    counts = np.array([count_of.get(one, 0) for one in ids])
    return errors_of(side, counts, errors, n_bins)


def training_counts(trainset: Trainset, side: str) -> dict[Hashable, int]:
    """The number of training ratings of each user, or of each item, by raw id."""
    if side == "user":
        return {trainset.to_raw_uid(user): len(trainset.ur[user]) for user in trainset.all_users()}
    return {trainset.to_raw_iid(item): len(trainset.ir[item]) for item in trainset.all_items()}


def errors_by_rating(predictions: Sequence[Prediction], n_bins: int = 10) -> pd.DataFrame:
    """Errors by the true rating.

    Parameters
    ----------
    predictions : sequence of surprise.Prediction
        Predictions that contain the true ratings.
    n_bins : int, default=10
        If the true ratings have more distinct values than this, they are put into this many quantile bins.
        Otherwise each value has a bin of its own.

    Returns
    -------
    DataFrame
        As from `errors_by_count`, with "rating" as ``by``, the rating (or a range of ratings) as ``label``,
        and ``bin`` from 1.

    Raises
    ------
    ValueError
        If ``n_bins`` is not a positive integer, there are no predictions, or one has no true rating.
    """
    ratings, errors = _ratings_and_errors(predictions)
    return errors_of("rating", ratings, errors, n_bins)


def errors_of(by: str, values: ArrayLike, errors: ArrayLike, n_bins: int) -> pd.DataFrame:
    """Errors by counts (of "user" or "item", where 0 has a bin of its own) or by values of "rating".

    ``values`` are counts of training ratings, or true ratings; ``errors`` are estimates minus ratings. Both
    have the shape (n_predictions,). ``n_bins`` is the number of quantile bins.
    """
    n_bins = positive_integer("n_bins", n_bins)
    numbers, differences = np.asarray(values), np.asarray(errors)
    if by == "rating":
        distinct, bins = np.unique(numbers, return_inverse=True)
        bins = 1 + (_quantile_bins(numbers, n_bins) if len(distinct) > n_bins else bins)
    else:
        bins, is_known = np.zeros(len(numbers), dtype=np.intp), numbers > 0
        if is_known.any():
            bins[is_known] = 1 + _quantile_bins(numbers[is_known], n_bins)
    return _errors_by_bin(by, bins, numbers, differences)


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


def _ratings_and_errors(predictions: Sequence[Prediction]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The true ratings, and estimates minus ratings."""
    check("predictions", predictions, "at least one", len(predictions) > 0)
    for prediction in predictions:
        check("r_ui of each prediction", prediction, "the true rating", prediction.r_ui is not None)
    ratings = np.array([prediction.r_ui for prediction in predictions], dtype=np.float64)
    return ratings, np.array([prediction.est for prediction in predictions]) - ratings


def _quantile_bins(values: NDArray[Any], n_bins: int) -> NDArray[np.intp]:
    """The bin of each value, from 0. Equal values share a bin, and no bin is empty."""
    shares = np.arange(1, n_bins + 1) / n_bins
    highest = np.unique(np.quantile(values, shares, method="inverted_cdf"))
    return np.searchsorted(highest, values)


def _errors_by_bin(
    by: str, bins: NDArray[np.intp], values: NDArray[Any], errors: NDArray[Any]
) -> pd.DataFrame:
    columns = {"bin": bins, "value": values, "square": errors**2, "absolute": np.abs(errors), "error": errors}
    groups = pd.DataFrame(columns).groupby("bin")
    lowest, highest = groups["value"].min(), groups["value"].max()
    digits = ".3g" if by == "rating" else ".0f"
    labels = [
        UNKNOWN if number == 0 else f"{low:{digits}}" if low == high else f"{low:{digits}} to {high:{digits}}"
        for number, low, high in zip(lowest.index, lowest, highest, strict=True)
    ]
    means = groups[["square", "absolute", "error"]].mean().to_numpy()
    return pd.DataFrame(
        {
            "by": by,
            "bin": lowest.index,
            "label": labels,
            "n": groups.size().to_numpy(),
            "rmse": np.sqrt(means[:, 0]),
            "mae": means[:, 1],
            "bias": means[:, 2],
        }
    )
