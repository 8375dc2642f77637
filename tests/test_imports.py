import ast
import subprocess
import sys
from pathlib import Path

import pytest

import surprise_autorec

PACKAGE = Path(surprise_autorec.__file__).parent
CORE_FILES = sorted((PACKAGE / "core").rglob("*.py"))
ALL_FILES = sorted(PACKAGE.rglob("*.py"))


def imported_names(source, package="surprise_autorec"):
    """Full dotted names of everything that source code of the given package imports, at any level."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def imports_of(path):
    return imported_names(
        path.read_text(encoding="utf-8"), ".".join(path.relative_to(PACKAGE.parent).parent.parts)
    )


def is_under(name, *modules):
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def run_python(script, *arguments):
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_imported_names_finds_every_form_of_import():
    source = "import a.b, c as d\nfrom . import e\nfrom ..f import g\ndef h():\n    from i import j as k"
    assert imported_names(source, "p.q") == {"a.b", "c", "p.q.e", "p.f.g", "i.j"}


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: path.stem)
def test_the_core_imports_numpy_scipy_torch_and_itself_only(path):
    allowed = [*sys.stdlib_module_names, "numpy", "scipy", "torch", "surprise_autorec.core"]
    assert [name for name in imports_of(path) if not is_under(name, *allowed)] == []


def test_the_core_loads_neither_surprise_nor_scikit_learn_nor_pandas():
    # A stub stands in for the parent package, which does load them.
    script = """
import importlib, sys, types
parent = types.ModuleType("surprise_autorec")
parent.__path__ = [sys.argv[1]]
sys.modules["surprise_autorec"] = parent
for name in sys.argv[2:]:
    importlib.import_module(name)
print(*sys.modules)
"""
    names = [f"surprise_autorec.core.{path.stem}" for path in CORE_FILES if path.stem != "__init__"]
    loaded = run_python(script, str(PACKAGE), *names)
    assert set(names) <= set(loaded)
    assert not {"surprise", "sklearn", "pandas"} & set(loaded)


#: Parts of the package, each with those that it may import. Parts in the same line may import each other.
MAY_IMPORT = {
    "core": {"core"},
    "checks": set(),
    "display": set(),
    "model": {"checks", "core", "model"},
    "callbacks": {"core"},
    "parameters": {"callbacks", "checks", "core", "display"},
    "memory": {"core", "parameters"},
    "fitting": {"callbacks", "checks", "core", "memory", "model", "parameters"},
    "fitted": {"checks", "core", "display", "fitting", "model"},
    "trainsets": {"core", "fitting", "model"},
    "algorithm": {"checks", "core", "display", "fitted", "fitting", "model", "parameters", "trainsets"},
    "regressor": {"checks", "core", "data", "display", "fitted", "fitting", "model", "parameters"},
    "persistence": {"algorithm", "fitted", "fitting", "model", "regressor"},
    "adapters": {"core", "fitting", "trainsets"},
    "data": {"checks", "core", "data"},
    "datasets": {"data"},
    "study": {"algorithm", "checks", "core", "fitted", "fitting", "study"},
    "comparison": {"checks", "data", "datasets", "display", "study"},
    "distributed": {"checks", "cli", "core", "data", "fitting", "model", "regressor"},
    "splits": {"checks", "core"},
}


def room(name):
    """The room of a module of the package, given by its full dotted name."""
    return name.split(".")[1]


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_part_imports_only_those_below_it(path):
    if path.parent == PACKAGE and path.stem.startswith("__"):
        return  # the package itself hands the names on
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    imported = {room(name) for name in imports_of(path) if name.startswith("surprise_autorec.")}
    if own == "cli":
        assert imported <= {*MAY_IMPORT, "cli", "__version__"}
    else:
        assert imported <= MAY_IMPORT[own]


def test_no_file_imports_itself_by_way_of_others():
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in ALL_FILES}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    modules.pop("surprise_autorec")

    def imported(module):
        names = imports_of(modules[module])
        return {
            max((one for one in modules if is_under(name, one)), key=len)
            for name in names
            if any(is_under(name, one) for one in modules)
        } - {module}

    order, left = [], set(modules)
    while left:
        free = {module for module in left if not imported(module) & left}
        assert free, f"these import one another: {sorted(left)}"
        order += sorted(free)
        left -= free
    assert order.index("surprise_autorec.core.step") < order.index("surprise_autorec.algorithm")


def test_importing_the_package_loads_nothing_large():
    """So the command line can choose how torch's threads wait, which must be done before torch is loaded."""
    loaded = run_python("import sys, surprise_autorec; print(*sys.modules)")
    assert "surprise_autorec" in loaded
    assert not {"numpy", "torch", "surprise"} & set(loaded)


def test_importing_autorec_does_not_load_what_few_need():
    loaded = run_python("import sys; from surprise_autorec import AutoRec; print(*sys.modules)")
    assert {"surprise", "torch"} <= set(loaded)
    # (torch loads plain tqdm itself; ours is tqdm.auto.)
    assert not {"matplotlib", "pandas", "scipy.sparse", "sklearn", "tqdm.auto", "typer"} & set(loaded)


def test_names_that_are_imported_when_asked_for_look_like_any_others():
    assert set(surprise_autorec.__all__) <= set(dir(surprise_autorec))
    assert all(getattr(surprise_autorec, name) is not None for name in surprise_autorec.__all__)
    with pytest.raises(AttributeError, match="module 'surprise_autorec' has no attribute 'nothing'"):
        surprise_autorec.nothing  # noqa: B018


def test_fitting_imports_neither_torchs_compiler_nor_symbolic_mathematics():
    """They take a second or two, and a half, which the first fit of every process would pay."""
    script = """
import sys
from surprise import Dataset, Reader
from surprise_autorec import AutoRec, datasets
data = Dataset.load_from_df(datasets.make_ratings(20, 10, 100), Reader(rating_scale=(1, 5)))
for optimizer in ("adam", "sgd"):
    AutoRec(n_factors=4, n_epochs=1, optimizer=optimizer).fit(data.build_full_trainset())
print(*sys.modules)
"""
    assert not {"torch._dynamo", "sympy", "torch.fx.experimental.symbolic_shapes"} & set(run_python(script))
