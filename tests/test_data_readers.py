"""Ratings from files of every format."""

import io

import numpy as np
import pytest
from data_helpers import NUMBERS, STRINGS, write
from surprise import Dataset, Reader

from surprise_autorec.data.known import load


@pytest.mark.parametrize("suffix", [".data", ".dat", ".csv", ".inter"])
def test_text_files_give_ratings_in_order_with_string_ids(tmp_path, suffix):
    assert load(str(write(tmp_path / f"mine{suffix}"))).raw_ratings == STRINGS


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_binary_files_give_ratings_in_order_with_ids_as_stored(tmp_path, suffix):
    assert load(str(write(tmp_path / f"mine{suffix}"))).raw_ratings == NUMBERS


def test_binary_files_may_store_string_ids(tmp_path):
    np.savez(tmp_path / "mine.npz", user=["ann", "bob"], item=["x", "y"], rating=[1, 2])
    assert load(str(tmp_path / "mine.npz")).raw_ratings == [("ann", "x", 1.0, None), ("bob", "y", 2.0, None)]


def test_string_ids_stay_as_written(tmp_path):
    (tmp_path / "mine.csv").write_text("user,item,rating\n007,NA,1\n7,1.0,2\n")
    assert load(str(tmp_path / "mine.csv")).raw_ratings == [("007", "NA", 1.0, None), ("7", "1.0", 2.0, None)]


@pytest.mark.parametrize("headers", ["user_id,item_id,score", "USER,Item,Rating", "x,uid,iid,r_ui"])
def test_usual_column_names_are_understood(tmp_path, headers):
    row = "9,1,2,3" if headers.startswith("x") else "1,2,3"
    (tmp_path / "mine.csv").write_text(f"{headers}\n{row}\n")
    assert load(str(tmp_path / "mine.csv")).raw_ratings == [("1", "2", 3.0, None)]


@pytest.mark.parametrize("name", ["timestamp", "Timestamp", "time", "date"])
def test_time_stamps_are_kept_as_written(tmp_path, name):
    (tmp_path / "mine.csv").write_text(f"user,{name},item,rating\n1,2024-05-01,2,3\n1,,3,4\n")
    times = [time for *_, time in load(str(tmp_path / "mine.csv")).raw_ratings]
    assert times == ["2024-05-01", ""]


def test_time_stamps_are_those_of_surprises_own_reader(tmp_path):
    file = write(tmp_path / "u.data")
    ours, theirs = load("ml-100k", file), Dataset.load_from_file(str(file), Reader("ml-100k"))
    assert ours.raw_ratings == theirs.raw_ratings


def test_unknown_suffix_names_those_known(tmp_path):
    (tmp_path / "mine.xlsx").touch()
    with pytest.raises(ValueError, match=r"mine\.xlsx must end in one of .*'\.csv'.*'\.xlsx'"):
        load(str(tmp_path / "mine.xlsx"))


@pytest.mark.parametrize(
    ("headers", "role"),
    [("who,item,rating", "user"), ("user,what,rating", "item"), ("user,item,stars", "rating")],
)
def test_missing_column_names_its_role_and_the_columns_there_are(tmp_path, headers, role):
    (tmp_path / "mine.csv").write_text(f"{headers}\n1,2,3\n")
    with pytest.raises(ValueError, match=f"column for the {role}.*") as caught:
        load(str(tmp_path / "mine.csv"))
    assert str(headers.split(",")) in str(caught.value)


@pytest.mark.parametrize("value", ["good", "", "nan"])
def test_rating_that_is_no_number_is_named_with_its_row(tmp_path, value):
    (tmp_path / "mine.csv").write_text(f"user,item,rating\n1,2,3\n1,3,{value}\n1,4,bad\n")
    with pytest.raises(ValueError, match=f"the rating in data row 2 must be a finite number, got '{value}'"):
        load(str(tmp_path / "mine.csv"))


def _npy():
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param("mine.csv", b"", id="nothing in it"),
        pytest.param("mine.csv", b"user,item,rating\n", id="no ratings"),
        pytest.param("mine.csv", b"user,item,rating\n1,1,1\n1,2,inf\n", id="infinite rating"),
        pytest.param("mine.csv", b"user,item,rating\n1,1,1\n1,2,3,4,5\n", id="a row too long"),
        pytest.param("mine.npz", b"PK\x03\x04 and no archive", id="broken archive"),
        pytest.param("mine.npz", b"", id="empty archive"),
        pytest.param("mine.npz", _npy(), id="an array without a name"),
        pytest.param("mine.parquet", b"no parquet", id="broken parquet"),
    ],
)
def test_file_that_holds_no_ratings_is_a_value_error(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{file}[^\n]* must [^\n]*\Z"):  # one line
        load(str(tmp_path / file))
