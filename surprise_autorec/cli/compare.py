"""``surprise-autorec compare``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import surprise
import torch
import typer
from surprise.model_selection import KFold

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.cli.shared import (
    did_you_mean,
    fail,
    known_keywords,
    matched,
    one_line_errors,
    parse_setting,
)
from surprise_autorec.data.known import load
from surprise_autorec.study.comparison import compare, format_comparison
from surprise_autorec.study.plots import plot_comparison

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
    "NormalPredictor": (surprise.NormalPredictor, {}),
}
_DEFAULT = ["AutoRec", "SVD++", "SVD", "KNNBaseline", "BaselineOnly"]


def command(
    data: Annotated[
        str, typer.Option(help="ml-100k, ml-1m, ml-latest-small, or a file of your own (csv, parquet, ...).")
    ] = "ml-100k",
    path: Annotated[
        Path | None, typer.Option(help="Where to find the data set, if it is not in a usual place.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of cross-validation folds.")] = 5,
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
    seed: Annotated[int, typer.Option(min=0, help="Seed of the folds and of every algorithm.")] = 0,
    rank: Annotated[
        int | None,
        typer.Option(min=1, help="Also evaluate rankings: lists of this many test items for each user."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for comparison.csv, comparison.md and comparison.png.")
    ] = None,
) -> None:
    """Cross-validate AutoRec and other algorithms on the same folds, and print a table, best first.

    Example: surprise-autorec compare --data ml-100k -a AutoRec -a SVD -p AutoRec.n_factors=250 --output out
    """
    if output is not None and find_spec("matplotlib") is None:
        fail("--output draws a chart and needs matplotlib: pip install 'surprise-autorec[plot]'")
    keywords = _keywords(algorithm or _DEFAULT, param or [], seed)
    np.random.seed(seed)  # noqa: NPY002 (NormalPredictor draws from it)
    with one_line_errors():
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
        dataset = load(data, path)
        algorithms = {name: _ALGORITHMS[name][0](**arguments) for name, arguments in keywords.items()}
        frame = compare(algorithms, dataset, cv=KFold(folds, random_state=seed), verbose=True, rank_at=rank)
    typer.echo(
        f"\n{data}: {len(dataset.raw_ratings):,} ratings, KFold({folds}, random_state={seed}), "
        f"{torch.get_num_threads()} torch threads\n\n{format_comparison(frame, 'rounded_outline')}"
    )
    if output is not None:
        from matplotlib.figure import Figure

        frame.to_csv(output / "comparison.csv")
        (output / "comparison.md").write_text(format_comparison(frame) + "\n", encoding="utf-8")
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        plot_comparison(frame, figure.subplots())
        figure.savefig(output / "comparison.png", dpi=150)
        typer.echo(f"\nSaved to {output}: comparison.csv, comparison.md, comparison.png")


def _keywords(names: list[str], settings: list[str], seed: int) -> dict[str, dict[str, Any]]:
    """The keywords of each named algorithm. A wrong name or setting is a usage error."""
    keywords: dict[str, dict[str, Any]] = {}
    for name in (matched(name, _ALGORITHMS) for name in names):
        if name not in _ALGORITHMS or name in keywords:
            raise typer.BadParameter(
                f"must be one of {', '.join(_ALGORITHMS)}, each given only once, got {name!r}"
                f"{did_you_mean(name, [one for one in _ALGORITHMS if one != name])}",
                param_hint="--algorithm",
            )
        constructor, arguments = _ALGORITHMS[name]
        seeded = {"random_state": seed} if "random_state" in known_keywords(constructor) else {}
        keywords[name] = {**seeded, **arguments}
    for setting in settings:
        name, dot, assignment = setting.partition(".")
        name = matched(name, keywords)
        if name not in keywords or not dot or "=" not in assignment:
            raise typer.BadParameter(
                f"must be NAME.KEYWORD=VALUE with NAME one of {', '.join(keywords)}, got {setting!r}",
                param_hint="--param",
            )
        key, value = parse_setting(name, known_keywords(_ALGORITHMS[name][0]), assignment)
        keywords[name][key] = value
    return keywords
