"""Every block of code in the README runs."""

import configparser
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from surprise_autorec import datasets
from surprise_autorec.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(find_spec("recbole") is None, reason="ML-100K comes with recbole, which is not installed")
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


def test_every_file_that_is_linked_to_is_there():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
