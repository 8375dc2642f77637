"""The extension that runs the code of the documentation. (Building the documentation runs every page.)"""

import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs"
pytest.importorskip("sphinx", reason="the pages run when Sphinx builds them, and it is not installed")


@pytest.fixture(scope="module")
def executed():
    spec = importlib.util.spec_from_file_location("executed", FOLDER / "_ext" / "executed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_output_of_a_page_stands_under_its_code(executed, tmp_path):
    page = "Text.\n\n```python\nx = 6\nprint('six')\nx * 7\n```\n\nMore.\n\n```python\nx\n```\n"
    shown = executed.run_page(page, "howto/page", tmp_path)
    assert shown.startswith(page[: page.index("\n\nMore")])
    assert shown.index("six\n42") < shown.index("More.") < shown.rindex("6\n```")


def test_an_output_that_stands_there_already_is_replaced(executed, tmp_path):
    page = "```python\nprint(1)\n```\n\n```text\n2\n```\n\nMore.\n\n```text\n3\n```\n"
    shown = executed.run_page(page, "howto/page", tmp_path)
    assert "1\n" in shown
    assert "2\n" not in shown
    assert shown.endswith("More.\n\n```text\n3\n```\n")


def test_the_page_of_peers_runs(executed, tmp_path):
    for package in ("cornac", "lenskit", "myfm"):
        pytest.importorskip(package)
    page = (FOLDER / "howto" / "peers.md").read_text(encoding="utf-8")
    assert "LensKit BiasedMF 0." in executed.run_page(page, "howto/peers", tmp_path)


def test_tables_and_figures_are_shown(executed, tmp_path):
    page = "```python\nimport pandas as pd\nframe = pd.DataFrame({'a': [1]})\nframe.plot()\nframe\n```\n"
    shown = executed.run_page(page, "howto/page", tmp_path)
    assert "<table" in shown
    assert f"/{tmp_path.name}/howto-page-0.png" in shown
    assert (tmp_path / "howto-page-0.png").stat().st_size > 1000


def test_commands_run_and_print(executed, tmp_path):
    write = (
        "from surprise_autorec import datasets\ndatasets.make_ratings(n_ratings=999).to_csv('ratings.csv')"
    )
    command = "surprise-autorec evaluate ratings.csv --folds 2 -p n_factors=4 -p n_epochs=1"
    page = f"```python\n{write}\n```\n\n```bash\n{command}\n```\n"
    assert "RMSE" in executed.run_page(page, "howto/page", tmp_path)


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ("```python\n1 / 0\n```\n", ZeroDivisionError),
        ("```python\nimport warnings\nwarnings.warn('no')\n```\n", UserWarning),
        ("```bash\nsurprise-autorec fit nothing.csv -o x\n```\n", RuntimeError),
        ("```bash\nrm -r .\n```\n", ValueError),
    ],
)
def test_what_fails_is_an_error(executed, tmp_path, block, error):
    with pytest.raises(error):
        executed.run_page(block, "howto/page", tmp_path)


def test_a_page_becomes_a_notebook(executed):
    page = "# Title\n\n```{note}\nno\n```\n\n```python\nx = 1\n```\n\n```bash\npip list\n```\n"
    cells = json.loads(executed.as_notebook(page))["cells"]
    assert [(cell["cell_type"], cell["source"]) for cell in cells] == [
        ("markdown", "# Title"),
        ("code", "x = 1"),
        ("code", "%%bash\npip list"),
    ]


def test_a_figure_without_a_window_is_shown_as_a_picture_alone(executed, tmp_path):
    page = "```python\nfrom matplotlib.figure import Figure\n\nFigure()\n```\n"
    shown = executed.run_page(page, "howto/page", tmp_path)
    assert shown.count("howto-page-0.png") == 1
    assert "None" not in shown
