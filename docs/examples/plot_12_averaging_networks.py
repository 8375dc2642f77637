"""
What averaging networks gains
=============================

Networks that were trained from different seeds err in different ways, so the average of their predictions is
better than most of them. ``n_estimators`` does this.
"""

import matplotlib.pyplot as plt
import numpy as np
from surprise.model_selection import train_test_split

from surprise_autorec import AutoRec, datasets

trainset, testset = train_test_split(datasets.load("ml-100k"), test_size=0.2, random_state=0)
ratings = np.array([rating for _, _, rating in testset])
seeds = range(6)
estimates = np.array(
    [[p.est for p in AutoRec(random_state=seed).fit(trainset).test(testset)] for seed in seeds]
)


def rmse(estimate):
    return np.sqrt(np.mean((ratings - estimate) ** 2))


# %%

counts = range(1, len(seeds) + 1)
figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.scatter(counts, [rmse(one) for one in estimates], color="0.6", label="each network alone")
ax.plot(
    counts, [rmse(estimates[:n].mean(axis=0)) for n in counts], marker="o", label="average of the first n"
)
ax.set(xlabel="n", ylabel="RMSE on the ratings held out", title="MovieLens-100K, a fifth held out")
ax.grid(alpha=0.3)
ax.legend()
