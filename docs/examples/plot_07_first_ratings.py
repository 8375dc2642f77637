"""
The first ten ratings of a new user
===================================

How good are predictions after one rating, after five, after ten? A tenth of the users is left out of
training. Then ``predict_new_user`` gets up to ten of their ratings, without training, and predicts all
others.
"""

import random

import matplotlib.pyplot as plt
import numpy as np

from surprise_autorec import AutoRec, datasets

data = datasets.load("ml-100k")
random.Random(0).shuffle(data.raw_ratings)
users = sorted({uid for uid, *_ in data.raw_ratings}, key=int)
new = {uid: [] for uid in users[::10]}
for uid, iid, rating, _ in data.raw_ratings:
    if uid in new:
        new[uid].append((iid, rating))
data.raw_ratings = [row for row in data.raw_ratings if row[0] not in new]
algorithm = AutoRec(random_state=0).fit(data.build_full_trainset())

# %%
# With no rating at all, there are only the baselines of the items: the estimate for an unknown user.


def squared_errors(n):
    """The squared errors of each new user, after n ratings."""
    for uid, rows in new.items():
        iids, actual = zip(*rows[10:], strict=True)  # everyone has rated 20 films at least
        if n == 0:
            estimates = [algorithm.predict(uid, iid).est for iid in iids]
        else:
            estimates = algorithm.predict_new_user(dict(rows[:n]), iids)
        yield (np.array(estimates) - actual) ** 2


counts = range(11)
rmse = [np.sqrt(np.concatenate(list(squared_errors(n))).mean()) for n in counts]

# %%

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.plot(counts, rmse, marker="o")
ax.set(xlabel="ratings of the new user", ylabel="RMSE on the other ratings", xticks=list(counts))
ax.set_title(f"{len(new)} new users of MovieLens-100K")
ax.grid(alpha=0.3)

# %%
# The first five ratings lower the error most.
