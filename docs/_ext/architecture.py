"""Draws the parts of the package and which of them import which, from the imports of the code."""

import ast
from pathlib import Path

from sphinx.application import Sphinx

PACKAGE = Path(__file__).parents[2] / "surprise_autorec"

#: The parts of the package from top to bottom. A part imports only those below it, or others of its own box.
ROWS = [
    {"distributed": "one fit on many processes"},
    {"cli": "the command line"},
    {"comparison": "compare"},
    {"study": "parts of comparisons", "adapters": "other packages", "persistence": "load"},
    {"algorithm": "AutoRec", "regressor": "AutoRecRegressor", "datasets": "by name", "splits": "folds"},
    {
        "fitted": "what both can do after a fit",
        "trainsets": "Surprise's trainsets",
        "data": "reading ratings",
    },
    {"fitting": "from ratings to a model"},
    {"memory": "how much a fit needs", "model": "scoring, ranking, files"},
    {"parameters": "documented and checked"},
    {"checks": "", "display": "", "callbacks": ""},
    {"core": "training: batches, steps, network, optimisers"},
]
WIDTH, BOX, GAP = 760, 44, 34


def parts() -> set[str]:
    """The modules and folders directly in the package."""
    return {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()} - {
        "__init__",
        "__main__",
        "__pycache__",
    }


def imports_of(part: str) -> set[str]:
    """Which parts of the package a part imports."""
    file = PACKAGE / f"{part}.py"
    files = [file] if file.exists() else (PACKAGE / part).rglob("*.py")
    modules = set()
    for node in (node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = {name.split(".")[1] for name in modules if name.startswith("surprise_autorec.")}
    return (found & parts()) - {part}


def direct(imports: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The imports that do not follow from others: those that are worth an arrow."""

    def reached(part: str) -> set[str]:
        return imports[part].union(*map(reached, imports[part]))

    return [
        (one, other)
        for one, those in imports.items()
        for other in sorted(those)
        if not any(other in reached(third) for third in those - {other})
    ]


def drawing() -> str:
    """The picture as SVG."""
    boxes, shapes = {}, []
    for number, row in enumerate(ROWS):
        size = WIDTH / len(row)
        for place, (name, text) in enumerate(row.items()):
            x, y, width = size * place + size / 2, number * (BOX + GAP) + 2, min(size - 24, 330)
            boxes[name] = (x, y)
            shapes.append(
                f'<g><rect x="{x - width / 2:g}" y="{y}" width="{width:g}" height="{BOX}" rx="6"/>'
                f'<g class="name"><text x="{x:g}" y="{y + (18 if text else 27)}">{name}</text></g>'
                f'<g class="note"><text x="{x:g}" y="{y + 35}">{text}</text></g></g>'
            )
    lines = []
    for one, other in direct({name: imports_of(name) for name in boxes}):
        (x1, y1), (x2, y2) = boxes[one], boxes[other]
        bend = (y2 - y1 - BOX) / 2
        lines.append(
            f'<path marker-end="url(#arrow)" d="M{x1:g} {y1 + BOX} C{x1:g} {y1 + BOX + bend:g} '
            f'{x2:g} {y2 - bend:g} {x2:g} {y2 - 2}"/>'
        )
    height = len(ROWS) * (BOX + GAP) - GAP + 4
    return (
        f'<svg class="drawing" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="The parts of the package"><defs><marker id="arrow" viewBox="0 0 8 8" refX="7" '
        'refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
        f'<g class="line">{"".join(lines)}</g>{"".join(shapes)}</svg>\n'
    )


def write_drawing(app: Sphinx) -> None:
    Path(app.srcdir, "_generated", "architecture.svg").write_text(drawing(), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_drawing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
