"""A program of a user, for mypy: it passes --strict, and what is wrong in it is found (tox -e typing)."""

import numpy as np
import pandas as pd

import surprise_autorec
from surprise_autorec import BEST, AutoRec, AutoRecRegressor, datasets

algorithm = AutoRec(n_factors=64, variant="hybrid", random_state=0)
algorithm.fit(datasets.load("ml-100k").build_full_trainset())
best: pd.DataFrame = algorithm.recommend(["196"], n=5)
new: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = algorithm.predict_new_user({"50": 5}, ["174"])
algorithm.save("model")

regressor = AutoRecRegressor(user_column="user", reg_all="auto", **BEST)
regressor.fit(best[["user", "item"]], best["estimate"])
loaded: AutoRecRegressor = AutoRecRegressor.load("model")
either = surprise_autorec.load("model")
if isinstance(either, AutoRec):
    print(either.predict("196", "302").est)

AutoRec(n_factor=3)  # type: ignore[call-arg]
AutoRecRegressor(n_epochs="many")  # type: ignore[arg-type]
AutoRecRegressor(n_factor=3)  # type: ignore[call-arg]
