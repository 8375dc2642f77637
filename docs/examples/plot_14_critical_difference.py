"""
Which algorithms differ over many data sets?
============================================

Here the films of MovieLens-100K are divided by their first genre, and the ten largest genres make ten sets of
ratings. On each set the algorithms are ranked by their error. In the diagram the best mean rank is on the
left, and a bar joins algorithms whose mean ranks do not differ significantly.
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from surprise import NMF, SVD, BaselineOnly, KNNBaseline, SlopeOne
from surprise.model_selection import KFold

from surprise_autorec import AutoRec, compare, datasets

folder = Path(find_spec("recbole").submodule_search_locations[0], "dataset_example", "ml-100k")
films = pd.read_csv(folder / "ml-100k.item", sep="\t", dtype=str, index_col=0)
genre_of = films["class:token_seq"].str.split().str[0]

ratings = pd.DataFrame(datasets.load("ml-100k").raw_ratings, columns=["user", "item", "rating", "time"])
by_genre = ratings.drop(columns="time").groupby(ratings["item"].map(genre_of))
data = {genre: by_genre.get_group(genre) for genre in by_genre.size().nlargest(10).index}
print({genre: len(part) for genre, part in data.items()})

# %%

algorithms = {
    "AutoRec": AutoRec(random_state=0),
    "SVD": SVD(random_state=0),
    "NMF": NMF(random_state=0),
    "KNNBaseline": KNNBaseline(verbose=False),
    "SlopeOne": SlopeOne(),
    "BaselineOnly": BaselineOnly(verbose=False),
}
comparison = compare(algorithms, data, cv=KFold(2, random_state=0))
comparison.ranks()

# %%

comparison.plot_ranks()

# %%
# AutoRec has the smallest error on each of the ten sets. But a bar joins it with SVD and BaselineOnly: ten
# sets are too few for a significant difference of ranks.
#
# The test behind it:

print(comparison.significance(reference="AutoRec").ranks)
