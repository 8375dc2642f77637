"""The time that an explanation takes, on MovieLens-100K and one thread.

Usage: python docs/benchmarks/explain.py

Estimates of five items are explained, for the ten users with about 200 ratings and for the one with most. For
comparison, one of the ten is folded in with each rating taken out, by as many calls of `predict_new_user`.
"""

from functools import partial
from statistics import median

import torch
from measuring import seconds
from tables import publish_table

from surprise_autorec import BEST, AutoRec, datasets

N_USERS, N_RATINGS, ITEMS = 10, 200, ("1", "50", "100", "313", "1000")
KINDS = {
    "item": {},
    "user": {"variant": "user"},
    "hybrid": {"variant": "hybrid"},
    "hybrid, 8 networks (BEST)": BEST,
    "item, f = tanh": {"decoder_activation": "tanh"},
}


def predict_without_each(algorithm: AutoRec, ratings: dict[str, float]) -> None:
    for left_out in ratings:
        rest = {iid: rating for iid, rating in ratings.items() if iid != left_out}
        algorithm.predict_new_user(rest, ITEMS[:1])


def main() -> None:
    torch.set_num_threads(1)
    trainset = datasets.load("ml-100k").build_full_trainset()
    ratings_of = {
        trainset.to_raw_uid(user): {trainset.to_raw_iid(item): rating for item, rating in ratings}
        for user, ratings in trainset.ur.items()
    }
    by_number = sorted(ratings_of, key=lambda uid: len(ratings_of[uid]))
    typical = sorted(by_number, key=lambda uid: abs(len(ratings_of[uid]) - N_RATINGS))[:N_USERS]
    most = by_number[-1]

    rows = []
    for kind, parameters in KINDS.items():
        algorithm = AutoRec(**parameters, random_state=0).fit(trainset)
        algorithm.explain(most, ITEMS[0])  # once before, as the first time takes longer
        times = [seconds(partial(algorithm.explain, uid, iid)) for uid in typical for iid in ITEMS]
        of_most = [seconds(partial(algorithm.explain, most, iid)) for iid in ITEMS]
        refolded = seconds(partial(predict_without_each, algorithm, ratings_of[typical[0]]))
        rows.append((kind, *(1e3 * time for time in (median(times), max(times), median(of_most), refolded))))
        print(rows[-1], flush=True)
    numbers = [len(ratings_of[uid]) for uid in typical]
    headers = [
        "model",
        f"{min(numbers)} to {max(numbers)} ratings [ms], median",
        "longest",
        f"{len(ratings_of[most])} ratings [ms], median",
        f"`predict_new_user` without each of {len(ratings_of[typical[0]])} ratings [ms]",
    ]
    title = f"MovieLens-100K, {N_USERS} users and the one who has rated most, {len(ITEMS)} items, 1 thread"
    publish_table(__file__, title, rows, headers, ("", ".1f", ".1f", ".1f", ".0f"))


if __name__ == "__main__":
    main()
