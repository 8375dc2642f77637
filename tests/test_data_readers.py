"""Ratings from files of every format."""

import gzip
import io
import sys

import numpy as np
import pandas as pd
import pytest
from data_helpers import FRAME, NUMBERS, STRINGS, write
from surprise import Dataset, Reader

from surprise_autorec.data import readers
from surprise_autorec.data.readers import read
from surprise_autorec.datasets import load


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


def _npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
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
        pytest.param("mine.npz", _npz(user=1, item=2, rating=3.0), id="arrays without a dimension"),
        pytest.param("mine.parquet", b"no parquet", id="broken parquet"),
        pytest.param("mine.csv", b"user,item,rating," + b"x" * 200_000 + b"\n1,2,3,4\n", id="a long name"),
        pytest.param("mine.jsonl", b'{"user": [1], "item": 2, "rating": 3}\n', id="an id that is a list"),
        pytest.param("mine.jsonl", b'{"user": 1, "item": 2, "rating": [3]}\n', id="a rating that is a list"),
    ],
)
def test_file_that_holds_no_ratings_is_a_value_error(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{file}[^\n]* must [^\n]*\Z"):  # one line
        load(str(tmp_path / file))


ANN = [("ann", "x", 1.0, None), ("bob", "y", 2.5, None)]


def written(file, text):
    data = text.encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return str(file)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("mine.csv", "user;item;rating\nann;x;1\nbob;y;2.5\n"),
        ("mine.csv", "user;item;rating\nann;x;1,0\nbob;y;2,5\n"),
        ("mine.csv", "user|item|rating\nann|x|1\nbob|y|2.5\n"),
        ("mine.csv", '"user","item","rating"\n"ann","x","1"\n"bob","y","2.5"\n'),
        ("mine.tsv", "user\titem\trating\nann\tx\t1\nbob\ty\t2.5\n"),
        ("mine.tsv.gz", "user\titem\trating\nann\tx\t1\nbob\ty\t2.5\n"),
        ("mine.csv.gz", "user,item,rating\nann,x,1\nbob,y,2.5\n"),
        ("mine.csv", "user,item,rating\rann,x,1\rbob,y,2.5\r"),
        ("MINE.CSV", "\ufeffuser,item,rating\nann,x,1\nbob,y,2.5\n"),
        ("mine.jsonl", '{"user": "ann", "item": "x", "rating": 1}\n'
                       '{"user": "bob", "item": "y", "rating": 2.5}\n'),
    ],
)  # fmt: skip
def test_delimiters_and_compression_are_found_out(tmp_path, file, text):
    assert load(written(tmp_path / file, text)).raw_ratings == ANN


def test_json_lines_have_ids_as_stored(tmp_path):
    text = '{"item": "07", "user": 7, "rating": 2}\n{"item": "7", "user": 8, "rating": 3}\n'
    file = written(tmp_path / "mine.jsonl", text)
    assert load(file).raw_ratings == [(7, "07", 2.0, None), (8, "7", 3.0, None)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".jsonl"])
def test_columns_may_have_any_names(tmp_path, suffix):
    frame = pd.DataFrame({"Customer No": ["ann", "bob"], "rating": [9, 9], "Art.": ["x", "y"], "★": [1, 2.5]})
    writers = {
        ".csv": lambda file: frame.to_csv(file, index=False),
        ".parquet": frame.to_parquet,
        ".npz": lambda file: np.savez(file, **{name: frame[name].to_numpy("U" if n in (0, 2) else float)
                                               for n, name in enumerate(frame)}),
        ".jsonl": lambda file: frame.to_json(file, orient="records", lines=True),
    }  # fmt: skip
    file = tmp_path / f"mine{suffix}"
    writers[suffix](file)
    columns = {"user": "Customer No", "item": "Art.", "rating": "★"}
    assert load(str(file), columns=columns).raw_ratings == ANN
    with pytest.raises(
        ValueError, match=r"must have a column 'No' for the user, got columns \['Customer No'"
    ):
        load(str(file), columns={**columns, "user": "No"})


def test_a_name_for_something_else_than_a_role_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="columns must give names to some of user, item, rating, timestamp, got 'stars'"
    ):
        load(str(write(tmp_path / "mine.csv")), columns={"stars": "rating"})


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("mine.csv", "x,9,ann,1\ny,9,bob,2.5\n"),
        ("mine.csv", "x;9;ann;1\ny;9;bob;2,5\n"),
        ("mine.data", "x\t9\tann\t1\ny\t9\tbob\t2.5\n"),
        ("mine.dat", "x::9::ann::1\ny::9::bob::2.5\n"),
    ],
)
def test_files_without_a_header_need_names(tmp_path, file, text):
    source = written(tmp_path / file, text)
    assert load(source, names=["item", "n", "user", "rating"]).raw_ratings == ANN
    columns = {"user": "who", "item": "what"}
    assert load(source, names=["what", "n", "who", "rating"], columns=columns).raw_ratings == ANN


def test_as_many_names_as_fields(tmp_path):
    for file, text in [("mine.csv", "x,9,ann,1\n"), ("mine.dat", "x::9::ann::1\n")]:
        with pytest.raises(ValueError, match="3 names are given, and row 1 has 4 fields"):
            load(written(tmp_path / file, text), names=["user", "item", "rating"])
    with pytest.raises(ValueError, match="names of columns can be given for text files only"):
        load(str(write(tmp_path / "mine.parquet")), names=["user", "item", "rating"])


@pytest.mark.parametrize("text", ["1:2:3:4\n", "1;;2;;3;;4\n", "1::2::3::4\n1:x:2::3::4\n"])
def test_fields_of_dat_files_are_between_two_colons(tmp_path, text):
    with pytest.raises(ValueError, match=r"mine\.dat.* must "):
        load(written(tmp_path / "mine.dat", text))


def test_rows_longer_than_the_header_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"mine\.csv must be a valid \.csv file: Length of header"):
        load(written(tmp_path / "mine.csv", "user,item,rating\n1,2,3,4\n"))


def test_arrays_of_an_archive_have_one_length(tmp_path):
    np.savez(tmp_path / "mine.npz", user=[1, 2], item=[1, 2], rating=[1])
    with pytest.raises(
        ValueError, match=r"its arrays must have one dimension and one length, got \{'user': "
    ):
        load(str(tmp_path / "mine.npz"))


def test_streams_are_read_as_text_with_any_delimiter():
    assert read(io.StringIO("user\titem\trating\nann\tx\t1\nbob\ty\t2.5\n")).to_numpy().tolist() == [
        ["ann", "x", 1.0],
        ["bob", "y", 2.5],
    ]


@pytest.fixture
def small_batches(monkeypatch):
    """Two rows a batch."""
    monkeypatch.setattr(readers, "BATCH_ROWS", 2)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("suffix", [".data", ".dat", ".csv", ".inter", ".parquet", ".npz"])
def test_batches_together_are_the_file(tmp_path, suffix):
    assert load(str(write(tmp_path / f"mine{suffix}"))).raw_ratings in (STRINGS, NUMBERS)


@pytest.mark.usefixtures("small_batches")
def test_rows_are_counted_over_all_batches_of_a_file(tmp_path):
    rows = ["1,1,1", "1,2,2", "1,3,3", "1,4,four"]
    file = written(tmp_path / "mine.csv", "user,item,rating\n" + "\n".join(rows))
    with pytest.raises(ValueError, match="the rating in data row 4 must be a finite number, got 'four'"):
        load(file)


def test_a_folder_is_its_parts_in_order(tmp_path):
    folder = tmp_path / "ratings"
    for n, place in enumerate(["part-0.parquet", "part-1.parquet", "sub/part-2.parquet"]):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        FRAME.iloc[n : n + 1 + n // 2].to_parquet(folder / place)
    for other in ("_SUCCESS", ".part-0.parquet.crc", "README.md", "_temporary.csv", ".hidden.parquet"):
        (folder / other).write_text("not a part")
    assert load(str(folder)).raw_ratings == NUMBERS


def test_a_folder_without_parts_is_one_line(tmp_path):
    (tmp_path / "README.md").touch()
    with pytest.raises(
        ValueError, match=r"the folder .* must have files that end in one of \['\.csv'.*got none"
    ):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"movieId": "film"}}, r"part-1\.parquet must have a column for the item"),
        ("text", r"part-1\.parquet: the user column must be of one type in all parts, got texts in data "
                 r"row 1 and integers in .*part-0\.parquet"),
    ],
)  # fmt: skip
def test_a_part_unlike_the_others_is_named(tmp_path, change, message):
    FRAME.to_parquet(tmp_path / "part-0.parquet")
    other = FRAME.astype({"userId": str}) if change == "text" else FRAME.rename(**change)
    other.to_parquet(tmp_path / "part-1.parquet")
    with pytest.raises(ValueError, match=message):
        load(str(tmp_path))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    file = write(tmp_path / "mine.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'surprise-autorec\[parquet\]'"):
        load(str(file))


@pytest.mark.parametrize("text", ["ann\tx\t1\nbob\ty\t2.5\n", "ann::x::1\nbob::y::2.5\n"])
def test_files_of_grouplens_may_lack_time_stamps(tmp_path, text):
    assert load(written(tmp_path / ("mine.dat" if "::" in text else "mine.data"), text)).raw_ratings == ANN
