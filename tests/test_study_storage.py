"""Studies that are interrupted and go on: files of fits, fingerprints, real kills, other processes."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from surprise import SVD, AlgoBase, BaselineOnly, Dataset, KNNBasic, Reader
from surprise.model_selection import KFold

from surprise_autorec import AutoRec, compare, datasets
from surprise_autorec.study.fits import PackedFold


def folds():
    return KFold(3, random_state=0)


def algorithms(**svd):
    return {"SVD": SVD(random_state=0, **svd), "baseline": BaselineOnly(verbose=False)}


class Counting(AlgoBase):
    """The mean rating; counts the fits of all its copies."""

    n_fits = 0

    def __init__(self, level=0, keys=None):
        super().__init__()
        self.level, self.keys = level, keys

    def fit(self, trainset):
        type(self).n_fits += 1
        return super().fit(trainset)

    def estimate(self, *_):
        return self.trainset.global_mean + self.level


@pytest.fixture(autouse=True)
def _no_fits():
    Counting.n_fits = 0


def errors(comparison):
    return comparison.folds[["data", "algorithm", "repeat", "fold", "rmse", "mae"]]


# Folds as arrays


def test_a_fold_is_the_same_after_packing(data):
    trainset, testset = next(iter(folds().split(data)))
    packed, test = PackedFold.of(trainset, testset).unpack()
    assert test == testset
    assert list(packed.all_ratings()) == list(trainset.all_ratings())
    assert packed.ir == trainset.ir
    assert packed.global_mean == trainset.global_mean
    assert (packed.n_users, packed.n_items, packed.n_ratings) == (
        trainset.n_users,
        trainset.n_items,
        trainset.n_ratings,
    )
    assert packed.rating_scale == trainset.rating_scale
    for user in trainset.all_users():
        assert packed.to_inner_uid(trainset.to_raw_uid(user)) == user
    assert packed.to_raw_iid(3) == trainset.to_raw_iid(3)


@pytest.mark.parametrize("algorithm", [SVD(random_state=0), KNNBasic(verbose=False)], ids=["SVD", "KNN"])
def test_algorithms_cannot_tell_a_packed_fold(algorithm, data):
    trainset, testset = next(iter(folds().split(data)))
    packed = PackedFold.of(trainset, testset)
    estimates = [[p.est for p in algorithm.fit(a).test(b)] for a, b in ((trainset, testset), packed.unpack())]
    assert estimates[0] == estimates[1]
    assert len(pickle.dumps(packed)) < len(pickle.dumps((trainset, testset)))


def test_fingerprints_tell_folds_apart(data):
    prints = [PackedFold.of(*fold).fingerprint() for fold in folds().split(data)]
    again = [PackedFold.of(*fold).fingerprint() for fold in folds().split(data)]
    assert prints == again
    assert len(set(prints)) == 3
    trainset, testset = next(iter(folds().split(data)))
    assert PackedFold.of(trainset, testset[1:]).fingerprint() != prints[0]


# A second run


def test_a_second_run_does_nothing_and_has_the_same_results(data, tmp_path):
    given = {"a": Counting(), "b": Counting(level=1)}
    options = {"cv": folds(), "rank_at": 3, "keep_predictions": True, "output": tmp_path, "repeats": 2}
    first = compare(given, data, **options)
    assert Counting.n_fits == 12
    second = compare(given, data, **options)
    assert Counting.n_fits == 12
    pd.testing.assert_frame_equal(first.folds, second.folds, check_exact=True)
    pd.testing.assert_frame_equal(first.errors("item"), second.errors("item"), check_exact=True)


def test_a_second_run_does_only_what_is_new(data, tmp_path):
    compare({"a": Counting()}, data, folds(), output=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison = compare({"a": Counting(), "b": Counting(2)}, data, folds(), output=tmp_path)
    assert Counting.n_fits == 6
    assert len(comparison.folds) == 6


def test_changed_parameters_are_named_and_fitted_again_without_loss(data, tmp_path):
    compare(algorithms(), data, folds(), output=tmp_path)
    with pytest.warns(
        UserWarning, match=r"has fits of SVD on data with other inputs \(n_factors was 100, is 7\)"
    ):
        changed = compare(algorithms(n_factors=7), data, folds(), output=tmp_path)
    assert errors(changed).equals(errors(compare(algorithms(n_factors=7), data, folds())))
    assert len(list((tmp_path / "fits").glob("*.json"))) == 9  # the baseline's are kept
    back = compare(algorithms(), data, folds(), output=tmp_path)
    assert errors(back).equals(errors(compare(algorithms(), data, folds())))


def test_changed_ratings_folds_and_classes_are_named(data, tmp_path):
    compare({"a": Counting()}, data, folds(), output=tmp_path)
    frame = pd.DataFrame([rating[:3] for rating in data.raw_ratings])
    frame.iloc[5, 2] += 0.001
    changed = Dataset.load_from_df(frame, Reader(rating_scale=(1, 5)))
    for ratings, cv in ((changed, folds()), (data, KFold(3, random_state=1))):
        with pytest.warns(UserWarning, match=r"\(the ratings or the folds\)"):
            compare({"a": Counting()}, ratings, cv, output=tmp_path)
    with pytest.warns(UserWarning, match=r"class was .*Counting, is surprise.*BaselineOnly"):
        compare({"a": BaselineOnly(verbose=False)}, data, folds(), output=tmp_path)
    with pytest.warns(UserWarning, match=r"\(what is recorded of each fit\)"):
        compare({"a": Counting()}, data, folds(), output=tmp_path, rank_at=3)


def test_verbose_is_not_an_input(data, tmp_path, capsys):
    compare([BaselineOnly(verbose=False)], data, folds(), output=tmp_path)
    compare([BaselineOnly(verbose=True)], data, folds(), output=tmp_path)
    assert "als" not in capsys.readouterr().out


def test_failed_fits_are_tried_again(data, tmp_path):
    class Once(Counting):
        def fit(self, trainset):
            super().fit(trainset)
            if Once.n_fits == 2:
                raise MemoryError
            return self

    first = compare({"a": Once()}, data, folds(), output=tmp_path)
    assert first.folds["error"].tolist() == ["", "MemoryError", ""]
    second = compare({"a": Once()}, data, folds(), output=tmp_path)
    assert second.folds["error"].tolist() == [""] * 3
    assert Once.n_fits == 4


def test_names_that_share_a_file_name_have_results_of_their_own(data, tmp_path):
    long = "long" * 99
    given = {"a/b": Counting(), "a b": Counting(level=1), long: Counting(2), f"{long}er": Counting(3)}
    first = compare(given, data, folds(), output=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = compare(given, data, folds(), output=tmp_path)
    pd.testing.assert_frame_equal(first.folds, second.folds)


def test_predictions_are_tables_that_others_can_read(data, tmp_path):
    compare({"a": Counting()}, data, folds(), output=tmp_path, keep_predictions=True)
    tables = [pd.read_csv(file) for file in (tmp_path / "predictions").iterdir()]
    assert sum(map(len, tables)) == len(data.raw_ratings)
    assert list(tables[0].columns) == ["user", "item", "rating", "estimate", "n_user", "n_item"]


@pytest.mark.parametrize("cv", [KFold(3), KFold(3, random_state=np.random.RandomState(0))])
def test_folds_that_differ_in_each_run_are_refused(cv, data, tmp_path):
    with pytest.raises(
        ValueError, match="cv must have an integer as random_state if there is an output folder"
    ):
        compare({"a": Counting()}, data, cv, output=tmp_path)
    compare({"a": Counting()}, data, KFold(3, shuffle=False), output=tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(data, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"output must be a folder that can be written, got .*file \("):
        compare({"a": Counting()}, data, output=tmp_path / "file")


def test_what_cannot_be_recognised_is_refused(data, tmp_path):
    given = {"a": Counting(keys=lambda: None)}
    with pytest.raises(
        ValueError, match=r"algorithms\['a'\] cannot be kept .* attribute keys cannot be pickled"
    ):
        compare(given, data, output=tmp_path)


# Kills

SCRIPT = """
import sys
import time
from pathlib import Path
from surprise import AlgoBase, Dataset, Reader
from surprise.model_selection import KFold
from surprise_autorec import compare, datasets

class Slow(AlgoBase):
    def fit(self, trainset):
        out = Path(sys.argv[1])
        while len(list(out.glob("fits/slow*.json"))) >= 4 and not out.with_name("go on").exists():
            time.sleep(0.02)
        return super().fit(trainset)

    def estimate(self, *_):
        return self.trainset.global_mean

ratings = datasets.make_ratings(50, 30, 600)
comparison = compare({"slow": Slow(), "slower": Slow()}, ratings, KFold(8, random_state=0),
                     output=sys.argv[1], n_jobs=int(sys.argv[2]))
print(comparison)
"""


#: Seconds to wait for a process: so many that only one that never ends takes longer.
LIMIT = 900


def start(folder, n_jobs, script):
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(n_jobs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=interruptible,
    )


def interruptible():
    """Let Ctrl-C reach a process, even if the tests run in the background, where shells ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finished(folder):
    return list((folder / "fits").glob("slow*.json"))


def wait_for(folder, n):
    deadline = time.monotonic() + LIMIT
    while len(finished(folder)) < n:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "study.py"
    file.write_text(SCRIPT.replace("ratings, KFold", "{'slow': ratings}, KFold"))
    return file


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_after_kill_9_at_most_the_running_fits_are_lost(n_jobs, script, tmp_path):
    out = tmp_path / "out"
    process = start(out, n_jobs, script)
    wait_for(out, 4)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {file: file.stat().st_mtime_ns for file in finished(out)}
    assert 4 <= len(before) < 16
    for file in before:
        assert json.loads(file.read_text())["figures"]["rmse"] > 0  # each is whole
    out.with_name("go on").touch()
    second = start(out, n_jobs, script)
    stdout, stderr = second.communicate(timeout=LIMIT)
    assert second.returncode == 0, stderr
    assert len(finished(out)) == 16
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert "interrupted" not in stdout


def test_ctrl_c_prints_the_table_of_what_is_done(script, tmp_path):
    process = start(tmp_path / "out", 2, script)
    wait_for(tmp_path / "out", 4)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    (tmp_path / "go on").touch()  # joblib may wait for fits that are running
    stdout, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, stderr
    n_done = len(finished(tmp_path / "out"))
    assert f"interrupted: {n_done} of 16 fits are done" in stdout


# Other machines


@pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
def test_dask_goes_on_when_a_worker_is_killed(data, tmp_path):
    from distributed import Client, LocalCluster

    class Slow(Counting):
        def fit(self, trainset):
            time.sleep(0.3)
            return super().fit(trainset)

    given = {"slow": Slow(), "AutoRec": AutoRec(n_factors=4, n_epochs=1, random_state=0)}
    alone = compare(given, data, KFold(8, random_state=0))
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dask's own
        with LocalCluster(n_workers=2, **options) as cluster, Client(cluster):
            victim = next(iter(cluster.workers.values())).pid
            killer = subprocess.Popen(
                [sys.executable, "-c", f"import os, time; time.sleep(1); os.kill({victim}, 9)"]
            )
            with parallel_config(backend="dask"):
                beside = compare(given, data, KFold(8, random_state=0), n_jobs=-1, output=tmp_path)
            killer.wait()
    assert killer.returncode == 0
    assert errors(beside).equals(errors(alone))
    assert (beside.folds["n_jobs"] == 2).all()


def test_the_data_need_not_be_surprises(tmp_path):
    ratings = datasets.make_ratings(50, 30, 600)
    first = compare(algorithms(), ratings, 2, output=tmp_path)
    assert errors(compare(algorithms(), ratings, 2, output=tmp_path)).equals(errors(first))
