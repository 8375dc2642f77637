"""What a file must hold to be loaded."""

import json
import re
import subprocess
import sys
from pathlib import Path

import forgery
import numpy as np
import pytest
from conftest import THOROUGH
from surprise import Dataset, Reader

from surprise_autorec import AutoRec, AutoRecRegressor, datasets
from surprise_autorec.model import file_format
from surprise_autorec.persistence import ModelFileError, load

FRAME = datasets.make_ratings(20, 15, 120)
TINY = {"n_factors": 2, "n_epochs": 1, "random_state": 0}
PAGE = Path(__file__).parent.parent / "docs" / "file-format.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models of several kinds."""
    path = tmp_path_factory.mktemp("models")
    trainset = Dataset.load_from_df(FRAME, Reader(rating_scale=(1, 5))).build_full_trainset()
    AutoRec(**TINY).fit(trainset).save(path / "item.model")
    AutoRec(**{**TINY, "n_factors": (5, 3, 2)}, variant="hybrid").fit(trainset).save(path / "deep.model")
    AutoRec(**TINY, variant="hybrid", n_estimators=2).fit(trainset).save(path / "average.model")
    bounded = {"biased": False, "two_sided": False, "decoder_activation": "sigmoid"}
    AutoRec(**TINY, **bounded).fit(trainset).save(path / "paper.model")
    AutoRecRegressor(**TINY, variant="user").fit(FRAME[["user", "item"]], FRAME["rating"]).save(
        path / "user.model"
    )
    return path


def test_forged_files_are_refused_or_are_models(folder):
    """In a process of its own, as what is looked for ends the process."""
    n = 240 * THOROUGH
    command = [sys.executable, forgery.__file__, str(folder), "0", str(n)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"exit code {result.returncode}, seed and error: {result.stderr[-2000:]}"
    counts = json.loads(result.stdout)
    assert sum(counts.values()) == n
    assert counts["refused"] > n / 2


@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_forgeries_are_only_those_that_were_made(folder):
    """An unchanged file, written by the forger, is a model that works."""
    for path in folder.glob("*.model"):
        forgery.write(folder / "copy", *forgery.read(path))
        forgery.use(load(folder / "copy"), folder / "again")


def setting(*path, value):
    """A change that puts a value into the JSON."""

    def change(contents, _):
        *outer, last = path
        for key in outer:
            contents = contents[key]
        contents[last] = value

    return change


def changing(name, make):
    """A change of an array."""

    def change(_, arrays):
        arrays[name] = make(arrays[name])

    return change


def with_value(position, value):
    def make(array):
        array = array.copy()
        array.reshape(-1)[position] = value
        return array

    return make


def many_users(contents, arrays):
    """More users than the network has."""
    contents["user_ids"]["ids"] = list(range(60_000))
    arrays["user_biases"] = np.zeros(60_000)
    arrays["rated_offsets"] = np.append(
        arrays["rated_offsets"], [arrays["rated_offsets"][-1]] * 59_980
    ).astype(np.int32)


def wide_and_deep(_, arrays):
    """Biases of layers that would take 4 GB each."""
    for n in range(30):
        arrays[f"0.network.deeper_biases.{n}"] = np.zeros(30_000, np.float32)


WRONG = {
    "more users than the network has": (many_users, r"0.* must be float32 of shape"),
    "wide layers": (wide_and_deep, "the arrays must have 0.network.deeper_weights.0"),
    "an unknown entry": (setting("more", value=1), "must not have 'more'"),
    "an unknown array": (lambda _, arrays: arrays.update(x=np.zeros(3)), "the arrays must not have 'x'"),
    "an array of no network": (
        lambda _, arrays: arrays.update({"7.hidden": np.zeros(3)}),
        "must not have '7.hidden'",
    ),
    "an array is missing": (lambda _, arrays: arrays.pop("user_biases"), "the arrays must have user_biases"),
    "one decoder weight": (lambda _, arrays: arrays.pop("0.network.decoder_weight"), "both encoders' arrays"),
    "an entry is missing": (lambda contents, _: contents.pop("biased"), "must have biased"),
    "an entry of a network is missing": (
        lambda contents, _: contents["networks"][0].pop("reg"),
        "must have reg",
    ),
    "no network": (setting("networks", value=[]), "networks whose weights add up to 1"),
    "the weight is a text": (setting("networks", 0, "member", value=["item", "x"]), "two shares in"),
    "half a weight": (setting("networks", 0, "member", value=["item", 0.5]), "weights add up to 1"),
    "a gain of -1": (setting("networks", 0, "member", value=["item", 1.0, 1.0, -1.0]), "a gain > -1"),
    "a gain of NaN": (
        setting("networks", 0, "member", value=["item", 1.0, 1.0, float("nan")]),
        "a gain > -1",
    ),
    "five entries": (setting("networks", 0, "member", value=["item", 1.0, 1.0, 0.0, 0.0]), "a gain > -1"),
    "another side": (setting("networks", 0, "member", value=["system", 1.0]), "side that is encoded"),
    "scale upside down": (setting("scale", value=[5, 1]), "the lower one first"),
    "scale of NaN": (setting("scale", value=[float("nan"), 1.0]), "the lower one first"),
    "mean off the scale": (setting("mean_rating", value=7.0), "a number on the scale"),
    "an id twice": (setting("user_ids", "ids", value=[1] * 20), "distinct ids"),
    "an id is NaN": (setting("user_ids", "ids", value=[*range(19), float("nan")]), "none of them NaN"),
    "no ids": (setting("user_ids", "ids", value=[]), "at least one"),
    "an id that cannot be one": (
        setting("user_ids", value={"type": "mixed", "ids": [{"list": [1]}]}),
        "unhashable",
    ),
    "a penalty below 0": (setting("networks", 0, "reg", value=-1), "a number >= 0"),
    "an endless penalty": (setting("networks", 0, "reg", value=float("inf")), "a number >= 0"),
    "a count of 0": (setting("networks", 0, "rules", value=[0, 0, 0, 0]), "a count > 0"),
    "a share below 0": (setting("networks", 0, "rules", value=[-0.5, 0, 0, 1]), "two shares"),
    "a share above 1": (setting("networks", 0, "rules", value=[1.5, 0, 0, 1]), "two shares"),
    "a flag is a number": (setting("biased", value=1), "true or false"),
    "a loss is NaN": (setting("loss_curve", value=[float("nan")]), "finite numbers"),
    "more scores than epochs": (setting("validation_scores", value=[1.0, 2.0]), "or empty"),
    "baselines of NaN": (setting("baselines", value=[float("nan"), 1, 1, 0]), "a mean, three penalties"),
    "a penalty that fits into no float": (setting("baselines", value=[1, 2**70, 1, 0]), "three penalties"),
    "an endless penalty per rating": (
        setting("baselines", value=[1, 1, 1, float("inf"), 1, 1]),
        "a mean, three penalties",
    ),
    "joint biases under an endless penalty": (
        setting("baselines", value=[1, float("inf"), 1, 0, 1, 1]),
        "biases are joint only under penalties",
    ),
    "a mean that is none": (setting("baselines", value=[True, 1, 1, 0]), "a mean, three penalties"),
    "errors of one number": (setting("errors", value=[1.0]), "null, or a mean and a mean square"),
    "three baselines": (setting("baselines", value=[1, 1, 0]), "a mean, three penalties"),
    "a share of 2": (setting("baselines", value=[1, 1, 1, 0, 2, 1]), "two shares"),
    "a state that is none": (setting("state", value={"dict": {"a": 1}}), "what the class needs"),
    **{
        f"an impossible generator: {problem}": (
            setting("parameters", "dict", "random_state", value={"RandomState": ["MT19937", *state]}),
            "a RandomState is impossible",
        )
        for problem, state in {
            "its position": ([0] * 624, 10**6, 0, 0.0),
            "whether it keeps a number": ([0] * 624, 0, 2, 0.0),
            "the number that it keeps": ([0] * 624, 0, 1, float("inf")),
        }.items()
    },
    "version 0": (setting("version", value=0), "1 to 5"),
    "biases of NaN": (changing("user_biases", with_value(3, np.nan)), "user_biases must be numbers from"),
    "endless weights": (changing("0.weight", with_value(3, np.inf)), "0.weight must be numbers from"),
    "huge weights": (changing("0.weight", with_value(3, -1e13)), "0.weight must be numbers from"),
    "another dtype": (
        changing("0.weight", lambda array: array.astype(np.float64)),
        "must be float32 of shape",
    ),
    "another shape": (
        changing("0.weight", lambda array: array[:, :1]),
        "0.network.*|0.weight must be float32 of",
    ),
    "no width": (changing("0.network.encoder_bias", lambda array: array[:0]), "must be float32 of shape"),
    "an item beyond": (changing("rated_items", with_value(0, 15)), "indices of items"),
    "an item before": (changing("rated_items", with_value(0, -1)), "indices of items"),
    "an item twice": (
        changing("rated_items", lambda array: np.zeros_like(array)),
        "ascending items between two",
    ),
    "offsets that fall": (changing("rated_offsets", with_value(3, 0)), "ascending from 0"),
    "offsets too large": (changing("rated_offsets", with_value(-1, 10**9)), "ascending from 0"),
    "offsets below 0": (changing("rated_offsets", with_value(0, -(2**31))), "ascending from 0"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_no_model_has_is_named(folder, tmp_path, kind):
    change, message = WRONG[kind]
    contents, arrays = forgery.read(folder / "item.model")
    change(contents, arrays)
    forgery.write(tmp_path / "model", contents, arrays)
    with pytest.raises(ModelFileError, match=f"model is not a saved model: .*({message})"):
        load(tmp_path / "model")


RIGHT = {
    "a mean that is an integer": setting("mean_rating", value=3),
    "a penalty that is an integer": setting("networks", 0, "reg", value=2),
    "no penalty": setting("networks", 0, "reg", value=0),
    "an error of 0": changing("errors.scores", with_value(0, 0.0)),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_what_a_model_may_have_is_read(folder, tmp_path, kind):
    contents, arrays = forgery.read(folder / "item.model")
    RIGHT[kind](contents, arrays)
    forgery.write(tmp_path / "model", contents, arrays)
    forgery.use(load(tmp_path / "model"), tmp_path / "again")


@pytest.mark.parametrize(
    "state",
    [
        {"n_features_in_": 0},
        {"n_features_in_": "2"},
        {"columns_": {"tuple": [0, 2]}},
        {"columns_": {"tuple": [1, 1]}},
        {"columns_": {"tuple": [-1, 1]}},
        {"columns_": {"tuple": [0]}},
        {"feature_names_in_": {"list": ["user"]}},
        {"feature_names_in_": {"list": [1, 2]}},
        {"more": 1},
    ],
    ids=str,
)
def test_the_state_of_a_regressor_is_checked(folder, tmp_path, state):
    contents, arrays = forgery.read(folder / "user.model")
    contents["state"]["dict"].update(state)
    forgery.write(tmp_path / "model", contents, arrays)
    with pytest.raises(ModelFileError, match="state must be what the class needs"):
        load(tmp_path / "model")


def test_penalties_that_are_large_integers_are_saved(tmp_path):
    trainset = Dataset.load_from_df(FRAME, Reader(rating_scale=(1, 5))).build_full_trainset()
    algorithm = AutoRec(**TINY, bsl_options={"reg_u": 10**20}).fit(trainset)
    algorithm.save(tmp_path / "model")
    assert load(tmp_path / "model").model_.baselines.row_reg == 1e20


def test_messages_about_large_values_are_short(folder, tmp_path):
    contents, arrays = forgery.read(folder / "item.model")
    contents["loss_curve"] = ["x" * 1000] * 1000
    forgery.write(tmp_path / "model", contents, arrays)
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "model")
    assert len(str(caught.value)) < 500


def test_the_page_of_the_format_has_every_entry():
    """Each as a row of a table: its name, and for arrays their type and shape."""
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    rules = {**file_format.CONTENTS, **file_format.NETWORK}
    arrays = {
        **file_format.ARRAYS,
        **file_format.ERROR_ARRAYS,
        **{f"N.{name}": rule for name, rule in file_format.network_arrays(0).items()},
    }
    documented = dict(rows)
    for name, rule in rules.items():
        assert rule.rule in documented.pop(name)
    for name, array in arrays.items():
        assert documented.pop(name).startswith(f"{array.dtype} | {', '.join(array.shape)} | ")
    deeper = file_format.network_arrays(1)
    for name in ("network.deeper_weights", "network.deeper_biases"):
        shape = ", ".join(deeper[f"{name}.0"].shape).replace("k0", "km").replace("k1", "km+1")
        assert documented.pop(f"N.{name}.M").startswith(f"float32 | {shape} | ")
    assert not documented
