"""Engines of other packages, used as the how-tos say: errors are those of one process, to the last bit."""

import subprocess
import sys

import pytest
from joblib import parallel_config
from surprise.model_selection import GridSearchCV, KFold

from surprise_autorec import AutoRec, compare, datasets

SMALL = {"n_factors": 4, "n_epochs": 2, "random_state": 0}


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray(data, tmp_path):
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    def searched():
        grid = {name: [value] for name, value in SMALL.items()} | {"variant": ["item", "user"]}
        search = GridSearchCV(AutoRec, grid, cv=KFold(2, random_state=0), n_jobs=2)
        search.fit(data)
        return search.cv_results["mean_test_rmse"].tolist()

    def compared(n_jobs, output=None):
        algorithms = {"AutoRec": AutoRec(**SMALL), "hybrid": AutoRec(**SMALL, variant="hybrid")}
        folds = compare(algorithms, data, KFold(2, random_state=0), n_jobs=n_jobs, output=output).folds
        return folds[["algorithm", "fold", "rmse", "mae"]].to_numpy().tolist()

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        register_ray()
        with parallel_config(backend="ray"):
            beside = searched(), compared(2, tmp_path), compared(-1)
    finally:
        ray.shutdown()
    with parallel_config(backend="threading"):
        alone = searched()
    assert beside == (alone, compared(1), compared(1))
    assert compared(1, tmp_path) == compared(1)  # the fits that Ray did


WORKER = """
import sys
import optuna
from surprise_autorec import AutoRec, datasets

def objective(trial):
    trial.set_user_attr("process", sys.argv[1])
    n_factors = trial.suggest_int("n_factors", 2, 9)
    algorithm = AutoRec(n_factors=n_factors, n_epochs=3, early_stopping=True, random_state=0)
    return min(algorithm.fit(trainset).validation_scores_)

trainset = datasets.load("ratings.csv").build_full_trainset()
storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("trials.log"))
study = optuna.load_study(study_name="widths", storage=storage)
study.optimize(objective, n_trials=4)
"""


def test_processes_share_the_trials_of_optuna(tmp_path):
    optuna = pytest.importorskip("optuna")
    datasets.make_ratings(80, 50, 2000).to_csv(tmp_path / "ratings.csv", index=False)
    journal = optuna.storages.journal.JournalFileBackend(str(tmp_path / "trials.log"))
    study = optuna.create_study(study_name="widths", storage=optuna.storages.JournalStorage(journal))
    widths = range(2, 10)
    for n_factors in widths:
        study.enqueue_trial({"n_factors": n_factors})
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, name], cwd=tmp_path) for name in ("first", "second")
    ]
    assert [worker.wait(300) for worker in workers] == [0, 0]

    trainset = datasets.load(tmp_path / "ratings.csv").build_full_trainset()
    settings = {"n_epochs": 3, "early_stopping": True, "random_state": 0}
    alone = {n: min(AutoRec(n_factors=n, **settings).fit(trainset).validation_scores_) for n in widths}
    assert {trial.params["n_factors"]: trial.value for trial in study.trials} == alone
    assert sorted(trial.user_attrs["process"] for trial in study.trials) == ["first"] * 4 + ["second"] * 4
