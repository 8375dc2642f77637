"""Small ratings with a known structure, for every test."""

import os

import pytest
import torch
from surprise import Dataset, Reader, Trainset

from surprise_autorec import datasets

#: AutoRec settings that train in well under a second.
FAST = {"n_factors": 16, "n_epochs": 5, "random_state": 0}

#: Read by mypy, and run by tox -e mutation.
collect_ignore = ["user_program.py", "mutation.py"]

#: How many times as many random things as in CI tests are to try.
THOROUGH = int(os.environ.get("SURPRISE_AUTOREC_THOROUGH", "1"))


@pytest.fixture(scope="session")
def data() -> Dataset:
    """2,000 synthetic ratings by 80 users of 50 items, 1 to 5."""
    frame = datasets.make_ratings(n_users=80, n_items=50, n_ratings=2000, noise=0.3, random_state=1)
    return Dataset.load_from_df(frame, Reader(rating_scale=(1, 5)))


@pytest.fixture
def trainset(data: Dataset) -> Trainset:
    """All of `data`."""
    return data.build_full_trainset()


@pytest.fixture(autouse=True)
def _one_thread():
    """The tests' models are too small to share, and waiting for one another is slow on a busy machine."""
    torch.set_num_threads(1)
