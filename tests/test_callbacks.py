"""What is told of each epoch: progress bars, early stopping, and what one writes oneself."""

import pickle
import re

import numpy as np
import pytest
from surprise import Dataset, Reader
from surprise.model_selection import GridSearchCV

from surprise_autorec import AutoRec, datasets
from surprise_autorec.callbacks import EarlyStopping, Epoch, History, StopTraining

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
    assert err.count("\n") == 2  # of one bar, which is drawn over itself, and the line above it
    assert re.search(r"Training needs about \d+ MB of memory\n", err)
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


# Callbacks of one's own


class Recorder:
    """Remembers what it is told; asks to stop at an epoch, or fails there."""

    def __init__(self, stop_at=None, error=None):
        self.stop_at, self.error, self.states = stop_at, error, []

    def on_epoch_end(self, state):
        self.states.append(state)
        if self.error and state.number == 2:
            raise self.error
        if state.number == self.stop_at:
            raise StopTraining


def test_callbacks_are_told_of_every_epoch_in_rating_points(trainset):
    recorder, history = Recorder(), History()
    algorithm = AutoRec(**SMALL, callbacks=[recorder, history], early_stopping=True, n_iter_no_change=9).fit(
        trainset
    )
    assert recorder.states == history.epochs
    assert [(state.number, state.n_epochs) for state in recorder.states] == [(1, 3), (2, 3), (3, 3)]
    assert [state.loss for state in recorder.states] == algorithm.loss_curve_
    assert [state.validation_rmse for state in recorder.states] == algorithm.validation_scores_
    assert all(5 < state.validation_rmse < 50 for state in recorder.states)  # of ratings from 0 to 100


@pytest.mark.parametrize("variant", ["item", "hybrid"])
def test_stop_training_ends_it_with_the_model_of_that_epoch(trainset, variant):
    first, second = Recorder(stop_at=2), Recorder()
    parameters = {**SMALL, "variant": variant}
    stopped = AutoRec(**parameters, callbacks=[first, second]).fit(trainset)
    assert stopped.n_iter_ == len(stopped.loss_curve_) == 2
    assert [state.number for state in second.states] == [1, 2]  # told of the last one, too
    wanted = AutoRec(**{**parameters, "n_epochs": 2}).fit(trainset)
    testset = trainset.build_testset()[:50]
    assert [p.est for p in stopped.test(testset)] == [p.est for p in wanted.test(testset)]


def test_stop_training_leaves_the_best_epoch_of_early_stopping(trainset):
    parameters = {"n_factors": 8, "n_epochs": 20, "lr_all": 0.01, "reg_all": 0, "random_state": 0}
    stopping = {**parameters, "n_factors": 64, "dropout": 0.0, "early_stopping": True}
    whole = AutoRec(**stopping, n_iter_no_change=5).fit(trainset)
    best = int(np.argmin(whole.validation_scores_)) + 1
    assert 1 < best + 1 < whole.n_iter_
    stopped = AutoRec(**stopping, n_iter_no_change=5, callbacks=[Recorder(stop_at=best + 1)]).fit(trainset)
    assert stopped.n_iter_ == best + 1
    testset = trainset.build_testset()[:50]
    assert [p.est for p in stopped.test(testset)] == [p.est for p in whole.test(testset)]


def test_other_errors_end_it_and_leave_the_algorithm_as_it_was(trainset):
    callbacks = []
    algorithm = AutoRec(**SMALL, callbacks=callbacks)
    failing = Recorder(error=OSError("no more room"))
    callbacks.append(failing)
    with pytest.raises(OSError, match="no more room"):
        algorithm.fit(trainset)
    assert not hasattr(algorithm, "model_")
    callbacks.clear()
    model = algorithm.fit(trainset).model_
    callbacks.append(failing)
    with pytest.raises(OSError, match="no more room"):
        algorithm.fit(trainset)
    assert algorithm.model_ is model


def test_callbacks_do_not_change_what_is_learnt(trainset):
    testset = trainset.build_testset()[:50]
    one, other = (AutoRec(**SMALL, callbacks=c).fit(trainset).test(testset) for c in ([], [History()]))
    assert one == other


def test_they_go_through_grid_search_and_pickle(data):
    grid = {"n_epochs": [1, 2], "n_factors": [4], "callbacks": [[History()]]}
    search = GridSearchCV(AutoRec, grid, measures=["rmse"], cv=2, n_jobs=1, refit=True)
    search.fit(data)
    assert len(pickle.loads(pickle.dumps(search.best_estimator["rmse"])).callbacks[0].epochs) >= 2


def test_early_stopping_counts_epochs_without_progress():
    stopping = EarlyStopping(n_iter_no_change=2, tol=0.1)
    for number, rmse in enumerate([1.0, 0.95, 0.8, 0.75], start=1):  # progress is a fall by more than tol
        stopping.on_epoch_end(Epoch(number, 9, 1.0, rmse))
    with pytest.raises(StopTraining):
        stopping.on_epoch_end(Epoch(5, 9, 1.0, 0.72))


def test_early_stopping_starts_again_with_each_fit_and_needs_ratings_held_out():
    stopping = EarlyStopping(n_iter_no_change=1, tol=0.0)
    for _ in range(2):
        stopping.on_epoch_end(Epoch(1, 9, 1.0, 0.9))
    with pytest.raises(
        ValueError, match="EarlyStopping needs held-out ratings to validate on: set early_stopping=True"
    ):
        stopping.on_epoch_end(Epoch(1, 9, 1.0, None))


def test_optuna_prunes():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    frame = datasets.make_ratings(100, 60, 3000)
    trainset = Dataset.load_from_df(frame, Reader(rating_scale=(1, 5))).build_full_trainset()

    class Pruning:
        def __init__(self, trial):
            self.trial = trial

        def on_epoch_end(self, state):
            self.trial.report(state.validation_rmse, state.number)
            if self.trial.should_prune():
                raise optuna.TrialPruned

    def objective(trial):
        rate = trial.suggest_categorical("lr_all", [0.01, 1e-6])
        parameters = {
            "n_factors": 8,
            "n_epochs": 6,
            "lr_all": rate,
            "early_stopping": True,
            "random_state": 0,
        }
        return min(AutoRec(**parameters, callbacks=[Pruning(trial)]).fit(trainset).validation_scores_)

    sampler = optuna.samplers.GridSampler({"lr_all": [0.01, 1e-6]}, seed=1)
    study = optuna.create_study(sampler=sampler, pruner=optuna.pruners.MedianPruner(1, 0))
    study.enqueue_trial({"lr_all": 0.01})
    study.optimize(objective, n_trials=3)
    assert {trial.state.name for trial in study.trials} == {"COMPLETE", "PRUNED"}
    assert study.best_params == {"lr_all": 0.01}
