"""Errors by number of training ratings and by true rating."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from surprise import SVD, BaselineOnly, Dataset, Prediction, Reader, accuracy
from surprise.model_selection import train_test_split

from surprise_autorec.study.measures import errors_by_count, errors_by_rating
from surprise_autorec.study.plots import plot_errors

mpl.use("Agg")


def prediction(uid, iid, r_ui, est):
    return Prediction(uid, iid, r_ui, est, {})


@pytest.fixture
def ann_and_bob():
    """ann has three ratings, bob and cy have one; x has three, y and z have one."""
    ratings = [("ann", "x", 5), ("ann", "y", 1), ("ann", "z", 3), ("bob", "x", 4), ("cy", "x", 4)]
    frame = pd.DataFrame(ratings, columns=["user", "item", "rating"])
    return Dataset.load_from_df(frame, Reader()).build_full_trainset()


PREDICTIONS = [
    prediction("ann", "new", 1, 2),
    prediction("ann", "x", 5, 2),
    prediction("bob", "y", 4, 3.5),
    prediction("cy", "x", 4, 4),
    prediction("dan", "x", 2, 4),
]


def test_each_prediction_is_in_the_bin_of_its_user(ann_and_bob):
    expected = pd.DataFrame(
        {
            "by": "user",
            "bin": [0, 1, 2],
            "label": ["unknown", "1", "3"],
            "n": [1, 2, 2],
            "rmse": [2, np.sqrt(0.125), np.sqrt(5)],
            "mae": [2, 0.25, 2],
            "bias": [2, -0.25, -1],
        }
    )
    pd.testing.assert_frame_equal(errors_by_count(PREDICTIONS, ann_and_bob, n_bins=2), expected)


def test_each_prediction_is_in_the_bin_of_its_item(ann_and_bob):
    frame = errors_by_count(PREDICTIONS, ann_and_bob, "item")
    assert frame["by"].unique() == ["item"]
    assert frame[["label", "n", "mae"]].to_numpy().tolist() == [
        ["unknown", 1, 1],
        ["1", 1, 0.5],
        ["3", 3, 5 / 3],
    ]


def test_without_unknown_users_there_is_no_bin_for_them(ann_and_bob):
    frame = errors_by_count(PREDICTIONS[:4], ann_and_bob)
    assert frame["bin"].tolist() == [1, 2]


def test_only_unknown_users(ann_and_bob):
    frame = errors_by_count(PREDICTIONS[4:], ann_and_bob)
    assert frame[["bin", "label", "n"]].to_numpy().tolist() == [[0, "unknown", 1]]


def test_questions_about_unknown_users_leave_the_counts_as_they_are(ann_and_bob):
    """Surprise's ``trainset.ur`` inserts a key whenever it is asked for an unknown user."""
    before = errors_by_count(PREDICTIONS, ann_and_bob)
    assert ann_and_bob.ur["UKN__dan"] == []
    pd.testing.assert_frame_equal(errors_by_count(PREDICTIONS, ann_and_bob), before)


@pytest.mark.parametrize("side", ["user", "item"])
def test_bins_are_about_equal_and_make_up_the_total(side):
    generator = np.random.default_rng(0)
    # Some have many ratings, some have few.
    users, items = (40 * generator.random((2, 4000)) ** 2).astype(int)
    frame = pd.DataFrame({"user": users, "item": items, "rating": generator.integers(1, 6, 4000)})
    data = Dataset.load_from_df(frame, Reader())
    trainset, testset = train_test_split(data, test_size=0.5, random_state=0)
    predictions = SVD(n_epochs=2, random_state=0).fit(trainset).test(testset)
    frame = errors_by_count(predictions, trainset, side, n_bins=4)
    assert frame["bin"].tolist() == [1, 2, 3, 4]
    assert frame["n"].sum() == len(predictions)
    assert frame["n"].between(400, 600).all()
    low, high = zip(*(map(int, label.split(" to ")) for label in frame["label"]), strict=True)
    assert all(before < after for before, after in zip(high[:-1], low[1:], strict=True))
    pooled = np.sqrt(np.average(frame["rmse"] ** 2, weights=frame["n"]))
    assert pooled == pytest.approx(accuracy.rmse(predictions, verbose=False))
    assert np.average(frame["mae"], weights=frame["n"]) == pytest.approx(
        accuracy.mae(predictions, verbose=False)
    )


def test_errors_by_rating_have_a_row_for_each_rating():
    frame = errors_by_rating(PREDICTIONS)
    assert frame["by"].unique() == ["rating"]
    assert frame["bin"].tolist() == [1, 2, 3, 4]
    assert frame["label"].tolist() == ["1", "2", "4", "5"]
    assert frame["n"].tolist() == [1, 1, 2, 1]
    np.testing.assert_allclose(frame["rmse"], [1, 2, np.sqrt(0.125), 3])
    np.testing.assert_allclose(frame["mae"], [1, 2, 0.25, 3])
    np.testing.assert_allclose(frame["bias"], [1, 2, -0.25, -3])


def test_ratings_with_many_values_are_put_into_bins():
    frame = errors_by_rating([prediction("u", "i", value / 10, 0) for value in range(-50, 50)], n_bins=4)
    assert frame["label"].tolist() == ["-5 to -2.6", "-2.5 to -0.1", "0 to 2.4", "2.5 to 4.9"]
    assert frame["n"].tolist() == [25] * 4
    frame = errors_by_rating([prediction("u", "i", value / 7, 0) for value in range(20)], n_bins=2)
    assert frame["label"].tolist() == ["0 to 1.29", "1.43 to 2.71"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": "film"}, r"side must be one of \['item', 'user'\], got 'film'"),
        ({"n_bins": 0}, "n_bins must be a positive integer, got 0"),
        ({"predictions": []}, r"predictions must be at least one, got \[\]"),
        (
            {"predictions": [prediction("ann", "x", None, 3)]},
            "r_ui of each prediction must be the true rating",
        ),
    ],
)
def test_bad_input_is_named(ann_and_bob, arguments, message):
    with pytest.raises(ValueError, match=message):
        errors_by_count(**{"predictions": PREDICTIONS, "trainset": ann_and_bob, **arguments})


def test_plot_has_a_line_for_each_algorithm_and_a_tick_for_each_bin(data):
    trainset, testset = train_test_split(data, random_state=0)
    frames = {
        name: errors_by_count(algorithm.fit(trainset).test(testset), trainset)
        for name, algorithm in {"SVD": SVD(random_state=0), "baselines": BaselineOnly(verbose=False)}.items()
    }
    frame = pd.concat([frame.assign(algorithm=name) for name, frame in frames.items()])
    ax = Figure().subplots()
    assert plot_errors(frame, ax) is ax
    for line, errors in zip(ax.lines, frames.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), errors["rmse"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["SVD", "baselines"]
    assert [text.get_text() for text in ax.get_xticklabels()] == frames["SVD"]["label"].tolist()
    assert ax.get_xlabel() == "training ratings of the user"


def test_plot_of_one_algorithm_has_no_legend():
    ax = plot_errors(errors_by_rating(PREDICTIONS), Figure().subplots(), measure="bias")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1, 2, -0.25, -3])
    assert ax.get_legend() is None
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true rating", "mean of estimate minus rating")


def test_plot_of_several_kinds_or_of_an_unknown_measure_is_an_error(ann_and_bob):
    by_rating = errors_by_rating(PREDICTIONS)
    with pytest.raises(ValueError, match=r"measure must be one of .* got 'label'"):
        plot_errors(by_rating, measure="label")
    mixed = pd.concat([by_rating, errors_by_count(PREDICTIONS, ann_and_bob)])
    with pytest.raises(ValueError, match=r"by must be the same in all rows, got \['rating', 'user'\]"):
        plot_errors(mixed)
