"""
A learning curve
================

How much better do predictions get with more ratings to learn from? A tenth of the ratings is held out. Of
the rest, each algorithm sees a growing part.
"""

import matplotlib.pyplot as plt
from surprise import SVD, BaselineOnly, accuracy
from surprise.model_selection import train_test_split

from surprise_autorec import AutoRec, datasets

data = datasets.load("ml-100k")
trainset, testset = train_test_split(data, test_size=0.1, random_state=0)
rows = [(trainset.to_raw_uid(u), trainset.to_raw_iid(i), r, None) for u, i, r in trainset.all_ratings()]
shares = [0.1, 0.2, 0.4, 0.7, 1.0]
algorithms = {
    "AutoRec": AutoRec(random_state=0),
    "SVD": SVD(random_state=0),
    "BaselineOnly": BaselineOnly(verbose=False),
}

# %%
# The ratings of a user follow one another. So the smallest part has every tenth rating, the next one every
# fifth, and so on.

errors = {name: [] for name in algorithms}
for share in shares:
    part = data.construct_trainset([row for n, row in enumerate(rows) if n % 10 < 10 * share])
    for name, algorithm in algorithms.items():
        errors[name].append(accuracy.rmse(algorithm.fit(part).test(testset), verbose=False))

# %%

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for name, values in errors.items():
    ax.plot([share * len(rows) for share in shares], values, marker="o", label=name)
ax.set(xlabel="training ratings", ylabel="RMSE on the ratings held out", title="MovieLens-100K")
ax.xaxis.set_major_formatter("{x:,.0f}")
ax.grid(alpha=0.3)
ax.legend()

# %%
# With few ratings the algorithms differ little. With more ratings, the lead of AutoRec grows.
