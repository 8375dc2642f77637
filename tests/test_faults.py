"""Faults on purpose: whatever is interrupted, nothing is left half done.

A few of each in CI; tox -e faults tries many times more, by SURPRISE_AUTOREC_THOROUGH.
"""

import asyncio
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from conftest import FAST, THOROUGH
from surprise.model_selection import GridSearchCV

from surprise_autorec import AutoRec, compare
from surprise_autorec.core import learner
from surprise_autorec.core.atomic import written_whole
from surprise_autorec.persistence import load

TRIES = 12 * THOROUGH
DESCRIPTORS = Path("/proc/self/fd")
TINY = {**FAST, "n_factors": 4, "n_epochs": 3}


@pytest.fixture
def testset(trainset):
    return trainset.build_testset()[:50]


@pytest.fixture
def fitted(trainset):
    return AutoRec(**TINY).fit(trainset)


def estimates(algorithm, testset):
    return [prediction.est for prediction in algorithm.test(testset)]


def interrupted_at(moments, run):
    """Run something again and again, each time with a KeyboardInterrupt so many seconds after its start.

    Yields whether it was interrupted before its end.
    """
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for moment in moments:
            try:
                signal.setitimer(signal.ITIMER_REAL, moment)
                run()
                signal.setitimer(signal.ITIMER_REAL, 0)
                was_interrupted = False
            except KeyboardInterrupt:
                was_interrupted = True
            yield was_interrupted
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def moments_of(run, n=TRIES):
    """Moments spread over the whole of a call."""
    run()
    start = time.perf_counter()
    run()
    duration = time.perf_counter() - start
    return [duration * (k + 1) / (n + 1) for k in range(n)]


def state_of_process():
    return {
        "threads of torch": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "random": torch.random.get_rng_state().tolist(),
        "garbage": gc.isenabled(),
    }


def test_an_interrupt_of_fit_leaves_what_was_fitted_and_the_process_as_they_were(trainset, testset, fitted):
    before, wanted = state_of_process(), estimates(fitted, testset)
    other = AutoRec(**{**TINY, "n_epochs": 6}).fit(trainset)
    moments = moments_of(lambda: other.fit(trainset))
    n_interrupted = 0
    for was_interrupted in interrupted_at(moments, lambda: fitted.fit(trainset)):
        n_interrupted += was_interrupted
        assert state_of_process() == before
        assert estimates(fitted, testset) == wanted
    assert n_interrupted
    assert estimates(fitted.fit(trainset), testset) == wanted


def test_an_interrupt_of_partial_fit_leaves_the_algorithm_as_it_was(trainset, testset, fitted):
    more = [("new", 1, 3.0), ("new", 2, 4.0)]
    before, after = (
        estimates(fitted, testset),
        estimates(AutoRec(**TINY).fit(trainset).partial_fit(more), testset),
    )
    assert before != after
    moments = moments_of(lambda: AutoRec(**TINY).fit(trainset).partial_fit(more))
    n_interrupted = 0
    for was_interrupted in interrupted_at(moments, lambda: fitted.partial_fit(more)):
        n_interrupted += was_interrupted
        is_done = "new" in fitted.model_.user_index  # (an interrupt may come when all is done)
        assert is_done or was_interrupted
        assert estimates(fitted, testset) == (after if is_done else before)
        if is_done:
            fitted.fit(trainset)
    assert n_interrupted


def test_an_interrupt_of_save_leaves_one_whole_file(fitted, testset, tmp_path):
    path = tmp_path / "model"
    wanted = estimates(fitted, testset)
    fitted.save(path)
    assert estimates(load(path), testset) == wanted  # and whatever is opened once for all is open
    n_descriptors = len(list(DESCRIPTORS.iterdir()))
    n_interrupted = 0
    for was_interrupted in interrupted_at(moments_of(lambda: fitted.save(path)), lambda: fitted.save(path)):
        n_interrupted += was_interrupted
        assert [file.name for file in tmp_path.iterdir()] == ["model"]
        assert estimates(load(path), testset) == wanted
    assert n_interrupted
    gc.collect()
    assert len(list(DESCRIPTORS.iterdir())) <= n_descriptors


def test_an_interrupt_of_compare_ends_it(data):
    def run():
        compare([AutoRec(**TINY)], data, cv=2)

    n_interrupted = sum(interrupted_at(moments_of(run, TRIES // 4), run))
    assert n_interrupted
    run()


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("number", [1, 3])
def test_what_a_callback_raises_ends_the_fit_and_changes_nothing(trainset, testset, fitted, error, number):
    class Failing:
        def on_epoch_end(self, state):
            if state.number == number:
                raise error

    wanted, before = estimates(fitted, testset), state_of_process()
    fitted.callbacks = [Failing()]
    for ask in (lambda: fitted.fit(trainset), lambda: fitted.partial_fit([("new", 1, 3.0)], n_epochs=3)):
        with pytest.raises(error):
            ask()
        assert estimates(fitted, testset) == wanted
        assert state_of_process() == before


@pytest.mark.parametrize("number", [1, 5])
def test_too_little_memory_in_the_midst_of_training_changes_nothing(
    trainset, testset, fitted, monkeypatch, number
):
    wanted, before, calls = estimates(fitted, testset), state_of_process(), []
    step = learner.Learner._step

    def failing(self, batch):
        calls.append(batch)
        if len(calls) == number:
            raise MemoryError
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(learner.Learner, "_step", failing)
        with pytest.raises(MemoryError):
            fitted.fit(trainset)
        calls.clear()
        with pytest.raises(MemoryError):
            fitted.partial_fit([("new", 1, 3.0)])
    assert len(calls) == number
    assert estimates(fitted, testset) == wanted
    assert state_of_process() == before
    assert estimates(fitted.fit(trainset), testset) == wanted


KILLED = """
import os, sys
from pathlib import Path
from surprise_autorec import load
algorithm = load(sys.argv[1])
print("ready", flush=True)
while True:
    algorithm.save(sys.argv[1])
"""


def test_a_kill_during_save_leaves_one_whole_file(fitted, testset, tmp_path):
    """A process that does nothing but save is killed at random moments."""
    path, wanted = tmp_path / "model", estimates(fitted, testset)
    fitted.save(path)
    for n in range(TRIES // 3):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(0.003 * (n + 1))
            process.kill()
        assert estimates(load(path), testset) == wanted
    n_left = len(list(tmp_path.iterdir())) - 1
    assert n_left <= 1 + TRIES // 50  # where it was killed between two calls of the system, if at all


def test_a_full_disk_is_named_and_leaves_the_old_file(fitted, testset, tmp_path):
    path, wanted = tmp_path / "model", estimates(fitted, testset)
    fitted.save(path)
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for limit in (0, 1, size // 2, size - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
            try:
                with pytest.raises(OSError, match=f"File too large: '{path}'"):
                    fitted.save(path)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert estimates(load(path), testset) == wanted
            assert [file.name for file in tmp_path.iterdir()] == ["model"]
    finally:
        signal.signal(signal.SIGXFSZ, handler)


def as_nobody(run):
    """Run something in a process without root's rights, and return what it returns."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            os.write(writer, run().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return answer


def test_a_folder_that_is_read_only_is_named(fitted, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    fitted.save(folder / "model")
    before = (folder / "model").read_bytes()
    for one in (*tmp_path.parents[:3], tmp_path, folder):  # that nobody gets there, and no further
        one.chmod(0o755)
    folder.chmod(0o555)

    def answer():
        try:
            with written_whole(folder / "model") as file:
                file.write(b"new")
        except OSError as error:
            return str(error)
        return "it was written"

    assert as_nobody(answer) == f"[Errno 13] Permission denied: '{folder / 'model'}'"
    assert (folder / "model").read_bytes() == before


def save_often(path, n):
    algorithm = load(path)
    for _ in range(n):
        algorithm.save(path)
        load(path)


def test_eight_processes_save_to_one_path(fitted, testset, tmp_path):
    path, wanted = tmp_path / "model", estimates(fitted, testset)
    fitted.save(path)
    with ProcessPoolExecutor(8, mp_context=get_context("fork")) as executor:
        jobs = [executor.submit(save_often, path, TRIES) for _ in range(8)]
        while not all(job.done() for job in jobs):
            assert estimates(load(path), testset) == wanted
    for job in jobs:
        job.result()
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_worker_that_dies_in_a_search_is_an_error_and_the_next_search_works(data):
    class Dying(AutoRec):
        def fit(self, trainset):
            os.kill(os.getpid(), signal.SIGKILL)
            return super().fit(trainset)

    grid = {"n_factors": [2, 3], "n_epochs": [1], "random_state": [0]}
    with pytest.raises(Exception, match=r"terminated|killed|memory"):
        GridSearchCV(Dying, grid, cv=2, n_jobs=2).fit(data)
    search = GridSearchCV(AutoRec, grid, cv=2, n_jobs=2)
    search.fit(data)
    assert len(search.cv_results["params"]) == 2


def test_eight_threads_ask_a_model_while_it_is_fitted_anew(trainset, testset, fitted, tmp_path):
    """Each answer is of the old model or of the new one, which are the same here."""
    wanted, user = estimates(fitted, testset), trainset.to_raw_uid(0)
    recommended = fitted.recommend([user]).to_dict("list")
    new_user = fitted.predict_new_user({0: 5, 3: 1}, [0, 1, 2]).tolist()
    ended = threading.Event()

    def ask(number):
        n = 0
        while not n or not ended.is_set():
            assert estimates(fitted, testset) == wanted
            assert fitted.recommend([user]).to_dict("list") == recommended
            assert fitted.predict_new_user({0: 5, 3: 1}, [0, 1, 2]).tolist() == new_user
            fitted.save(tmp_path / str(number))
            n += 1
        return n

    with ThreadPoolExecutor(8) as executor:
        jobs = [executor.submit(ask, number) for number in range(8)]
        try:
            for _ in range(TRIES // 2):
                fitted.fit(trainset)
        finally:
            ended.set()
        counts = [job.result() for job in jobs]
    assert all(counts)


def test_an_executor_of_asyncio(trainset, testset, fitted):
    wanted = estimates(fitted, testset)

    async def ask():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(4) as executor:
            fits = [loop.run_in_executor(executor, AutoRec(**TINY).fit, trainset) for _ in range(2)]
            answers = [loop.run_in_executor(executor, estimates, fitted, testset) for _ in range(8)]
            return await asyncio.gather(*fits, *answers)

    for answer in asyncio.run(ask()):
        assert (answer if isinstance(answer, list) else estimates(answer, testset)) == wanted


GROWING = """
import gc, json, os, resource, sys, threading
from surprise import Dataset, Reader
from surprise_autorec import AutoRec, datasets
data = Dataset.load_from_df(datasets.make_ratings(80, 50, 2000), Reader(rating_scale=(1, 5)))
trainset = data.build_full_trainset()

def measure():
    gc.collect()
    pages = int(open("/proc/self/statm").read().split()[1])
    counts = [len(os.listdir(f"/proc/self/{kind}")) for kind in ("fd", "task")]
    return [pages * resource.getpagesize(), *counts]

algorithm = AutoRec(n_factors=16, n_epochs=2, variant="hybrid", random_state=0)
def run():
    algorithm.fit(trainset).partial_fit([("new", 1, 3.0)], n_epochs=1)
    algorithm.test(trainset.build_testset())
    algorithm.save(sys.argv[1])

for _ in range(15):
    run()
before = measure()
for _ in range(int(sys.argv[2])):
    run()
print(json.dumps([before, measure()]))
"""


def test_many_fits_leave_no_memory_descriptors_or_threads_behind(tmp_path):
    n = 18 * THOROUGH
    command = [sys.executable, "-c", GROWING, str(tmp_path / "model"), str(n)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = json.loads(result.stdout)
    assert after[1:] == before[1:]
    assert after[0] - before[0] < 16 * 2**20


def test_importing_the_package_reads_no_network_and_writes_no_file(tmp_path):
    script = """
import sys
seen = []
def hook(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if event.startswith("socket.") or event.startswith("urllib") or writes or event == "subprocess.Popen":
        seen.append((event, str(arguments)[:200]))
import numpy, pandas, scipy, sklearn, surprise, torch, typer  # what these do is theirs
sys.addaudithook(hook)
import surprise_autorec
from surprise_autorec import AutoRec, AutoRecRegressor, comparison, datasets, cli
print(seen)
"""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    assert result.stdout.strip() == "[]"
    assert list(Path(tmp_path).iterdir()) == []
