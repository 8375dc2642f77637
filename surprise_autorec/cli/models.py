"""``surprise-autorec fit``, ``predict``, ``recommend``, ``explain`` and ``evaluate``."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable
from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import typer
from surprise.model_selection import KFold

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.cli.shared import (
    ParamOption,
    RatingsArgument,
    ScaleOption,
    SeedOption,
    TableOption,
    as_ids,
    autorec_keywords,
    check_file,
    check_output,
    fail,
    load_ratings,
    one_line_errors,
    read_table,
    show_table,
    warn,
    write_table,
)
from surprise_autorec.core.arrays import Float64Array
from surprise_autorec.fitted import FittedAutoRec
from surprise_autorec.fitting import Ratings
from surprise_autorec.model import AutoRecModel
from surprise_autorec.persistence import load
from surprise_autorec.study.comparison import compare

ModelArgument = Annotated[Path, typer.Argument(help="A model saved by `surprise-autorec fit`.")]


def fit(
    ratings: RatingsArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to save the model to.")],
    param: ParamOption = None,
    rating_scale: ScaleOption = None,
    seed: SeedOption = 0,
) -> None:
    """Train AutoRec on ratings and save it.

    Example: surprise-autorec fit ratings.csv -o model.safetensors -p n_factors=128 -p variant=hybrid
    """
    keywords = autorec_keywords(param, seed)
    check_file(output)
    with one_line_errors():
        trainset = load_ratings(ratings, rating_scale).build_full_trainset()
        algorithm = AutoRec(**{"verbose": True, **keywords})
        start = time.perf_counter()
        algorithm.fit(trainset)
        seconds = time.perf_counter() - start
        algorithm.save(output)
    typer.echo(
        f"Trained on {trainset.n_ratings:,} ratings by {trainset.n_users:,} users of {trainset.n_items:,} "
        f"items in {seconds:.1f} s; saved to {output}"
    )


def predict(
    model: ModelArgument,
    pairs: Annotated[str, typer.Argument(help="A file with user and item columns, or - for csv on stdin.")],
    output: TableOption = "-",
) -> None:
    """Predict ratings for pairs of a user and an item.

    Example: surprise-autorec predict model.safetensors pairs.csv -o estimates.csv
    """
    check_output(output)
    with one_line_errors():
        fitted = _loaded(model)
        frame = read_table(pairs, ("user", "item"))
        frame["estimate"] = _estimates(fitted, frame["user"], frame["item"])
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
    output: TableOption = "-",
) -> None:
    """List the items with the highest predicted ratings for each user.

    Example: surprise-autorec recommend model.safetensors --user ann --user bob -n 5
    """
    check_output(output)
    with one_line_errors():
        algorithm: FittedAutoRec = load(model)
        fitted = algorithm.model_
        ratings_of = None if new_users is None else _ratings_of_new_users(new_users, fitted)
        items = (
            None if candidates is None else as_ids(read_table(candidates, ("item",))["item"], fitted.item_ids)
        )
        uids = None if user is None else as_ids(user, fitted.user_ids)
        write_table(algorithm.recommend(uids, n, not include_rated, items, ratings_of), output)


def explain(
    model: ModelArgument,
    ratings: Annotated[
        str,
        typer.Option(help="The ratings that the model was trained on, or a new user's, as `fit` takes them."),
    ],
    user: Annotated[
        str, typer.Option("--user", "-u", help="A user of the ratings; may be one who is not in the model.")
    ],
    item: Annotated[str, typer.Option("--item", "-i", help="The item whose estimate to explain.")],
    n: Annotated[int, typer.Option("-n", min=1, help="Number of ratings to list.")] = 10,
    output: TableOption = "-",
) -> None:
    """List what each rating of a user contributes to an estimate, and the parts that make up the rest of it.

    Example: surprise-autorec explain model.safetensors --ratings ratings.csv --user ann --item heat -n 5
    """
    check_output(output)
    with one_line_errors():
        algorithm: FittedAutoRec = load(model)
        fitted = algorithm.model_
        given = _ratings_of_user(ratings, user, fitted)
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
        data = load_ratings(ratings, rating_scale)
        if model is not None:
            rmse, mae = _errors(_loaded(model), data.raw_ratings)
            show_table({"model": [model.name], "RMSE": [rmse], "MAE": [mae]})
            return
        cv = KFold(folds, random_state=seed)
        comparison = compare([AutoRec(**keywords)], data, cv, verbose=True)
    measured = comparison.folds
    failures = measured.loc[measured["error"] != "", "error"]
    if len(failures):
        fail(failures.iloc[0])
    names = {"rmse": "RMSE", "mae": "MAE", "fit_time": "fit [s]", "test_time": "test [s]"}
    frame = measured.astype({"fold": "str"}).set_index("fold")[list(names)].rename(columns=names)
    frame.loc["mean"] = frame.mean()
    show_table(frame.reset_index().to_dict("list"))
    if comparison.info.interrupted:
        raise typer.Exit(130)


def _loaded(path: Path) -> AutoRecModel:
    algorithm: FittedAutoRec = load(path)
    return algorithm.model_


def _estimates(model: AutoRecModel, users: Iterable[Hashable], items: Iterable[Hashable]) -> Float64Array:
    """Predictions for pairs of ids from a file. A warning counts the pairs with an unknown user or item."""
    uids, iids = as_ids(users, model.user_ids), as_ids(items, model.item_ids)
    user_indices, item_indices = model.find_users(uids), model.find_items(iids)
    unknown = (user_indices < 0) | (item_indices < 0)
    if unknown.any():
        first = int(unknown.argmax())
        example = f"user {uids[first]!r}" if user_indices[first] < 0 else f"item {iids[first]!r}"
        n_users, n_items = (
            len({one for one, index in zip(ids, indices, strict=True) if index < 0})
            for ids, indices in ((uids, user_indices), (iids, item_indices))
        )
        warn(
            f"{unknown.sum():,} of {len(uids):,} pairs have a user or an item that is not in the model, such "
            f"as {example} (unknown users: {n_users:,}, unknown items: {n_items:,}); their estimates are "
            f"{'the baselines' if model.biased else 'the mean rating'}"
        )
    return model.answer(user_indices, item_indices)


def _errors(
    model: AutoRecModel, ratings: list[tuple[Hashable, Hashable, float, None]]
) -> tuple[float, float]:
    """RMSE and MAE of a model. Raises ValueError if a rating is outside the scale of the model."""
    users, items, values, _ = zip(*ratings, strict=True)
    places, actual = np.arange(len(values), dtype=np.int32), np.array(values, np.float64)
    Ratings(places, places, actual, users, items, model.scale).check()
    errors = _estimates(model, users, items) - actual
    return float(np.sqrt(np.mean(errors**2))), float(np.mean(np.abs(errors)))


def _ratings_of_new_users(file: str, model: AutoRecModel) -> dict[Hashable, dict[Hashable, float]]:
    """Ratings of items by user, from a file. Whatever may be unexpected about them is a warning."""
    frame = read_table(file, ("user", "item", "rating"))
    iids = as_ids(frame["item"], model.item_ids)
    collected: dict[Hashable, dict[Hashable, list[float]]] = {}
    for uid, iid, rating in zip(frame["user"], iids, frame["rating"], strict=True):
        collected.setdefault(uid, {}).setdefault(iid, []).append(rating)
    unknown = list(dict.fromkeys(iid for iid in iids if iid not in model.item_index))
    if unknown:
        warn(
            f"new users rated items that are not in the model ({len(unknown):,}, such as {unknown[0]!r}); "
            "these ratings affect only the biases of the users"
        )
    familiar = [uid for uid in as_ids(collected, model.user_ids) if uid in model.user_index]
    if familiar:
        warn(
            f"{len(familiar):,} of {len(collected):,} new users are already in the model, such as "
            f"{familiar[0]!r}; their lists use only the ratings in the file"
        )
    n_pairs = sum(map(len, collected.values()))
    if n_pairs < len(frame):
        warn(f"repeated ratings of an item by a new user: {len(frame) - n_pairs:,}; their mean is used")
    return {uid: {iid: fmean(given) for iid, given in ratings.items()} for uid, ratings in collected.items()}


def _ratings_of_user(source: str, user: str, model: AutoRecModel) -> dict[Hashable, float]:
    """One user's ratings of items. Whatever may be unexpected about them is a warning."""
    ratings = load_ratings(source, None).raw_ratings
    (uid,) = as_ids([user], {row[0] for row in ratings})
    rows = [(iid, rating) for one, iid, rating, _ in ratings if one == uid]
    if not rows:
        raise ValueError(f"the user must have ratings in {source}, and {user!r} has none")
    collected: dict[Hashable, list[float]] = {}
    for iid, (_, rating) in zip(as_ids([iid for iid, _ in rows], model.item_ids), rows, strict=True):
        collected.setdefault(iid, []).append(rating)
    unknown = [iid for iid in collected if iid not in model.item_index]
    if unknown:
        warn(
            f"the user rated items that are not in the model ({len(unknown):,}, such as {unknown[0]!r}); "
            "these ratings affect only the bias of the user"
        )
    if len(collected) < len(rows):
        warn(f"repeated ratings of an item by the user: {len(rows) - len(collected):,}; their mean is used")
    return {iid: fmean(given) for iid, given in collected.items()}
