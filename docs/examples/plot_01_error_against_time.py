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

from surprise_autorec import AutoRec, compare, datasets

data = datasets.load("ml-100k")
data.raw_ratings = random.Random(0).sample(data.raw_ratings, 30_000)
algorithms = {
    "AutoRec": AutoRec(random_state=0),
    "SVD++": SVDpp(cache_ratings=True, random_state=0),
    "SVD": SVD(random_state=0),
    "KNNBaseline": KNNBaseline(verbose=False),
    "BaselineOnly": BaselineOnly(verbose=False),
}
comparison = compare(algorithms, data, cv=KFold(2, random_state=0))
comparison.plot()

# %%
# AutoRec has the lowest error, and SVD++ takes the most time. The same as a table:

comparison.summary().round(4)
