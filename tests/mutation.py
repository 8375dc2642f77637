"""Mutation testing: change the code in one place, and see whether a test fails.

    python tests/mutation.py                                    # all modules, as for docs/promises.md
    python tests/mutation.py core/step.py --n 100 --seed 1      # others of one module

Cosmic Ray makes the changes (mutants). There are thousands, so a random sample of places is drawn from each
module, and one mutant in each place. They are tried in a copy of the repository. torch is loaded once, and
each mutant gets a fork of this process, which stops at the first test that fails.
"""

import argparse
import ast
import difflib
import importlib
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parent.parent

#: The modules, each with the tests that are run for it.
TESTS = {
    "core/step.py": "core_learner core_training core_bias_penalty core_precision core_checkpoints",
    "core/network.py": "core_network core_learner",
    "core/sparse.py": "core_sparse core_precision",
    "core/optimizers.py": "core_optimizers core_learner core_precision core_checkpoints",
    "core/fold_in.py": "core_fold_in fitted",
    "core/refit.py": "core_refit",
    "model/scoring.py": "ranking limits fitted uncertainty",
    "model/ranking.py": "ranking recommend_to",
    "model/files.py": "persistence file_format",
    "model/file_format.py": "file_format persistence",
    "core/atomic.py": "persistence core_checkpoints recommend_to",
    "persistence.py": "persistence",
}

#: Operators that floats lack: whatever uses one of them instead of another fails in any test.
OF_INTEGERS_ONLY = ("_LShift", "_RShift", "_BitAnd", "_BitOr", "_BitXor")

#: What takes long to import, and is none of ours.
PRELOADED = ["pandas", "pytest", "scipy.sparse", "sklearn.base", "surprise", "torch"]


def what_runs(source):
    """A source as text, without what is there for type checkers and readers only."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
            node.decorator_list = [one for one in node.decorator_list if "abstract" not in ast.unparse(one)]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.test = ast.Constant(value=True)
    return ast.dump(tree)


def places(source):
    """The mutants of each place: names of operators, and how often each could have been used before it."""
    found, nodes = {}, list(ast_nodes(get_ast(source)))
    for name in sorted(operator_names()):
        operator = get_operator(name)
        if operator.arguments() or name.endswith(OF_INTEGERS_ONLY):  # (arguments say what to change: names)
            continue
        positions = (place for node in nodes for place in operator().mutation_positions(node))
        for occurrence, place in enumerate(positions):
            found.setdefault(place, []).append((name, occurrence))
    return found


def sample(source, n, seed):
    """So many mutants of a source, each in another place."""
    rng, original, mutants = random.Random(seed), what_runs(source), []
    by_place = sorted(places(source).items())
    rng.shuffle(by_place)
    for _, choices in by_place:
        name, occurrence = rng.choice(choices)
        mutant = mutate_code(source, get_operator(name)(), occurrence)
        with suppress(SyntaxError):  # as where the sign of a keyword argument is replaced
            if what_runs(mutant) != original:
                mutants.append(mutant)
        if len(mutants) == n:
            break
    return mutants


def test(folder, tests):
    """Run tests in a process of its own, and end with their exit code."""
    os.setpgid(0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.chdir(folder)
    os.environ.update(PYTHONPATH=str(folder), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    sys.path[:0] = [str(folder), str(folder / "tests")]
    files = [f"tests/test_{name}.py" for name in tests.split()]
    sys.exit(sys.modules["pytest"].main(["-x", "-q", "-p", "no:cacheprovider", *files]))


def outcome(folder, tests, limit):
    """Whether the tests passed, failed, or did not end within a number of seconds."""
    process = get_context("fork").Process(target=test, args=(folder, tests))
    process.start()
    process.join(limit)
    if timed_out := process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return "timed out" if timed_out else "survived" if process.exitcode == 0 else "killed"


def changed(source, mutant):
    """The lines that differ."""
    lines = difflib.unified_diff(source.splitlines(), mutant.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def main():
    parser = argparse.ArgumentParser(description="Mutation testing of a sample of each module")
    parser.add_argument("modules", nargs="*", choices=[*TESTS, []], metavar="module", help="default: all")
    parser.add_argument("--n", type=int, default=25, help="mutants of each module (default: 25)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    for name in PRELOADED:
        importlib.import_module(name)
    total = Counter()
    with TemporaryDirectory() as name:
        folder = Path(name, "copy")
        left_out = shutil.ignore_patterns(".*", "_build", "_generated", "gallery", "generated", "__pycache__")
        shutil.copytree(ROOT, folder, ignore=left_out)
        for module in arguments.modules or TESTS:
            file = folder / "surprise_autorec" / module
            source = file.read_text(encoding="utf-8")
            start = time.perf_counter()
            if outcome(folder, TESTS[module], None) != "survived":
                sys.exit(f"the tests of {module} fail without a change")
            limit = 30 + 3 * (time.perf_counter() - start)
            counts = Counter()
            for mutant in sample(source, arguments.n, f"{arguments.seed} {module}"):
                file.write_text(mutant, encoding="utf-8")
                # Python takes compiled code that is of the same second and the same length for the same.
                Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
                result = outcome(folder, TESTS[module], limit)
                counts[result] += 1
                if result == "survived":
                    print(f"{module} survived:\n{changed(source, mutant)}", flush=True)
            file.write_text(source, encoding="utf-8")
            total += counts
            print(f"{module}: {dict(counts)}", flush=True)
    print(f"all: {dict(total)}")


if __name__ == "__main__":
    main()
