"""The optimisers alone. (Training with each of them, against dense torch, is in test_core_learner.py.)"""

import pytest
import torch

from surprise_autorec.core.optimizers import LBFGS, OPTIMIZERS, Setting


def parameter(*values):
    return torch.nn.Parameter(torch.tensor(values))


def bowl(one):
    """The objective of the sum of squares of something, each with another weight."""
    weights = torch.arange(1.0, len(one) + 1)

    def objective(receive):
        receive(one, slice(None), 2 * weights * one.detach())
        return (weights * one.detach().square()).sum()

    return objective


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_leads_downhill_and_leaves_no_history_of_gradients(optimizer):
    one = parameter(3.0, -2.0, 1.0)
    made = OPTIMIZERS[optimizer]([Setting(one, 0.01, 0.0)])
    for _ in range(20):
        made.step(bowl(one))
    assert bowl(one)(lambda *_: None) < 18
    assert one.is_leaf
    assert one.requires_grad


def test_a_line_search_that_finds_no_end_looks_at_25_places():
    one, places = parameter(1.0), []

    def slope(receive):
        places.append(one.item())
        receive(one, slice(None), torch.ones(1))
        return one.detach().sum()

    LBFGS([Setting(one, 1.0, 0.0)]).step(slope)
    assert len(places) == 1 + 25
    assert min(places) < -1e9


def test_lbfgs_keeps_ten_pairs_of_curvature():
    one = parameter(*torch.linspace(1, 2, 30).tolist())
    optimizer = LBFGS([Setting(one, 1.0, 0.0)])
    for _ in range(15):
        optimizer.step(bowl(one))
    (state,) = optimizer.state()["state"].values()
    assert len(state["old_dirs"]) == 10
