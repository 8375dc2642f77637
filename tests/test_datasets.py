"""Data sets by name and files by path: where they are looked for, and on which scale they are."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pandas as pd
import pytest
from data_helpers import STRINGS, write, write_data, write_inter

from surprise_autorec import datasets
from surprise_autorec import datasets as known
from surprise_autorec.datasets import DATA_FOLDER, DatasetNotFoundError, load


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine with no data set in any of the usual places, and without a network."""

    def fail(_name):
        raise URLError("no network")

    monkeypatch.delenv(DATA_FOLDER, raising=False)
    for name in ("ml-100k", "ml-1m"):
        entry = known.BUILTIN_DATASETS[name]
        cached = tmp_path / "cache" / Path(entry.path).name
        monkeypatch.setitem(known.BUILTIN_DATASETS, name, entry._replace(path=str(cached)))
    monkeypatch.setattr(known, "find_spec", lambda _name: None)
    monkeypatch.setattr(known, "download_builtin_dataset", fail)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ml-100k", "u.data"),
        ("ml-100k", "ml-100k/u.data"),
        ("ml-100k", "ml-100k.inter"),
        ("ml-1m", "ratings.dat"),
        ("ml-1m", "ml-1m/ratings.dat"),
        ("ml-1m", "ml1m.npz"),
        ("ml-latest-small", "ratings.csv"),
        ("ml-latest-small", "ml-latest-small/ratings.csv"),
    ],
)
@pytest.mark.parametrize("given", ["file", "folder", "environment"])
def test_known_data_sets_have_string_ids_in_every_format_and_place(monkeypatch, tmp_path, name, file, given):
    write(tmp_path / name / file)
    if given == "environment":
        monkeypatch.setenv(DATA_FOLDER, str(tmp_path))
    path = {"file": tmp_path / name / file, "folder": tmp_path / name, "environment": None}[given]
    assert load(name, path).raw_ratings == STRINGS


@pytest.mark.usefixtures("nowhere")
def test_places_are_tried_in_the_order_documented(monkeypatch, tmp_path):
    environment = tmp_path / "environment/ml-100k/u.data"
    cache = Path(known.BUILTIN_DATASETS["ml-100k"].path)
    recbole = tmp_path / "recbole/dataset_example/ml-100k/ml-100k.inter"
    monkeypatch.setenv(DATA_FOLDER, str(tmp_path / "environment"))
    monkeypatch.setattr(
        known, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[str(tmp_path / "recbole")])
    )
    monkeypatch.setattr(known, "download_builtin_dataset", lambda _: write_data(cache, 5))
    write_data(tmp_path / "given.data", 1)
    write_data(environment, 2)
    write_data(cache, 3)
    write_inter(recbole, 4)

    def first_rating(path=None):
        return load("ml-100k", path).raw_ratings[0][2]

    assert first_rating(tmp_path / "given.data") == 1
    assert first_rating() == 2
    environment.unlink()
    assert first_rating() == 3
    cache.unlink()
    assert first_rating() == 4
    recbole.unlink()
    assert first_rating() == 5


@pytest.mark.usefixtures("nowhere")
def test_recbole_serves_only_ml_100k(monkeypatch, tmp_path):
    monkeypatch.setattr(
        known, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    )
    write_inter(tmp_path / "dataset_example/ml-1m/ml-1m.inter", 4)
    with pytest.raises(DatasetNotFoundError):
        load("ml-1m")


@pytest.mark.usefixtures("nowhere")
def test_failure_names_every_place_and_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv(DATA_FOLDER, str(tmp_path / "environment"))
    monkeypatch.setattr(
        known, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[str(tmp_path / "recbole")])
    )
    with pytest.raises(DatasetNotFoundError) as caught:
        load("ml-100k")
    message = str(caught.value)
    for place in (
        tmp_path / "environment/ml-100k/u.data",
        tmp_path / "environment/ml-100k/ml-100k.inter",
        known.BUILTIN_DATASETS["ml-100k"].path,
        tmp_path / "recbole/dataset_example/ml-100k/ml-100k.inter",
        known.BUILTIN_DATASETS["ml-100k"].url,
        "no network",
        DATA_FOLDER,
    ):
        assert str(place) in message


@pytest.mark.usefixtures("nowhere")
def test_a_given_path_is_the_only_place(monkeypatch, tmp_path):
    write(tmp_path / "environment/ml-100k/u.data")
    monkeypatch.setenv(DATA_FOLDER, str(tmp_path / "environment"))
    with pytest.raises(DatasetNotFoundError) as caught:
        load("ml-100k", tmp_path / "empty")
    assert str(tmp_path / "empty/u.data") in str(caught.value)
    assert str(tmp_path / "environment") not in str(caught.value)


@pytest.mark.usefixtures("nowhere")
def test_a_data_set_that_cannot_be_downloaded_says_where_to_put_it():
    with pytest.raises(DatasetNotFoundError, match=f"{DATA_FOLDER}.*ml-latest-small/ratings.csv"):
        load("ml-latest-small")


def test_missing_file_is_named_with_the_known_names(tmp_path):
    with pytest.raises(
        DatasetNotFoundError, match=r"ml-100k.* or the path of an existing file, got .*missing\.csv"
    ):
        load(str(tmp_path / "missing.csv"))


def test_rating_scale_defaults_to_that_of_the_known_set_or_to_the_range_in_the_file(tmp_path):
    file = write(tmp_path / "mine.csv")
    assert load(str(file)).reader.rating_scale == (0.5, 5.0)
    assert load("ml-100k", file).reader.rating_scale == (1, 5)
    assert load("ml-latest-small", file).reader.rating_scale == (0.5, 5)


def test_a_table_is_no_name():
    with pytest.raises(TypeError, match=r"path of a file, got a DataFrame; .*load_from_df makes a dataset"):
        load(pd.DataFrame({"user": [1], "item": [2], "rating": [3.0]}))


@pytest.mark.parametrize("name", ["mine", "ml-100k"])
def test_a_given_rating_scale_is_taken(tmp_path, name):
    assert load(name, write(tmp_path / "mine.csv"), rating_scale=(0, 10)).reader.rating_scale == (0, 10)


def test_ml_100k_is_what_grouplens_published(monkeypatch):
    if find_spec("recbole") is None:
        pytest.skip("ML-100K comes with recbole, which is not installed")
    monkeypatch.delenv(DATA_FOLDER, raising=False)
    data = load("ml-100k")
    users, items, ratings, _ = zip(*data.raw_ratings, strict=True)
    assert (len(ratings), len(set(users)), len(set(items))) == (100_000, 943, 1682)
    assert data.raw_ratings[0] == ("196", "242", 3.0, "881250949")
    assert set(ratings) == {1, 2, 3, 4, 5}


def test_public_names_are_in_the_module_that_the_documentation_names():
    assert (datasets.load, datasets.DatasetNotFoundError) == (load, DatasetNotFoundError)
    assert set(datasets.__all__) <= set(dir(datasets))
