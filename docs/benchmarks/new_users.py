"""New users of MovieLens-1M, who were not in the training ratings, folded in from 80 % of their ratings.

Usage: python docs/benchmarks/new_users.py

A random fifth of the users is new. Their remaining ratings are predicted by two models. One was trained
without the new users, who are folded in; the other was trained with the 80 % as well.
"""

from functools import partial
from statistics import median

import numpy as np
import pandas as pd
import torch
from accuracy import frame_of
from measuring import timed
from surprise import Dataset, Reader
from tables import publish_table

from surprise_autorec import AutoRec, datasets


def rmse(estimates: np.ndarray, ratings: pd.Series) -> float:
    return float(np.sqrt(np.mean((estimates - ratings.to_numpy()) ** 2)))


def fit(variant: str, ratings: pd.DataFrame) -> AutoRec:
    trainset = Dataset.load_from_df(ratings, Reader(rating_scale=(1, 5))).build_full_trainset()
    return AutoRec(variant=variant, random_state=0).fit(trainset)


def main() -> None:
    ratings = frame_of(datasets.load("ml-1m"))
    generator = np.random.default_rng(0)
    users = ratings["user"].unique()
    is_new = ratings["user"].isin(generator.choice(users, len(users) // 5, replace=False))
    is_given = generator.random(len(ratings)) < 0.8
    old, given, asked = ratings[~is_new], ratings[is_new & is_given], ratings[is_new & ~is_given]
    given_by = {
        user: dict(zip(part["item"], part["rating"], strict=True)) for user, part in given.groupby("user")
    }
    asked = asked[asked["user"].isin(given_by)].sort_values("user", kind="stable")
    asked_of = dict(list(asked.groupby("user")["item"]))

    rows = []
    for variant in ("item", "user", "hybrid"):
        without, with_them = fit(variant, old), fit(variant, pd.concat([old, given]))
        times, folded_in = [], []
        for user, items in asked_of.items():
            time, estimates = timed(partial(without.predict_new_user, given_by[user], items))
            times.append(time)
            folded_in.append(estimates)
        predictions = with_them.test(list(asked.itertuples(index=False, name=None)))
        rows.append(
            (
                variant,
                rmse(np.concatenate(folded_in), asked["rating"]),
                rmse(np.array([prediction.est for prediction in predictions]), asked["rating"]),
                1e3 * median(times),
                1e3 * max(times),
            )
        )
        print(rows[-1], flush=True)
    headers = ["variant", "RMSE, folded in", "RMSE, trained with them", "a user [ms], median", "longest [ms]"]
    title = (
        f"MovieLens-1M, {len(given_by):,} new users, {len(given):,} of their ratings given, {len(asked):,} "
        f"predicted, {torch.get_num_threads()} threads"
    )
    publish_table(__file__, title, rows, headers, ("", ".4f", ".4f", ".1f", ".1f"))


if __name__ == "__main__":
    main()
