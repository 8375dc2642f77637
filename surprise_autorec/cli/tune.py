"""``surprise-autorec tune``."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import pandas as pd
import typer
from sklearn.model_selection import ParameterGrid, ParameterSampler
from surprise import accuracy
from surprise.model_selection import KFold
from tabulate import tabulate

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.cli.shared import (
    RatingsArgument,
    ScaleOption,
    SeedOption,
    check_output,
    known_keywords,
    load_ratings,
    one_line_errors,
    parse_setting,
    value_of,
    write_table,
)


def command(
    ratings: RatingsArgument,
    grid: Annotated[
        Path | None, typer.Option(help="A .toml or .json file: for each keyword a list of values to try.")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--values", "-g", help="A keyword and values to try, as in n_factors=64,128; repeat it for more."),
    ] = None,
    random: Annotated[
        int | None, typer.Option(min=1, help="Try so many random combinations instead of all of them.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of cross-validation folds.")] = 3,
    rating_scale: ScaleOption = None,
    seed: SeedOption = 0,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="A .csv, .parquet or .jsonl file for all results.")
    ] = None,
) -> None:
    """Try combinations of AutoRec's keywords by cross-validation on the same folds, and name the best.

    Example: surprise-autorec tune ratings.csv -g n_factors=64,128 -g variant=item,hybrid --folds 3
    """
    if output is not None:
        check_output(output)
    from tqdm.auto import tqdm

    tried = _combinations({**_grid_of_file(grid), **_grid_of_flags(values or [])}, random, seed)
    with one_line_errors():
        algorithms = [AutoRec(**{"random_state": seed, **keywords}) for keywords in tried]
        for algorithm in algorithms:
            algorithm._check_parameters()  # all of them, before the first is trained
        splits = list(KFold(folds, random_state=seed).split(load_ratings(ratings, rating_scale)))
        rows = []
        with tqdm(total=len(tried) * folds, unit="fit") as bar:
            for keywords, algorithm in zip(tried, algorithms, strict=True):
                errors = []
                for trainset, testset in splits:
                    predictions = algorithm.fit(trainset).test(testset)
                    errors.append([measure(predictions, verbose=False) for measure in (accuracy.rmse, accuracy.mae)])
                    bar.update()
                rmse, mae = map(fmean, zip(*errors, strict=True))
                rows.append({**{key: _shown(value) for key, value in keywords.items()}, "rmse": rmse, "mae": mae})
        order = sorted(range(len(rows)), key=lambda n: rows[n]["rmse"])
        frame = pd.DataFrame([rows[n] for n in order])
        typer.echo(tabulate(frame.to_dict("list"), headers="keys", tablefmt="rounded_outline", floatfmt=".4f"))
        best = ", ".join(f"{key}={value!r}" for key, value in tried[order[0]].items())
        typer.echo(f"\nbest: AutoRec({best})")
        if output is not None:
            write_table(frame, output)


def _combinations(grid: dict[str, list[Any]], n_random: int | None, seed: int) -> list[dict[str, Any]]:
    if not grid:
        raise typer.BadParameter(
            "must be given, in a file (--grid) or by -g KEYWORD=VALUE,VALUE", param_hint="the grid"
        )
    every = ParameterGrid(grid)
    if n_random is None or n_random >= len(every):
        return list(every)
    return list(ParameterSampler(grid, n_random, random_state=seed))


def _grid_of_flags(flags: list[str]) -> dict[str, list[Any]]:
    known = known_keywords(AutoRec)
    grid = {}
    for flag in flags:
        key, value = parse_setting("AutoRec", known, flag, hint="--values")
        if isinstance(value, str):  # no Python literal as a whole
            value = [value_of(part) for part in value.split(",")]
        # (Of n_factors=(64, 32) one cannot tell whether it is one value or two: (64, 32), is one.)
        grid[key] = list(value) if isinstance(value, (tuple, list)) else [value]
    return grid


def _grid_of_file(path: Path | None) -> dict[str, list[Any]]:
    if path is None:
        return {}
    hint, rule = "--grid", "must be a .toml or .json file that has a list of values for each keyword"
    readers = {".toml": tomllib.loads, ".json": json.loads}
    try:
        grid = readers[path.suffix.lower()](path.read_text(encoding="utf-8"))
    except (KeyError, OSError, ValueError) as error:
        raise typer.BadParameter(f"{rule}: {path}: {error}", param_hint=hint) from error
    known = known_keywords(AutoRec)
    are_lists = isinstance(grid, dict) and all(isinstance(value, list) and value for value in grid.values())
    if not are_lists:
        raise typer.BadParameter(f"{rule}, got {grid!r}", param_hint=hint)
    for key in grid:
        parse_setting("AutoRec", known, f"{key}=", hint)
    return {key: [tuple(value) if isinstance(value, list) else value for value in grid[key]] for key in grid}


def _shown(value: Any) -> Any:
    """A value as a table can hold it."""
    return value if isinstance(value, (bool, int, float, str)) else repr(value)
