"""``surprise-autorec compare`` and ``tune``."""

from __future__ import annotations

import json
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import surprise
import typer
from sklearn.model_selection import ParameterGrid, ParameterSampler
from surprise import Dataset, Trainset
from surprise.model_selection import KFold

from surprise_autorec import comparison
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
    check_file,
    check_output,
    did_you_mean,
    fail,
    known_keywords,
    load_dataset,
    load_ratings,
    matched,
    one_line_errors,
    parse_setting,
    show_table,
    value_of,
    warn,
    write_table,
)
from surprise_autorec.display import as_text
from surprise_autorec.study.arrays import measure_autorec
from surprise_autorec.study.result import Comparison


class _SeededNormalPredictor(surprise.NormalPredictor):  # type: ignore[misc]
    """Surprise's NormalPredictor with a seed; Surprise's own draws from NumPy's global generator."""

    def __init__(self, random_state: int | None = None) -> None:
        super().__init__()
        self.random_state = random_state

    def fit(self, trainset: Trainset) -> _SeededNormalPredictor:
        super().fit(trainset)
        self._generator = np.random.default_rng(self.random_state)
        return self

    def estimate(self, *_: object) -> float:
        return float(self._generator.normal(self.trainset.global_mean, self.sigma))


#: The algorithms that can be compared, by name: a class and its arguments.
_ALGORITHMS: dict[str, tuple[type[surprise.AlgoBase], dict[str, Any]]] = {
    "AutoRec": (AutoRec, {}),
    "AutoRec-user": (AutoRec, {"variant": "user"}),
    "AutoRec-hybrid": (AutoRec, {"variant": "hybrid"}),
    "SVD++": (surprise.SVDpp, {"cache_ratings": True}),
    "SVD": (surprise.SVD, {}),
    "NMF": (surprise.NMF, {}),
    "KNNBaseline": (surprise.KNNBaseline, {"verbose": False}),
    "KNNBasic": (surprise.KNNBasic, {"verbose": False}),
    "KNNWithMeans": (surprise.KNNWithMeans, {"verbose": False}),
    "KNNWithZScore": (surprise.KNNWithZScore, {"verbose": False}),
    "SlopeOne": (surprise.SlopeOne, {}),
    "CoClustering": (surprise.CoClustering, {}),
    "BaselineOnly": (surprise.BaselineOnly, {"verbose": False}),
    "NormalPredictor": (_SeededNormalPredictor, {}),
}
_DEFAULT = ["AutoRec", "SVD++", "SVD", "KNNBaseline", "BaselineOnly"]


def compare(
    ratings: Annotated[
        list[str] | None,
        typer.Argument(
            help="Data sets: ml-100k, ml-1m, ml-latest-small, files (csv, parquet, ...), or - for csv on "
            "stdin. Default: ml-100k.",
        ),
    ] = None,
    path: Annotated[
        Path | None, typer.Option(help="Where to find the data set, if it is not in a usual place.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of cross-validation folds.")] = 5,
    repeats: Annotated[
        int, typer.Option(min=1, help="How often to repeat cross-validation, each time with other folds.")
    ] = 1,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            "--algorithm",
            "-a",
            help=f"An algorithm to compare; repeat for more. One of {', '.join(_ALGORITHMS)}.",
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", "-p", help="Set a keyword of an algorithm, as in SVD.n_factors=50; repeat for more."
        ),
    ] = None,
    rating_scale: ScaleOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the folds and of every algorithm.")] = 0,
    rank: Annotated[
        int | None,
        typer.Option(min=1, help="Also evaluate rankings: lists of this many test items for each user."),
    ] = None,
    train_sizes: Annotated[
        str | None,
        typer.Option(
            help="Shares of the training ratings for a learning curve, as in 0.1,0.3,1. Default: all of them."
        ),
    ] = None,
    errors: Annotated[
        bool,
        typer.Option("--errors", help="Keep predictions; the report then shows where errors come from."),
    ] = False,
    n_jobs: JobsOption = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for every finished fit, where a second run continues, and for the results: "
            "comparison.csv, folds.csv, comparison.md, comparison.tex, comparison.png."
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="An .html file for a report with charts.")] = None,
    user_column: UserColumnOption = None,
    item_column: ItemColumnOption = None,
    rating_column: RatingColumnOption = None,
    names: NamesOption = None,
) -> None:
    """Cross-validate AutoRec and other algorithms on the same folds, and print a table, best first.

    Ctrl-C prints the table of the finished fits.

    Example: surprise-autorec compare ml-100k -a AutoRec -a SVD -p AutoRec.n_factors=250 --output out
    """
    if (output or report) is not None and find_spec("matplotlib") is None:
        fail("--output and --report draw charts and need matplotlib: pip install 'surprise-autorec[plot]'")
    if report is not None:
        check_file(report, "--report")
    keywords = _keywords(algorithm or _DEFAULT, param or [], seed)
    with one_line_errors():
        layout = Layout.of(names, user_column, item_column, rating_column)
        data = _data(ratings or ["ml-100k"], path, rating_scale, layout)
        algorithms = {name: _ALGORITHMS[name][0](**arguments) for name, arguments in keywords.items()}
        for one in algorithms.values():
            if isinstance(one, AutoRec):
                one.check_parameters()  # before anything is trained
        result = comparison.compare(
            algorithms,
            data,
            KFold(folds, random_state=seed),
            verbose=True,
            rank_at=rank,
            repeats=repeats,
            train_sizes=_sizes(train_sizes),
            n_jobs=n_jobs,
            output=output,
            keep_predictions=errors,
        )
        typer.echo(f"\n{result}")
        if output is not None:
            _save(result, output)
        if report is not None:
            result.report(report)
            typer.echo(f"\nReport: {report}")
    if result.info.interrupted:
        raise typer.Exit(130)
    if result.summary()["failed"].gt(0).all():
        fail(f"every algorithm failed; {result.notes()[0]}")


def _save(result: Comparison, folder: Path) -> None:
    result.summary().to_csv(folder / "comparison.csv")
    result.folds.to_csv(folder / "folds.csv", index=False)
    (folder / "comparison.md").write_text(f"{result.to_markdown()}\n", encoding="utf-8")
    (folder / "comparison.tex").write_text(f"{result.to_latex()}\n", encoding="utf-8")
    result.plot().savefig(folder / "comparison.png", dpi=150)
    names = ", ".join(sorted(file.name for file in folder.iterdir() if file.is_file()))
    typer.echo(f"\nSaved to {folder}: {names}")


def _data(
    sources: list[str], path: Path | None, rating_scale: str | None, layout: Layout
) -> dict[str, Dataset]:
    """Data sets by name. A file is named after its stem."""
    if path is not None:
        if len(sources) > 1:
            raise typer.BadParameter("must not be given with several data sets", param_hint="--path")
        return {sources[0]: load_dataset(sources[0], rating_scale, layout, path)}
    names = [Path(source).stem if Path(source).suffix else source for source in sources]
    if len(set(names)) < len(names):
        names = sources
    if len(set(names)) < len(names):
        raise typer.BadParameter(f"must not repeat a data set, got {', '.join(names)}", param_hint="RATINGS")
    pairs = zip(names, sources, strict=True)
    return {name: load_dataset(source, rating_scale, layout) for name, source in pairs}


def _sizes(text: str | None) -> list[float] | None:
    if text is None:
        return None
    sizes = value_of(f"[{text}]")
    is_list = isinstance(sizes, list) and all(
        isinstance(size, (int, float)) and 0 < size <= 1 for size in sizes
    )
    if not is_list or not sizes:
        raise typer.BadParameter(
            f"must be shares in (0, 1], as in 0.1,0.3,1, got {text!r}", param_hint="--train-sizes"
        )
    return [float(size) for size in sizes]


def _name(given: str) -> str:
    """The name of an algorithm, whatever its case."""
    name = matched(given, _ALGORITHMS)
    if name not in _ALGORITHMS:
        raise typer.BadParameter(
            f"must be one of {', '.join(_ALGORITHMS)}, got {given!r}{did_you_mean(given, list(_ALGORITHMS))}",
            param_hint="--algorithm",
        )
    return name


def _keywords(names: list[str], settings: list[str], seed: int) -> dict[str, dict[str, Any]]:
    """The keywords of each named algorithm. A wrong name or setting is a usage error."""
    keywords: dict[str, dict[str, Any]] = {}
    for name in map(_name, names):
        if name in keywords:
            raise typer.BadParameter(f"must be given only once, got {name} twice", param_hint="--algorithm")
        constructor, arguments = _ALGORITHMS[name]
        seeded = {"random_state": seed} if "random_state" in known_keywords(constructor) else {}
        keywords[name] = {**seeded, **arguments}
    chosen = {name.lower(): name for name in keywords}
    for setting in settings:
        given, dot, assignment = setting.partition(".")
        name = chosen.get(given.lower(), "")
        if not name or not dot or "=" not in assignment:
            raise typer.BadParameter(
                f"must be NAME.KEYWORD=VALUE with NAME one of {', '.join(keywords)}, got {setting!r}",
                param_hint="--param",
            )
        key, value = parse_setting(name, known_keywords(_ALGORITHMS[name][0]), assignment)
        keywords[name][key] = value
    return keywords


def tune(
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
