"""
Training on two processes
=========================

Do two processes train the same model as one? Without dropout they do, except for rounding. With dropout they
draw other masks, so predictions differ as much as they do with another seed. (:doc:`/howto/distributed` says
when several processes help.)
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import surprise_autorec
from surprise_autorec import AutoRecRegressor, datasets

ratings = pd.DataFrame(datasets.load("ml-100k").raw_ratings, columns=["user", "item", "rating", "time"])
shuffled = ratings.drop(columns="time").sample(frac=1, random_state=0)
train, test = shuffled[:80_000], shuffled[80_000:]
pairs, train_pairs = (part[["user", "item"]].to_numpy() for part in (test, train))


def by_one_process(**keywords):
    """Predictions for the ratings held out."""
    return AutoRecRegressor(**keywords).fit(train_pairs, train["rating"]).predict(pairs)


# %%
# ``torchrun``, which comes with torch, starts the processes. Each reads one of the two files.


def by_two_processes(**keywords):
    """The same, after training on two processes."""
    options = [part for name, value in keywords.items() for part in ("-p", f"{name}={value}")]
    with TemporaryDirectory() as folder:
        (ratings := Path(folder, "ratings")).mkdir()
        train[:40_000].to_csv(ratings / "1.csv", index=False)
        train[40_000:].to_csv(ratings / "2.csv", index=False)
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        job = ["-m", "surprise_autorec.distributed", "fit", str(ratings), "-o", f"{folder}/model", *options]
        subprocess.run([*torchrun, *job], check=True, capture_output=True)
        return surprise_autorec.load(f"{folder}/model").predict(pairs)


one = by_one_process(random_state=0)
differences = {
    "two processes, no dropout": by_two_processes(random_state=0, dropout=0)
    - by_one_process(random_state=0, dropout=0),
    "two processes": by_two_processes(random_state=0) - one,
    "another seed": by_one_process(random_state=1) - one,
}
pd.DataFrame(differences).abs().describe().loc[["mean", "50%", "max"]]

# %%

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
bins = np.logspace(-9, 0, 61)
for name, difference in differences.items():
    filled = "two" in name
    ax.hist(abs(difference), bins, label=name, alpha=0.6, histtype="stepfilled" if filled else "step", lw=2)
ax.set(
    xscale="log", xlabel="difference from the prediction of one process (stars)", ylabel="ratings held out"
)
ax.set_title("MovieLens-100K, a fifth held out")
ax.grid(alpha=0.3)
ax.legend()
