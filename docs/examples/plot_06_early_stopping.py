"""
Loss curves and early stopping
==============================

``early_stopping=True`` holds out a tenth of the training ratings, stops when the error on them no longer
falls, and keeps the weights of the best epoch. Without dropout and with a small penalty, the model learns
its training ratings only, and the best epoch comes early.
"""

import matplotlib.pyplot as plt

from surprise_autorec import AutoRec, datasets, plot_history

trainset = datasets.load("ml-100k").build_full_trainset()
settings = {
    "the defaults": {},
    "dropout=0, reg_all=10": {"dropout": 0.0, "reg_all": 10.0},
}
figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
for ax, (title, keywords) in zip(axes, settings.items(), strict=True):
    algorithm = AutoRec(n_epochs=40, early_stopping=True, random_state=0, **keywords).fit(trainset)
    plot_history(algorithm, ax)
    ax.set_title(f"{title}: {min(algorithm.validation_scores_):.4f}")
