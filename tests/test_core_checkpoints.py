"""Training that was ended and goes on."""

import numpy as np
import pytest
import torch
from core_helpers import RATINGS, training_options
from together import together

from surprise_autorec.core.atomic import written_whole
from surprise_autorec.core.baselines import als_baselines
from surprise_autorec.core.checkpoints import Checkpoints
from surprise_autorec.core.collective import ALONE
from surprise_autorec.core.optimizers import OPTIMIZERS
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Member
from surprise_autorec.core.training import train

FIT = {"n_epochs": "3", "variant": "'item'"}
BOTH = [Member("item", 0.7), Member("user", 0.3)]


class Power(Exception):  # noqa: N818
    """It is cut."""


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    with written_whole(path) as file:
        file.write(b"old")
        assert not path.exists()
    with pytest.raises(TypeError), written_whole(path) as file:
        file.write("new")  # no bytes
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_saved_last_is_loaded_and_nothing_else_is_kept(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert Checkpoints(folder, FIT, ALONE).load() is None
    for number in (1, 2, 10):
        Checkpoints(folder, FIT, ALONE).save(
            number, {"numbers": [number], "tensor": torch.full((2,), number)}
        )
    state = Checkpoints(folder, FIT, ALONE).load()
    assert state["numbers"] == [10]
    assert state["tensor"].tolist() == [10, 10]
    assert [path.name for path in folder.iterdir()] == ["epoch-10-of-process-0.pt"]


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    Checkpoints(tmp_path, FIT, ALONE).save(1, {"n": 1})
    (tmp_path / ".surprise-autorec-0123").write_bytes(b"half")
    assert Checkpoints(tmp_path, FIT, ALONE).load() == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-1-of-process-0.pt"]


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        ({**FIT, "variant": "'user'"}, "variant was 'item', got 'user'"),
        ({**FIT, "dropout": "0.5"}, "dropout was None, got 0.5"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path, fit, message):
    Checkpoints(tmp_path, FIT, ALONE).save(1, {})
    with pytest.raises(
        ValueError, match=f"epoch-1-of-process-0.pt must be of the same fit: {message}. Remove"
    ):
        Checkpoints(tmp_path, fit, ALONE).load()


def test_processes_go_on_from_the_newest_epoch_that_all_have_written(tmp_path):
    def work(collective):
        checkpoints = Checkpoints(tmp_path, FIT, collective)
        for number in (1, 2):
            checkpoints.save(number, {"n": number})
        if collective.rank == 1:  # the others were killed in the third epoch
            with written_whole(checkpoints._path(3)) as file:
                torch.save({"fit": checkpoints.fit, "state": {"n": 3}}, file)
        return Checkpoints(tmp_path, FIT, collective).load()

    assert together(3, work) == [{"n": 2}] * 3


def test_checkpoints_of_another_number_of_processes_are_refused(tmp_path):
    together(2, lambda collective: Checkpoints(tmp_path, FIT, collective).save(1, {}))
    with pytest.raises(ValueError, match="number of processes was 2, got 3"):
        together(3, lambda collective: Checkpoints(tmp_path, FIT, collective).load())


def trained(folder, last_epoch=None, collective=ALONE, **options):
    """A training, which may be ended after an epoch by something that is no StopTraining."""
    seen = []

    def on_epoch_end(epoch):
        seen.append(epoch)
        if epoch.number == last_epoch:
            raise Power

    checkpoints = None if folder is None else Checkpoints(folder, FIT, collective)
    own = RATINGS.take_cells(RATINGS.rows % collective.size == collective.rank)
    shape = RATINGS.n_rows, RATINGS.n_columns
    settings = {"two_sided": True, "biased": True, "dropout": 0.4, "averaging": 0.5, "batch_size": 10}
    training = train(
        RatingMatrix.spread(own.rows, own.columns, own.values, shape, collective),
        BOTH,
        training_options(**{**settings, "n_epochs": 5, **options}),
        als_baselines,
        7,
        on_epoch_end,
        checkpoints=checkpoints,
    )
    arrays = [array for network in training.networks for array in (*network.users, *network.items)]
    weights = [array for network in training.networks for array in network.encoders.weights.values()]
    members = [network.member for network in training.networks]
    return members, [array.tobytes() for array in arrays + weights], seen


@pytest.mark.parametrize("last_epoch", [1, 4, 5])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_that_was_ended_goes_on_to_the_same_bits(tmp_path, optimizer, last_epoch):
    expected = trained(None, optimizer=optimizer)
    with pytest.raises(Power):
        trained(tmp_path, last_epoch, optimizer=optimizer)
    assert trained(tmp_path, optimizer=optimizer) == expected  # the epochs before the end are reported again


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("optimizer", ["adam", "rprop"])
def test_several_processes_go_on_to_the_same_bits(tmp_path, optimizer, precision):
    options = {"optimizer": optimizer, "precision": precision}

    def interrupted(collective):
        with pytest.raises(Power):
            trained(tmp_path, 2, collective, **options)

    expected = together(3, lambda collective: trained(None, None, collective, **options))
    assert expected[0] == expected[1] == expected[2]
    together(3, interrupted)
    assert together(3, lambda collective: trained(tmp_path, None, collective, **options)) == expected


def test_the_best_epoch_may_be_one_before_the_end(tmp_path):
    options = {"early_stopping": True, "reg": 0.0, "learning_rate": 0.05, "n_factors": (32,), "dropout": 0.0}
    expected = trained(None, **options)
    best = int(np.argmin([epoch.validation_rmse for epoch in expected[-1]])) + 1
    assert best < 4
    with pytest.raises(Power):
        trained(tmp_path, 4, **options)
    assert trained(tmp_path, **options) == expected


@pytest.mark.parametrize("last_epoch", [2, 4])
def test_weights_learnt_from_a_sample_are_kept(tmp_path, monkeypatch, last_epoch):
    monkeypatch.setattr("surprise_autorec.core.automatic.sample_share", lambda _: 0.2)
    options = {"uncertainty": True, "learn_weights": True}
    expected = trained(None, **options)
    assert expected[0] != BOTH
    with pytest.raises(Power):
        trained(tmp_path, last_epoch, **options)
    assert trained(tmp_path, **options) == expected


def test_epochs_that_are_done_are_not_trained_again(tmp_path, monkeypatch):
    expected = trained(tmp_path)
    monkeypatch.setattr("surprise_autorec.core.learner.Learner.run_epoch", None)
    assert trained(tmp_path) == expected
