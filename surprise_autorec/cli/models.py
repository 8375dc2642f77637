"""``surprise-autorec fit``, ``predict``, ``recommend``, ``similar``, ``explain`` and ``evaluate``."""

from __future__ import annotations

import re
import time
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import typer

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.cli.shared import (
    ItemColumnOption,
    Layout,
    NamesOption,
    ParamOption,
    RatingColumnOption,
    RatingsArgument,
    ScaleOption,
    SeedOption,
    TableOption,
    UserColumnOption,
    as_ids,
    autorec_keywords,
    check_file,
    check_output,
    fail,
    load_model,
    load_ratings,
    one_line_errors,
    read_table,
    show_table,
    warn,
    write_table,
)
from surprise_autorec.core.arrays import Int32Array
from surprise_autorec.data.tables import factorized
from surprise_autorec.fitting import Ratings, fit_model
from surprise_autorec.model import AutoRecModel
from surprise_autorec.study.arrays import measure_autorec

ModelArgument = Annotated[Path, typer.Argument(help="A model saved by `surprise-autorec fit`.")]


def fit(
    ratings: RatingsArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to save the model to.")],
    param: ParamOption = None,
    rating_scale: ScaleOption = None,
    seed: SeedOption = 0,
    user_column: UserColumnOption = None,
    item_column: ItemColumnOption = None,
    rating_column: RatingColumnOption = None,
    names: NamesOption = None,
) -> None:
    """Train AutoRec on ratings and save it.

    Example: surprise-autorec fit ratings.csv -o model.safetensors -p n_factors=128 -p variant=hybrid
    """
    keywords = autorec_keywords(param, seed)
    check_file(output)
    with one_line_errors():
        layout = Layout.of(names, user_column, item_column, rating_column)
        trained_on = load_ratings(ratings, rating_scale, layout)
        algorithm = AutoRec(**{"verbose": True, **keywords})
        start = time.perf_counter()
        algorithm._restore(fit_model(trained_on, algorithm), {})
        seconds = time.perf_counter() - start
        algorithm.save(output)
    typer.echo(
        f"Trained on {len(trained_on.values):,} ratings by {len(trained_on.user_ids):,} users of "
        f"{len(trained_on.item_ids):,} items in {seconds:.1f} s; saved to {output}"
    )


def predict(
    model: ModelArgument,
    pairs: Annotated[str, typer.Argument(help="A file with user and item columns, or - for csv on stdin.")],
    interval: Annotated[
        float | None,
        typer.Option(
            help="Add columns std, lower and upper: the standard error, and an interval of this coverage."
        ),
    ] = None,
    output: TableOption = "-",
    user_column: UserColumnOption = None,
    item_column: ItemColumnOption = None,
    names: NamesOption = None,
) -> None:
    """Predict ratings for pairs of a user and an item.

    Example: surprise-autorec predict model.safetensors pairs.csv --interval .9 -o estimates.csv
    """
    check_output(output)
    with one_line_errors():
        fitted = _loaded(model)
        frame = read_table(pairs, ("user", "item"), Layout.of(names, user_column, item_column))
        (users, user_ids), (items, item_ids) = factorized(frame["user"]), factorized(frame["item"])
        users, items = _found(fitted, users, items, user_ids, item_ids)
        frame["estimate"] = answers = fitted.answer(users, items)
        if interval is not None:
            bounds = fitted.interval(users, items, interval)
            frame["std"] = fitted.std(users, items, answers)
            frame["lower"], frame["upper"] = bounds.T
        write_table(frame, output)


def recommend(
    model: ModelArgument,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", "-u", help="A user to recommend for; repeat for more. Default: all users."),
    ] = None,
    new_users: Annotated[
        str | None,
        typer.Option(help="A file of ratings by new users, who are not in the model, to recommend for."),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of items for each user.")] = 10,
    include_rated: Annotated[
        bool, typer.Option("--include-rated", help="Also list items that the user has rated.")
    ] = False,
    candidates: Annotated[
        str | None, typer.Option(help="A file with a column of items to choose from. Default: all items.")
    ] = None,
    std: Annotated[
        bool, typer.Option("--std", help="Add a column std, the standard errors of the estimates.")
    ] = False,
    output: TableOption = "-",
    shard: Annotated[
        str | None,
        typer.Option(
            help="K/M: only the K-th of M parts of the users, for M commands to share. Needs -o FILE.parquet."
        ),
    ] = None,
    user_column: UserColumnOption = None,
    item_column: ItemColumnOption = None,
    rating_column: RatingColumnOption = None,
    names: NamesOption = None,
) -> None:
    """List the items with the highest predicted ratings for each user.

    A .parquet file is written as the lists are made: memory does not grow with the number of users.

    Example: surprise-autorec recommend model.safetensors --user ann --user bob -n 5
    """
    check_output(output)
    part = _part(shard, output, is_written_at_once=new_users is not None or std)
    with one_line_errors():
        algorithm = load_model(model)
        fitted = algorithm.model_
        layout = Layout.of(names, user_column, item_column, rating_column)
        ratings_of = None if new_users is None else _ratings_of_new_users(new_users, layout, fitted)
        items = None
        if candidates is not None:
            items = as_ids(read_table(candidates, ("item",), layout)["item"], fitted.item_ids)
        uids = None if user is None else as_ids(user, fitted.user_ids)
        if Path(output).suffix.lower() == ".parquet" and ratings_of is None and not std:
            algorithm.recommend_to(output, uids, n, not include_rated, items, part)
        else:
            write_table(algorithm.recommend(uids, n, not include_rated, items, ratings_of, std), output)


def similar(
    model: ModelArgument,
    item: Annotated[str | None, typer.Option("--item", "-i", help="An item, to list similar items.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="A user, to list similar users.")] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many to list.")] = 10,
    output: TableOption = "-",
) -> None:
    """List the items, or users, that are most similar to one, by the model's factors.

    Example: surprise-autorec similar model.safetensors --item heat -n 5
    """
    if (item is None) == (user is None):
        raise typer.BadParameter("give one of the two", param_hint="--item or --user")
    check_output(output)
    with one_line_errors():
        algorithm = load_model(model)
        if item is not None:
            (one,) = as_ids([item], algorithm.model_.item_ids)
            frame = algorithm.similar_items(one, n)
        else:
            (one,) = as_ids([user], algorithm.model_.user_ids)
            frame = algorithm.similar_users(one, n)
        write_table(frame, output)


def explain(
    model: ModelArgument,
    ratings: Annotated[
        str,
        typer.Option(help="A file with the ratings of the user, in a format that `fit` takes."),
    ],
    user: Annotated[
        str, typer.Option("--user", "-u", help="A user in the file of ratings, who need not be in the model.")
    ],
    item: Annotated[str, typer.Option("--item", "-i", help="The item whose estimate to explain.")],
    n: Annotated[int, typer.Option("-n", min=1, help="Number of ratings to list.")] = 10,
    output: TableOption = "-",
    user_column: UserColumnOption = None,
    item_column: ItemColumnOption = None,
    rating_column: RatingColumnOption = None,
    names: NamesOption = None,
) -> None:
    """List what each rating of a user contributes to an estimate, and the parts that make up the rest of it.

    Example: surprise-autorec explain model.safetensors --ratings ratings.csv --user ann --item heat -n 5
    """
    check_output(output)
    with one_line_errors():
        algorithm = load_model(model)
        fitted = algorithm.model_
        layout = Layout.of(names, user_column, item_column, rating_column)
        given = _ratings_of_user(ratings, layout, user, fitted)
        (uid,), (iid,) = as_ids([user], fitted.user_ids), as_ids([item], fitted.item_ids)
        if uid in fitted.user_index:
            frame = algorithm.explain(uid, iid, n, given)
        else:
            frame = algorithm.explain_new_user(given, iid, n)
        write_table(frame, output)


def evaluate(
    context: typer.Context,
    ratings: RatingsArgument,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", "-m", help="Evaluate this saved model on the ratings, instead of training one."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of cross-validation folds.")] = 5,
    param: ParamOption = None,
    rating_scale: ScaleOption = None,
    seed: SeedOption = 0,
    user_column: UserColumnOption = None,
    item_column: ItemColumnOption = None,
    rating_column: RatingColumnOption = None,
    names: NamesOption = None,
) -> None:
    """Measure the error of AutoRec by cross-validation, or of a saved model on ratings it was not trained on.

    Example: surprise-autorec evaluate ratings.csv --folds 3 -p n_factors=128
    """
    keywords = autorec_keywords(param, seed)
    if model is not None:
        for name in ("folds", "param", "rating_scale", "seed"):
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise typer.BadParameter(
                    "cannot be given with --model: a saved model is not trained again",
                    param_hint=f"--{name.replace('_', '-')}",
                )
    with one_line_errors():
        layout = Layout.of(names, user_column, item_column, rating_column)
        data = load_ratings(ratings, rating_scale, layout)
        if model is not None:
            rmse, mae = _errors(_loaded(model), data)
            show_table({"model": [model.name], "RMSE": [rmse], "MAE": [mae]})
            return
        measured = measure_autorec({"AutoRec": AutoRec(**keywords)}, data, folds, seed)
    failures = measured.folds.loc[measured.folds["error"] != "", "error"]
    if len(failures):
        fail(failures.iloc[0])
    titles = {"rmse": "RMSE", "mae": "MAE", "fit_time": "fit [s]", "test_time": "test [s]"}
    frame = measured.folds.astype({"fold": "str"}).set_index("fold")[list(titles)].rename(columns=titles)
    frame.loc["mean"] = frame.mean()
    show_table(frame.reset_index().to_dict("list"))
    if measured.interrupted:
        raise typer.Exit(130)


def _part(shard: str | None, output: str, is_written_at_once: bool) -> tuple[int, int]:
    """The part of the users that --shard asks for."""
    if shard is None:
        return 1, 1
    found = re.fullmatch(r"([0-9]{1,18})/([0-9]{1,18})", shard)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise typer.BadParameter(
            f"must be K/M, the K-th of M parts, with K from 1 to M, got {shard!r}", param_hint="--shard"
        )
    if Path(output).suffix.lower() != ".parquet" or is_written_at_once:
        raise typer.BadParameter(
            "needs --output FILE.parquet, and cannot be given with --new-users or --std", param_hint="--shard"
        )
    return int(found[1]), int(found[2])


def _loaded(path: Path) -> AutoRecModel:
    return load_model(path).model_


def _found(
    model: AutoRecModel,
    users: Int32Array,
    items: Int32Array,
    user_ids: Sequence[Hashable],
    item_ids: Sequence[Hashable],
) -> tuple[Int32Array, Int32Array]:
    """The model's indices for pairs of places among ids. A warning counts the pairs with an unknown one."""
    found_users = model.find_users(as_ids(user_ids, model.user_ids))
    found_items = model.find_items(as_ids(item_ids, model.item_ids))
    user_indices, item_indices = found_users[users], found_items[items]
    unknown = (user_indices < 0) | (item_indices < 0)
    if unknown.any():
        first = int(unknown.argmax())
        example = (
            f"user {user_ids[users[first]]!r}"
            if user_indices[first] < 0
            else f"item {item_ids[items[first]]!r}"
        )
        warn(
            f"{unknown.sum():,} of {len(users):,} pairs have a user or an item that is not in the model, "
            f"such as {example} (unknown users: {(found_users < 0).sum():,}, unknown items: "
            f"{(found_items < 0).sum():,}); their estimates are "
            f"{'the baselines' if model.biased else 'the mean rating'}"
        )
    return user_indices, item_indices


def _errors(model: AutoRecModel, ratings: Ratings) -> tuple[float, float]:
    """RMSE and MAE of a model. Raises ValueError if a rating is outside the scale of the model."""
    ratings._replace(scale=model.scale).check()
    users, items, values, *ids, _ = ratings
    errors = model.answer(*_found(model, users, items, *ids)) - values
    return float(np.sqrt(np.mean(errors**2))), float(np.mean(np.abs(errors)))


def _ratings_of_new_users(
    file: str, layout: Layout, model: AutoRecModel
) -> dict[Hashable, dict[Hashable, float]]:
    """Ratings of items by user, from a file. Whatever may be unexpected about them is a warning."""
    frame = read_table(file, ("user", "item", "rating"), layout)
    iids = as_ids(frame["item"], model.item_ids)
    ratings = _mean_ratings("new users", frame["user"], iids, frame["rating"], model)
    familiar = [uid for uid in as_ids(ratings, model.user_ids) if uid in model.user_index]
    if familiar:
        warn(
            f"{len(familiar):,} of {len(ratings):,} new users are already in the model, such as "
            f"{familiar[0]!r}; their lists use only the ratings in the file"
        )
    return ratings


def _ratings_of_user(source: str, layout: Layout, user: str, model: AutoRecModel) -> dict[Hashable, float]:
    """One user's ratings of items. Whatever may be unexpected about them is a warning."""
    ratings = load_ratings(source, None, layout)
    (uid,) = as_ids([user], ratings.user_ids)
    if uid not in ratings.user_ids:
        raise ValueError(f"the user must have ratings in {source}, but {user!r} has none")
    rows = ratings.users == ratings.user_ids.index(uid)
    iids = as_ids([ratings.item_ids[item] for item in ratings.items[rows]], model.item_ids)
    values = ratings.values[rows].tolist()
    return _mean_ratings("the user", [uid] * len(iids), iids, values, model)[uid]


def _mean_ratings(
    who: str, uids: Iterable[Hashable], iids: Iterable[Hashable], values: Iterable[float], model: AutoRecModel
) -> dict[Hashable, dict[Hashable, float]]:
    """Ratings of items by user: of several ratings of an item by a user, the mean."""
    collected: dict[Hashable, dict[Hashable, list[float]]] = {}
    for uid, iid, value in zip(uids, iids, values, strict=True):
        collected.setdefault(uid, {}).setdefault(iid, []).append(value)
    unknown = list(
        dict.fromkeys(iid for ratings in collected.values() for iid in ratings if iid not in model.item_index)
    )
    if unknown:
        warn(
            f"{who} rated items that are not in the model ({len(unknown):,}, such as {unknown[0]!r}); these "
            "ratings affect only the biases of users"
        )
    n_repeats = sum(len(given) - 1 for ratings in collected.values() for given in ratings.values())
    if n_repeats:
        warn(f"{who} rated items more than once (repeats: {n_repeats:,}); the mean is used")
    return {uid: {iid: fmean(given) for iid, given in ratings.items()} for uid, ratings in collected.items()}
