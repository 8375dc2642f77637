"""
Do intervals hold what they promise?
====================================

``predict_interval`` gives intervals that hold the true rating with a given probability. Of the ratings held
out, how many lie in them?
"""

import matplotlib.pyplot as plt
import numpy as np
from surprise.model_selection import train_test_split

from surprise_autorec import AutoRec, datasets

trainset, testset = train_test_split(datasets.load("ml-100k"), test_size=0.2, random_state=0)
algorithm = AutoRec(random_state=0).fit(trainset)
ratings = np.array([rating for _, _, rating in testset])
promised = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])


def share_inside(coverage):
    low, high = algorithm.predict_interval(testset, coverage).T
    return np.mean((low <= ratings) & (ratings <= high))


# %%

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.plot(promised, [share_inside(coverage) for coverage in promised], marker="o", label="AutoRec")
ax.plot(promised, promised, color="0.5", linestyle=":", label="exactly as promised")
ax.set(xlabel="coverage", ylabel="share of ratings inside", title="MovieLens-100K, a fifth held out")
ax.grid(alpha=0.3)
ax.legend()

# %%
# They do, to about two percentage points.
