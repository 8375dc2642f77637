"""HTML pages with tables that sort and charts, each in one file that needs no network."""

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

from surprise_autorec.study.tables import NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def write_page(path: str | os.PathLike[str], title: str, parts: Sequence[str]) -> None:
    """Write parts made by the other functions as a page.

    Raises
    ------
    ValueError
        If the file cannot be written.
    """
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

    Parameters
    ----------
    frame : DataFrame
    best : mapping of str to collection, optional
        For each column, which rows (by index) to show in bold.
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
