"""Formulas as MathML: browsers show it by themselves, without a script and without a network."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

TAG = re.compile(r"\\tag\{(.*?)\}")


def visit_inline(translator: object, node: nodes.math) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_block(translator: object, node: nodes.math_block) -> None:
    latex = node.astext()
    number = "".join(f'<span class="eqno">({tag})</span>' for tag in TAG.findall(latex))
    formula = convert(TAG.sub("", latex), display="block")
    translator.body.append(f'<div class="formula">{formula}{number}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
