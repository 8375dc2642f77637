"""The result of a comparison: its fits, and the tables, tests, charts and report made of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from surprise_autorec.checks import check, choice
from surprise_autorec.study import plots
from surprise_autorec.study import significance as tests
from surprise_autorec.study.measures import errors_of
from surprise_autorec.study.runner import ONLY, Key, StudyInfo
from surprise_autorec.study.significance import Significance
from surprise_autorec.study.tables import (
    HIGHER_IS_BETTER,
    NAMES,
    facts,
    folded,
    latex_table,
    lines,
    p_text,
    section,
    table,
    text_table,
    write_page,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TIMES = ["fit_time", "test_time"]


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of `surprise_autorec.compare`.

    In a terminal and in a notebook it shows the table of `summary`.

    Attributes
    ----------
    folds : DataFrame
        A row for each finished fit: ``data``, ``algorithm``, ``repeat``, ``fold`` (both from 1),
        ``train_size``, ``n_train`` and ``n_test`` (numbers of ratings), ``rmse``, ``mae``, the scores of
        rankings if ``rank_at`` is set, ``fit_time`` and ``test_time`` (seconds), ``peak_memory`` (of the
        process, in MiB; NaN where the system does not report it), ``n_jobs`` (number of fits at a time), and
        ``error``: why the fit failed, or an empty text. The measures of a failed fit are NaN.
    info : StudyInfo
        How the comparison was made.
    """

    folds: pd.DataFrame
    info: StudyInfo
    _predictions: Mapping[Key, pd.DataFrame] = field(default_factory=dict)

    # Tables

    def summary(self) -> pd.DataFrame:
        """A row for each algorithm, best first.

        Returns
        -------
        DataFrame
            Indexed by ``algorithm``, with several data sets by ``data`` and ``algorithm``. ``rmse`` and
            ``mae`` are means over folds, ``rmse_std`` and ``mae_std`` standard deviations over folds (divided
            by the number of folds, ``ddof=0``). ``fit_time`` and ``test_time`` are medians in seconds,
            ``time_ratio`` is fit plus test time divided by that of the fastest algorithm, and ``peak_memory``
            the highest of a process in MiB. Scores of rankings are means. ``fits`` and ``failed`` count
            finished and failed fits. The figures of an algorithm that failed on a fold are NaN, because the
            other folds may be easier. With several ``train_sizes``, only the largest counts.
        """
        frame = self._summary()
        return frame.droplevel("data") if len(self._names("data")) == 1 else frame

    def _summary(self) -> pd.DataFrame:
        groups = self._full_size().groupby(["data", "algorithm"], sort=False)
        n_failed = groups["error"].agg(lambda errors: int((errors != "").sum()))
        scores = [measure for measure in NAMES if measure in self.folds]
        frame = groups[scores].mean()
        frame = frame.join(groups[["rmse", "mae"]].std(ddof=0).add_suffix("_std"))
        frame = frame.join(groups[_TIMES].median())
        seconds = frame[_TIMES].sum(axis=1, min_count=2)
        frame["time_ratio"] = seconds / seconds.groupby("data").transform("min")
        frame["peak_memory"] = groups["peak_memory"].max()
        frame[n_failed > 0] = np.nan
        frame = frame.assign(fits=groups.size(), failed=n_failed)
        first = ["rmse", "rmse_std", "mae", "mae_std", *_TIMES, "time_ratio", "peak_memory"]
        frame = frame[[*first, *(score for score in scores if score not in first), "fits", "failed"]]
        parts = [frame.loc[[name]].sort_values("rmse") for name in self._names("data")]
        return pd.concat(parts)

    def ranks(self, measure: str = "rmse") -> pd.DataFrame:
        """The rank of each algorithm on each data set, 1 for the best; equal ones share their mean rank.

        Parameters
        ----------
        measure : str, default="rmse"
            "rmse", "mae", or a score of rankings if it was evaluated.

        Returns
        -------
        DataFrame
            A row for each algorithm, best first; a column for each data set, and ``mean``. An algorithm that
            failed on any data set is left out.

        Raises
        ------
        ValueError
            If there is no such measure.
        """
        summary = self._summary()[self._measure(measure)]
        by_data = {data: summary.loc[data] for data in self._names("data")}
        values = pd.concat(by_data, axis="columns").rename_axis(columns="data").dropna()
        ranks: pd.DataFrame = values.rank(ascending=measure not in HIGHER_IS_BETTER)
        ranks["mean"] = ranks.mean(axis="columns")
        return ranks.sort_values("mean")

    def significance(
        self, reference: str | None = None, measure: str = "rmse", alpha: float = 0.05
    ) -> Significance:
        """Test whether algorithms differ from one of them.

        On each data set this is the corrected resampled t-test over folds (`corrected_t_test`). With several
        data sets there are also Friedman's test and the tests of Nemenyi and Holm on mean ranks.

        Parameters
        ----------
        reference : str, optional
            The algorithm to compare with. Default: the one with the best mean rank.
        measure : str, default="rmse"
            As in `ranks`.
        alpha : float, default=0.05
            The level of significance.

        Raises
        ------
        ValueError
            If a parameter is not as above, if there are fewer than two algorithms without failures, or if a
            data set has fewer than two folds.
        """
        check("alpha", alpha, "between 0 and 1", 0 < alpha < 1)
        ranks = self.ranks(measure)
        names = list(ranks.index)
        check("significance", len(names), "given at least 2 algorithms without failures", len(names) >= 2)
        reference = choice("reference", names[0] if reference is None else reference, names)
        parts = [self._differences(data, reference, names, measure, alpha) for data in self._names("data")]
        friedman = posthoc = distance = None
        if len(parts) > 1:
            friedman = tests.friedman(ranks.drop(columns="mean").T)
            posthoc = tests.rank_tests(ranks["mean"], len(parts), reference)
            distance = tests.critical_difference(len(names), len(parts), alpha)
        return Significance(reference, measure, alpha, pd.concat(parts), friedman, posthoc, distance)

    def _differences(
        self, data: str, reference: str, names: list[str], measure: str, alpha: float
    ) -> pd.DataFrame:
        frame = self._full_size().query("data == @data")
        values = frame.pivot_table(index=["repeat", "fold"], columns="algorithm", values=measure)[names]
        values = values.dropna()
        check(f"significance on {data}", len(values), "given at least 2 folds", len(values) >= 2)
        n_test, n_train = frame["n_test"].mean(), frame["n_train"].mean()
        others = [name for name in names if name != reference]
        rows = [
            tests.corrected_t_test(values[name] - values[reference], n_test, n_train, 1 - alpha)
            for name in others
        ]
        result = pd.DataFrame(rows)
        result.insert(0, "data", data)
        result.insert(1, "algorithm", others)
        result["p_holm"] = tests.holm(result["p"])
        return result.assign(significant=result["p_holm"] < alpha)

    def errors(self, by: str = "user", n_bins: int = 5) -> pd.DataFrame:
        """Where errors come from: over all folds, by the number of training ratings or by the true rating.

        It needs ``compare(..., keep_predictions=True)``.

        Parameters
        ----------
        by : {"user", "item", "rating"}, default="user"
            Group predictions by the number of the user's training ratings, by that of the item's, or by the
            true rating.
        n_bins : int, default=5
            Number of quantile bins, as in `errors_by_count`. Users or items without training ratings have a
            bin of their own.

        Returns
        -------
        DataFrame
            Columns ``data`` and ``algorithm``, and those of `errors_by_count`. `plot_errors` draws the rows
            of one data set.

        Raises
        ------
        ValueError
            If a parameter is not as above, or predictions were not kept.
        """
        choice("by", by, ("user", "item", "rating"))
        if not self.has_predictions:
            raise ValueError("errors needs predictions: call compare with keep_predictions=True")
        column = {"user": "n_user", "item": "n_item", "rating": "rating"}[by]
        size = self.folds["train_size"].max()
        parts = []
        for data in self._names("data"):
            for algorithm in self._names("algorithm"):
                frames = [
                    frame
                    for key, frame in self._predictions.items()
                    if (key.data, key.algorithm, key.train_size) == (data, algorithm, size)
                ]
                if frames:
                    pooled = pd.concat(frames)
                    part = errors_of(by, pooled[column], pooled["estimate"] - pooled["rating"], n_bins)
                    part.insert(0, "data", data)
                    part.insert(1, "algorithm", algorithm)
                    parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def learning_curve(self) -> pd.DataFrame:
        """Errors by the share of the training ratings that algorithms were fitted to (``train_sizes``).

        Returns
        -------
        DataFrame
            ``data``, ``algorithm``, ``train_size``, ``n_train`` (mean number of training ratings), ``rmse``,
            ``rmse_std``, ``mae`` and ``mae_std`` (means and standard deviations over folds, ``ddof=0``).
        """
        groups = self.folds.groupby(["data", "algorithm", "train_size"], sort=False)
        means = groups[["n_train", "rmse", "mae"]].mean()
        spreads = groups[["rmse", "mae"]].std(ddof=0).add_suffix("_std")
        frame = means.join(spreads)[["n_train", "rmse", "rmse_std", "mae", "mae_std"]]
        return frame.reset_index().sort_values(["data", "algorithm", "train_size"], ignore_index=True)

    # Texts

    def header(self) -> str:
        """What the table of `summary` shows: the ratings, the folds, the spread, and what the times mean."""
        full = self._full_size()
        sizes = full.groupby("data", sort=False)[["n_train", "n_test"]].first().sum(axis="columns")
        ratings = ", ".join(
            f"{size:,} ratings" if name == ONLY else f"{name}: {size:,} ratings"
            for name, size in sizes.items()
        )
        repeats = f", {self.info.repeats} repeats" if self.info.repeats > 1 else ""
        parts = [
            f"{ratings}; {self.info.folds}{repeats}",
            "RMSE and MAE: mean ± standard deviation over folds (ddof=0); times: medians per fold, "
            + ("each fit ran alone" if self.times_are_comparable else self._why_times_differ()),
        ]
        if len(self.folds) != (self.info.n_planned or len(self.folds)):
            parts.append(f"interrupted: {len(self.folds)} of {self.info.n_planned} fits are done")
        return "\n".join(parts)

    def notes(self) -> list[str]:
        """A line for each algorithm that failed, with the reason of its first failure."""
        failed = self.folds[self.folds["error"] != ""]
        groups = failed.groupby(["data", "algorithm"], sort=False)["error"]
        several = len(self._names("data")) > 1
        return [
            f"{algorithm}{f' on {data}' if several else ''} failed on {len(errors)} "
            f"{'fold' if len(errors) == 1 else 'folds'}: {errors.iloc[0]}"
            for (data, algorithm), errors in groups
        ]

    @property
    def times_are_comparable(self) -> bool:
        """Whether each fit ran alone. Fits that run at the same time slow each other down."""
        return bool((self.folds["n_jobs"] == 1).all())

    def _why_times_differ(self) -> str:
        return f"not comparable, as {self.folds['n_jobs'].max()} fits ran at a time"

    def __repr__(self) -> str:
        return "\n".join([self.header(), "", text_table(self.summary(), "rounded_outline"), *self.notes()])

    def _repr_html_(self) -> str:
        header = "<br>".join(escape(line) for line in self.header().splitlines())
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes())
        return f"<p>{header}</p>{text_table(self.summary(), 'html')}{notes}"

    def to_markdown(self) -> str:
        """The header and the table of `summary` as Markdown, and a line for each algorithm that failed."""
        parts = ["  \n".join(self.header().splitlines()), text_table(self.summary(), "github"), *self.notes()]
        return "\n\n".join(parts)

    def to_latex(self, reference: str | None = None, measure: str = "rmse", alpha: float = 0.05) -> str:
        r"""The means over folds as a LaTeX table, for the booktabs package.

        The best value of each column is bold. A dagger marks values that differ significantly from those of
        the reference on the same data set (`significance`, if there are two folds or more).

        Parameters
        ----------
        reference : str, optional
            Default: the algorithm with the best mean rank.
        measure : str, default="rmse"
            As in `ranks`.
        alpha : float, default=0.05
            The level of significance.

        Returns
        -------
        str
            A ``tabular`` environment and a comment that explains it.
        """
        summary = self._summary()
        measures = [self._measure(measure)]
        if len(self._names("data")) == 1:  # there is room for more than one
            measures += [other for other in ("rmse", "mae") if other != measure]
        marks: dict[tuple[str, str], bool] = {}
        note = "mean over folds; best in bold"
        if len(self.ranks(measure)) > 1 and self.n_folds > 1:
            test = self.significance(reference, measure, alpha)
            rows = test.differences[["data", "algorithm", "significant"]].itertuples(index=False)
            marks = {(data, algorithm): bool(mark) for data, algorithm, mark in rows}
            note += (
                f"; dagger: {NAMES[measure]} differs from that of {test.reference} (corrected resampled "
                f"t-test, Holm, p < {alpha:g})"
            )
        return latex_table(summary, measures, marks, note)

    # Charts and report

    def plot(self) -> Figure:
        """Error against time, in a panel for each data set, as a matplotlib Figure."""
        by_data = self._summary().dropna(subset=["rmse"]).groupby("data", sort=False)
        unit = "" if self.times_are_comparable else f"; {self._why_times_differ()}"

        def draw(name: str, ax: Axes) -> None:
            plots.plot_comparison(by_data.get_group(name).droplevel("data"), ax)
            ax.set_xlabel(f"{ax.get_xlabel()}{unit}")

        return self._panels(draw, [str(name) for name in by_data.groups])

    def plot_errors(self, by: str = "user", n_bins: int = 5, measure: str = "rmse") -> Figure:
        """The result of `errors`, in a panel for each data set, as a matplotlib Figure.

        ``measure`` is "rmse", "mae" or "bias".
        """
        frame = self.errors(by, n_bins)
        return self._panels(
            lambda name, ax: plots.plot_errors(frame[frame["data"] == name], ax, measure),
            list(frame["data"].unique()),
        )

    def plot_learning_curve(self) -> Figure:
        """The result of `learning_curve`, in a panel for each data set, as a matplotlib Figure."""
        frame = self.learning_curve()
        return self._panels(
            lambda name, ax: plots.plot_learning_curve(frame[frame["data"] == name], ax), self._names("data")
        )

    def plot_ranks(self, measure: str = "rmse", alpha: float = 0.05) -> Figure:
        """The critical-difference diagram of mean ranks over data sets, as a matplotlib Figure.

        Raises
        ------
        ValueError
            If there are fewer than two data sets, or two algorithms that failed on none.
        """
        ranks = self.ranks(measure)
        n_data = ranks.shape[1] - 1
        check("a test over data sets", n_data, "given at least 2 data sets", n_data >= 2)
        check("a test over data sets", len(ranks), "given at least 2 algorithms", len(ranks) >= 2)
        figure, (ax,) = plots.panels(1)
        distance = tests.critical_difference(len(ranks), n_data, alpha)
        plots.plot_critical_difference(ranks["mean"], distance, ax)
        return figure

    def only(self, data: str) -> Comparison:
        """The part of the comparison that concerns one data set.

        Raises
        ------
        ValueError
            If there is no data set of that name.
        """
        choice("data", data, self._names("data"))
        kept = {key: frame for key, frame in self._predictions.items() if key.data == data}
        folds = self.folds[self.folds["data"] == data].reset_index(drop=True)
        return Comparison(folds, self.info, kept)

    def _panels(self, draw: Callable[[str, Axes], object], names: list[str]) -> Figure:
        figure, axes = plots.panels(len(names))
        for name, ax in zip(names, axes, strict=True):
            draw(name, ax)
            if len(names) > 1:
                ax.set_title(name)
        return figure

    def report(self, path: str | os.PathLike[str], reference: str | None = None) -> None:
        """Write a report as one HTML file, with tables that sort and charts, which needs no network.

        Parameters
        ----------
        path : str or path-like
        reference : str, optional
            As in `significance`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the file cannot be written.
        """
        parts = [
            *_results(self),
            *_tests(self, reference),
            *_errors(self),
            *_learning_curve(self),
            section("Fits", "Every fit, in the order of the study.", folded(table(self.folds))),
            _provenance(self),
        ]
        write_page(path, f"Comparison of {len(self._names('algorithm'))} algorithms", parts)

    # Parts

    @property
    def n_folds(self) -> int:
        """The smallest number of folds, over all repeats, that a data set has."""
        folds = self._full_size().drop_duplicates(["data", "repeat", "fold"])
        return int(folds.groupby("data").size().min())

    @property
    def has_predictions(self) -> bool:
        """Whether predictions were kept, for `errors`."""
        return len(self._predictions) > 0

    def _names(self, column: str) -> list[str]:
        return [str(name) for name in self.folds[column].unique()]

    def _full_size(self) -> pd.DataFrame:
        frame: pd.DataFrame = self.folds[self.folds["train_size"] == self.folds["train_size"].max()]
        return frame

    def _measure(self, measure: Any) -> str:
        return choice("measure", measure, [name for name in NAMES if name in self.folds])


# The parts of the report


def _results(comparison: Comparison) -> list[str]:
    frame = comparison._summary().reset_index()
    best = {}
    for measure in (name for name in NAMES if name in frame):
        top = frame.groupby("data")[measure].transform("max" if measure in HIGHER_IS_BETTER else "min")
        best[measure] = set(frame.index[frame[measure] == top])
    if len(comparison._names("data")) == 1:
        frame = frame.drop(columns="data")
    if not frame["failed"].any() and frame["fits"].min() == frame["fits"].max():
        frame = frame.drop(columns=["fits", "failed"])
    return [
        lines([*comparison.header().splitlines(), *comparison.notes()]),
        section(
            "Results",
            "The best of each data set is bold.",
            table(frame, best),
            _charts(comparison, Comparison.plot),
        ),
    ]


def _tests(comparison: Comparison, reference: str | None) -> list[str]:
    if len(comparison.ranks()) < 2 or comparison.n_folds < 2:
        return []
    test = comparison.significance(reference)
    name = NAMES[test.measure]
    text = (
        f"{name} minus that of {test.reference} on the same folds: mean difference, {1 - test.alpha:.0%} "
        "interval and two-sided p by the corrected resampled t-test (Nadeau, Bengio 2003); p adjusted by "
        "Holm's procedure for the algorithms on a data set."
    )
    sections = [section("Significance", text, table(test.differences))]
    return sections if test.friedman is None else [*sections, _ranks(comparison, test)]


def _ranks(comparison: Comparison, test: Significance) -> str:
    assert test.friedman is not None
    assert test.ranks is not None
    friedman = test.friedman
    text = (
        f"{friedman.n_data} data sets: Friedman's chi2 = {friedman.chi2:.2f} ({p_text(friedman.p)}), Iman "
        f"and Davenport's F = {friedman.f:.2f} ({p_text(friedman.f_p)}). Mean ranks that differ by less than "
        f"the critical difference of {test.critical_difference:.2f} are joined by a bar (Nemenyi, alpha = "
        f"{test.alpha:g}; Demsar 2006). Below: the ranks, and the mean rank minus that of {test.reference}."
    )
    tables = table(comparison.ranks().reset_index()) + table(test.ranks.reset_index())
    return section("Ranks over data sets", text, tables, {"": comparison.plot_ranks()})


def _errors(comparison: Comparison) -> list[str]:
    if not comparison.has_predictions:
        return []
    texts = {
        "user": ("Errors by the user's training ratings", "“Unknown” users have no training ratings."),
        "item": ("Errors by the item's training ratings", "“Unknown” items have no training ratings."),
        "rating": ("Errors by the true rating", "Bias is the mean of estimate minus rating."),
    }
    return [
        section(
            heading,
            text,
            folded(table(comparison.errors(by).drop(columns=["by", "bin"]))),
            _charts(comparison, partial(Comparison.plot_errors, by=by)),
        )
        for by, (heading, text) in texts.items()
    ]


def _learning_curve(comparison: Comparison) -> list[str]:
    if len(comparison.info.train_sizes) < 2:
        return []
    text = "Errors by the share of the training ratings that algorithms were fitted to."
    charts = _charts(comparison, Comparison.plot_learning_curve)
    return [section("Learning curve", text, table(comparison.learning_curve()), charts)]


def _provenance(comparison: Comparison) -> str:
    info = comparison.info
    values = {
        "command": info.command,
        "folds": info.folds,
        "repeats": str(info.repeats),
        "fits at a time": ", ".join(str(n) for n in sorted(comparison.folds["n_jobs"].unique())),
        "machine": info.machine,
        "versions": ", ".join(f"{name} {version}" for name, version in info.versions.items()),
        "date of this report": date.today().isoformat(),
    }
    return section("How it was made", "", facts(values))


def _charts(comparison: Comparison, draw: Callable[[Comparison], Figure]) -> dict[str, Figure]:
    """A chart for each data set, by name: a page can put them side by side or below one another."""
    names = [str(name) for name in comparison.folds["data"].unique()]
    captions = names if len(names) > 1 else [""]
    return {caption: draw(comparison.only(name)) for caption, name in zip(captions, names, strict=True)}
