"""How predictions rank the test items of each user."""

from __future__ import annotations

import numpy as np
import pandas as pd
from surprise import Prediction, Trainset


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
