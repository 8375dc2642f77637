"""Saving and loading."""

import json
import os
import pickle
import re
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import forgery
import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.exceptions import NotFittedError
from surprise import Dataset, Reader

import surprise_autorec
from surprise_autorec import AutoRec, datasets
from surprise_autorec.callbacks import History
from surprise_autorec.core import atomic
from surprise_autorec.model import files
from surprise_autorec.persistence import ModelFileError, load

SMALL = {"n_factors": 8, "n_epochs": 2, "random_state": 0}
KINDS = {
    "item": {},
    "user": {"variant": "user"},
    "hybrid of two": {"variant": "hybrid", "n_estimators": 2},
    "one-sided": {"two_sided": False},
    "deep": {"n_factors": (9, 4)},
    "not biased": {"biased": False},
    "bounded": {"decoder_activation": "sigmoid", "encoder_activation": "tanh"},
    "sgd baselines": {"bsl_options": {"method": "sgd", "n_epochs": 2}},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 1},
}


def answers(algorithm, trainset):
    """All that an algorithm predicts, as bits and ids."""
    pairs = [(uid, iid, None) for uid in [*range(20), "unknown"] for iid in [*range(20), "unknown"]]
    user = trainset.to_raw_uid(0)
    recommended = algorithm.recommend([user], n=5)
    return (
        [prediction.est for prediction in algorithm.test(pairs)],
        algorithm.predict(user, 3).est,
        algorithm.predict_new_user({0: 5, 3: 1, "unknown": 2}, [0, 1, 2]).tolist(),
        algorithm.predict_new_item({0: 5, 3: 1}, [0, 1, 2]).tolist(),
        recommended.to_dict("list"),
        algorithm.similar_items(3, n=4).to_dict("list"),
        algorithm.get_neighbors(2, 3),
        algorithm.n_iter_,
        algorithm.loss_curve_,
        algorithm.validation_scores_,
        algorithm.bu.tolist(),
        algorithm.bi.tolist(),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_loaded_is_as_saved(trainset, tmp_path, kind):
    algorithm = AutoRec(**{**SMALL, **KINDS[kind]}).fit(trainset)
    algorithm.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert type(loaded) is AutoRec
    for name, value in vars(AutoRec(**{**SMALL, **KINDS[kind]})).items():
        assert getattr(loaded, name) == value
        assert type(getattr(loaded, name)) is type(value)
    assert answers(loaded, trainset) == answers(algorithm, trainset)
    assert loaded.default_prediction() == algorithm.default_prediction()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_it_is_the_same_in_another_process_without_the_data(trainset, tmp_path):
    algorithm = AutoRec(**SMALL, variant="hybrid").fit(trainset)
    algorithm.save(tmp_path / "model")
    script = """
import sys, json, surprise_autorec
algorithm = surprise_autorec.load(sys.argv[1])
estimates = [algorithm.predict(u, i).est for u in range(9) for i in range(9)]
print(json.dumps([estimates, algorithm.recommend(n=2)["item"].tolist()]))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "model")]
    estimates, items = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert estimates == [algorithm.predict(u, i).est for u in range(9) for i in range(9)]
    assert items == algorithm.recommend(n=2)["item"].tolist()


IDS = {
    "str": ["a", "ü", ""],
    "int": [3, -1, 2**70],
    "float": [0.5, 1e300, -0.0],
    "bool": [True, False],
    "numpy.int64": [np.int64(3), np.int64(-9)],
    "numpy.int32": [np.int32(3), np.int32(4)],
    "numpy.uint64": [np.uint64(2**64 - 1), np.uint64(4)],
    "numpy.float32": [np.float32(0.1), np.float32(4)],
    "numpy.str_": [np.str_("a"), np.str_("b")],
    "numpy.bool": [np.True_, np.False_],
    "numpy.int32 and int64": [np.int32(3), np.int64(4), np.int64(5)],
    "mixed": ["a", 1, 2.5, np.int64(7), np.str_("b"), ("a", 1)],
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_come_back_as_the_same_types(tmp_path, kind):
    ids = IDS[kind]
    triples = [(one, other, 1.0 + n % 5, None) for n, one in enumerate(ids) for other in ids]
    data = Dataset(Reader(rating_scale=(1, 5)))
    AutoRec(**SMALL).fit(data.construct_trainset(triples)).save(tmp_path / "model")
    model = load(tmp_path / "model").model_
    for loaded in (model.user_ids, model.item_ids):
        assert loaded == ids
        assert [type(one) for one in loaded] == [type(one) for one in ids]


@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("wrong", [frozenset({1}), b"bytes", None.__class__, ("a", b"b")])
def test_ids_of_other_types_are_named(tmp_path, side, wrong):
    triples = [("a", wrong, 3.0, None) if side == "item" else (wrong, "a", 3.0, None)]
    algorithm = AutoRec(**SMALL).fit(Dataset(Reader()).construct_trainset(triples))
    message = f"only {side} ids that are strings or numbers can be saved.* got .*, of type"
    with pytest.raises(ValueError, match=message):
        algorithm.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_parameters_of_every_kind_come_back(trainset, tmp_path):
    parameters = {
        "n_factors": (np.int64(5), 4),
        "lr_all": np.float32(0.01),
        "bsl_options": {"method": "als", "reg_u": 3},
        "random_state": np.random.RandomState(7),
    }
    parameters["random_state"].normal()  # the next one is kept inside of it
    algorithm = AutoRec(**{**SMALL, **parameters}).fit(trainset)
    algorithm.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.n_factors == (5, 4)
    assert type(loaded.n_factors[0]) is np.int64
    assert (loaded.lr_all, type(loaded.lr_all)) == (np.float32(0.01), np.float32)
    assert loaded.bsl_options == {"method": "als", "reg_u": 3}
    for draw in (np.random.RandomState.normal, np.random.RandomState.normal, np.random.RandomState.randint):
        assert draw(loaded.random_state, 10**6) == draw(parameters["random_state"], 10**6)


def test_what_cannot_be_saved_is_named(trainset, tmp_path, monkeypatch):
    algorithm = AutoRec(**{**SMALL, "random_state": np.random.RandomState(np.random.PCG64(3))}).fit(trainset)
    with pytest.raises(ValueError, match=r"only parameters that are numbers.* got a RandomState of PCG64"):
        algorithm.save(tmp_path / "model")

    class Mine(AutoRec):
        pass

    with pytest.raises(ValueError, match="only AutoRec and AutoRecRegressor can be saved, got Mine"):
        Mine(**SMALL).fit(trainset).save(tmp_path / "model")
    monkeypatch.setattr(files, "LARGEST_TEXT", 1000)
    with pytest.raises(
        ValueError, match="ids and parameters must have at most 1,000 characters as JSON, got "
    ):
        AutoRec(**SMALL).fit(trainset).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_callbacks_are_not_saved_and_that_is_said(trainset, tmp_path):
    algorithm = AutoRec(**SMALL, callbacks=[History()]).fit(trainset)
    with pytest.warns(UserWarning, match="callbacks cannot be saved"):
        algorithm.save(tmp_path / "model")
    assert load(tmp_path / "model").callbacks == ()


def test_a_loaded_model_can_be_fitted_and_saved_again_but_not_go_on(trainset, tmp_path):
    algorithm = AutoRec(**SMALL).fit(trainset)
    algorithm.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    for ask in (
        lambda: loaded.partial_fit([(0, 0, 3.0)]),
        lambda: loaded.fit(loaded.trainset),
        loaded.trainset.build_testset,
        loaded.trainset.build_anti_testset,
    ):
        with pytest.raises(
            ValueError, match="a loaded model does not have the ratings that it was trained on"
        ):
            ask()
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()
    assert answers(loaded.fit(trainset), trainset) == answers(algorithm, trainset)


def test_an_algorithm_that_is_not_fitted_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError, match="AutoRec must be fitted first"):
        AutoRec().save(tmp_path / "model")


# The file


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    frame = datasets.make_ratings(20, 15, 120)
    data = Dataset.load_from_df(frame, Reader(rating_scale=(1, 5)))
    path = tmp_path_factory.mktemp("saved") / "model"
    AutoRec(n_factors=2, n_epochs=1, random_state=0).fit(data.build_full_trainset()).save(path)
    return path.read_bytes()


def test_it_replaces_an_older_file_whole_or_not_at_all(trainset, tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    algorithm = AutoRec(**SMALL).fit(trainset)

    def fail(_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            algorithm.save(path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    algorithm.save(str(path))
    load(str(path))


def test_there_is_no_pickle_in_it(saved):
    length = struct.unpack("<Q", saved[:8])[0]
    header = json.loads(saved[8 : 8 + length])
    contents = json.loads(header["__metadata__"]["surprise_autorec"].partition(" ")[2])
    assert contents["version"] == 5
    assert contents["class"] == "AutoRec"
    assert all(
        set(entry) == {"dtype", "shape", "data_offsets"} for name, entry in header.items() if name[0] != "_"
    )


@pytest.mark.parametrize("seed", range(60))
def test_a_truncated_or_changed_file_is_an_error(saved, tmp_path, seed):
    rng = np.random.default_rng(seed)
    path, position = tmp_path / "model", int(rng.integers(len(saved)))
    damaged = bytearray(saved)
    damaged[position] ^= int(rng.integers(1, 256))
    for contents in (saved[:position], bytes(damaged)):
        path.write_bytes(contents)
        with pytest.raises(ModelFileError, match=r"model is (not a saved model|damaged)"):
            load(path)


@pytest.mark.parametrize("contents", [b"", b"user,item,rating\n", pickle.dumps({"a": 1}), b"\xff" * 100])
def test_a_file_of_something_else_is_an_error(tmp_path, contents):
    (tmp_path / "model").write_bytes(contents)
    with pytest.raises(ModelFileError, match="model is not a saved model"):
        load(tmp_path / "model")


def test_a_safetensors_file_of_something_else_is_an_error(tmp_path):
    save_file({"x": np.zeros(3)}, tmp_path / "model", {"format": "pt"})
    with pytest.raises(ModelFileError, match="is a safetensors file of something else"):
        load(tmp_path / "model")


def test_nan_is_no_id(tmp_path):
    for pair, side in (((float("nan"), "b"), "user"), (("a", np.float32("nan")), "item")):
        trainset = Dataset(Reader()).construct_trainset([(*pair, 3.0, None)])
        with pytest.raises(
            ValueError, match=f"{side} ids must be other than NaN, which equals nothing, got nan"
        ):
            AutoRec(**SMALL).fit(trainset)
    trainset = Dataset(Reader()).construct_trainset([("a", ("b", float("nan")), 3.0, None)])
    with pytest.raises(ValueError, match="item_ids must be distinct ids, at least one, none of them NaN"):
        AutoRec(**SMALL).fit(trainset).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uid", "iid", "other"),
    [("\ud800", "x\udfff", "\ud801"), (10**400, -(10**400), 10**401)],
    ids=["half a surrogate pair", "larger than any float"],
)
def test_unusual_ids_are_like_any_other(tmp_path, uid, iid, other):
    trainset = Dataset(Reader()).construct_trainset(
        [(uid, iid, 3.0, None), ("a", iid, 4.0, None), (uid, "b", 1.0, None)]
    )
    algorithm = AutoRec(**SMALL).fit(trainset)
    algorithm.save(tmp_path / "model")
    for one in (algorithm, load(tmp_path / "model")):
        assert set(one.recommend([uid, "a"], exclude_rated=False)["item"]) == {iid, "b"}
        assert one.recommend([uid], exclude_rated=False)["user"].tolist() == [uid, uid]
        assert one.similar_items("b")["item"].tolist() == [iid]
        with pytest.warns(UserWarning, match="not in the training ratings"):
            assert len(one.recommend([other])) == 2


# Where files are written to


@pytest.fixture
def algorithm(trainset):
    return AutoRec(**SMALL).fit(trainset)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_a_file_keeps_its_mode_and_a_new_one_has_that_of_all_new_files(algorithm, tmp_path, mode):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    path.chmod(mode)
    algorithm.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    algorithm.save(tmp_path / "new")
    (tmp_path / "other").touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_keeps_its_owner_where_that_is_allowed(algorithm, tmp_path):
    path = tmp_path / "model"
    path.touch()
    os.chown(path, 1234, 5678)
    algorithm.save(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 5678)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_symbolic_link_stays_and_its_target_is_written(algorithm, tmp_path, is_there):
    folder = tmp_path / "folder"
    folder.mkdir()
    if is_there:
        (folder / "target").write_bytes(b"old")
    (tmp_path / "model").symlink_to("folder/target")
    algorithm.save(tmp_path / "model")
    assert (tmp_path / "model").is_symlink()
    assert not (folder / "target").is_symlink()
    load(folder / "target")
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["folder", "model", "target"]


def special_files(folder):
    """What may stand at a path besides a file, in words."""
    os.mkfifo(folder / "fifo")
    (folder / "inner").mkdir()
    (folder / "link").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "socket"))
    return {
        "fifo": "a FIFO",
        "inner": "a folder",
        "link": "a FIFO",
        "socket": "a socket",
        "/dev/null": "a device",
    }


def test_what_is_no_file_is_neither_replaced_nor_waited_for(algorithm, tmp_path):
    for name, kind in special_files(tmp_path).items():
        path = tmp_path / name
        before = path.stat()
        with pytest.raises(
            ValueError, match=f"path must be that of a file, there or not, got '.*{name}', {kind}"
        ):
            algorithm.save(path)
        assert path.stat() == before
        if kind == "a folder":
            with pytest.raises(IsADirectoryError, match=name):
                load(path)
            continue
        with pytest.raises(ModelFileError, match=f"{name} is not a saved model: it is {kind}"):
            load(path)


@pytest.mark.parametrize("length", [1, 221, 255])
def test_names_may_be_as_long_as_the_system_allows(algorithm, tmp_path, length):
    path = tmp_path / ("m" * length)
    for _ in range(2):
        algorithm.save(path)
    load(path)
    assert list(tmp_path.iterdir()) == [path]


def test_errors_name_the_path_that_was_given(algorithm, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("nowhere/model", "file/model", "loop", "m" * 256):
        with pytest.raises(OSError, match=rf"\[Errno \d+\] .*: '{tmp_path / name}'$"):
            algorithm.save(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"^.*: 'relative/model'$"):
        algorithm.save("relative/model")


def test_a_file_has_no_name_until_it_is_complete(tmp_path):
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY))
    except (AttributeError, OSError):
        pytest.skip("neither all systems nor all file systems can do that")
    with atomic.written_whole(tmp_path / "file") as file:
        file.write(b"new")
        assert list(tmp_path.iterdir()) == []
    assert (tmp_path / "file").read_bytes() == b"new"


def test_files_are_written_where_they_cannot_be_without_a_name(algorithm, tmp_path, monkeypatch):
    """As on some file systems, and on other systems than Linux."""
    monkeypatch.setattr(atomic, "_DESCRIPTORS", tmp_path / "nothing")
    for _ in range(2):
        algorithm.save(tmp_path / "model")
    load(tmp_path / "model")

    def fail(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        algorithm.save(tmp_path / "model")
    load(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def forged(tmp_path, saved, change):
    """The path of a saved model whose JSON was changed, with the right checksum."""
    (tmp_path / "genuine").write_bytes(saved)
    contents, arrays = forgery.read(tmp_path / "genuine")
    change(contents, arrays)
    forgery.write(tmp_path / "model", contents, arrays)
    return tmp_path / "model"


def test_a_newer_version_is_an_error_that_tells_what_to_do(saved, tmp_path):
    path = forged(tmp_path, saved, lambda contents, _: contents.update(version=6))
    with pytest.raises(
        ModelFileError, match="has format version 6, and this package reads versions up to 5: upgrade"
    ):
        load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda contents, _: contents.update({"class": "os.system"}),
        lambda contents, _: contents.pop("scale"),
        lambda contents, _: contents.update(version="1"),
        lambda contents, _: contents.update(user_ids={"type": "system", "ids": [1]}),
        lambda contents, _: contents["parameters"]["dict"].update(nonsense=1),
        lambda contents, _: contents["networks"][0].update(encoder_activation="system"),
        lambda _, arrays: arrays.pop("0.hidden"),
        lambda _, arrays: arrays.update({"0.network.encoder_bias": np.zeros(7, np.float32)}),
    ],
)
def test_contents_that_nobody_saved_are_an_error(saved, tmp_path, change):
    with pytest.raises(ModelFileError, match="model is not a saved model: "):
        load(forged(tmp_path, saved, change))


def test_a_file_from_before_biases_were_penalised_jointly_is_read_as_such(saved, tmp_path):
    path = forged(tmp_path, saved, lambda contents, _: contents["networks"][0].pop("joint_biases"))
    (network,) = load(path).model_.networks
    assert network.encoders.joint_biases is False
    (tmp_path / "new").write_bytes(saved)
    (network,) = load(tmp_path / "new").model_.networks
    assert network.encoders.joint_biases is True


def test_networks_of_a_file_from_before_version_4_have_the_share_of_the_baselines(saved, tmp_path):
    (tmp_path / "new").write_bytes(saved)
    new = load(tmp_path / "new").model_
    path = forged(
        tmp_path, saved, lambda contents, _: contents["networks"][0]["member"].__delitem__(slice(2, 4))
    )
    old = load(path).model_
    share = new.baselines.column_share
    assert old.networks[0].member == new.networks[0].member._replace(gain=0.0, item_share=share)
    assert new.networks[0].member.item_share == pytest.approx(share)


def test_networks_of_a_file_from_before_version_5_have_no_gain(saved, tmp_path):
    path = forged(tmp_path, saved, lambda contents, _: contents["networks"][0]["member"].pop())
    assert load(path).model_.networks[0].member.gain == 0.0


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def test_load_is_among_the_names_of_the_package():
    assert surprise_autorec.load is load


def test_the_checksum_may_be_skipped(trainset, tmp_path):
    algorithm = AutoRec(**SMALL).fit(trainset)
    algorithm.save(tmp_path / "model")
    assert load(tmp_path / "model", verify=False).predict(3, 4).est == algorithm.predict(3, 4).est
    contents, arrays = forgery.read(tmp_path / "model")
    save_file(arrays, tmp_path / "model", {"surprise_autorec": f"{'0' * 32} {json.dumps(contents)}"})
    with pytest.raises(ModelFileError, match="checksum"):
        load(tmp_path / "model")
    load(tmp_path / "model", verify=False)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is mapped")
def test_a_loaded_model_stays_in_the_file(trainset, tmp_path):
    """So that processes that load the same file share its memory: none of its pages is a copy."""
    AutoRec(**SMALL, variant="hybrid").fit(trainset).save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    loaded.predict(3, 4)
    loaded.recommend(n=3)
    loaded.predict_new_user({0: 5, 3: 1}, [0, 1, 2])
    mappings = re.split(r"^(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
    of_file = [
        mapping for mapping in mappings if mapping.partition("\n")[0].endswith(str(tmp_path / "model"))
    ]
    assert of_file
    assert {re.search(r"^Private_Dirty: +(\d+)", mapping, re.MULTILINE)[1] for mapping in of_file} == {"0"}
    for array in (loaded.model_.networks[0].users.vectors, loaded.model_.rated.items):
        address = array.__array_interface__["data"][0]
        ranges = [[int(end, 16) for end in re.match(r"(\w+)-(\w+)", one).groups()] for one in of_file]
        assert any(start <= address < end for start, end in ranges)
