"""What `verbose` shows."""

import pytest
from surprise import Dataset, Reader

from surprise_autorec import AutoRec, datasets

SMALL = {"n_factors": 8, "n_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def trainset():
    """Ratings on another scale than the 1 to 5 that the core works on."""
    frame = datasets.make_ratings(50, 40, 1000, rating_scale=(0, 100), noise=5)
    return Dataset.load_from_df(frame, Reader(rating_scale=(0, 100))).build_full_trainset()


@pytest.mark.parametrize("variant", ["item", "hybrid"])
def test_verbose_shows_one_bar_with_the_loss(trainset, capsys, variant):
    fitted = AutoRec(**SMALL, variant=variant, verbose=True).fit(trainset)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1  # of one bar, which is drawn over itself
    last = err.split("\r")[-1]
    assert "3/3" in last
    assert f"loss={fitted.loss_curve_[-1]:.4f}" in last
    assert "validation" not in err


def test_verbose_shows_the_validation_rmse_with_early_stopping(trainset, capsys):
    fitted = AutoRec(**SMALL, early_stopping=True, n_iter_no_change=1, tol=1.0, verbose=True).fit(trainset)
    last = capsys.readouterr().err.split("\r")[-1]
    assert fitted.n_iter_ == 2  # stopped early, and the bar says where
    assert "2/3" in last
    assert f"validation RMSE={fitted.validation_scores_[-1]:.4f}" in last


@pytest.mark.parametrize("early_stopping", [False, True])
def test_nothing_is_shown_by_default(trainset, capsys, early_stopping):
    AutoRec(**SMALL, early_stopping=early_stopping).fit(trainset).test(trainset.build_testset())
    assert capsys.readouterr() == ("", "")
