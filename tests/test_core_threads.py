"""The number of threads: chosen by what it costs, and left as it was found."""

import os
import threading

import numpy as np
import pytest
import torch
from core_helpers import random_ratings, training_options

from surprise_autorec.core import threads
from surprise_autorec.core.baselines import zero_baselines
from surprise_autorec.core.threads import ThreadChooser, setting_kept
from surprise_autorec.core.trained import Member
from surprise_autorec.core.training import train

#: Seconds to wait for another thread: so many that only one that never comes takes longer.
LIMIT = 600


class Machine:
    """A machine with a clock of its own, on which a piece of work takes the time that the test says."""

    def __init__(self, monkeypatch):
        self.now, self.seconds, self.has_cores, self.used = 0.0, {}, {}, []
        monkeypatch.setattr(threads.time, "perf_counter", lambda: self.now)
        machine = self

        def probe(chooser, number):
            if not machine.has_cores.get(number, True):
                machine.now += 0.005
                chooser.seconds_to_lose -= 0.005
                return False
            return True

        monkeypatch.setattr(ThreadChooser, "_have_cores", probe)

    def run(self, chooser, n_times=1):
        def work():
            number = torch.get_num_threads()
            self.used.append(number)
            self.now += self.seconds[number]

        for _ in range(n_times):
            chooser.run(work, 1.0)
        return self.used[-n_times:]


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_it_starts_with_one_thread_and_takes_more_where_that_is_faster(machine):
    machine.seconds = {1: 0.010, 2: 0.006}
    assert machine.run(ThreadChooser(2, 1000), 100) == [1, *[2] * 99]


def test_it_goes_back_where_more_is_slower_and_tries_again_only_as_often_as_little_is_lost(machine):
    machine.seconds = {1: 0.010, 2: 0.100}
    used = machine.run(ThreadChooser(2, 10_000), 5000)
    assert used[:3] == [1, 2, 1]
    assert used.count(2) >= 2
    lost = used.count(2) * 0.090
    assert lost <= 0.06 * machine.now


def test_it_does_not_try_where_threads_have_no_cores(machine):
    machine.seconds, machine.has_cores = {1: 0.010}, {2: False}
    assert set(machine.run(ThreadChooser(2, 10_000), 1000)) == {1}
    assert machine.now <= 1000 * 0.010 * 1.06


def test_it_follows_a_load_that_comes_and_goes(machine):
    chooser = ThreadChooser(2, 10_000)
    machine.seconds = {1: 0.010, 2: 0.006}
    assert machine.run(chooser, 100)[-1] == 2
    machine.seconds, machine.has_cores = {1: 0.011, 2: 0.200}, {2: False}
    assert machine.run(chooser, 100)[1:] == [1] * 99  # the first step meets the load
    machine.seconds, machine.has_cores = {1: 0.010, 2: 0.006}, {}
    assert machine.run(chooser, 1000)[-1] == 2


def test_a_step_that_was_slow_once_does_not_settle_it(machine):
    chooser = ThreadChooser(2, 10_000)
    machine.seconds = {1: 0.010, 2: 0.006}
    machine.run(chooser, 100)
    machine.seconds[2] = 0.050
    machine.run(chooser)
    machine.seconds[2] = 0.006
    assert machine.run(chooser, 100).count(2) > 90


def test_of_many_cores_it_takes_those_that_are_free(machine):
    machine.seconds = {1: 0.080, 8: 0.012, 15: 0.008, 16: 0.300}
    machine.has_cores = {16: False}
    used = machine.run(ThreadChooser(16, 10_000), 500)
    assert used[-1] == 15
    assert set(used) <= {1, 8, 15}


def test_small_work_stays_on_one_thread(machine):
    machine.seconds = {1: 0.001, 2: 0.0005}
    assert set(machine.run(ThreadChooser(2, 100), 100)) == {1}


@pytest.mark.parametrize("limit", [1, 2, 3, 16])
def test_it_keeps_to_its_limit(machine, limit):
    machine.seconds = {number: 1 / number for number in range(1, 20)}
    assert max(machine.run(ThreadChooser(limit, 1000), 50)) == limit


def test_a_probe_ends_at_the_first_operation_that_had_to_wait(monkeypatch):
    times = iter([0.0, 0.00001, 0.00002, 0.00802, 9.0])
    monkeypatch.setattr(threads.time, "perf_counter", lambda: next(times))
    chooser = ThreadChooser(2, 1.0)
    assert not chooser._have_cores(2)
    assert chooser.seconds_to_lose == pytest.approx(-0.00802)
    assert torch.get_num_threads() == 2
    assert next(times) == 9.0


def test_a_probe_of_idle_cores_is_long_enough_to_show_a_load(monkeypatch):
    times = iter(np.arange(1000) * 1e-5)
    monkeypatch.setattr(threads.time, "perf_counter", lambda: next(times))
    chooser = ThreadChooser(2, 1.0)
    assert chooser._have_cores(2)
    assert next(times) == pytest.approx((threads.N_PROBES + 1) * 1e-5)
    assert chooser.seconds_to_lose == pytest.approx(-threads.N_PROBES * 1e-5)  # which counts, too


# The setting


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_setting_is_what_it_was_whatever_happens(number):
    torch.set_num_threads(number)
    with setting_kept() as found:
        assert found == number
        torch.set_num_threads(5)
    assert torch.get_num_threads() == number

    def interrupted():
        with setting_kept():
            torch.set_num_threads(5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.get_num_threads() == number


def test_fits_in_several_python_threads_find_the_same_setting():
    torch.set_num_threads(3)
    found, in_first, first_may_end = [], threading.Event(), threading.Event()

    def first():
        with setting_kept() as number:
            torch.set_num_threads(1)
            found.append(number)
            in_first.set()
            first_may_end.wait(LIMIT)

    def second():
        in_first.wait(LIMIT)
        with setting_kept() as number:
            found.append(number)
            first_may_end.set()
            thread.join(LIMIT)
            torch.set_num_threads(2)

    thread, other = threading.Thread(target=first), threading.Thread(target=second)
    thread.start()
    other.start()
    other.join(LIMIT)
    seen = []
    third = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    third.start()
    third.join(LIMIT)
    assert found == [3, 3]
    assert seen == [torch.get_num_threads()] == [3]


def run(options, on_epoch_end=lambda _: None):
    ratings = random_ratings(300, 400, 20_000)
    return train(ratings, [Member("user", 1.0)], options, zero_baselines, 0, on_epoch_end).networks[0]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_is_forked_during_a_fit_has_a_setting_of_its_own():
    torch.set_num_threads(3)
    with setting_kept(), threads.setting_kept.__self__.lock:
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            with setting_kept() as found:
                torch.set_num_threads(2)
            os._exit(0 if found == torch.get_num_threads() == 1 else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_training_leaves_it_as_it_was(error):
    torch.set_num_threads(2)

    def on_epoch_end(_):
        if error:
            raise error

    if error:
        with pytest.raises(error):
            run(training_options(n_threads=2), on_epoch_end)
    else:
        run(training_options(n_threads=2), on_epoch_end)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("options", [{"n_factors": (8, 4)}, {"optimizer": "lbfgs"}, {}], ids=str)
def test_no_more_threads_are_used_than_there_are_cores(options):
    """Of a container with a quota, say. It is said in advance for those whose results depend on it."""
    torch.set_num_threads(4)
    seen = []
    run(training_options(n_threads=2, **options), lambda _: seen.append(torch.get_num_threads()))
    assert set(seen) == ({2} if options else {1})  # such small work stays on one


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rprop"])
def test_changing_the_number_from_step_to_step_changes_no_bit(monkeypatch, optimizer):
    options = training_options(
        n_factors=(40,),
        two_sided=True,
        dropout=0.3,
        optimizer=optimizer,
        n_threads=4,
        encoder_activation="tanh",
    )
    torch.set_num_threads(1)
    alone = run(options)
    torch.set_num_threads(4)
    turns, used = iter(range(10**6)), []
    monkeypatch.setattr(ThreadChooser, "_choose", lambda *_: used.append(1 + next(turns) % 4) or used[-1])
    mixed = run(options)
    assert len(set(used)) > 1
    for one, other in zip((*alone.users, *alone.items), (*mixed.users, *mixed.items), strict=True):
        np.testing.assert_array_equal(one, other)
