"""The comparison study: algorithms times folds, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from surprise import AlgoBase, Dataset
from surprise.model_selection.split import get_cv
from surprise.model_selection.validation import fit_and_score
from tabulate import tabulate

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def compare(
    algorithms: Mapping[str, AlgoBase] | Iterable[AlgoBase], data: Dataset, cv: Any = None, verbose: bool = False
) -> pd.DataFrame:
    """Cross-validate algorithms on the same folds.

    Fold by fold every algorithm has its turn, so that their times are comparable where a machine's speed drifts.

    Parameters
    ----------
    algorithms : mapping of str to AlgoBase, or iterable of AlgoBase
        What to compare, under the given names or under the names of their classes.
    data : surprise.Dataset
    cv : int, cross-validation iterator of Surprise, or None, default=None
        As in ``surprise.model_selection.cross_validate``: None is 5 folds. An iterator with a ``random_state``, such as
        ``KFold(5, random_state=0)``, makes the folds reproducible.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        A row for each algorithm, best first, indexed by name: ``rmse``, ``mae`` (means over folds), ``rmse_std``,
        ``mae_std`` (standard deviations over folds), ``fit_time``, ``test_time`` (medians over folds, in seconds) and
        ``time_ratio`` (fit plus test, over the fastest algorithm's).

    Raises
    ------
    ValueError
        If there are no algorithms, or two of one name.
    """
    named = _by_name(algorithms)
    splitter = get_cv(cv)
    measured = []
    from tqdm.auto import tqdm  # here, to keep the import of the package fast

    try:
        n_fits = splitter.get_n_folds() * len(named)
    except AttributeError:  # Surprise's PredefinedKFold does not know before it has split
        n_fits = None
    with tqdm(total=n_fits, unit="fit", disable=not verbose) as bar:
        for trainset, testset in splitter.split(data):
            for name, algorithm in named.items():
                bar.set_description(name)
                errors, _, fit_time, test_time = fit_and_score(algorithm, trainset, testset, ["rmse", "mae"])
                measured.append({"algorithm": name, **errors, "fit_time": fit_time, "test_time": test_time})
                bar.update()
    folds = pd.DataFrame(measured).groupby("algorithm")
    errors, times = folds[["rmse", "mae"]], folds[["fit_time", "test_time"]].median()
    seconds = times.sum(axis=1)
    return (
        errors.mean()
        .join(errors.std(ddof=0).add_suffix("_std"))
        .join(times)
        .assign(time_ratio=seconds / seconds.min())
        .sort_values("rmse")[["rmse", "rmse_std", "mae", "mae_std", "fit_time", "test_time", "time_ratio"]]
    )


def _by_name(algorithms: Mapping[str, AlgoBase] | Iterable[AlgoBase]) -> dict[str, AlgoBase]:
    if isinstance(algorithms, Mapping):
        named = dict(algorithms)
    else:
        listed = list(algorithms)
        named = {type(algorithm).__name__: algorithm for algorithm in listed}
        if len(named) < len(listed):
            names = [type(algorithm).__name__ for algorithm in listed]
            raise ValueError(f"algorithms of one class must be given as a mapping that names them, got {names}")
    if not named:
        raise ValueError("algorithms must hold at least one, got none")
    return named


def format_comparison(frame: pd.DataFrame, tablefmt: str = "github") -> str:
    """The result of `compare` as a text table.

    Parameters
    ----------
    frame : DataFrame
        What `compare` returned.
    tablefmt : str, default="github"
        A format of the tabulate library: "github" is Markdown.
    """
    rows = [
        [
            name,
            f"{row.rmse:.4f} ± {row.rmse_std:.4f}",
            f"{row.mae:.4f} ± {row.mae_std:.4f}",
            f"{row.fit_time:.2f}",
            f"{row.test_time:.2f}",
            f"{row.time_ratio:.1f}",
        ]
        for name, row in frame.iterrows()
    ]
    headers = ["algorithm", "RMSE", "MAE", "fit [s]", "test [s]", "time / fastest"]
    return tabulate(rows, headers, tablefmt=tablefmt, disable_numparse=True, colalign=["left", *["right"] * 5])


def plot_comparison(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw error against time: the lower and the further left, the better.

    Parameters
    ----------
    frame : DataFrame
        What `compare` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed (``pip install 'surprise-autorec[plot]'``).
    """
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    seconds = frame["fit_time"] + frame["test_time"]
    for (name, row), time in zip(frame.iterrows(), seconds, strict=True):
        ax.errorbar(time, row["rmse"], yerr=row["rmse_std"], fmt="o", capsize=3)
        ax.annotate(str(name), (time, row["rmse"]), xytext=(7, 5), textcoords="offset points")
    ax.set(xscale="log", xlabel="fit and test, seconds a fold", ylabel="RMSE (mean and standard deviation over folds)")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.margins(x=0.2)
    ax.grid(alpha=0.3)
    return ax
