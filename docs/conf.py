"""Configuration of the documentation."""

import importlib.metadata
import os
import re
import shutil
import sys
import zlib
from pathlib import Path

from docutils import nodes

os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars are of no use on a page

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
shutil.rmtree(HERE / "generated", ignore_errors=True)  # pages of names that are no longer there

project = "surprise-autorec"
copyright = "2026, The surprise_autorec developers"  # noqa: A001 (Sphinx's name)
release = importlib.metadata.version("surprise-autorec")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",
    "sphinx_copybutton",
    "architecture",
    "charts",
    "executed",
    "mathml",
    "parameters",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_ext", "_generated", "examples", "inventories"]
# Tables that the benchmarks print are parts of a page, no pages.
exclude_patterns += [
    f"benchmarks/{file.name}" for file in HERE.glob("benchmarks/*.md") if file.stem != "index"
]
executed_pages = ["develop/a-rating", "develop/extend", "howto/*", "start/*"]
not_executed_pages = ["howto/peers"]  # tox -e peers runs it, with the packages that it needs

html_theme = "furo"
html_title = f"surprise-autorec {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_math_renderer = "mathml"
pygments_dark_style = "github-dark"
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 3
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    "AutoRec": "surprise_autorec.AutoRec",
    "AutoRecRegressor": "surprise_autorec.AutoRecRegressor",
    "Axes": "matplotlib.axes.Axes",
    "DataFrame": "pandas.DataFrame",
    "RandomState": "numpy.random.RandomState",
    "ndarray": "numpy.ndarray",
    "surprise.Trainset": "surprise.Trainset",
    "surprise.Dataset": "surprise.Dataset",
    "surprise.Prediction": "surprise.Prediction",
}

#: A number with its spread and unit, or a dash in its place.
NUMBER = re.compile(r"[<+-]?[\d.,]*\d( ±\s[\d.]+)?( ?(%|ms|s|us|MB|GB|kB))?|-")

#: Where the documentation of other projects is.
OTHERS = {
    "python": "https://docs.python.org/3/",
    "surprise": "https://surprise.readthedocs.io/en/stable/",
    "sklearn": "https://scikit-learn.org/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "numpy": "https://numpy.org/doc/stable/",
    "matplotlib": "https://matplotlib.org/stable/",
}


def inventory_of(name: str) -> str:
    """An inventory of the names in inventories/<name>.txt, as intersphinx reads it."""
    lines = (HERE / "inventories" / f"{name}.txt").read_text(encoding="utf-8").split("\n")
    entries = [line.split() for line in lines if line]
    text = "".join(f"{one} {role} 1 {address} -\n" for one, role, address in entries)
    header = f"# Sphinx inventory version 2\n# Project: {name}\n# Version: \n# zlib\n"
    file = HERE / "_generated" / f"{name}.inv"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(header.encode() + zlib.compress(text.encode()))
    return str(file)


def align_numbers(app, doctree) -> None:  # noqa: ARG001 (Sphinx's signature)
    """Mark the cells of tables that hold numbers: they are aligned on the right and never broken."""
    for cell in doctree.findall(nodes.entry):
        if NUMBER.fullmatch(cell.astext()):
            cell["classes"].append("number")


def shorten_signature(app, what, name, thing, options, signature, returned):  # noqa: ARG001 (Sphinx's signature)
    """Show five parameters of many: all of them are listed below."""
    if signature and signature.count(",") > 20:
        return ", ".join([*signature.split(", ")[:5], "...)"]), returned
    return None


def skip_fields(app, what, name, thing, skip, options):  # noqa: ARG001 (Sphinx's signature)
    """Leave out the fields of named tuples as members: the docstring of the class has them."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def setup(app) -> None:
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("doctree-read", align_numbers)
    app.connect("autodoc-process-signature", shorten_signature, priority=900)


intersphinx_mapping = {name: (address, inventory_of(name)) for name, address in OTHERS.items()}

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "min_reported_time": 3600,
    "write_computation_times": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "matplotlib_animations": False,
    "download_all_examples": True,
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": ("_repr_html_", "__repr__"),
    "ignore_repr_types": r"matplotlib|NotebookFigure",
    "image_scrapers": ("matplotlib", "figures.of_values"),
}
