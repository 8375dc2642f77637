"""Charts of training and of comparisons. They need ``pip install 'surprise-autorec[plot]'`` (matplotlib)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surprise_autorec.checks import check, choice
from surprise_autorec.fitted import FittedAutoRec
from surprise_autorec.study.significance import cliques

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
        # The loss gets the upper half and the RMSE the lower one, so that they do not lie on each other.
        for axis, share_below, share_above in ((ax, 1.0, 0.0), (right, 0.0, 1.0)):
            low, high = axis.get_ylim()
            axis.set_ylim(low - share_below * (high - low), high + share_above * (high - low))
    ax.legend(handles=lines, loc="upper right")
    return ax


def plot_comparison(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot error against time. Lower is more accurate, further left is faster. AutoRec is in colour.

    Parameters
    ----------
    frame : DataFrame
        The result of `Comparison.summary` for one data set.
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
        color = "C0" if str(name).startswith("AutoRec") else "0.5"
        ax.errorbar(time, row["rmse"], yerr=row["rmse_std"], fmt="o", capsize=3, color=color)
        above = (frame["rmse"] - row["rmse"]).between(0, 0.05 * np.ptp(frame["rmse"]), inclusive="right")
        is_crowded = (above & (abs(np.log(seconds / time)) < np.log(1.5))).any()
        offset = (7, -14 if is_crowded else 5)  # names of points that are close together do not overlap
        ax.annotate(str(name), (time, row["rmse"]), xytext=offset, textcoords="offset points")
    ax.set(
        xscale="log",
        xlabel="fit and test time per fold [s]",
        ylabel=_RMSE_OVER_FOLDS,
    )
    _label_log_axis(ax)
    ax.margins(x=0.2)
    ax.grid(alpha=0.3)
    return ax


def plot_errors(frame: pd.DataFrame, ax: Axes | None = None, measure: str = "rmse") -> Axes:
    """Plot errors by the number of training ratings, or by the true rating.

    ``frame`` is the result of `errors_by_count` or `errors_by_rating`. If it has a column ``algorithm``, each
    algorithm has a line of its own. ``measure`` is the column to plot: "rmse", "mae" or "bias". The axes are
    ``ax``, or those of a new figure.

    Raises ValueError if ``measure`` is another, or the frame mixes results of several kinds.
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


def plot_learning_curve(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot the RMSE against the number of training ratings.

    ``frame`` has the rows of one data set from `Comparison.learning_curve`. The axes are ``ax``, or those of
    a new figure.
    """
    ax = _new_axes() if ax is None else ax
    for name, part in frame.groupby("algorithm", sort=False):
        ax.errorbar(part["n_train"], part["rmse"], part["rmse_std"], fmt="o-", capsize=3, label=str(name))
    ax.set(xscale="log", xlabel="training ratings", ylabel=_RMSE_OVER_FOLDS)
    _label_log_axis(ax)
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def plot_critical_difference(mean_ranks: pd.Series[float], difference: float, ax: Axes | None = None) -> Axes:
    """Plot mean ranks, with bars that join algorithms whose ranks do not differ significantly.

    The critical-difference diagram of Demsar: Statistical Comparisons of Classifiers over Multiple Data Sets,
    JMLR 7, 2006, figure 1. ``mean_ranks`` has the mean rank of each algorithm over data sets, such as
    ``comparison.ranks()["mean"]``, and ``difference`` is from `critical_difference`. The axes are ``ax``, or
    those of a new figure.
    """
    ax = _new_axes() if ax is None else ax
    ranks = mean_ranks.sort_values()
    n = len(ranks)
    spans = cliques(ranks, difference)
    below = 0.5 * len(spans) + 0.5  # the bars are between the axis and the names
    half = (n + 1) // 2
    for place, (name, rank) in enumerate(ranks.items()):
        on_left = place < half
        depth = below + (place if on_left else n - 1 - place)
        edge = 0.9 if on_left else n + 0.1
        line = ax.plot([rank, rank, edge], [0, -depth, -depth], color="black", linewidth=1)
        line[0].set_clip_on(False)
        side = "right" if on_left else "left"
        text = f"{name} ({rank:.2f}) " if on_left else f" ({rank:.2f}) {name}"
        ax.text(edge, -depth, text, ha=side, va="center")
    for place, (low, high) in enumerate(spans):
        ax.plot([low - 0.03, high + 0.03], [-0.4 - 0.5 * place] * 2, color="black", linewidth=4)
    ax.plot([1, 1 + difference], [1.1, 1.1], color="black", linewidth=2, marker="|")
    ax.text(1, 1.35, f"critical difference: {difference:.2f}", ha="left", va="bottom")
    ax.set(xlim=(1, n), ylim=(-below - half, 2.2), yticks=[], xticks=range(1, n + 1))
    ax.xaxis.set_ticks_position("top")
    ax.spines[["left", "right", "bottom"]].set_visible(False)
    ax.spines["top"].set_position(("data", 0))
    return ax


def panels(n: int) -> tuple[Figure, list[Axes]]:
    """A figure that belongs to no window, with n axes in one or two columns."""
    from surprise_autorec.study.figure import NotebookFigure

    n_columns = min(n, 2)
    n_rows = -(-n // n_columns)
    figure = NotebookFigure(figsize=(5.5 * n_columns, 3.8 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[n:]:
        ax.remove()
    return figure, list(axes[:n])


def _label_log_axis(ax: Axes) -> None:
    """Plain numbers at 1, 2 and 5 times powers of ten, also where the axis covers less than one power."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


_RMSE_OVER_FOLDS = "RMSE (mean and standard deviation over folds)"


def _new_axes() -> Axes:
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    return ax
