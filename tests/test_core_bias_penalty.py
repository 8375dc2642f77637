"""The baselines' penalty on the biases of baselines and decoder together."""

import numpy as np

from surprise_autorec.datasets import make_ratings
from surprise_autorec.fitting import Ratings, fit_model
from surprise_autorec.model import RatingScale
from surprise_autorec.parameters import AutoRecParameters


def fitted(**parameters):
    frame = make_ratings(200, 60, 2000)
    users, items = (np.unique(frame[name], return_inverse=True) for name in ("user", "item"))
    indices = (ids[1].astype(np.int32) for ids in (users, items))
    ratings = Ratings(
        *indices, frame["rating"].to_numpy(float), list(users[0]), list(items[0]), RatingScale(1, 5)
    )
    parameters = {"n_epochs": 60, "averaging": 0.9, "random_state": 0, **parameters}
    return fit_model(ratings, AutoRecParameters(**parameters)).model


def test_without_weights_there_is_nothing_to_add_to_automatic_baselines():
    model = fitted(reg_all=1e6, reg_bias=0.0)
    (network,) = model.networks
    assert network.users.biases.std() < 0.1 * model.baselines.row_biases.std()


def test_of_given_baselines_the_decoder_takes_back_what_was_shrunk():
    model = fitted(reg_all=1e6, reg_bias=0.0, bsl_options={"reg_u": 15})
    (network,) = model.networks
    assert network.users.biases.std() > 0.5 * model.baselines.row_biases.std()
