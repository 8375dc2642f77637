"""The tables of a comparison as text, Markdown, HTML and LaTeX."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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

    Parameters
    ----------
    summary : DataFrame
        Indexed by data and algorithm.
    measures : collection of str
    marks : mapping of (data, algorithm) to bool
        Which algorithms to mark, for the first measure.
    note : str
        What the table says below itself, in LaTeX.
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
