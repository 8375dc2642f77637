"""``surprise-autorec fit``, ``predict``, ``recommend`` and ``evaluate``."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import typer
from surprise.model_selection import KFold
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
    check_file,
    check_output,
    load_ratings,
    one_line_errors,
    read_table,
    warn,
    write_table,
)
from surprise_autorec.fitted import FittedAutoRec
from surprise_autorec.fitting import Ratings
from surprise_autorec.model import AutoRecModel, FloatArray
from surprise_autorec.persistence import load
from surprise_autorec.study.folds import measure

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
    check_file(output)
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
        frame["estimate"] = _estimates(fitted, frame["user"], frame["item"])
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
        ratings_of = None if new_users is None else _ratings_of_new_users(new_users, fitted)
        items = None if candidates is None else as_ids(read_table(candidates, ("item",))["item"], fitted.item_ids)
        uids = None if user is None else as_ids(user, fitted.user_ids)
        write_table(algorithm.recommend(uids, n, not include_rated, items, ratings_of), output)


def evaluate(
    context: typer.Context,
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
    if model is not None:
        for name in ("folds", "param", "rating_scale", "seed"):
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise typer.BadParameter(
                    "cannot be given with --model, which is not trained anew", param_hint=f"--{name.replace('_', '-')}"
                )
    with one_line_errors():
        data = load_ratings(ratings, rating_scale)
        if model is not None:
            rmse, mae = _errors(_loaded(model), data.raw_ratings)
            typer.echo(tabulate([(model.name, rmse, mae)], ["model", "RMSE", "MAE"], "rounded_outline", floatfmt=".4f"))
            return
        cv = KFold(folds, random_state=seed)
        measured = measure({"AutoRec": partial(AutoRec, **keywords)}, data, cv, verbose=True)
    names = {"rmse": "RMSE", "mae": "MAE", "fit_time": "fit [s]", "test_time": "test [s]"}
    frame = measured.astype({"fold": "str"}).set_index("fold")[list(names)].rename(columns=names)
    frame.loc["mean"] = frame.mean()
    typer.echo(
        tabulate(frame.reset_index().to_dict("list"), headers="keys", tablefmt="rounded_outline", floatfmt=".4f")
    )


def _loaded(path: Path) -> AutoRecModel:
    algorithm: FittedAutoRec = load(path)
    return algorithm.model_


def _estimates(model: AutoRecModel, users: Iterable[Hashable], items: Iterable[Hashable]) -> FloatArray:
    """Predictions for pairs of ids from a file; a warning counts those whose user or item is unknown."""
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
            f"{unknown.sum():,} of {len(uids):,} pairs are answered "
            f"{'from the baselines' if model.biased else 'with the mean rating'}: users ({n_users:,}) or items "
            f"({n_items:,}) are not in the model, such as {example}"
        )
    return model.answer(user_indices, item_indices)


def _errors(model: AutoRecModel, ratings: list[tuple[Hashable, Hashable, float, None]]) -> tuple[float, float]:
    """RMSE and MAE of a model. Raises ValueError where a rating is off its scale."""
    users, items, values, _ = zip(*ratings, strict=True)
    places, actual = np.arange(len(values), dtype=np.int32), np.array(values, np.float64)
    Ratings(places, places, actual, users, items, model.scale).check()
    errors = _estimates(model, users, items) - actual
    return float(np.sqrt(np.mean(errors**2))), float(np.mean(np.abs(errors)))


def _ratings_of_new_users(file: str, model: AutoRecModel) -> dict[Hashable, dict[Hashable, float]]:
    """Ratings of items by user, from a file; a warning for each thing about them that may surprise."""
    frame = read_table(file, ("user", "item", "rating"))
    iids = as_ids(frame["item"], model.item_ids)
    collected: dict[Hashable, dict[Hashable, list[float]]] = {}
    for uid, iid, rating in zip(frame["user"], iids, frame["rating"], strict=True):
        collected.setdefault(uid, {}).setdefault(iid, []).append(rating)
    unknown = list(dict.fromkeys(iid for iid in iids if iid not in model.item_index))
    if unknown:
        warn(
            f"new users rated {len(unknown):,} items that are not in the model, such as {unknown[0]!r}: that tells of "
            "the users' biases only"
        )
    familiar = [uid for uid in as_ids(collected, model.user_ids) if uid in model.user_index]
    if familiar:
        warn(
            f"{len(familiar):,} of {len(collected):,} new users are in the model, such as {familiar[0]!r}: what is "
            "listed for them is by their ratings in the file alone"
        )
    n_pairs = sum(map(len, collected.values()))
    if n_pairs < len(frame):
        warn(f"{len(frame) - n_pairs:,} ratings of new users repeat a pair: the mean of a pair's ratings is used")
    return {uid: {iid: fmean(given) for iid, given in ratings.items()} for uid, ratings in collected.items()}
