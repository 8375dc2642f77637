"""The drawing of the package in the documentation has every part, above all that it imports."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "docs" / "_ext" / "architecture.py"
pytest.importorskip("sphinx", reason="the drawing is made by an extension of Sphinx, which is not installed")


@pytest.fixture(scope="module")
def architecture():
    spec = importlib.util.spec_from_file_location("architecture", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_part_is_drawn_above_those_that_it_imports(architecture):
    height = {part: number for number, row in enumerate(architecture.ROWS) for part in row}
    assert set(height) == architecture.parts()
    imports = {part: architecture.imports_of(part) for part in height}
    assert "core" in imports["model"]
    assert {"parameters", "model"} <= imports["fitting"]
    wrong = [(one, other) for one in imports for other in imports[one] if height[one] >= height[other]]
    assert wrong == []


def test_arrows_that_follow_from_others_are_left_out(architecture):
    arrows = architecture.direct({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    assert arrows == [("a", "b"), ("b", "c")]
