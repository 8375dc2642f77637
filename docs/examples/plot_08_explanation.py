"""
An explanation as a picture
===========================

``explain`` splits an estimate into the baseline and what each rating of the user contributes. The parts add
up to the estimate.
"""

from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from surprise_autorec import AutoRec, datasets

folder = Path(find_spec("recbole").submodule_search_locations[0], "dataset_example", "ml-100k")
titles = pd.read_csv(folder / "ml-100k.item", sep="\t", dtype=str, index_col=0)["movie_title:token_seq"]

algorithm = AutoRec(random_state=0).fit(datasets.load("ml-100k").build_full_trainset())
explanation = algorithm.explain("196", "50", n=6)
explanation.round(2)

# %%
# Each bar begins where the one above it ends. The last one ends at the estimate.

stars = explanation["rating"].map(lambda rating: f": {rating:.0f} stars", na_action="ignore").fillna("")
labels = explanation["item"].map(titles).fillna(explanation["part"]) + stars
size, end = explanation["contribution"], explanation["contribution"].cumsum()
figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
ax.barh(labels[1:], size[1:], left=(end - size)[1:], color=["C0" if one >= 0 else "C3" for one in size[1:]])
ax.axvline(size[0], color="0.5", linestyle=":", label=f"baseline: {size[0]:.2f}")
ax.axvline(end.iloc[-1], color="0.2", linestyle="--", label=f"estimate: {end.iloc[-1]:.2f}")
ax.use_sticky_edges = False
ax.margins(x=0.05)
ax.invert_yaxis()
ax.set(xlabel="rating", title=f"Why user 196 is expected to like {titles['50']}")
ax.legend()

# %%
# The two stars for The Princess Bride and for Men in Black lower the estimate most.
