"""``surprise-autorec fit``, ``predict``, ``recommend`` and ``evaluate``."""

from __future__ import annotations

import time
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from surprise import Prediction, accuracy
from surprise.model_selection import KFold, cross_validate
from tabulate import tabulate

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.cli.shared import (
    ParamOption,
    RatingsArgument,
    ScaleOption,
    SeedOption,
    TableOption,
    as_ids,
    autorec_keywords,
    check_folder,
    check_output,
    load_ratings,
    one_line_errors,
    read_table,
    write_table,
)
from surprise_autorec.fitted import FittedAutoRec
from surprise_autorec.model import AutoRecModel
from surprise_autorec.persistence import load

ModelArgument = Annotated[Path, typer.Argument(help="A model that `surprise-autorec fit` has written.")]


def fit(
    ratings: RatingsArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the model goes.")],
    param: ParamOption = None,
    rating_scale: ScaleOption = None,
    seed: SeedOption = 0,
) -> None:
    """Train AutoRec on ratings and save it.

    Example: surprise-autorec fit ratings.csv -o model.safetensors -p n_factors=128 -p variant=hybrid
    """
    keywords = autorec_keywords(param, seed)
    check_folder(output)
    with one_line_errors():
        trainset = load_ratings(ratings, rating_scale).build_full_trainset()
        algorithm = AutoRec(**{"verbose": True, **keywords})
        start = time.perf_counter()
        algorithm.fit(trainset)
        seconds = time.perf_counter() - start
        algorithm.save(output)
    typer.echo(
        f"{trainset.n_ratings:,} ratings by {trainset.n_users:,} users of {trainset.n_items:,} items: trained in "
        f"{seconds:.1f} s, written to {output}"
    )


def predict(
    model: ModelArgument,
    pairs: Annotated[str, typer.Argument(help="A file with columns for user and item, or - for csv on stdin.")],
    output: TableOption = "-",
) -> None:
    """Predict ratings for pairs of user and item.

    Example: surprise-autorec predict model.safetensors pairs.csv -o estimates.csv
    """
    check_output(output)
    with one_line_errors():
        fitted = _loaded(model)
        frame = read_table(pairs, ("user", "item"))
        users, items = as_ids(frame["user"], fitted.user_ids), as_ids(frame["item"], fitted.item_ids)
        frame["estimate"] = fitted.answer(fitted.find_users(users), fitted.find_items(items))
        _warn_of_unknown(fitted, users, items)
        write_table(frame, output)


def recommend(
    model: ModelArgument,
    user: Annotated[
        list[str] | None, typer.Option("--user", "-u", help="For whom; repeat it for more. Default: all users.")
    ] = None,
    new_users: Annotated[
        str | None,
        typer.Option(help="A file with ratings of users that the model does not know, for whom to list."),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Items for each user.")] = 10,
    include_rated: Annotated[bool, typer.Option("--include-rated", help="List what a user has rated, too.")] = False,
    candidates: Annotated[
        str | None, typer.Option(help="A file with a column of items to choose from. Default: all items.")
    ] = None,
    output: TableOption = "-",
) -> None:
    """List the items with the highest predicted ratings for users.

    Example: surprise-autorec recommend model.safetensors --user ann --user bob -n 5
    """
    check_output(output)
    with one_line_errors():
        algorithm: FittedAutoRec = load(model)
        fitted = algorithm.model_
        ratings_of: dict[Hashable, dict[Hashable, float]] | None = None
        if new_users is not None:
            table = read_table(new_users, ("user", "item", "rating"))
            table["item"] = as_ids(table["item"], fitted.item_ids)
            means = table.groupby(["user", "item"], sort=False)["rating"].mean()
            ratings_of = {uid: means[uid].to_dict() for uid in table["user"].unique()}
        items = None if candidates is None else as_ids(read_table(candidates, ("item",))["item"], fitted.item_ids)
        uids = None if user is None else as_ids(user, fitted.user_ids)
        write_table(algorithm.recommend(uids, n, not include_rated, items, ratings_of), output)


def evaluate(
    ratings: RatingsArgument,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Measure this model on the ratings, instead of training any.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of cross-validation folds.")] = 5,
    param: ParamOption = None,
    rating_scale: ScaleOption = None,
    seed: SeedOption = 0,
) -> None:
    """Measure the errors of AutoRec: by cross-validation, or those of a saved model on ratings it was not trained on.

    Example: surprise-autorec evaluate ratings.csv --folds 3 -p n_factors=128
    """
    keywords = autorec_keywords(param, seed)
    if model is not None and param:
        raise typer.BadParameter("cannot be given with --model, which has its own", param_hint="--param")
    with one_line_errors():
        data = load_ratings(ratings, rating_scale)
        if model is not None:
            predictions = _predictions(_loaded(model), data.raw_ratings)
            rows = [(model.name, accuracy.rmse(predictions, verbose=False), accuracy.mae(predictions, verbose=False))]
            typer.echo(tabulate(rows, ["model", "RMSE", "MAE"], tablefmt="rounded_outline", floatfmt=".4f"))
            return
        found = cross_validate(AutoRec(**keywords), data, ["rmse", "mae"], KFold(folds, random_state=seed))
    names = {"test_rmse": "RMSE", "test_mae": "MAE", "fit_time": "fit [s]", "test_time": "test [s]"}
    frame = pd.DataFrame(found)[[*names]].rename(columns=names)
    frame.index = pd.Index(range(1, folds + 1), name="fold").astype(str)
    frame.loc["mean"] = frame.mean()
    typer.echo(
        tabulate(frame.reset_index().to_dict("list"), headers="keys", tablefmt="rounded_outline", floatfmt=".4f")
    )


def _loaded(path: Path) -> AutoRecModel:
    algorithm: FittedAutoRec = load(path)
    return algorithm.model_


def _predictions(model: AutoRecModel, ratings: list[tuple[str, str, float, None]]) -> list[Prediction]:
    uids, iids, values, _ = zip(*ratings, strict=True)
    users, items = as_ids(uids, model.user_ids), as_ids(iids, model.item_ids)
    _warn_of_unknown(model, users, items)
    estimates = model.answer(model.find_users(users), model.find_items(items))
    return [Prediction(*fields, {}) for fields in zip(uids, iids, values, estimates, strict=True)]


def _warn_of_unknown(model: AutoRecModel, users: list[Hashable], items: list[Hashable]) -> None:
    n_unknown = int(((model.find_users(users) < 0) | (model.find_items(items) < 0)).sum())
    if n_unknown:
        typer.echo(
            f"warning: {n_unknown:,} of {len(users):,} pairs have a user or an item that the model does not know: they "
            "are answered from the baselines",
            err=True,
        )
