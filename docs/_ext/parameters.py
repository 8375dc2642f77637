"""Writes the tables of the page of parameters from the docstring of AutoRec, where they are documented."""

import inspect
from pathlib import Path

from numpydoc.docscrape import NumpyDocString
from sphinx.application import Sphinx

#: Groups of parameters, each with the first and the last in the order of the docstring.
GROUPS = {
    "first": ("variant", "n_estimators"),
    "model": ("item_weight", "decoder_activation"),
    "input": ("dropout", "input_scaling"),
    "training": ("reg_bias", "uncertainty"),
    "running": ("random_state", "verbose"),
}


def write_tables(app: Sphinx) -> None:
    from surprise_autorec import AutoRec

    parameters = NumpyDocString(AutoRec.__doc__)["Parameters"]
    defaults = inspect.signature(AutoRec).parameters
    names = [one.name for one in parameters]
    if set(names) != set(defaults):
        raise ValueError(
            f"the docstring has other parameters than the signature: {set(names) ^ set(defaults)}"
        )
    folder = Path(app.srcdir, "_generated")
    written = []
    for group, (first, last) in GROUPS.items():
        chosen = parameters[names.index(first) : names.index(last) + 1]
        written += chosen
        lines = [
            line
            for one in chosen
            for line in (
                f"``{one.name}`` = ``{defaults[one.name].default!r}``",
                *(f"    {text}" for text in one.desc),
                "",
            )
        ]
        (folder / f"parameters-{group}.rst").write_text("\n".join(lines), encoding="utf-8")
    if len(written) != len(parameters):
        raise ValueError("the groups do not have every parameter once")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
