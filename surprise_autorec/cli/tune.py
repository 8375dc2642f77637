"""``surprise-autorec tune``."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from sklearn.model_selection import ParameterGrid, ParameterSampler

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.cli.shared import (
    ItemColumnOption,
    JobsOption,
    Layout,
    NamesOption,
    ParamOption,
    RatingColumnOption,
    RatingsArgument,
    ScaleOption,
    SeedOption,
    UserColumnOption,
    autorec_keywords,
    check_output,
    fail,
    known_keywords,
    load_ratings,
    one_line_errors,
    parse_setting,
    show_table,
    value_of,
    warn,
    write_table,
)
from surprise_autorec.display import as_text
from surprise_autorec.study.arrays import measure_autorec


def command(
    ratings: RatingsArgument,
    grid: Annotated[
        Path | None, typer.Option(help="A .toml or .json file with a list of values to try for each keyword.")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--values", "-g", help="A keyword and values to try, as in n_factors=64,128; repeat for more."
        ),
    ] = None,
    random: Annotated[
        int | None, typer.Option(min=1, help="Try this many random combinations instead of all.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of cross-validation folds.")] = 3,
    param: ParamOption = None,
    rating_scale: ScaleOption = None,
    seed: SeedOption = 0,
    n_jobs: JobsOption = 1,
    fits: Annotated[
        Path | None,
        typer.Option(help="Folder for every finished fit, where a second run continues."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="A .csv, .parquet or .jsonl file for all results.")
    ] = None,
    user_column: UserColumnOption = None,
    item_column: ItemColumnOption = None,
    rating_column: RatingColumnOption = None,
    names: NamesOption = None,
) -> None:
    """Cross-validate combinations of AutoRec's keywords on the same folds, and name the best.

    Example: surprise-autorec tune ratings.csv -g n_factors=64,128 -g variant=item,hybrid --folds 3
    """
    if output is not None:
        check_output(output)
    fixed = autorec_keywords(param, seed)
    choices = {**_grid_of_file(grid), **_grid_of_flags(values or [])}
    for setting in param or []:
        key = setting.partition("=")[0]
        if key in choices:
            raise typer.BadParameter(
                f"must not set {key}, because it is one of the keywords to try", param_hint="--param"
            )
    tried = _combinations(choices, random, seed)
    with one_line_errors():
        settings = [{**fixed, **keywords} for keywords in tried]
        for keywords in settings:
            AutoRec(**keywords).check_parameters()  # all of them, before the first is trained
        layout = Layout.of(names, user_column, item_column, rating_column)
        measured = measure_autorec(
            {_call(keywords): AutoRec(**keywords) for keywords in settings},
            load_ratings(ratings, rating_scale, layout),
            folds,
            seed,
            n_jobs,
            fits,
        )
        frame = pd.DataFrame([{key: _shown(value) for key, value in keywords.items()} for keywords in tried])
        frame = frame.join(_results(measured.folds, [_call(keywords) for keywords in settings])).sort_values(
            "rmse"
        )
        show_table(frame.to_dict("list"))
        if measured.interrupted:
            typer.echo(f"\ninterrupted: {len(measured.folds)} of {measured.n_planned} fits are done")
        given = {key: fixed[key] for key in (setting.partition("=")[0] for setting in param or [])}
        typer.echo(f"\nbest: {_call({**given, **tried[frame.index[0]]})}")
        if output is not None:
            write_table(frame, output)
    if measured.interrupted:
        raise typer.Exit(130)


def _results(folds: pd.DataFrame, calls: list[str]) -> pd.DataFrame:
    """Errors and times of each combination; NaN if training failed on a fold, of which a warning tells."""
    failures = folds.query("error != ''").groupby("algorithm", sort=False)["error"].first()
    for name, reason in failures.items():
        warn(f"{name}: {reason.removeprefix('DivergenceError: ')}")
    if len(failures) == len(set(calls)):
        fail(f"training failed with every combination, the first time with {failures.iloc[0]}")
    groups = folds[~folds["algorithm"].isin(failures.index)].groupby("algorithm")
    errors = groups[["rmse", "mae"]]
    summary = errors.mean().join(errors.std(ddof=0).add_suffix("_std")).join(groups["fit_time"].median())
    summary = summary.reindex(calls).reset_index(drop=True)
    return summary[["rmse", "rmse_std", "mae", "mae_std", "fit_time"]]


def _call(keywords: dict[str, Any]) -> str:
    return as_text("AutoRec", keywords)


def _combinations(grid: dict[str, list[Any]], n_random: int | None, seed: int) -> list[dict[str, Any]]:
    if not grid:
        raise typer.BadParameter(
            "must be given, in a file (--grid) or with -g KEYWORD=VALUE,VALUE", param_hint="the grid"
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
        if isinstance(value, str):  # not a Python literal as a whole
            value = [value_of(part) for part in value.split(",")]
        # n_factors=(64, 32) could be one value or two: it is taken as two, and (64, 32), as one.
        grid[key] = list(value) if isinstance(value, (tuple, list)) else [value]
    return grid


def _grid_of_file(path: Path | None) -> dict[str, list[Any]]:
    if path is None:
        return {}
    hint, rule = "--grid", "must be a .toml or .json file with a list of values for each keyword"
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
    """A value in a form that a table can hold."""
    return value if isinstance(value, (bool, int, float, str)) else repr(value)
