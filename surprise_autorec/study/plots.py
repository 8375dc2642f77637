"""Charts of training and of comparisons. They need ``pip install 'surprise-autorec[plot]'`` (matplotlib)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surprise_autorec.checks import check, choice
from surprise_autorec.fitted import FittedAutoRec

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def plot_history(algorithm: FittedAutoRec, ax: Axes | None = None) -> Axes:
    """Plot the loss of each epoch and, with ``early_stopping``, the validation RMSE; mark the best epoch.

    Parameters
    ----------
    algorithm : AutoRec or AutoRecRegressor
        A fitted one.
    ax : matplotlib.axes.Axes, optional
        The axes to draw on. Default: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes of the loss. The RMSE has its own axis on the right.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    sklearn.exceptions.NotFittedError
        If the algorithm is not fitted.
    """
    from matplotlib.ticker import MaxNLocator

    algorithm._fitted_model()
    ax = _new_axes() if ax is None else ax
    epochs = np.arange(1, algorithm.n_iter_ + 1)
    lines = ax.plot(epochs, algorithm.loss_curve_, color="C0", label="training loss")
    ax.set(xlabel="epoch", ylabel="loss per rating (squared error and penalty)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    if algorithm.validation_scores_:
        right = ax.twinx()
        lines += right.plot(epochs, algorithm.validation_scores_, color="C1", label="validation RMSE")
        best = int(np.argmin(algorithm.validation_scores_)) + 1
        lines.append(right.axvline(best, color="C1", linestyle=":", label=f"best epoch: {best}"))
        right.set_ylabel("validation RMSE")
    ax.legend(handles=lines)
    return ax


def plot_comparison(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot error against time. Lower is more accurate, further left is faster.

    Parameters
    ----------
    frame : DataFrame
        The result of `surprise_autorec.compare`.
    ax : matplotlib.axes.Axes, optional
        The axes to draw on. Default: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    ax = _new_axes() if ax is None else ax
    seconds = frame["fit_time"] + frame["test_time"]
    for (name, row), time in zip(frame.iterrows(), seconds, strict=True):
        ax.errorbar(time, row["rmse"], yerr=row["rmse_std"], fmt="o", capsize=3)
        ax.annotate(str(name), (time, row["rmse"]), xytext=(7, 5), textcoords="offset points")
    ax.set(
        xscale="log",
        xlabel="fit and test time per fold [s]",
        ylabel="RMSE (mean and standard deviation over folds)",
    )
    ax.xaxis.set_major_formatter("{x:g}")
    ax.margins(x=0.2)
    ax.grid(alpha=0.3)
    return ax


def plot_errors(frame: pd.DataFrame, ax: Axes | None = None, measure: str = "rmse") -> Axes:
    """Plot errors by the number of training ratings, or by the true rating.

    Parameters
    ----------
    frame : DataFrame
        The result of `errors_by_count` or `errors_by_rating`. If it has a column ``algorithm``, each
        algorithm has a line of its own.
    ax : matplotlib.axes.Axes, optional
        The axes to draw on. Default: those of a new figure.
    measure : {"rmse", "mae", "bias"}, default="rmse"
        The column to plot.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If ``measure`` is not as above, or the frame mixes results of several kinds.
    """
    choice("measure", measure, _MEASURES)
    kinds = sorted(frame["by"].unique())
    check("by", kinds, "the same in all rows", len(kinds) == 1)
    ax = _new_axes() if ax is None else ax
    labels = frame.groupby("bin")["label"].first()
    positions = {number: position for position, number in enumerate(labels.index)}
    parts = frame.groupby("algorithm", sort=False) if "algorithm" in frame else [(None, frame)]
    for name, part in parts:
        ax.plot(part["bin"].map(positions), part[measure], "o-", label=name)
    ax.set_xticks(range(len(labels)), labels)
    ax.set(xlabel=_KINDS[kinds[0]], ylabel=_MEASURES[measure])
    ax.grid(alpha=0.3)
    if "algorithm" in frame:
        ax.legend()
    return ax


_KINDS = {
    "user": "training ratings of the user",
    "item": "training ratings of the item",
    "rating": "true rating",
}
_MEASURES = {"rmse": "RMSE", "mae": "MAE", "bias": "mean of estimate minus rating"}


def _new_axes() -> Axes:
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    return ax
