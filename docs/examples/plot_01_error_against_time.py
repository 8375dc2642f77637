"""
Error against time
==================

How accurate are some algorithms, and how long do they take? Lower is more accurate, further left is faster.
(On 30,000 of the ratings of MovieLens-100K, so that this page is built quickly. :doc:`/benchmarks/index`
has all of them.)
"""

import random

from surprise import SVD, BaselineOnly, KNNBaseline, SVDpp
from surprise.model_selection import KFold

from surprise_autorec import AutoRec, compare, datasets, plot_comparison

data = datasets.load("ml-100k")
data.raw_ratings = random.Random(0).sample(data.raw_ratings, 30_000)
algorithms = {
    "AutoRec": AutoRec(random_state=0),
    "SVD++": SVDpp(cache_ratings=True, random_state=0),
    "SVD": SVD(random_state=0),
    "KNNBaseline": KNNBaseline(verbose=False),
    "BaselineOnly": BaselineOnly(verbose=False),
}
frame = compare(algorithms, data, cv=KFold(2, random_state=0))
plot_comparison(frame)

# %%
# The same as a table:

frame[["rmse", "rmse_std", "mae", "time_ratio"]].round(4)
