"""
A map of the items
==================

The model has learnt a vector for each film. t-SNE (from scikit-learn) draws them on a plane, so that films
with similar vectors are near each other. The model has never seen a genre. All the same, most films for
children lie near one another.
"""

from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.manifold import TSNE

from surprise_autorec import AutoRec, datasets

folder = Path(find_spec("recbole").submodule_search_locations[0], "dataset_example", "ml-100k")
films = pd.read_csv(folder / "ml-100k.item", sep="\t", dtype=str, index_col=0)

trainset = datasets.load("ml-100k").build_full_trainset()
model = AutoRec(random_state=0).fit(trainset).model_

# %%
# The 400 films with the most ratings. Directions matter, not lengths, so the metric is the cosine.

often = np.argsort([-len(trainset.ir[item]) for item in trainset.all_items()])[:400]
vectors = model.networks[0].items.vectors[often]
places = TSNE(metric="cosine", init="pca", perplexity=20, random_state=0).fit_transform(vectors)

# %%

genres = films["class:token_seq"].reindex([model.item_ids[item] for item in often])
figure, ax = plt.subplots(figsize=(7, 6), layout="constrained")
ax.scatter(*places.T, s=12, color="0.8")
for genre in ("Children's", "Horror", "Romance", "Action"):
    chosen = genres.str.contains(genre, na=False).to_numpy()
    ax.scatter(*places[chosen].T, s=14, label=genre)
ax.set(xticks=[], yticks=[], title="The 400 most rated films of MovieLens-100K")
ax.legend()
