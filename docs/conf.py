"""Configuration of the documentation."""

import importlib.metadata

project = "surprise-autorec"
copyright = "2026, The surprise_autorec developers"  # noqa: A001 (Sphinx's name)
release = importlib.metadata.version("surprise-autorec")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"surprise-autorec {release}"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autoclass_content = "both"
napoleon_google_docstring = False
napoleon_use_ivar = True
default_role = "code"
