"""
Error against the width of the hidden layer
===========================================

Figure 1 of the paper shows how the error of I-AutoRec falls with the number of hidden units, k. It does so
here, too, but little beyond 64 units.
"""

import matplotlib.pyplot as plt
from surprise import accuracy
from surprise.model_selection import train_test_split

from surprise_autorec import AutoRec, datasets

trainset, testset = train_test_split(datasets.load("ml-100k"), test_size=0.1, random_state=0)
widths = [4, 16, 64, 256]

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
errors = [
    accuracy.rmse(AutoRec(n_factors=k, random_state=0).fit(trainset).test(testset), verbose=False)
    for k in widths
]
ax.plot(widths, errors, marker="o")
ax.set_xscale("log", base=2)
ax.xaxis.set_major_formatter("{x:g}")
ax.set(xlabel="hidden units k", ylabel="RMSE on the ratings held out", xticks=widths, title="MovieLens-100K")
ax.grid(alpha=0.3)
