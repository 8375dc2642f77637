"""Every block of code in the how-to pages runs, page by page, from top to bottom."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from surprise_autorec import datasets
from surprise_autorec.cli import app

FOLDER = Path(__file__).parent.parent / "docs" / "howto"
PAGES = sorted(page for page in FOLDER.glob("*.md") if page.stem != "index")
#: What pages need that is not installed with everything else.
NEEDS = {"peers": ("cornac", "lenskit", "myfm")}


def blocks(page):
    return re.findall(
        r"^```(python|bash)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


@pytest.mark.skipif(find_spec("recbole") is None, reason="ML-100K comes with recbole, which is not installed")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs(page, tmp_path, monkeypatch):
    """In an empty folder but for ratings.csv: columns user, item (numbers) and rating, 1 to 5."""
    for package in NEEDS.get(page.stem, ()):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    datasets.make_ratings(n_ratings=2000).to_csv("ratings.csv", index=False)
    names = {"__name__": "howto"}
    found = blocks(page)
    assert found
    for language, code in found:
        if language == "python":
            exec(compile(code, page.name, "exec"), names)
            continue
        for command in code.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(command, comments=True) or [None]
            if program == "surprise-autorec":
                result = CliRunner().invoke(app, arguments)
                assert result.exit_code == 0, f"{command}: {result.output}"
            else:
                assert program in {None, "pip"}, command
