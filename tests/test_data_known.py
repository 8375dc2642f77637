"""Loading ratings from files and known data sets, and making synthetic ones."""

import io
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest

from surprise_autorec.data import known
from surprise_autorec.data.known import DATA_FOLDER, DatasetNotFoundError, load, make_ratings

FRAME = pd.DataFrame(
    {
        "userId": [7, 3, 7, 12],
        "movieId": [20, 10, 5, 20],
        "rating": [4.0, 0.5, 3.5, 5.0],
        "timestamp": [881250949, 881250950, 881250951, 881250952],
    }
)
INTER_HEADERS = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
WRITERS = {
    ".data": lambda file: FRAME.to_csv(file, sep="\t", header=False, index=False),
    ".dat": lambda file: file.write_text("".join("::".join(map(str, row)) + "\n" for row in FRAME.to_numpy(object))),
    ".csv": lambda file: FRAME.to_csv(file, index=False),
    ".inter": lambda file: FRAME.to_csv(file, sep="\t", header=INTER_HEADERS, index=False),
    ".parquet": lambda file: FRAME.to_parquet(file),
    ".npz": lambda file: np.savez(file, user=FRAME["userId"], item=FRAME["movieId"], rating=FRAME["rating"]),
}
TEXT = [".data", ".dat", ".csv", ".inter"]
NUMBERS = [(7, 20, 4.0, None), (3, 10, 0.5, None), (7, 5, 3.5, None), (12, 20, 5.0, None)]
STRINGS = [(str(user), str(item), rating, None) for user, item, rating, _ in NUMBERS]


def write(file: Path) -> Path:
    """FRAME in the format that the file's suffix says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[file.suffix](file)
    return file


def write_inter(file: Path, rating: int) -> None:
    """One rating, to tell files apart."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\t".join(INTER_HEADERS) + f"\n1\t1\t{rating}\t0\n")


def write_data(file: Path, rating: int) -> None:
    """One rating, to tell files apart."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"1\t1\t{rating}\t0\n")


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


@pytest.mark.parametrize("suffix", TEXT)
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
    monkeypatch.setattr(known, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[str(tmp_path)]))
    write_inter(tmp_path / "dataset_example/ml-1m/ml-1m.inter", 4)
    with pytest.raises(DatasetNotFoundError):
        load("ml-1m")


@pytest.mark.usefixtures("nowhere")
def test_failure_names_every_place_and_how_to_mend_it(monkeypatch, tmp_path):
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
def test_what_is_not_to_be_downloaded_says_where_to_put_it():
    with pytest.raises(DatasetNotFoundError, match=f"{DATA_FOLDER}.*ml-latest-small/ratings.csv"):
        load("ml-latest-small")


def test_missing_file_is_named_with_the_known_names(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"ml-100k.* or the path of a file, got .*missing\.csv"):
        load(str(tmp_path / "missing.csv"))


def test_rating_scale_defaults_to_that_of_the_known_set_or_to_the_range_in_the_file(tmp_path):
    file = write(tmp_path / "mine.csv")
    assert load(str(file)).reader.rating_scale == (0.5, 5.0)
    assert load("ml-100k", file).reader.rating_scale == (1, 5)
    assert load("ml-latest-small", file).reader.rating_scale == (0.5, 5)


@pytest.mark.parametrize("name", ["mine", "ml-100k"])
def test_a_given_rating_scale_is_taken(tmp_path, name):
    assert load(name, write(tmp_path / "mine.csv"), rating_scale=(0, 10)).reader.rating_scale == (0, 10)


def test_unknown_suffix_names_those_known(tmp_path):
    (tmp_path / "mine.xlsx").touch()
    with pytest.raises(ValueError, match=r"mine\.xlsx must end in one of .*'\.csv'.*'\.xlsx'"):
        load(str(tmp_path / "mine.xlsx"))


@pytest.mark.parametrize(
    ("headers", "role"), [("who,item,rating", "user"), ("user,what,rating", "item"), ("user,item,stars", "rating")]
)
def test_missing_column_names_its_role_and_the_columns_there_are(tmp_path, headers, role):
    (tmp_path / "mine.csv").write_text(f"{headers}\n1,2,3\n")
    with pytest.raises(ValueError, match=f"column for the {role}.*") as caught:
        load(str(tmp_path / "mine.csv"))
    assert str(headers.split(",")) in str(caught.value)


@pytest.mark.parametrize("value", ["good", "", "nan"])
def test_rating_that_is_no_number_is_named_with_its_row(tmp_path, value):
    (tmp_path / "mine.csv").write_text(f"user,item,rating\n1,2,3\n1,3,{value}\n1,4,bad\n")
    with pytest.raises(ValueError, match=f"rating 2 must be a finite number, got '{value}'"):
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


def test_ml_100k_is_what_grouplens_published(monkeypatch):
    if find_spec("recbole") is None:
        pytest.skip("ML-100K comes with recbole, which is not installed")
    monkeypatch.delenv(DATA_FOLDER, raising=False)
    data = load("ml-100k")
    users, items, ratings, _ = zip(*data.raw_ratings, strict=True)
    assert (len(ratings), len(set(users)), len(set(items))) == (100_000, 943, 1682)
    assert data.raw_ratings[0][:3] == ("196", "242", 3.0)
    assert set(ratings) == {1, 2, 3, 4, 5}


def test_made_ratings_are_as_many_as_asked_with_no_pair_twice():
    frame = make_ratings(n_users=60, n_items=40, n_ratings=500)
    assert len(frame) == 500
    assert not frame.duplicated(["user", "item"]).any()
    assert frame["user"].between(0, 59).all()
    assert frame["item"].between(0, 39).all()
    assert frame.dtypes.astype(str).to_dict() == {"user": "int32", "item": "int32", "rating": "float64"}


def test_made_ratings_follow_the_seed():
    settings = {"n_users": 60, "n_items": 40, "n_ratings": 500}
    first = make_ratings(**settings, random_state=3)
    pd.testing.assert_frame_equal(first, make_ratings(**settings, random_state=3))
    assert not first.equals(make_ratings(**settings, random_state=4))


@pytest.mark.parametrize("scale", [(1, 5), (-10, 10), (1, 100), (0.7, 4.3)])
def test_made_ratings_lie_on_the_scale_and_use_it(scale):
    ratings = make_ratings(rating_scale=scale, noise=1)["rating"].to_numpy(np.float64)
    low, high = scale
    assert low <= ratings.min() < low + (high - low) / 5
    assert high - (high - low) / 5 < ratings.max() <= high


def test_noise_is_the_standard_deviation_of_what_cannot_be_predicted():
    quiet, loud = (
        make_ratings(noise=noise, rating_scale=(-100, 100), random_state=5)["rating"].to_numpy(np.float64)
        for noise in (1, 4)
    )
    inside = (np.abs(quiet) < 100) & (np.abs(loud) < 100)
    assert inside.mean() > 0.99
    assert np.std((loud - quiet)[inside]) == pytest.approx(4 - 1, rel=0.03)


def test_noiseless_ratings_have_the_rank_asked_for():
    frame = make_ratings(20, 15, 300, n_factors=2, noise=0, rating_scale=(-1000, 1000))
    matrix = frame.pivot_table(index="user", columns="item", values="rating").to_numpy(np.float64)
    values = np.linalg.svd(matrix, compute_uv=False)
    assert np.abs(matrix).max() < 1000  # none was clipped
    assert (values > 0.1).sum() == 2 + 2  # the factors, and the biases of users and of items


@pytest.mark.parametrize(("skew", "low", "high"), [(0, 0.10, 0.14), (1, 0.25, 0.4)])
def test_popularity_skew_sets_the_share_of_the_top_tenth_of_items(skew, low, high):
    counts = make_ratings(n_items=300, popularity_skew=skew)["item"].value_counts()
    assert low < counts.iloc[:30].sum() / 20_000 < high


@pytest.mark.parametrize("share", [0.7, 1.0])
def test_dense_ratings_can_be_made(share):
    frame = make_ratings(n_users=50, n_items=40, n_ratings=int(share * 2000))
    assert len(frame.drop_duplicates(["user", "item"])) == share * 2000


def test_dense_ratings_do_not_depend_on_the_order_that_a_machine_leaves_a_partition_in(monkeypatch):
    frame = make_ratings(20, 10, 100)
    monkeypatch.setattr(np, "argpartition", lambda keys, _: np.argsort(keys))
    pd.testing.assert_frame_equal(make_ratings(20, 10, 100), frame)


@pytest.mark.parametrize("n_ratings", [0, 13])
def test_more_ratings_than_pairs_or_none_are_refused(n_ratings):
    with pytest.raises(ValueError, match=rf"n_ratings must be in .*12.*got {n_ratings}"):
        make_ratings(n_users=4, n_items=3, n_ratings=n_ratings)


def test_a_million_ratings_have_no_pair_twice():
    frame = make_ratings(n_users=20_000, n_items=5_000, n_ratings=1_000_000)
    assert len(np.unique(frame["user"].to_numpy(np.int64) * 5_000 + frame["item"])) == 1_000_000
