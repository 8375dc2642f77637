"""The report of a comparison: one HTML file that needs no network."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Mapping
from datetime import date
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import pandas as pd

from surprise_autorec.study.tables import HIGHER_IS_BETTER, NAMES, p_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from surprise_autorec.study.result import Comparison, Significance

_HEADERS = {
    **NAMES,
    "rmse_std": "± RMSE",
    "mae_std": "± MAE",
    "fit_time": "fit [s]",
    "test_time": "test [s]",
    "time_ratio": "time / fastest",
    "peak_memory": "peak [MiB]",
    "n_train": "training ratings",
    "train_size": "share",
    "p_holm": "p (Holm)",
    "p_nemenyi": "p (Nemenyi)",
    "label": "group",
}
_DIGITS = {
    "fit_time": 2,
    "test_time": 2,
    "time_ratio": 1,
    "peak_memory": 0,
    "n_train": 0,
    "train_size": 2,
    "mean": 2,
    "z": 2,
    "t": 2,
}


def write_report(comparison: Comparison, path: str | os.PathLike[str], reference: str | None) -> None:
    """Write the report of a comparison; see `Comparison.report`."""
    title = f"Comparison of {comparison.folds['algorithm'].nunique()} algorithms"
    sections = [
        *_results(comparison),
        *_tests(comparison, reference),
        *_errors(comparison),
        *_learning_curve(comparison),
        _section("Fits", "Every fit, in the order of the study.", _folded(_table(comparison.folds))),
        _provenance(comparison),
    ]
    template = Template(files("surprise_autorec.study").joinpath("report.html").read_text(encoding="utf-8"))
    page = template.substitute(title=escape(title), body="\n".join(sections))
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"the report must be a file in a folder that can be written, got {path!s} ({error})"
        ) from None


def _results(comparison: Comparison) -> list[str]:
    summary = comparison.summary()
    index = list(summary.index.names)
    frame = summary.reset_index()
    best = {}
    for measure in (name for name in NAMES if name in frame):
        groups = frame.groupby("data")[measure] if "data" in index else frame.groupby(lambda _: 0)[measure]
        top = groups.transform("max" if measure in HIGHER_IS_BETTER else "min")
        best[measure] = set(frame.index[frame[measure] == top])
    if not frame["failed"].any() and frame["fits"].min() == frame["fits"].max():
        frame = frame.drop(columns=["fits", "failed"])
    texts = [*comparison.header().splitlines(), *comparison.notes()]
    text = "<br>".join(map(escape, texts))
    return [
        f"<p>{text}</p>",
        _section(
            "Results",
            "The best of each data set is bold.",
            _table(frame, best),
            _charts(comparison, lambda one: one.plot()),
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
    sections = [_section("Significance", text, _table(test.differences))]
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
    tables = _table(comparison.ranks().reset_index()) + _table(test.ranks.reset_index())
    return _section("Ranks over data sets", text, tables, {"": comparison.plot_ranks()})


def _errors(comparison: Comparison) -> list[str]:
    if not comparison.has_predictions:
        return []
    texts = {
        "user": ("Errors by the user's training ratings", "“Unknown” users have no training ratings."),
        "item": ("Errors by the item's training ratings", "“Unknown” items have no training ratings."),
        "rating": ("Errors by the true rating", "Bias is the mean of estimate minus rating."),
    }
    return [
        _section(
            heading,
            text,
            _folded(_table(comparison.errors(by).drop(columns=["by", "bin"]))),
            _charts(comparison, partial(_plot_errors, by=by)),
        )
        for by, (heading, text) in texts.items()
    ]


def _plot_errors(comparison: Comparison, by: str) -> Figure:
    return comparison.plot_errors(by)


def _learning_curve(comparison: Comparison) -> list[str]:
    if len(comparison.info.train_sizes) < 2:
        return []
    text = "Errors by the share of the training ratings that algorithms were fitted to."
    table = _table(comparison.learning_curve())
    return [
        _section("Learning curve", text, table, _charts(comparison, lambda one: one.plot_learning_curve()))
    ]


def _provenance(comparison: Comparison) -> str:
    info = comparison.info
    facts = {
        "command": info.command,
        "folds": info.folds,
        "repeats": str(info.repeats),
        "fits at a time": ", ".join(str(n) for n in sorted(comparison.folds["n_jobs"].unique())),
        "machine": info.machine,
        "versions": ", ".join(f"{name} {version}" for name, version in info.versions.items()),
        "date of this report": date.today().isoformat(),
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>" for name, fact in facts.items())
    return _section("How it was made", "", f"<dl>{items}</dl>")


def _folded(table: str) -> str:
    """A table that is shown on a click."""
    return f"<details><summary>Table</summary>{table}</details>"


def _charts(comparison: Comparison, draw: Callable[[Comparison], Figure]) -> dict[str, Figure]:
    """A chart for each data set, by name: a page can put them side by side or below one another."""
    names = [str(name) for name in comparison.folds["data"].unique()]
    captions = names if len(names) > 1 else [""]
    return {caption: draw(comparison.only(name)) for caption, name in zip(captions, names, strict=True)}


def _section(heading: str, text: str, content: str, charts: Mapping[str, Figure] | None = None) -> str:
    paragraph = f"<p>{escape(text)}</p>" if text else ""
    figures = "".join(
        f"<figure>{_svg(figure, f'{heading} {name}')}<figcaption>{escape(name)}</figcaption></figure>"
        for name, figure in (charts or {}).items()
    )
    grid = f'<div class="charts">{figures}</div>' if figures else ""
    return f"<section><h2>{escape(heading)}</h2>{paragraph}{grid}{content}</section>"


def _table(frame: pd.DataFrame, best: Mapping[str, Collection[Any]] | None = None) -> str:
    """A table that sorts by the values, whatever digits it shows.

    Parameters
    ----------
    frame : DataFrame
    best : mapping of str to collection, optional
        For each column, which rows (by index) to show in bold.
    """
    best = best or {}
    columns = [str(column) for column in frame]
    headers, cells = [], []
    for column in columns:
        values = frame[column]
        is_text = pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values)
        kind = ' class="text"' if is_text else ""
        name = _HEADERS.get(column, column.replace("_", " "))
        headers.append(f"<th{kind}><button>{escape(name)}</button></th>")
        if is_text:
            texts = values.replace({True: "yes", False: "no"}) if values.dtype == bool else values
            cells.append([f"<td{kind}>{escape(str(value))}</td>" for value in texts])
        else:
            is_whole = bool((values.dropna() % 1 == 0).all()) and column not in _DIGITS
            form = f".{0 if is_whole else _DIGITS.get(column, 4)}f"
            bold = [' class="best"' if index in best.get(column, ()) else "" for index in frame.index]
            shown = ["-" if value != value else f"{value:{form}}" for value in values]
            cells.append(
                [
                    f'<td{style} data-value="{float(value)!r}">{text}</td>'
                    for style, value, text in zip(bold, values, shown, strict=True)
                ]
            )
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*cells, strict=True))
    body = f"<thead><tr>{''.join(headers)}</tr></thead><tbody>{rows}</tbody>"
    return f'<div class="wide"><table>{body}</table></div>'


def _svg(figure: Figure, label: str) -> str:
    """A chart as SVG on the page's background, with lines of its text's colour."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace("#000000", "currentColor").replace("fill: #ffffff", "fill: none")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
