"""Synthetic ratings with a known structure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.floating]


def make_ratings(
    n_users: int = 500,
    n_items: int = 300,
    n_ratings: int = 20_000,
    *,
    n_factors: int = 5,
    noise: float = 0.5,
    popularity_skew: float = 1.0,
    n_rated_once: int = 0,
    rating_scale: tuple[float, float] = (1.0, 5.0),
    random_state: int = 0,
) -> pd.DataFrame:
    """Make synthetic ratings with a known structure, for tests and benchmarks.

    A rating is the middle of the scale, plus the biases of user and item, plus the inner product of their
    factors, plus Gaussian noise, clipped to the scale. Few ratings have to be clipped, so no predictor can
    reach an RMSE much below ``noise``.

    Parameters
    ----------
    n_users, n_items : int, default=500, 300
        Numbers of users and items.
    n_ratings : int, default=20_000
        Number of ratings, at most ``n_users * n_items``; no user rates an item twice.
    n_factors : int, default=5
        Rank of the structure.
    noise : float, default=0.5
        Standard deviation of the noise, in rating points.
    popularity_skew : float, default=1.0
        The n-th most popular item is rated in proportion to ``(n + 10) ** -popularity_skew``; with 0, all
        items are equally popular.
    n_rated_once : int, default=0
        So many of the items have one rating each, and only the others are rated by popularity: wide, very
        sparse ratings are like that.
    rating_scale : tuple of float, default=(1.0, 5.0)
        Lowest and highest rating.
    random_state : int, default=0
        Seed.

    Returns
    -------
    DataFrame
        Columns user (int32), item (int32) and rating (float64), in random order, ready for
        ``surprise.Dataset.load_from_df``.

    Raises
    ------
    ValueError
        If there are more ratings than pairs, or no more than items rated once, ``noise`` is negative, or
        ``rating_scale`` does not ascend.
    """
    if not 0 < n_ratings <= n_users * n_items:
        raise ValueError(f"n_ratings must be in 1..n_users * n_items ({n_users * n_items}), got {n_ratings}")
    n_others = n_items - n_rated_once
    if not (0 <= n_rated_once < n_ratings and n_ratings - n_rated_once <= n_users * n_others):
        raise ValueError(
            "n_rated_once must leave at least one rating, and at most n_users for each other item, got "
            f"{n_rated_once} of {n_items} items and {n_ratings} ratings"
        )
    if not noise >= 0:
        raise ValueError(f"noise must be a number >= 0, got {noise}")
    low, high = rating_scale
    if not low < high:
        raise ValueError(f"rating_scale must be a lower number and a higher one, got {rating_scale}")
    generator = np.random.default_rng(random_state)
    popularity: FloatArray = (generator.permutation(n_others) + 10.0) ** -popularity_skew
    activity = generator.lognormal(sigma=1.0, size=n_users)
    users, items = _draw_pairs(generator, activity, popularity, n_ratings - n_rated_once)
    if n_rated_once:
        order = generator.permutation(n_ratings)
        once = generator.choice(n_users, n_rated_once, p=activity / activity.sum())
        users = np.append(users, once.astype(np.int32))[order]
        items = np.append(items, np.arange(n_others, n_items, dtype=np.int32))[order]

    unit = (high - low) / 8  # one standard deviation of the structure: nearly all ratings fit the scale
    user_biases, item_biases = (generator.normal(size=n, scale=0.5) for n in (n_users, n_items))
    structure = user_biases[users] + item_biases[items]
    for _ in range(n_factors):
        tastes, traits = generator.normal(size=n_users), generator.normal(size=n_items)
        structure += tastes[users] * traits[items] / np.sqrt(2 * n_factors)
    ratings = (low + high) / 2 + unit * structure + generator.normal(size=n_ratings, scale=noise)
    return pd.DataFrame({"user": users, "item": items, "rating": np.clip(ratings, low, high)})


def _draw_pairs(
    generator: np.random.Generator, activity: FloatArray, popularity: FloatArray, size: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Distinct pairs in random order, drawn in proportion to user activity and item popularity."""
    n_users, n_items = len(activity), len(popularity)
    if size > n_users * n_items // 20:  # dense: the largest log weights of all pairs, plus Gumbel noise
        keys = np.log(activity)[:, None] + np.log(popularity) + generator.gumbel(size=(n_users, n_items))
        # Sorted, because the order within a partition depends on the machine.
        pairs = np.sort(np.argpartition(keys.ravel(), -size)[-size:])
    else:  # sparse: draw with replacement until enough are distinct
        users_upto, items_upto = np.cumsum(activity), np.cumsum(popularity)
        pairs = np.empty(0, np.int64)
        while len(pairs) < size:
            n_more = int(1.1 * (size - len(pairs))) + 100
            users = np.searchsorted(users_upto, generator.random(n_more) * users_upto[-1])
            items = np.searchsorted(items_upto, generator.random(n_more) * items_upto[-1])
            pairs = np.unique(np.concatenate([pairs, users * n_items + items]))
    pairs = generator.permutation(pairs)[:size]
    return (pairs // n_items).astype(np.int32), (pairs % n_items).astype(np.int32)
