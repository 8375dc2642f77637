"""The versions that are promised are those that are tested."""

import configparser
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOX = configparser.ConfigParser(interpolation=None)
TOX.read(ROOT / "tox.ini", encoding="utf-8")


def versions(lines, sign):
    """Names and versions of lines such as numpy>=1.26, without zeros at the end."""
    pairs = (line.split(sign) for line in lines)
    return {name.strip(): re.sub(r"(\.0)+$", "", version.strip()) for name, version in pairs}


def test_the_lowest_versions_of_pyproject_are_tested():
    declared = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["test"]]
    for extra in ("plot", "parquet"):
        declared += PROJECT["project"]["optional-dependencies"][extra]
    lowest = versions(declared, ">=")
    tested = versions(filter(None, TOX["testenv:lowest"]["deps"].splitlines()), "==")
    # torch is hundreds of megabytes, and its lowest version is given by hand: see tox.ini.
    assert tested.pop("torch").startswith("{env:SURPRISE_AUTOREC_TORCH")
    assert lowest.pop("torch")
    assert tested == lowest


def test_the_pythons_of_the_classifiers_are_tested():
    classifiers = PROJECT["project"]["classifiers"]
    declared = {found[1] for one in classifiers if (found := re.search(r":: (3\.\d+)$", one))}
    (later,) = re.findall(r"testenv:py\{(.*)\}", " ".join(TOX))
    assert declared == {"3.11", *(f"3.{name.removeprefix('3')}" for name in later.split(","))}
    assert TOX["testenv:lowest"]["base_python"] == "python3.11"
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_what_takes_long_runs_by_name_only():
    by_default = TOX["tox"]["env_list"]
    for name in ("lowest", "newest", "py{312,313}", "properties", "faults", "mutation", "audit"):
        assert f"testenv:{name}" in TOX
        assert name not in by_default


def test_the_version_is_the_same_everywhere():
    version = PROJECT["project"]["version"]
    assert f"version = {{{version}}}," in (ROOT / "README.md").read_text(encoding="utf-8")
    released = re.findall(
        r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert released[0] == version


def test_every_promise_is_held_by_a_test_that_is_there():
    page = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", page)
    assert len(named) > 40
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{test}"
