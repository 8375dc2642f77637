"""
Error by activity of the user
=============================

Whose ratings are predicted well: those of users with many ratings, or also those of users with few?
"""

import numpy as np
import pandas as pd
from surprise import SVD, BaselineOnly
from surprise.model_selection import train_test_split

from surprise_autorec import AutoRec, datasets

trainset, testset = train_test_split(datasets.load("ml-100k"), test_size=0.2, random_state=0)
algorithms = [AutoRec(random_state=0), SVD(random_state=0), BaselineOnly(verbose=False)]
errors = pd.DataFrame(
    {
        type(algorithm).__name__: [p.r_ui - p.est for p in algorithm.fit(trainset).test(testset)]
        for algorithm in algorithms
    }
)

# %%
# Users are put into five groups by their number of training ratings, each with a fifth of the test ratings.

n_ratings = [len(trainset.ur[trainset.to_inner_uid(uid)]) for uid, _, _ in testset]
group = pd.qcut(n_ratings, 5, precision=0)
rmse = np.sqrt((errors**2).groupby(group, observed=True).mean())
rmse.round(3)

# %%

labels = [f"{max(interval.left, 0):.0f} to {interval.right:.0f}" for interval in rmse.index]
ax = rmse.set_axis(labels).plot.bar(figsize=(7, 4.5), rot=0, width=0.75)
ax.set(xlabel="training ratings of the user", ylabel="RMSE", ylim=(0.75, None), title="MovieLens-100K")
ax.grid(axis="y", alpha=0.3)
ax.figure.set_layout_engine("constrained")

# %%
# AutoRec is ahead in every group, and most among users with many ratings. Users with few ratings are the
# hardest for all.
