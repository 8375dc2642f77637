"""One fit on many processes: played by threads where that is enough, and real ones."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from together import together

from surprise_autorec import AutoRecRegressor, DivergenceError, datasets, load
from surprise_autorec.core.optimizers import OPTIMIZERS
from surprise_autorec.distributed import _encoded, _fit, _joined_processes, _part

FRAME = datasets.make_ratings(n_users=90, n_items=60, n_ratings=2500, noise=0.3)
X, Y = FRAME[["user", "item"]], FRAME["rating"]
SIZES = [2, 3]
#: Seconds to wait for processes: so many that only those that never end take longer.
LIMIT = 1200
FEW = {"random_state": 0, "n_epochs": 5, "dropout": 0.0, "precision": "float32"}


def share(frame, collective):
    """The rows of one process, which follow one another."""
    first, last = (len(frame) * rank // collective.size for rank in (collective.rank, collective.rank + 1))
    return frame[first:last]


def fit(collective, regressor, x, y, checkpoints=None):
    return _fit(collective, regressor, lambda: _encoded(regressor, x, y), checkpoints)


def fitted_together(size, checkpoints=None, x=X, y=Y, **parameters):
    def work(collective):
        regressor = AutoRecRegressor(**{**FEW, **parameters})
        return fit(collective, regressor, share(x, collective), share(y, collective), checkpoints)

    return together(size, work)


@pytest.fixture(autouse=True)
def _one_thread_each():
    torch.set_num_threads(1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"variant": "user"},
        {"variant": "hybrid", "early_stopping": True},
        {"n_estimators": 2, "two_sided": False},
        {"n_factors": (20, 8)},
        {"biased": False, "averaging": 0.0},
        {"decoder_activation": "tanh", "batch_size": 1, "n_epochs": 2},
        *({"optimizer": optimizer} for optimizer in OPTIMIZERS if optimizer not in ("adam", "lbfgs")),
        # (With other widths a line search comes to a near tie on these ratings, which rounding decides.)
        {"optimizer": "lbfgs", "n_factors": 20},
    ],
    ids=str,
)
def test_without_dropout_the_model_is_that_of_one_process(size, parameters):
    one = AutoRecRegressor(**{**FEW, **parameters}).fit(X, Y)
    several = fitted_together(size, **parameters)
    estimates = [regressor.predict(X) for regressor in several]
    assert all(np.array_equal(estimates[0], other) for other in estimates[1:])
    np.testing.assert_allclose(estimates[0], one.predict(X), rtol=0, atol=1e-5)
    np.testing.assert_allclose(several[0].loss_curve_, one.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(several[0].validation_scores_, one.validation_scores_, rtol=1e-5)
    ours, theirs = several[-1].model_, one.model_
    assert (list(ours.user_ids), list(ours.item_ids)) == (list(theirs.user_ids), list(theirs.item_ids))
    assert (ours.scale, ours.mean_rating) == (theirs.scale, pytest.approx(theirs.mean_rating))
    for rated, expected in zip(ours.rated, theirs.rated, strict=True):
        np.testing.assert_array_equal(rated, expected)
    for name, weights in theirs.networks[0].encoders.weights.items():
        assert ours.networks[0].encoders.weights[name].shape == weights.shape


def test_with_dropout_the_error_is_that_of_one_process():
    train, test = FRAME[:2000], FRAME[2000:]

    def rmse(regressor):
        return np.sqrt(np.mean((regressor.predict(test[["user", "item"]]) - test["rating"]) ** 2))

    settings = {"dropout": 0.5, "n_epochs": 18}
    one, two = [], []
    for seed in range(3):
        regressor = AutoRecRegressor(**{**FEW, **settings, "random_state": seed})
        one.append(rmse(regressor.fit(train[["user", "item"]], train["rating"])))
        several = fitted_together(
            2, x=train[["user", "item"]], y=train["rating"], random_state=seed, **settings
        )
        two.append(rmse(several[0]))
    assert one != two  # the masks are others
    assert np.mean(one) == pytest.approx(np.mean(two), abs=0.01)


def test_a_seed_that_is_drawn_is_that_of_the_first_process():
    one, two = fitted_together(2, random_state=None)
    assert np.array_equal(one.predict(X), two.predict(X))


def test_a_model_is_saved_and_loaded_like_any_other(tmp_path):
    several = fitted_together(2, x=X.astype(str))
    several[0].save(tmp_path / "model")
    pairs = pd.DataFrame({"user": ["1", "new"], "item": ["2", "2"]})
    assert load(tmp_path / "model").predict(pairs).tolist() == several[1].predict(pairs).tolist()


def test_a_pair_that_is_rated_twice_is_told_of():
    x, y = pd.concat([X, X[:1]]), pd.concat([Y, Y[:1]])
    with pytest.warns(UserWarning, match="more than once"):
        fitted_together(2, x=x, y=y, n_epochs=1)


def test_divergence_is_raised_by_all():
    def work(collective):
        regressor = AutoRecRegressor(**FEW, lr_all=1e6)
        with pytest.raises(DivergenceError, match="lower lr_all") as raised:
            fit(collective, regressor, share(X, collective), share(Y, collective))
        return str(raised.value)

    assert len(set(together(2, work))) == 1


# What goes wrong in one process


def failing(get_ratings, size=2, checkpoints=None, **parameters):
    """What each process is told."""

    def work(collective):
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            fit(collective, AutoRecRegressor(**{**FEW, **parameters}), *get_ratings(collective), checkpoints)
        return str(raised.value)

    return together(size, work)


def bad_second(x, y):
    return lambda collective: (x, y) if collective.rank == 1 else (X, Y)


@pytest.mark.parametrize(
    ("get_ratings", "message"),
    [
        (bad_second(X[:0], Y[:0]), "every process must have at least one rating, got none"),
        (bad_second(X[["user"]], Y), "X must have a column of users and one of items, got 1 feature"),
        (bad_second(X.assign(user=None), Y), "user ids must not be missing"),
        (bad_second(X, Y * np.nan), "contains NaN"),
        (
            bad_second(X.assign(item=[(1, 2)] * len(X)), Y),
            "item ids must be strings or numbers, got ['tuple']",
        ),
    ],
)
def test_bad_ratings_of_one_process_are_an_error_of_all(get_ratings, message):
    first, second = failing(get_ratings)
    assert message in first
    assert message in second
    assert first.startswith("process 1 of 2: ")


def test_ids_of_other_types_in_one_part_are_refused():
    told = failing(bad_second(X.astype({"item": str}), Y))
    assert told == ["item ids must be of the same types in all parts, got int, str"] * 2


def test_ratings_off_the_scale_are_refused():
    told = failing(lambda collective: (share(X, collective), share(Y, collective)), rating_scale=(2, 5))
    assert all("ratings must lie on the rating scale, 2 to 5" in one for one in told)


def test_a_process_that_is_left_without_users_is_an_error_of_all():
    told = failing(lambda _: ([["ann", "heat"]], [3.0]))
    assert [one.split(": ")[-1] for one in told] == ["training needs at least one rating, got none"] * 2


def test_checkpoints_are_of_the_same_fit_and_a_known_seed(tmp_path):
    fitted_together(2, tmp_path, n_epochs=1)

    def parts(collective):
        return share(X, collective), share(Y, collective)

    told = failing(parts, 2, tmp_path, n_factors=3)
    assert all("must be of the same fit: n_epochs was 1, got 5" in one for one in told)
    told = failing(lambda collective: (share(X[1:], collective), share(Y[1:], collective)), 3, tmp_path)
    assert all("must be of the same fit" in one for one in told)

    def work(collective):
        with pytest.raises(
            ValueError, match="random_state must be an int where checkpoints are kept, got None"
        ):
            fit(collective, AutoRecRegressor(), *parts(collective), tmp_path)

    together(2, work)


# Files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ratings in three files."""
    folder = tmp_path_factory.mktemp("ratings")
    for name, part in zip("abc", (FRAME[:500], FRAME[500:1700], FRAME[1700:]), strict=True):
        part.to_csv(folder / f"{name}.csv", index=False)
    (folder / "_SUCCESS").touch()
    return folder


@pytest.mark.parametrize("size", [2, 3])
def test_every_process_reads_files_that_follow_one_another(folder, size):
    parts = together(size, lambda collective: _part(folder, AutoRecRegressor(), collective))
    # (Versions of pandas round the last digit of a text differently.)
    values = np.concatenate([part.values for part in parts])  # noqa: PD011
    np.testing.assert_allclose(values, Y, rtol=1e-14)
    users = [part.user_ids[code] for part in parts for code in part.users]
    assert users == X["user"].astype(str).tolist()


def test_a_model_of_files_is_that_of_the_folder(folder):
    def work(collective):
        regressor = AutoRecRegressor(**FEW)
        return _fit(collective, regressor, lambda: _part(folder, regressor, collective), None)

    pairs = X.astype(str).to_numpy()
    one = AutoRecRegressor(**FEW).fit_batches(folder)
    for regressor in together(2, work):
        np.testing.assert_allclose(regressor.predict(pairs), one.predict(pairs), rtol=0, atol=1e-5)


def test_files_with_other_columns_are_an_error_of_all(folder, tmp_path):
    (tmp_path / "a.csv").write_bytes((folder / "a.csv").read_bytes())
    FRAME.rename(columns={"rating": "stars_given"}).to_csv(tmp_path / "b.csv", index=False)

    def work(collective):
        with pytest.raises(ValueError, match=r"b.csv must have a column for the rating"):
            _fit(
                collective,
                AutoRecRegressor(),
                lambda: _part(tmp_path, AutoRecRegressor(), collective),
                None,
            )

    together(2, work)


# Real processes


def run(*command, **environment):
    """What a command prints on stderr, and its exit code."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    result = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return result.stderr, result.returncode


def torchrun(script, *arguments, max_restarts=0, size=2):
    start = ["torch.distributed.run", "--nproc-per-node", size, "--max-restarts", max_restarts]
    return run(*start, "--standalone", *script, *arguments)


@pytest.mark.parametrize("size", SIZES)
def test_processes_exchange_what_threads_do(size):
    told, code = torchrun([Path(__file__).with_name("exchanging.py")], size=size)
    assert code == 0, told


COMMAND = ["-m", "surprise_autorec.distributed"]
SETTINGS = [
    argument
    for setting in ("n_epochs=5", "verbose=False", "precision=float32")
    for argument in ("-p", setting)
]


@pytest.fixture(scope="module")
def model_file(folder, tmp_path_factory):
    """A model that two processes have trained, without an accident."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    told, code = torchrun(COMMAND, "fit", folder, "-o", path, *SETTINGS, "-p", "variant=hybrid")
    assert code == 0, told
    return path


def test_torchrun_trains_the_model_that_threads_train(model_file):
    x = X.astype(str)
    several = fitted_together(2, x=x, dropout=0.5, variant="hybrid")
    estimates = load(model_file).predict(x.to_numpy())
    np.testing.assert_allclose(estimates, several[0].predict(x), rtol=0, atol=1e-5)


def test_a_fit_whose_processes_die_goes_on_to_the_same_bits(folder, model_file, tmp_path):
    """One dies in the middle of an epoch, then in the middle of a write, and there is no other restart."""
    path, script = tmp_path / "model.safetensors", [Path(__file__).with_name("dying.py"), "epoch,write"]
    arguments = [
        "fit",
        folder,
        "-o",
        path,
        *SETTINGS,
        "-p",
        "variant=hybrid",
        "--checkpoints",
        tmp_path / "saved",
    ]
    told, code = torchrun(script, *arguments, max_restarts=1)
    assert code != 0
    assert "Signal 9" in told
    assert not path.exists()
    names = {file.name for file in (tmp_path / "saved").iterdir()}
    assert "epoch-3-of-process-1.pt" in names
    assert "epoch-4-of-process-1.pt" not in names
    told, code = torchrun(COMMAND, *arguments)
    assert code == 0, told
    assert path.read_bytes() == model_file.read_bytes()

    told, code = torchrun(COMMAND, *arguments, "-p", "n_factors=9")
    assert code != 0
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "must be of the same fit: n_factors was 'auto', got 9" in errors[0]


def test_torch_that_is_built_for_gpus_does_without_them(monkeypatch):
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 0}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with _joined_processes(timeout=LIMIT):
        assert torch.distributed.get_backend() == "gloo"
        ones = torch.ones(3)
        torch.distributed.all_reduce(ones)
    assert ones.tolist() == [1, 1, 1]


def test_processes_that_were_not_started_are_told_of(folder):
    told, code = run(
        *COMMAND[1:],
        *("fit", folder, "-o", "model", "--timeout", "1"),
        RANK="0",
        WORLD_SIZE="3",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT="0",
    )
    assert code == 1
    assert told.splitlines()[-1].startswith(
        "error: all 3 processes (WORLD_SIZE) must be started and reach one"
    )


def test_too_few_files_are_one_line_and_an_exit_code(folder, tmp_path):
    (tmp_path / "a.csv").write_bytes((folder / "a.csv").read_bytes())
    told, code = torchrun(COMMAND, "fit", tmp_path, "-o", tmp_path / "model.safetensors")
    assert code != 0
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    rule = "must be a folder with a file for each of 2 processes at least, got 1"
    assert errors == [f"error: {tmp_path} {rule}"]
    assert not (tmp_path / "model.safetensors").exists()
