"""Runs the code of Markdown pages while they are read, shows what it prints and draws, and makes notebooks.

Every ``python`` block of a page runs, from top to bottom, in an empty folder. So does every line of a
``bash`` block that calls ``surprise-autorec`` or ``torchrun``. All pages run in one process, so that torch is
imported once. An error or a warning in a page is a warning of the build, which then fails.
"""

import ast
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from fnmatch import fnmatch
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from sphinx.application import Sphinx
from sphinx.util import logging
from typer.testing import CliRunner

#: A block of code, and the output that a page may show below it, which is replaced.
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$(?:\n\n^```text\n.*?^```$)?", re.MULTILINE | re.DOTALL)
DIRECTIVE = re.compile(r"^(:::+|```+)\{.*?^\1$", re.MULTILINE | re.DOTALL)
NOTEBOOK = "\n\n{{download}}`This page as a notebook <{}>`\n"

logger = logging.getLogger(__name__)


def run_python(code: str, page: str, names: dict[str, object], folder: Path) -> str:
    """Run code as a notebook does: what it prints and draws, and the value of its last line, as Markdown."""
    tree = ast.parse(code, page)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        exec(compile(tree, page, "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), page, "eval"), names)
    text = printed.getvalue()
    is_chart = isinstance(value, Figure) or "matplotlib" in type(value).__module__
    html = None if is_chart else getattr(value, "_repr_html_", None)
    if html is None and value is not None and not is_chart:
        text += repr(value)
    shown = as_text(text)
    if html:
        shown += f'\n```{{raw}} html\n<div class="output table-wrapper">{html()}</div>\n```\n'
    figures = [plt.figure(number) for number in plt.get_fignums()]
    plt.close("all")
    if isinstance(value, Figure) and value not in figures:
        figures.append(value)
    return shown + save_figures(figures, page, folder)


def run_commands(code: str) -> str:
    """Run the commands of the package among the lines of a shell, and return what they print, as Markdown."""
    from surprise_autorec.cli import app

    printed = ""
    for line in code.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line, comments=True) or [""]
        if program == "surprise-autorec":
            result = CliRunner().invoke(app, arguments)
            if result.exit_code:
                raise RuntimeError(f"{line}: {result.output}")
            printed += result.stdout
        elif program == "torchrun":
            command = [sys.executable, "-m", "torch.distributed.run", *arguments]
            printed += subprocess.run(command, check=True, capture_output=True, text=True).stdout
        elif program not in {"", "pip"}:
            raise ValueError(f"only surprise-autorec, torchrun and pip may be called, got {line!r}")
    return as_text(printed)


def as_text(text: str) -> str:
    return f"\n```{{code-block}} text\n:class: output\n\n{text.rstrip()}\n```\n" if text.strip() else ""


def save_figures(figures: list[Figure], page: str, folder: Path) -> str:
    """Save figures and return Markdown that shows them."""
    shown = ""
    for figure in figures:
        file = folder / f"{page.replace('/', '-')}-{len(list(folder.glob('*.png')))}.png"
        figure.savefig(file, dpi=150)
        shown += f"\n```{{image}} /{folder.name}/{file.name}\n:class: chart\n"
        shown += f":width: {100 * figure.get_figwidth():g}px\n```\n"
    return shown


def run_page(text: str, page: str, folder: Path) -> str:
    """Run all code of a page, and return the page with the output under each block."""
    names: dict[str, object] = {"__name__": "page"}

    def with_output(match: re.Match[str]) -> str:
        language, code = match.groups()
        shown = run_python(code, page, names, folder) if language == "python" else run_commands(code)
        return f"```{language}\n{code}```\n" + shown

    n_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as empty, chdir(empty), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # Surprise leaves files open
        np.random.seed(0)  # noqa: NPY002 (Surprise draws from it)
        try:
            return BLOCK.sub(with_output, text)
        finally:
            torch.set_num_threads(n_threads)


def as_notebook(text: str) -> str:
    """A page as a Jupyter notebook: its text, without directives, and its code."""
    cells = []
    for number, part in enumerate(BLOCK.split(text)):
        if number % 3 == 0:
            cells.append(("markdown", DIRECTIVE.sub("", part).strip()))
        elif number % 3 == 1:
            magic = "%%bash\n" if part == "bash" else ""
        else:
            cells.append(("code", magic + part.strip()))
    extra = {"markdown": {}, "code": {"execution_count": None, "outputs": []}}
    return json.dumps(
        {
            "cells": [
                {"cell_type": kind, "metadata": {}, "source": source, **extra[kind]}
                for kind, source in cells
                if source
            ],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 4,
        },
        indent=1,
    )


def read_page(app: Sphinx, page: str, source: list[str]) -> None:
    wanted, not_wanted = app.config.executed_pages, app.config.not_executed_pages
    is_wanted = any(fnmatch(page, pattern) for pattern in wanted) and page not in not_wanted
    if not is_wanted or not BLOCK.search(source[0]):
        return
    folder = Path(app.srcdir, "_generated")
    folder.mkdir(exist_ok=True)
    for old in folder.glob(f"{page.replace('/', '-')}-*.png"):
        old.unlink()
    notebook = folder / f"{page.replace('/', '-')}.ipynb"
    notebook.write_text(as_notebook(source[0]), encoding="utf-8")
    try:
        source[0] = run_page(source[0], page, folder) + NOTEBOOK.format(f"/{folder.name}/{notebook.name}")
    except Exception as error:
        logger.warning("the code of this page failed: %r", error, location=page)


def setup(app: Sphinx) -> dict[str, bool]:
    mpl.use("Agg")
    os.environ.setdefault("COLUMNS", "100")
    app.add_config_value("executed_pages", [], "env")
    app.add_config_value("not_executed_pages", [], "env")
    app.connect("source-read", read_page)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
