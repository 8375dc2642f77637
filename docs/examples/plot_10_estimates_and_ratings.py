"""
Estimates and ratings
=====================

When a user gave one star, what had been predicted? Estimates are closer to the mean than ratings,
because the model does not know everything. But on average, higher ratings have higher estimates.
"""

import matplotlib.pyplot as plt
import pandas as pd
from surprise.model_selection import train_test_split

from surprise_autorec import AutoRec, datasets

trainset, testset = train_test_split(datasets.load("ml-100k"), test_size=0.2, random_state=0)
predictions = pd.DataFrame(AutoRec(random_state=0).fit(trainset).test(testset))
predictions.groupby("r_ui")["est"].describe()[["count", "mean", "std"]].round(2)

# %%

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
groups = [group["est"].to_numpy() for _, group in predictions.groupby("r_ui")]
ax.violinplot(groups, positions=range(1, 6), showmedians=True)
ax.axhline(trainset.global_mean, color="0.5", linestyle=":", label="mean rating")
ax.set(xlabel="rating", ylabel="estimate", xticks=range(1, 6), title="MovieLens-100K, a fifth held out")
ax.legend()
