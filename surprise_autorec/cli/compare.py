"""``surprise-autorec compare``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import surprise
import typer
from surprise import Dataset, Trainset
from surprise.model_selection import KFold

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.cli.shared import (
    ItemColumnOption,
    JobsOption,
    Layout,
    NamesOption,
    RatingColumnOption,
    ScaleOption,
    UserColumnOption,
    check_file,
    did_you_mean,
    fail,
    known_keywords,
    load_dataset,
    matched,
    one_line_errors,
    parse_setting,
    value_of,
)
from surprise_autorec.comparison import compare
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


def command(
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
        comparison = compare(
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
        typer.echo(f"\n{comparison}")
        if output is not None:
            _save(comparison, output)
        if report is not None:
            comparison.report(report)
            typer.echo(f"\nReport: {report}")
    if comparison.info.interrupted:
        raise typer.Exit(130)
    if comparison.summary()["failed"].gt(0).all():
        fail(f"every algorithm failed; {comparison.notes()[0]}")


def _save(comparison: Comparison, folder: Path) -> None:
    comparison.summary().to_csv(folder / "comparison.csv")
    comparison.folds.to_csv(folder / "folds.csv", index=False)
    (folder / "comparison.md").write_text(f"{comparison.to_markdown()}\n", encoding="utf-8")
    (folder / "comparison.tex").write_text(f"{comparison.to_latex()}\n", encoding="utf-8")
    comparison.plot().savefig(folder / "comparison.png", dpi=150)
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
