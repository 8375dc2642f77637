"""The command line: fit, predict, recommend, explain, evaluate, tune."""

import io
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from surprise import Dataset, Reader, accuracy
from surprise.model_selection import KFold, cross_validate
from test_cli import assert_one_error, run

from surprise_autorec import AutoRec, datasets, load
from surprise_autorec.cli import shared
from surprise_autorec.study import arrays

QUICK = ["-p", "n_factors=8", "-p", "n_epochs=2"]


@pytest.fixture(scope="module")
def frame():
    return datasets.make_ratings(n_users=50, n_items=40, n_ratings=1000)


@pytest.fixture(scope="module")
def ratings(frame, tmp_path_factory):
    file = tmp_path_factory.mktemp("ratings") / "mine.csv"
    frame.to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def model(ratings):
    """A model of ids that are texts."""
    path = ratings.with_name("model.safetensors")
    assert run("fit", ratings, "-o", path, *QUICK).exit_code == 0
    return path


@pytest.fixture(scope="module")
def int_model(frame, ratings):
    """A model of ids that are numbers."""
    path = ratings.with_name("ints.safetensors")
    frame.to_parquet(ratings.with_suffix(".parquet"))
    assert run("fit", ratings.with_suffix(".parquet"), "-o", path, *QUICK).exit_code == 0
    return path


@pytest.fixture
def pairs(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text("userId,movieId,note\n3,7,x\n4,8,y\n")
    return file


def table(text):
    return pd.read_csv(io.StringIO(text), dtype={"user": str, "item": str})


# fit


def test_fit_says_what_it_did(ratings, tmp_path):
    result = run("fit", ratings, "-o", tmp_path / "model", *QUICK, "-p", "variant=user", "--seed", 3)
    assert result.exit_code == 0
    assert result.stdout.startswith("Trained on 1,000 ratings by 50 users of 40 items in ")
    assert result.stdout.rstrip().endswith(f"s; saved to {tmp_path / 'model'}")
    assert "2/2" in result.stderr  # the progress bar
    algorithm = load(tmp_path / "model")
    assert (algorithm.n_factors, algorithm.variant, algorithm.random_state) == (8, "user", 3)


def test_fit_takes_the_scale_of_the_file_or_the_one_given(ratings, model, tmp_path, frame):
    assert load(model).model_.scale == (frame["rating"].min(), frame["rating"].max())
    assert run("fit", ratings, "-o", tmp_path / "model", *QUICK, "--rating-scale", "0,10").exit_code == 0
    assert load(tmp_path / "model").model_.scale == (0, 10)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["-p", "n_factor=8"], "a keyword of AutoRec must be one of n_factors"),
        (["-p", "n_factors"], "must be KEYWORD=VALUE, got 'n_factors'"),
        (["--rating-scale", "5,1"], "must be the lowest and the highest rating"),
        (["--rating-scale", "much"], "must be the lowest and the highest rating"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_wrong_usage_of_fit(ratings, tmp_path, arguments, word):
    result = run("fit", ratings, "-o", tmp_path / "model", *arguments)
    assert result.exit_code == 2
    assert word in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "model").exists()


def test_fit_into_a_missing_folder_is_an_error_before_any_work(ratings, tmp_path):
    result = run("fit", ratings, "-o", tmp_path / "no" / "model")
    assert result.exit_code == 2
    assert "epoch" not in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user,item,rating\n1,2,much\n", ["the rating in data row 1 must be a finite number, got 'much'"]),
        ("user,item,rating\n1,,3\n", ["the item in data row 1 must not be missing, got ''"]),
        ("user,item\n1,2\n", ["must have a column for the rating"]),
        ("user,item,rating\n", ["must have at least one rating, got none"]),
        ("", ["must be a valid .csv file"]),
    ],
)
def test_a_file_that_holds_no_ratings_is_one_error(tmp_path, text, words):
    (tmp_path / "mine.csv").write_text(text)
    assert_one_error(run("fit", tmp_path / "mine.csv", "-o", tmp_path / "model"), *words)
    assert not (tmp_path / "model").exists()


def test_a_parameter_that_breaks_its_rule_is_one_error(ratings, tmp_path):
    result = run("fit", ratings, "-o", tmp_path / "model", "-p", "dropout=2")
    assert_one_error(result, "dropout must be a number in [0, 1), got 2")


def test_ratings_outside_the_scale_are_one_error(ratings, tmp_path):
    result = run("fit", ratings, "-o", tmp_path / "model", "--rating-scale", "2,3")
    assert_one_error(result, "ratings must lie on the rating scale, 2 to 3: user")


def test_a_pair_rated_twice_is_a_warning(tmp_path):
    (tmp_path / "mine.csv").write_text("user,item,rating\na,b,1\na,b,2\nc,b,3\n")
    result = run("fit", tmp_path / "mine.csv", "-o", tmp_path / "model", *QUICK)
    assert result.exit_code == 0
    assert "warning: user 'a' rated item 'b' more than once" in result.stderr


# predict


def test_predict_answers_for_each_pair(model, pairs):
    result = run("predict", model, pairs)
    assert result.exit_code == 0
    assert result.stderr == ""
    found = table(result.stdout)
    assert found[["user", "item"]].to_numpy().tolist() == [["3", "7"], ["4", "8"]]
    wanted = [load(model).predict(*pair).est for pair in [("3", "7"), ("4", "8")]]
    assert found["estimate"].tolist() == pytest.approx(wanted)


def test_predict_with_intervals(model, pairs):
    found = table(run("predict", model, pairs, "--interval", 0.8).stdout)
    assert list(found) == ["user", "item", "estimate", "std", "lower", "upper"]
    algorithm, wanted = load(model), [("3", "7"), ("4", "8")]
    assert found["std"].tolist() == pytest.approx(
        [algorithm.predict(*pair).details["std"] for pair in wanted]
    )
    np.testing.assert_allclose(found[["lower", "upper"]], algorithm.predict_interval(wanted, 0.8))


@pytest.mark.parametrize("coverage", [0, 90])
def test_an_interval_of_no_coverage_is_an_error(model, pairs, coverage):
    result = run("predict", model, pairs, "--interval", coverage)
    assert_one_error(result, f"coverage must be a number between 0 and 1, got {float(coverage)}")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_predict_writes_tables(model, pairs, tmp_path, suffix):
    output = tmp_path / f"out.{suffix}"
    assert run("predict", model, pairs, "-o", output).stdout == ""
    read = {
        "csv": pd.read_csv,
        "parquet": pd.read_parquet,
        "jsonl": lambda path: pd.read_json(path, lines=True),
    }
    found = read[suffix](output)
    assert list(found.columns) == ["user", "item", "estimate"]
    assert found["estimate"].tolist() == pytest.approx(
        table(run("predict", model, pairs).stdout)["estimate"].tolist()
    )


def test_texts_are_matched_with_ids_that_are_numbers_and_the_other_way_round(
    int_model, model, pairs, tmp_path
):
    assert load(int_model).model_.user_ids[0] in range(50)
    result = run("predict", int_model, pairs)
    assert result.stderr == ""
    wanted = [load(int_model).predict(*pair).est for pair in [(3, 7), (4, 8)]]
    assert table(result.stdout)["estimate"].tolist() == pytest.approx(wanted)
    pd.DataFrame({"user": [3], "item": [7]}).to_parquet(tmp_path / "pairs.parquet")
    result = run("predict", model, tmp_path / "pairs.parquet")
    assert result.stderr == ""
    assert table(result.stdout)["estimate"].tolist() == pytest.approx([load(model).predict("3", "7").est])


def test_unknown_users_and_items_are_counted(model, int_model, tmp_path):
    (tmp_path / "pairs.csv").write_text("user,item\nnobody,7\n3,nothing\n3,7\n")
    for which in (model, int_model):
        result = run("predict", which, tmp_path / "pairs.csv")
        assert result.exit_code == 0
        assert result.stderr == (
            "warning: 2 of 3 pairs have a user or an item that is not in the model, such as user 'nobody' "
            "(unknown users: 1, unknown items: 1); their estimates are the baselines\n"
        )
        assert len(table(result.stdout)) == 3


def test_what_is_no_model_is_one_error(ratings, pairs, tmp_path):
    assert_one_error(run("predict", ratings, pairs), "mine.csv is not a saved model")
    assert_one_error(run("predict", tmp_path / "none", pairs), "no such model file", "none")


def test_wrong_output_is_an_error_before_any_work(model, pairs, tmp_path):
    for output in ("out.txt", tmp_path / "no" / "out.csv"):
        result = run("predict", model, pairs, "-o", output)
        assert result.exit_code == 2
        assert "--output" in result.stderr


def test_a_parquet_file_without_pyarrow_says_what_to_install(model, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "find_spec", lambda _name: None)
    assert_one_error(
        run("predict", model, pairs, "-o", tmp_path / "out.parquet"), "surprise-autorec[parquet]"
    )


def test_unknown_pairs_of_a_model_without_baselines_get_the_mean(ratings, frame, tmp_path):
    assert run("fit", ratings, "-o", tmp_path / "model", *QUICK, "-p", "biased=False").exit_code == 0
    (tmp_path / "pairs.csv").write_text("user,item\n3,nothing\n")
    result = run("predict", tmp_path / "model", tmp_path / "pairs.csv")
    assert table(result.stdout)["estimate"].tolist() == pytest.approx([frame["rating"].mean()])
    assert result.stderr == (
        "warning: 1 of 1 pairs have a user or an item that is not in the model, such as item 'nothing' "
        "(unknown users: 0, unknown items: 1); their estimates are the mean rating\n"
    )


def test_ids_whose_text_differs_from_the_model_s_are_unknown(int_model, tmp_path):
    (tmp_path / "pairs.csv").write_text("user,item\n3,7\n03,7\n--3,7\n")
    result = run("predict", int_model, tmp_path / "pairs.csv")
    assert "warning: 2 of 3 pairs" in result.stderr
    known, zero, dashes = table(result.stdout)["estimate"]
    assert known == pytest.approx(load(int_model).predict(3, 7).est)
    assert zero == dashes == pytest.approx(load(int_model).predict(-1, 7).est)
    assert zero != pytest.approx(known)


@pytest.mark.parametrize(
    ("known", "given", "wanted"),
    [
        ([7, 8], ["7", "07", "7.0", "x"], [7, "07", "7.0", "x"]),
        (["7", "8"], [7, 7.0, np.int64(8), 7.5], ["7", "7", "8", 7.5]),
        ([7.0, 7.5], ["7", "7.5", 7], [7.0, 7.5, 7.0]),
        ([7, "7", "07"], ["7", 7, "07"], ["7", 7, "07"]),
        ([np.int32(7)], ["7"], [7]),
    ],
)
def test_ids_are_matched_by_their_text(known, given, wanted):
    found = shared.as_ids(given, known)
    assert found == wanted
    assert [isinstance(one, str) for one in found] == [isinstance(one, str) for one in wanted]


def test_pairs_without_items_are_one_error(model, tmp_path):
    (tmp_path / "pairs.csv").write_text("user,thing\n3,7\n")
    assert_one_error(run("predict", model, tmp_path / "pairs.csv"), "must have a column for the item")


# recommend


def test_recommend_lists_for_all_users_or_some(model):
    everybody = table(run("recommend", model, "-n", 3).stdout)
    assert everybody["item"].tolist() == load(model).recommend(n=3)["item"].tolist()
    some = table(run("recommend", model, "-n", 3, "--user", 4, "-u", 9).stdout)
    wanted = load(model).recommend(["4", "9"], n=3)
    assert some["item"].tolist() == wanted["item"].tolist()
    assert some["rank"].tolist() == [1, 2, 3, 1, 2, 3]


def test_recommend_with_standard_errors(model):
    found = table(run("recommend", model, "-n", 2, "--user", 4, "--std").stdout)
    wanted = load(model).recommend(["4"], n=2, return_std=True)
    assert found["std"].tolist() == pytest.approx(wanted["std"].tolist())


def test_recommend_chooses_among_candidates_rated_or_not(int_model, frame, tmp_path):
    rated = frame.loc[frame["user"] == 3, "item"].iloc[:4]
    (tmp_path / "items.csv").write_text("item\n" + "\n".join(map(str, rated)))
    flags = ["recommend", int_model, "--user", 3, "--candidates", tmp_path / "items.csv"]
    assert len(table(run(*flags).stdout)) == 0
    assert set(table(run(*flags, "--include-rated").stdout)["item"]) == set(map(str, rated))


def test_recommend_for_new_users(int_model, tmp_path):
    (tmp_path / "new.csv").write_text("user,item,rating\nann,3,5\nann,4,1\nann,4,3\nbob,9,2\n")
    found = table(run("recommend", int_model, "--new-users", tmp_path / "new.csv", "-n", 2).stdout)
    wanted = load(int_model).recommend(new_users={"ann": {3: 5.0, 4: 2.0}, "bob": {9: 2.0}}, n=2)
    assert found["user"].tolist() == ["ann", "ann", "bob", "bob"]
    assert found["item"].tolist() == wanted["item"].astype(str).tolist()


def test_recommend_for_unknown_users_is_a_warning(model):
    result = run("recommend", model, "--user", "nobody")
    assert result.exit_code == 0
    assert "warning: user 'nobody' is not in the training ratings" in result.stderr


def test_an_unknown_user_beside_ids_that_are_numbers_goes_into_parquet(int_model, tmp_path):
    result = run(
        "recommend", int_model, "-n", 1, "--user", 4, "--user", "zoe", "-o", tmp_path / "out.parquet"
    )
    assert result.exit_code == 0
    assert pd.read_parquet(tmp_path / "out.parquet")["user"].tolist() == ["4", "zoe"]


def test_what_may_be_unexpected_about_new_users_is_a_warning(int_model, tmp_path):
    (tmp_path / "new.csv").write_text("user,item,rating\n3,4,5\nann,4,1\nann,4,3\nann,nothing,2\n")
    result = run("recommend", int_model, "--new-users", tmp_path / "new.csv", "-n", 2)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "warning: new users rated items that are not in the model (1, such as 'nothing'); these ratings "
        "affect only the biases of users",
        "warning: new users rated items more than once (repeats: 1); the mean is used",
        "warning: 1 of 2 new users are already in the model, such as 3; their lists use only the ratings in "
        "the file",
    ]


def test_unknown_candidates_are_one_error(model, tmp_path):
    (tmp_path / "items.csv").write_text("item\n3\nnothing\n")
    result = run("recommend", model, "--candidates", tmp_path / "items.csv")
    assert_one_error(result, "candidates must be items of the training ratings, got 'nothing'")


# explain


def explain(model, ratings, *arguments):
    return run("explain", model, "--ratings", ratings, *arguments)


def ratings_of(frame, user, kind):
    part = frame[frame["user"] == user]
    return dict(zip(part["item"].map(kind), part["rating"], strict=True))


def test_explain_lists_what_ratings_contribute(model, int_model, ratings, frame):
    for which, kind in ((model, str), (int_model, int)):
        result = explain(which, ratings, "--user", 3, "--item", 7, "-n", 2)
        assert result.stderr == ""
        wanted = load(which).explain(kind(3), kind(7), 2, ratings_of(frame, 3, kind))
        found = table(result.stdout)
        assert found["item"].tolist()[1:3] == wanted["item"].astype(str).tolist()[1:3]
        found["item"] = wanted["item"]
        pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
        assert found["contribution"].sum() == pytest.approx(load(which).predict(kind(3), kind(7)).est)


def test_explain_a_new_user(int_model, tmp_path):
    (tmp_path / "new.csv").write_text("user,item,rating\nann,3,5\nann,4,1\nann,4,3\nann,nothing,2\nbob,5,1\n")
    result = explain(int_model, tmp_path / "new.csv", "-u", "ann", "-i", 7)
    assert result.stderr.splitlines() == [
        "warning: the user rated items that are not in the model (1, such as 'nothing'); these ratings "
        "affect only the biases of users",
        "warning: the user rated items more than once (repeats: 1); the mean is used",
    ]
    wanted = load(int_model).explain_new_user({3: 5.0, 4: 2.0, "nothing": 2.0}, 7)
    found = table(result.stdout)
    assert found["item"].tolist()[1:4] == wanted["item"].astype(str).tolist()[1:4]
    assert found["contribution"].tolist() == pytest.approx(wanted["contribution"].tolist())


def test_explain_writes_tables(int_model, ratings, tmp_path):
    flags = ["-u", 3, "-i", 7, "-o"]
    for suffix, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        assert explain(int_model, ratings, *flags, tmp_path / f"out.{suffix}").stdout == ""
        found = read(tmp_path / f"out.{suffix}")
        assert found["part"].tolist()[:2] == ["baseline", "rating"]
        assert found["contribution"].sum() == pytest.approx(load(int_model).predict(3, 7).est)


def test_ratings_other_than_those_of_training_are_a_warning(model, tmp_path):
    (tmp_path / "some.csv").write_text("user,item,rating\n3,7,4\n4,7,4\n")
    result = explain(model, tmp_path / "some.csv", "-u", 3, "-i", 7)
    assert result.stderr.startswith(
        "warning: the items of ratings are not those that user '3' rated in training"
    )
    assert result.exit_code == 0


def test_who_or_what_cannot_be_explained_is_one_error(model, ratings):
    assert_one_error(explain(model, ratings, "-u", "zoe", "-i", 7), "the user must have ratings in", "'zoe'")
    assert_one_error(
        explain(model, ratings, "-u", 3, "-i", "x"),
        "the item must be in the training ratings, got 'x'",
    )
    for flags in (["-u", 3], ["-i", 7], ["-u", 3, "-i", 7, "-n", 0], ["-u", 3, "-i", 7, "-o", "out.txt"]):
        assert explain(model, ratings, *flags).exit_code == 2


# evaluate


def test_evaluate_cross_validates(ratings, frame):
    result = run("evaluate", ratings, "--folds", 3, *QUICK)
    data = Dataset.load_from_df(frame, Reader(rating_scale=(frame["rating"].min(), frame["rating"].max())))
    algorithm = AutoRec(n_factors=8, n_epochs=2, random_state=0)
    wanted = cross_validate(algorithm, data, ["rmse"], KFold(3, random_state=0))["test_rmse"]
    rows = [line.split("│")[1:3] for line in result.stdout.splitlines() if line.startswith("│")][1:]
    assert [row[0].strip() for row in rows] == ["1", "2", "3", "mean"]
    assert [float(row[1]) for row in rows] == pytest.approx([*wanted, wanted.mean()], abs=1e-4)


def test_evaluate_a_saved_model(model, int_model, ratings, frame):
    for which, kind in ((model, str), (int_model, int)):
        result = run("evaluate", ratings, "--model", which)
        triples = [(kind(u), kind(i), r) for u, i, r in frame.itertuples(index=False)]
        wanted = accuracy.rmse(load(which).test(triples), verbose=False)
        assert f"{wanted:.4f}" in result.stdout
        assert result.stderr == ""


@pytest.mark.parametrize("option", [QUICK, ["--folds", 5], ["--seed", 0], ["--rating-scale", "1,5"]])
def test_a_saved_model_has_its_own_settings(model, ratings, option):
    result = run("evaluate", ratings, "--model", model, *option)
    assert result.exit_code == 2
    name = option[0].replace("-p", "--param") if option is QUICK else option[0]
    assert result.stderr.splitlines()[-1] == (
        f"Error: Invalid value for {name}: cannot be given with --model: a saved model is not trained again"
    )


def test_ratings_outside_the_scale_of_a_saved_model_are_one_error(model, tmp_path):
    (tmp_path / "other.csv").write_text("user,item,rating\n3,7,4\n3,8,40\n")
    assert_one_error(
        run("evaluate", tmp_path / "other.csv", "--model", model),
        "user '3' rated item '8' 40 (1 of 2 ratings are outside it)",
    )


# tune


def tune(ratings, *arguments):
    return run("tune", ratings, "-g", "n_epochs=1,2", "--folds", 2, *arguments)


def test_tune_tries_all_and_names_the_best(ratings, tmp_path):
    result = tune(ratings, "-g", "n_factors=4,8", "-g", "variant=item,user", "-o", tmp_path / "all.csv")
    assert result.exit_code == 0, result.stderr
    assert "16/16" in result.stderr
    found = pd.read_csv(tmp_path / "all.csv")
    assert len(found) == 8
    assert found["rmse"].is_monotonic_increasing
    best = found.iloc[0]
    call = result.stdout.splitlines()[-1].removeprefix("best: ")
    algorithm = eval(call, {"AutoRec": AutoRec})
    assert (algorithm.n_epochs, algorithm.n_factors, algorithm.variant) == (
        best.n_epochs,
        best.n_factors,
        best.variant,
    )
    algorithm.random_state = 0
    errors = cross_validate(algorithm, datasets.load(str(ratings)), ["rmse"], KFold(2, random_state=0))[
        "test_rmse"
    ]
    assert errors.mean() == pytest.approx(best.rmse)


def test_tune_tries_some_at_random_by_seed(ratings, tmp_path):
    def tried(seed):
        flags = ["-g", "n_factors=2,3,4,5,6", "--random", 3, "--seed", seed, "-o", tmp_path / "some.jsonl"]
        assert tune(ratings, *flags).exit_code == 0
        frame = pd.read_json(tmp_path / "some.jsonl", lines=True)
        return sorted(zip(frame["n_factors"], frame["n_epochs"], strict=True))

    first = tried(1)
    assert len(first) == 3
    assert tried(1) == first
    assert tried(2) != first


@pytest.mark.parametrize("suffix", ["json", "toml"])
def test_a_grid_may_be_in_a_file(ratings, tmp_path, suffix):
    grid = {
        "json": json.dumps({"n_factors": [4, [5, 3]], "n_epochs": [1]}),
        "toml": "n_factors = [4, [5, 3]]\nn_epochs = [1]",
    }
    (tmp_path / f"grid.{suffix}").write_text(grid[suffix])
    result = run("tune", ratings, "--grid", tmp_path / f"grid.{suffix}", "--folds", 2)
    assert result.exit_code == 0
    assert "(5, 3)" in result.stdout
    assert "4/4" in result.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [("g.json", "[1]"), ("g.json", '{"n_factors": 3}'), ("g.json", "{"), ("g.toml", "n_factors = "),
     ("g.txt", ""), ("g.json", '{"n_factor": [3]}'), ("g.json", '{"n_factors": []}')],
)  # fmt: skip
def test_an_invalid_grid_is_wrong_usage(ratings, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    result = run("tune", ratings, "--grid", tmp_path / name)
    assert result.exit_code == 2
    assert "--grid" in result.stderr


def test_tune_without_a_grid_or_with_a_missing_one_is_wrong_usage(ratings, tmp_path):
    assert run("tune", ratings).exit_code == 2
    assert run("tune", ratings, "--grid", tmp_path / "none.json").exit_code == 2


def test_tune_continues_if_training_diverges(ratings, tmp_path):
    flags = ["-p", "batch_size=2", "-g", "lr_all=1e4,auto", "-o", tmp_path / "all.csv"]
    result = tune(ratings, *flags)
    assert result.exit_code == 0
    assert "4/8" not in result.stdout
    assert "8/8" in result.stderr
    assert result.stderr.count("training diverged") == 2  # once for each combination
    found = pd.read_csv(tmp_path / "all.csv")
    assert found["lr_all"].tolist()[:2] == ["auto", "auto"]
    assert found["rmse"].isna().tolist() == [False, False, True, True]
    assert result.stdout.splitlines()[-1].startswith("best: AutoRec(batch_size=2, lr_all='auto', n_epochs=")


def test_tune_in_which_every_combination_diverges_is_one_error(ratings):
    result = tune(ratings, "-p", "batch_size=2", "-g", "lr_all=1e4")
    assert_one_error(result, "training failed with every combination, the first time with DivergenceError")


def test_tune_continues_in_a_folder(ratings, tmp_path):
    flags = ["-g", "n_factors=4,8", "--fits", tmp_path / "fits", "--n-jobs", 2]
    first = tune(ratings, *flags, "-o", tmp_path / "first.csv")
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "fits" / "fits").iterdir()}
    assert len(files) == 8
    second = tune(ratings, *flags, "-o", tmp_path / "second.csv")
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "fits" / "fits").iterdir()} == files
    assert second.stdout == first.stdout
    assert (tmp_path / "first.csv").read_text() == (tmp_path / "second.csv").read_text()


def test_ctrl_c_ends_tune_with_the_best_so_far(ratings, monkeypatch):
    real, fits = arrays.fit_model, []

    def fit_model(*arguments):
        fits.append(arguments)
        if len(fits) > 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(arrays, "fit_model", fit_model)
    result = tune(ratings, *QUICK[:2])
    assert result.exit_code == 130
    assert "interrupted: 3 of 4 fits are done" in result.stdout
    assert "best: AutoRec(n_factors=8, n_epochs=" in result.stdout


def test_a_keyword_cannot_be_both_tried_and_set(ratings):
    result = tune(ratings, "-p", "n_epochs=2")
    assert result.exit_code == 2
    assert "must not set n_epochs, because it is one of the keywords to try" in result.stderr


def test_a_wrong_seed_is_an_error_before_anything_is_trained(ratings):
    result = tune(ratings, "-g", "random_state=3,foo")
    assert_one_error(
        result, "random_state must be None, an int from 0 to 2**32 - 1 or a numpy RandomState, got 'foo'"
    )
    assert "fit/s" not in result.stderr


def test_a_value_that_breaks_a_rule_is_an_error_before_anything_is_trained(ratings):
    result = tune(ratings, "-g", "dropout=0.5,2")
    assert_one_error(result, "dropout must be a number in [0, 1), got 2")
    assert "fit/s" not in result.stderr


# Files


@pytest.fixture
def _no_dataset(monkeypatch):
    """Whoever makes a Dataset or a Trainset of Surprise fails."""
    from surprise.dataset import Dataset, DatasetAutoFolds

    def fail(*_arguments, **_options):
        raise AssertionError("ratings have become Python objects")

    monkeypatch.setattr(Dataset, "construct_trainset", fail)
    monkeypatch.setattr(DatasetAutoFolds, "__init__", fail)


@pytest.mark.usefixtures("_no_dataset")
def test_commands_make_no_dataset_of_surprise(ratings, model, tmp_path):
    for arguments in (
        ["fit", ratings, "-o", tmp_path / "model", *QUICK],
        ["evaluate", ratings, "--folds", 2, *QUICK],
        ["evaluate", ratings, "--model", model],
        ["tune", ratings, "-g", "n_factors=2,3", "--folds", 2, "-p", "n_epochs=1"],
        ["predict", model, ratings],
        ["explain", model, "--ratings", ratings, "-u", 3, "-i", 7],
    ):
        assert run(*arguments).exit_code == 0


def test_a_fit_from_a_file_is_a_fit_of_the_dataset(ratings, model):
    trainset = datasets.load(str(ratings)).build_full_trainset()
    wanted = AutoRec(n_factors=8, n_epochs=2, random_state=0).fit(trainset)
    found = load(model)
    assert found.loss_curve_ == wanted.loss_curve_
    assert list(found.model_.user_ids) == list(wanted.model_.user_ids)
    assert found.recommend().equals(wanted.recommend())


OTHER_COLUMNS = ["--user-column", "Customer No", "--item-column", "Art."]


@pytest.fixture
def other(frame, tmp_path):
    """Ratings and pairs with other columns, and with none."""
    names = {"user": "Customer No", "item": "Art.", "rating": "stars"}
    frame.rename(columns=names).to_csv(tmp_path / "named.csv", index=False, sep=";")
    frame[["rating", "item", "user"]].to_csv(tmp_path / "headerless.csv", index=False, header=False)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "options", "of_pairs"),
    [
        ("named.csv", [*OTHER_COLUMNS, "--rating-column", "stars"], OTHER_COLUMNS),
        ("headerless.csv", ["--names", "rating,item,user"], ["--names", "rating,item,user"]),
    ],
)
def test_columns_of_other_names_and_files_without_a_header(other, model, ratings, file, options, of_pairs):
    for command in (
        ["evaluate", "--folds", "2", *QUICK],
        ["evaluate", "--model", model],
        ["tune", "-g", "n_factors=2,3", "--folds", 2, "-p", "n_epochs=1"],
    ):
        found, wanted = run(*command, other / file, *options), run(*command, ratings)
        assert found.exit_code == 0, found.stderr
        errors = [re.findall(r"│ +([0-9.]+) │", result.stdout)[0] for result in (found, wanted)]
        assert errors[0] == errors[1]
    assert run("fit", other / file, "-o", other / "model", *QUICK, *options).exit_code == 0
    assert load(other / "model").loss_curve_ == load(model).loss_curve_
    flags = ["--ratings", other / file, "-u", 3, "-i", 7]
    assert run("explain", model, *flags, *options).stdout == run(
        "explain", model, "--ratings", ratings, "-u", 3, "-i", 7
    ).stdout  # fmt: skip
    found, wanted = run("predict", model, other / file, *of_pairs), run("predict", model, ratings)
    assert found.stdout == wanted.stdout
    assert found.stdout != ""
    new = ["recommend", model, "-n", 2, "--new-users"]
    found = run(*new, other / file, *options, "--candidates", other / file)
    assert found.stdout == run(*new, ratings, "--candidates", ratings).stdout
    assert found.stdout.startswith("user,item,rank,estimate\n")
    found = run("compare", other / file, *options, "-a", "BaselineOnly", "--folds", 2, "--output", other)
    assert found.exit_code == 0, found.stderr
    run("compare", ratings, "-a", "BaselineOnly", "--folds", 2, "--output", other / "usual")
    errors = [pd.read_csv(folder / "folds.csv")["rmse"].tolist() for folder in (other, other / "usual")]
    assert errors[0] == errors[1]


def test_a_folder_of_parts(frame, tmp_path):
    for n in range(3):
        frame.astype({"user": str, "item": str})[n::3].to_parquet(tmp_path / f"part-{n}.parquet")
    result = run("fit", tmp_path, "-o", tmp_path / "model", *QUICK)
    assert result.stdout.startswith("Trained on 1,000 ratings by 50 users of 40 items in ")
    frame[:1].rename(columns={"item": "film"}).to_parquet(tmp_path / "part-3.parquet")
    result = run("fit", tmp_path, "-o", tmp_path / "model", *QUICK)
    assert_one_error(result, "part-3.parquet must have a column for the item, named one of ['item', ")
    assert "got columns ['user', 'film', 'rating']. If it has another name, give it as " in result.stderr
    assert "--item-column NAME" in result.stderr


def test_parts_of_recommendations(model, tmp_path):
    for part in (1, 2, 3):
        result = run(
            "recommend", model, "-n", 2, "--shard", f"{part}/3", "-o", tmp_path / f"part-{part}.parquet"
        )
        assert (result.exit_code, result.output) == (0, "")
    assert pd.read_parquet(tmp_path).equals(load(model).recommend(n=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shard", "4/3", "-o", "top.parquet"], "must be K/M, the K-th of M parts"),
        (["--shard", "0/3", "-o", "top.parquet"], "must be K/M, the K-th of M parts"),
        (["--shard", f"1/{'9' * 5000}", "-o", "top.parquet"], "must be K/M, the K-th of M parts"),
        (["--shard", "half", "-o", "top.parquet"], "must be K/M, the K-th of M parts"),
        (["--shard", "1/3"], "needs --output FILE.parquet"),
        (["--shard", "1/3", "-o", "top.csv"], "needs --output FILE.parquet"),
        (["--shard", "1/3", "-o", "top.parquet", "--std"], "cannot be given with --new-users or --std"),
        (["--shard", "1/3", "-o", "top.parquet", "--new-users", "x"], "cannot be given with --new-users"),
    ],
)
def test_wrong_parts_are_wrong_usage(model, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    result = run("recommend", model, *options)
    assert result.exit_code == 2
    assert message in result.stderr


# All of it


@pytest.mark.parametrize("command", ["fit", "predict", "recommend", "explain", "evaluate", "tune", "compare"])
def test_help_has_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example: surprise-autorec {command} " in " ".join(result.stdout.replace("│", " ").split())


def test_pipes(frame, tmp_path):
    def program(*arguments, stdin):
        command = [sys.executable, "-m", "surprise_autorec", *map(str, arguments)]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout

    program("fit", "-", "-o", tmp_path / "model", *QUICK, stdin=frame.to_csv(index=False))
    listed = program("recommend", tmp_path / "model", "-n", 2, "-u", 3, stdin="")
    predicted = program("predict", tmp_path / "model", "-", stdin=listed)
    np.testing.assert_array_equal(table(predicted)["estimate"], table(listed)["estimate"])


def test_nothing_on_stdin_is_one_line(tmp_path):
    command = [sys.executable, "-m", "surprise_autorec", "fit", "-", "-o", str(tmp_path / "model")]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: standard input must be a valid .csv file: No columns to parse from file\n"


def test_a_wrong_keyword_is_one_line(ratings):
    result = run("evaluate", ratings, "-p", "n_factor=8")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(
        "Error: Invalid value for --param: a keyword of AutoRec must be one of n_factors, n_epochs, "
    )
    assert result.stderr.endswith(", got 'n_factor'; did you mean n_factors?\n")


def test_a_reader_that_stops_early_is_not_an_error(model, tmp_path):
    (tmp_path / "pairs.csv").write_text("user,item\n" + "3,7\n" * 50_000)
    command = [sys.executable, "-m", "surprise_autorec", "predict", str(model), str(tmp_path / "pairs.csv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "user,item,estimate\n"
        program.stdout.close()
        assert program.stderr.read() == ""
    assert program.returncode == (1 if sys.platform == "win32" else -signal.SIGPIPE)


def test_similar_lists_items_or_users(model):
    items = run("similar", model, "--item", 7, "-n", 3)
    assert items.exit_code == 0
    assert list(table(items.stdout)) == ["item", "similarity"]
    assert len(table(items.stdout)) == 3
    assert list(table(run("similar", model, "-u", 3).stdout)) == ["user", "similarity"]


def test_similar_needs_one_of_item_and_user(model):
    for options in ((), ("--item", 7, "--user", 3)):
        result = run("similar", model, *options)
        assert result.exit_code == 2
        assert "--item or --user" in result.stderr


@pytest.mark.parametrize("place", [0, 1])
def test_quiet_hides_progress_and_warnings_but_not_errors(model, tmp_path, ratings, place):
    def quiet(command, *arguments):
        words = [command, *arguments]
        words.insert(place, "-q")
        return run(*words)

    (tmp_path / "pairs.csv").write_text("user,item\nnobody,7\n")
    predicted = quiet("predict", model, tmp_path / "pairs.csv")
    assert predicted.stderr == ""
    assert len(table(predicted.stdout)) == 1
    assert quiet("fit", ratings, "-o", tmp_path / "model", *QUICK).stderr == ""
    assert_one_error(quiet("predict", tmp_path / "none", tmp_path / "pairs.csv"), "no such model file")


def test_keywords_may_be_in_any_case(ratings):
    assert run("evaluate", ratings, "--folds", 2, "-p", "N_Factors=4", "-p", "n_epochs=1").exit_code == 0
