"""The tables of a comparison as text, Markdown, HTML and LaTeX, and pages of HTML.

A page has tables that sort and charts, in one file that needs no network.
"""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import pandas as pd
from tabulate import tabulate

#: Measures of which more is better; of all others, less is.
HIGHER_IS_BETTER = ("precision", "recall", "ndcg", "coverage")

NAMES = {
    "rmse": "RMSE",
    "mae": "MAE",
    "precision": "precision",
    "recall": "recall",
    "ndcg": "NDCG",
    "coverage": "coverage",
}


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


def text_table(summary: pd.DataFrame, tablefmt: str) -> str:
    """The table of a summary, in a format of the tabulate library."""
    scores = [column for column in NAMES if column in summary and column not in ("rmse", "mae")]
    is_partial = bool((summary["failed"] > 0).any() or summary["fits"].min() < summary["fits"].max())
    several = isinstance(summary.index, pd.MultiIndex)
    headers = [
        *(["data"] if several else []),
        *["algorithm", "RMSE", "MAE", "fit [s]", "test [s]", "time / fastest", "peak [MiB]"],
        *(NAMES[score] for score in scores),
        *(["fits", "failed"] if is_partial else []),
    ]
    rows = [
        [
            *(str(part) for part in (name if isinstance(name, tuple) else (name,))),
            _with_spread(row.rmse, row.rmse_std, row.fits),
            _with_spread(row.mae, row.mae_std, row.fits),
            _number(row.fit_time, ".2f"),
            _number(row.test_time, ".2f"),
            _number(row.time_ratio, ".1f"),
            _number(row.peak_memory, ".0f"),
            *(_number(row[score], ".4f") for score in scores),
            *([f"{row.fits:.0f}", f"{row.failed:.0f}"] if is_partial else []),
        ]
        for name, row in summary.iterrows()
    ]
    n_names = 2 if several else 1
    alignment = [*["left"] * n_names, *["right"] * (len(headers) - n_names)]
    return tabulate(rows, headers, tablefmt=tablefmt, disable_numparse=True, colalign=alignment)


def latex_table(
    summary: pd.DataFrame, measures: Collection[str], marks: Mapping[tuple[str, str], bool], note: str
) -> str:
    """A booktabs table: a column for each data set and measure, the best in bold, marked ones with a dagger.

    The summary is indexed by data and algorithm. ``marks`` says by data and algorithm which to mark, for the
    first measure. ``note`` is what the table says below itself, in LaTeX.
    """
    names = list(dict.fromkeys(summary.index.get_level_values("data")))
    algorithms = list(dict.fromkeys(summary.index.get_level_values("algorithm")))
    n = len(measures)
    lines = [rf"\begin{{tabular}}{{l{'r' * (n * len(names))}}}", r"\toprule"]
    if len(names) > 1:
        groups = " & ".join(rf"\multicolumn{{{n}}}{{c}}{{{_latex(name)}}}" for name in names)
        lines.append(rf" & {groups} \\")
        rules = (rf"\cmidrule(lr){{{2 + n * at}-{1 + n * (at + 1)}}}" for at in range(len(names)))
        lines.append("".join(rules))
    lines += [" & ".join(["algorithm", *[NAMES[m] for m in measures] * len(names)]) + r" \\", r"\midrule"]
    best = {
        (name, measure): summary.loc[name, measure].agg("max" if measure in HIGHER_IS_BETTER else "min")
        for name in names
        for measure in measures
    }
    for algorithm in algorithms:
        cells = [_latex(algorithm)]
        for name in names:
            for position, measure in enumerate(measures):
                value = float(summary[measure].get((name, algorithm), float("nan")))
                is_marked = position == 0 and marks.get((name, algorithm), False)
                cells.append(_latex_cell(value, value == best[name, measure], is_marked))
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", f"% {note}"])


def p_text(p: float) -> str:
    """A p-value, such as "p = 0.0123"."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"


def _latex_cell(value: float, is_best: bool, is_marked: bool) -> str:
    if value != value:
        return "--"
    text = rf"\textbf{{{value:.4f}}}" if is_best else f"{value:.4f}"
    return rf"{text}$^{{\dagger}}$" if is_marked else text


def _latex(text: str) -> str:
    for sign in "\\&%$#_{}":
        text = text.replace(sign, r"\textbackslash " if sign == "\\" else f"\\{sign}")
    return text


def _with_spread(value: float, spread: float, n_fits: float) -> str:
    """A mean and, of several fits, their spread."""
    return f"{value:.4f} ± {spread:.4f}" if value == value and n_fits > 1 else _number(value, ".4f")


def _number(value: float, form: str) -> str:
    return "-" if value != value else f"{value:{form}}"


if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(path: str | os.PathLike[str], title: str, parts: Sequence[str]) -> None:
    """Write parts made by the other functions as a page. Raises ValueError if the file cannot be written."""
    template = Template(files("surprise_autorec.study").joinpath("page.html").read_text(encoding="utf-8"))
    page = template.substitute(title=escape(title), body="\n".join(parts))
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"the report must be a file in a folder that can be written, got {path!s} ({error})"
        ) from None


def lines(texts: Sequence[str]) -> str:
    """A paragraph with a line for each text."""
    return f"<p>{'<br>'.join(map(escape, texts))}</p>"


def facts(values: Mapping[str, str]) -> str:
    """A list of facts by name."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>" for name, fact in values.items())
    return f"<dl>{items}</dl>"


def folded(content: str) -> str:
    """A table that is shown on a click."""
    return f"<details><summary>Table</summary>{content}</details>"


def section(heading: str, text: str, content: str, charts: Mapping[str, Figure] | None = None) -> str:
    """A heading, a text, charts by their captions, and content made by the other functions."""
    paragraph = f"<p>{escape(text)}</p>" if text else ""
    figures = "".join(
        f"<figure>{_svg(figure, f'{heading} {name}')}<figcaption>{escape(name)}</figcaption></figure>"
        for name, figure in (charts or {}).items()
    )
    grid = f'<div class="charts">{figures}</div>' if figures else ""
    return f"<section><h2>{escape(heading)}</h2>{paragraph}{grid}{content}</section>"


def table(frame: pd.DataFrame, best: Mapping[str, Collection[Any]] | None = None) -> str:
    """A table that sorts by the values, whatever digits it shows.

    ``best`` says, for each column, which rows (by index) to show in bold.
    """
    best = best or {}
    columns = [_column(str(name), frame[name], best.get(str(name), ())) for name in frame]
    headers = "".join(header for header, _ in columns)
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*(cells for _, cells in columns), strict=True))
    body = f"<thead><tr>{headers}</tr></thead><tbody>{rows}</tbody>"
    return f'<div class="wide"><table>{body}</table></div>'


def _column(name: str, values: pd.Series[Any], best: Collection[Any]) -> tuple[str, list[str]]:
    """The header and the cells of a column of a table."""
    button = f"<button>{escape(_HEADERS.get(name, name.replace('_', ' ')))}</button>"
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        texts = values.replace({True: "yes", False: "no"}) if values.dtype == bool else values
        cells = [f'<td class="text">{escape(str(value))}</td>' for value in texts]
        return f'<th class="text">{button}</th>', cells
    is_whole = bool((values.dropna() % 1 == 0).all()) and name not in _DIGITS
    form = f".{0 if is_whole else _DIGITS.get(name, 4)}f"
    cells = []
    for index, value in values.items():
        style = ' class="best"' if index in best else ""
        shown = "-" if value != value else f"{value:{form}}"
        cells.append(f'<td{style} data-value="{float(value)!r}">{shown}</td>')
    return f"<th>{button}</th>", cells


def _svg(figure: Figure, label: str) -> str:
    """A chart as SVG on the page's background, with lines of its text's colour."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace("#000000", "currentColor").replace("fill: #ffffff", "fill: none")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
