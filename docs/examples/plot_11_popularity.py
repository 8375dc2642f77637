"""
How popular are recommended items?
==================================

An algorithm that recommends the same few films to everyone is of little use. How often is each film among
the ten best of a user, and does that depend on its number of ratings?
"""

import matplotlib.pyplot as plt
import pandas as pd

from surprise_autorec import AutoRec, datasets

trainset = datasets.load("ml-100k").build_full_trainset()
algorithm = AutoRec(random_state=0).fit(trainset)
recommended = algorithm.recommend(n=10)
n_recommended = recommended["item"].value_counts()
n_ratings = pd.Series({trainset.to_raw_iid(i): len(trainset.ir[i]) for i in trainset.all_items()})
print(f"{len(n_recommended)} of {len(n_ratings)} films are among the ten best of at least one user")

# %%

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.scatter(n_ratings, n_recommended.reindex(n_ratings.index).fillna(0), s=10, alpha=0.5)
ax.set(xlabel="ratings of the film", ylabel="users it is recommended to", title="MovieLens-100K")
ax.set_yscale("symlog")
ax.yaxis.set_major_formatter("{x:g}")
ax.grid(alpha=0.3)

# %%
# A film with many ratings is recommended more often, but many films with few ratings are recommended too.
