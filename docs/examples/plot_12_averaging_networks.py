"""
What averaging networks buys
============================

``n_estimators`` trains several networks from different seeds and averages their predictions.
``variant="hybrid"`` averages networks of both kinds. Each network takes the time of one fit.
"""

import matplotlib.pyplot as plt
from surprise import accuracy
from surprise.model_selection import train_test_split

from surprise_autorec import AutoRec, datasets

trainset, testset = train_test_split(datasets.load("ml-100k"), test_size=0.2, random_state=0)
figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for variant, kinds, counts in (("item", 1, [1, 2, 4]), ("hybrid", 2, [1, 2])):
    errors = [
        accuracy.rmse(
            AutoRec(variant=variant, n_estimators=n, random_state=0).fit(trainset).test(testset),
            verbose=False,
        )
        for n in counts
    ]
    ax.plot([kinds * n for n in counts], errors, marker="o", label=f'variant="{variant}"')
ax.set(xlabel="networks", ylabel="RMSE on the ratings held out", title="MovieLens-100K, a fifth held out")
ax.grid(alpha=0.3)
ax.legend()
