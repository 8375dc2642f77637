"""
What each part of the model gains
=================================

The default model has parts that the model of the paper does not have. Here each of them is left out in turn.
(:doc:`/algorithm` explains them.)
"""

import matplotlib.pyplot as plt
import pandas as pd
from surprise import accuracy
from surprise.model_selection import train_test_split

from surprise_autorec import AutoRec, datasets

trainset, testset = train_test_split(datasets.load("ml-100k"), test_size=0.2, random_state=0)
without = {
    "nothing: the defaults": {},
    "the second encoder": {"two_sided": False},
    "averaged weights": {"averaging": 0.0},
    "input scaling": {"input_scaling": 0.0},
    "baselines": {"biased": False},
    "dropout": {"dropout": 0.0},
}
rmse = pd.Series(
    {
        part: accuracy.rmse(AutoRec(**settings, random_state=0).fit(trainset).test(testset), verbose=False)
        for part, settings in without.items()
    }
)
rmse.round(4)

# %%

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
rest = rmse.drop("nothing: the defaults").sort_values()
bars = ax.barh(rest.index, rest - rmse.iloc[0])
ax.bar_label(bars, fmt="+%.4f", padding=3)
ax.set(xlabel="increase of the RMSE without it", title="MovieLens-100K, a fifth held out")
ax.margins(x=0.15)

# %%
# Baselines and dropout matter most. Every part lowers the error.
