"""The command line."""

from __future__ import annotations

import ast
import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import surprise
import torch
import typer
from surprise.model_selection import KFold

from surprise_autorec import __version__, datasets
from surprise_autorec.algorithm import AutoRec
from surprise_autorec.comparison import compare, format_comparison
from surprise_autorec.plots import plot_comparison

app = typer.Typer(
    help="Rating prediction with AutoRec, an autoencoder, beside the algorithms of Surprise.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: What can be compared by name: a class and its arguments.
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


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


@app.command(name="compare")
def _compare(
    data: Annotated[
        str, typer.Option(help="ml-100k, ml-1m, ml-latest-small, or a file of your own (csv, parquet, ...).")
    ] = "ml-100k",
    path: Annotated[Path | None, typer.Option(help="Where the data set lies, if not in a usual place.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of cross-validation folds.")] = 5,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            "--algorithm", "-a", help=f"What to compare; repeat it for more. Any of {', '.join(_ALGORITHMS)}."
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="A keyword of an algorithm, as in SVD.n_factors=50; repeat it for more."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the folds and of every algorithm.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Folder for comparison.csv, comparison.md and comparison.png.")
    ] = None,
) -> None:
    """Cross-validate AutoRec and others on the same folds and print a table, best first.

    Example: surprise-autorec compare --data ml-100k --folds 5 -a AutoRec -a SVD -p AutoRec.n_factors=250 --output out
    """
    if output is not None and find_spec("matplotlib") is None:
        _fail("--output draws a chart and needs matplotlib: pip install 'surprise-autorec[plot]'")
    keywords = _keywords(algorithm or _DEFAULT, param or [], seed)
    np.random.seed(seed)  # noqa: NPY002 (where NormalPredictor draws from)
    try:
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
        dataset = datasets.load(data, path)
        algorithms = {name: _ALGORITHMS[name][0](**arguments) for name, arguments in keywords.items()}
        frame = compare(algorithms, dataset, cv=KFold(folds, random_state=seed), verbose=True)
    except Exception as error:  # what an algorithm raises for a wrong keyword is up to it
        _fail(str(error))
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
        typer.echo(f"\nWritten to {output}: comparison.csv, comparison.md, comparison.png")


def _keywords(names: list[str], settings: list[str], seed: int) -> dict[str, dict[str, Any]]:
    """The keywords of each named algorithm; a usage error where a name or a setting is wrong."""
    keywords: dict[str, dict[str, Any]] = {}
    for name in names:
        if name not in _ALGORITHMS or name in keywords:
            raise typer.BadParameter(
                f"must be one of {', '.join(_ALGORITHMS)}, each once, got {name!r}", param_hint="--algorithm"
            )
        constructor, arguments = _ALGORITHMS[name]
        seeded = {"random_state": seed} if "random_state" in _known_keywords(constructor) else {}
        keywords[name] = {**seeded, **arguments}
    for setting in settings:
        name, dot, assignment = setting.partition(".")
        key, equals, text = assignment.partition("=")
        if name not in keywords or not (dot and equals):
            raise typer.BadParameter(
                f"must be NAME.KEYWORD=VALUE with NAME one of {', '.join(keywords)}, got {setting!r}",
                param_hint="--param",
            )
        known = _known_keywords(_ALGORITHMS[name][0])
        if key not in known:
            raise typer.BadParameter(
                f"a keyword of {name} must be one of {', '.join(known)}, got {key!r}", param_hint="--param"
            )
        keywords[name][key] = _value(text)
    return keywords


def _known_keywords(constructor: type[surprise.AlgoBase]) -> list[str]:
    """The keywords of an algorithm, with the two that Surprise's take unnamed."""
    parameters = inspect.signature(constructor).parameters
    named = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    unnamed = ["bsl_options", "sim_options"] if len(named) < len(parameters) else []
    return list(dict.fromkeys([*named, *unnamed]))


def _value(text: str) -> Any:
    """A Python literal, or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)
