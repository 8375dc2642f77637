"""Every block of code in the README runs."""

import configparser
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from surprise_autorec import datasets
from surprise_autorec.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(
    importlib.util.find_spec("recbole") is None, reason="ML-100K comes with recbole, which is not installed"
)
@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[-1][:40])
def test_python_block_runs(code, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.strip()


def test_command_line_block_runs(tmp_path, monkeypatch):
    (block,) = [block for block in blocks("bash") if block.startswith("surprise-autorec compare")]
    monkeypatch.chdir(tmp_path)
    datasets.make_ratings(n_ratings=1000).to_csv("ratings.csv", index=False)
    for command in block.splitlines():
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}: {result.output}"
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 0
    assert len((tmp_path / "top.csv").read_text().splitlines()) > 5


def test_the_two_commands_are_those_of_ci_and_tox():
    install, main_job, tests = [block.strip() for block in blocks("bash") if block.startswith("python -m")]
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("python")]
    assert commands == [install, tests]
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    (environment,) = re.findall(r"^python -m tox -e (\w+)$", main_job)
    assert "surprise-autorec compare ml-100k --folds 5" in tox[f"testenv:{environment}"]["commands"]


@pytest.fixture
def figures(monkeypatch):
    """The script that writes the figures of the README's table."""
    folder = ROOT / "docs" / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("readme", folder / "readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def table():
    return (ROOT / "docs" / "benchmarks" / "peers.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_benchmark(figures, table):
    assert figures.with_figures(README, table) == README
    assert figures.with_figures(README, table.replace("0.8", "0.7")) != README


def test_svdpp_takes_more_than_ten_times_as_long(figures, table):
    assert "its error is well below that of SVD++, in less than a tenth of the time" in " ".join(
        README.split()
    )
    for name, *cells in [row.strip("| ").split(" | ") for row in figures.figures(table)]:
        ours, svdpp = map(float, cells[:2])
        assert ours < svdpp * (0.1 if name.startswith("seconds") else 0.96), name


def test_the_page_of_a_package_index_has_no_relative_link():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shown = README
    for one in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(one["pattern"], one["replacement"], shown)
    assert "from a csv file to a tuned model" in shown
    assert re.findall(r"\]\((?!https?:)", shown) == []
    assert "fifteen minutes: from" in shown
    assert "](https://surpriselib.com)" in shown


def test_every_file_that_is_linked_to_is_there():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
