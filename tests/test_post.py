"""docs/benchmarks/post.py, in small."""

from pathlib import Path

import pytest
import torch

from surprise_autorec import datasets

FOLDER = Path(__file__).parent.parent / "docs" / "benchmarks"


@pytest.fixture
def post(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import post

    return post


def test_small_version(post):
    frame = datasets.make_ratings(
        n_users=150, n_items=120, n_ratings=3000, noise=0.4, rating_scale=(0.5, 5), random_state=1
    )
    study = post.Study(frame, n_epochs=12, presets={"AutoRec": {"n_epochs": 15}})
    lines = [make() for make in study.lines()]
    tutorial, stretched, patient, chosen, autorec, mean, copy = lines

    # What the tutorial would report looks good, and says nothing.
    assert tutorial.reported < 0.5 * tutorial.of_ratings
    assert copy.reported == copy.of_ratings == 0
    assert copy.of_hidden_ratings > 1.5
    # Its output cannot exceed 1.
    assert tutorial.of_hidden_ratings > stretched.of_hidden_ratings + 0.5
    # Ratings that the input shows are easier than others.
    assert patient.of_ratings < patient.of_hidden_ratings
    # Each step helps, and the package is best.
    assert stretched.of_hidden_ratings > patient.of_hidden_ratings >= chosen.of_hidden_ratings - 0.02
    assert chosen.of_hidden_ratings > autorec.of_hidden_ratings
    assert mean.of_hidden_ratings > autorec.of_hidden_ratings
    assert autorec.reported is autorec.of_ratings is None


def test_cells_without_ratings_count_as_predicted_without_error(post):
    wanted = post.Ratings.of([0, 1], [1, 0], torch.tensor([4.0, 2.0]).numpy(), (2, 4))
    outputs = torch.full((2, 4), 3.0)
    assert post.rmse(outputs, wanted) == 1
    assert post.rmse(outputs, wanted, over_all_cells=True) == 0.5


@pytest.mark.parametrize("patient", [False, True])
def test_objective(post, patient, monkeypatch):
    """A step of SGD goes along the gradient of the loss that the docstring describes."""
    ratings = post.Ratings.of([0, 1, 2], [1, 0, 3], torch.tensor([4.0, 2.0, 5.0]).numpy(), (3, 4))
    monkeypatch.setattr(torch.optim, "Adam", torch.optim.SGD)
    way = post.Way(stretched=True, patient=patient, n_epochs=1)
    before = post.train(ratings, way._replace(n_epochs=0))
    after = post.train(ratings, way)
    V, mu, W, b = (parameter.detach().clone().requires_grad_() for parameter in before.parameters)
    outputs = 0.5 + 4.5 * torch.sigmoid(torch.sigmoid(ratings.matrix @ V + mu) @ W + b)
    squares = (ratings.mask * (outputs - ratings.matrix)).square()
    loss = squares.sum() / 3 if patient else squares.sum() / 12 + 0.01 * V.square().sum()
    loss.backward()
    for parameter, new in zip((V, mu, W, b), after.parameters, strict=True):
        torch.testing.assert_close(new.detach(), (parameter - 0.001 * parameter.grad).detach())
