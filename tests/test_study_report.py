"""The report: a page that needs no network, in a real browser where there is one."""

import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import threading

import pytest
from surprise import Dataset, KNNBasic, Reader
from test_comparison import Failing, Mean, baseline

from surprise_autorec import compare, datasets
from surprise_autorec.comparison import Comparison

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)

#: Sorts the first table by RMSE, twice, and writes what it sees, and all errors, into the title of the page.
PROBE = """
<script>
window.problems = [];
addEventListener("error", event => problems.push(event.message));
addEventListener("load", () => {
  const table = document.querySelector("table");
  const at = [...table.querySelectorAll("th")].findIndex(header => header.textContent === "RMSE");
  const column = () => [...table.tBodies[0].rows].map(row => row.cells[at].textContent);
  const seen = [];
  for (let times = 0; times < 2; times++) {
    table.querySelectorAll("th button")[at].click();
    seen.push(column().join(" "));
  }
  const loaded = performance.getEntriesByType("resource").map(one => one.name);
  const wide = document.documentElement.scrollWidth > innerWidth;
  document.title = JSON.stringify({seen, problems, loaded, wide});
});
</script>
"""


@pytest.fixture(scope="module")
def comparison(data):
    frame = datasets.make_ratings(n_users=60, n_items=40, n_ratings=1200, random_state=2)
    given = {"first <1>": data, "second": Dataset.load_from_df(frame, Reader(rating_scale=(1, 5)))}
    algorithms = {"mean": Mean(), "base": baseline(), "KNN": KNNBasic(verbose=False)}
    return compare(algorithms, given, 3, keep_predictions=True, train_sizes=[0.5, 1])


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "report.html"
    comparison.report(file)
    return file


def test_the_report_has_every_part(page, comparison):
    text = page.read_text(encoding="utf-8")
    headings = re.findall("<h2>(.*?)</h2>", text)
    assert headings == [
        "Results", "Significance", "Ranks over data sets", "Errors by the user&#x27;s training ratings",
        "Errors by the item&#x27;s training ratings", "Errors by the true rating", "Learning curve", "Fits",
        "How it was made",
    ]  # fmt: skip
    assert text.count("<svg") == 2 + 1 + 3 * 2 + 2
    best = comparison.summary()["rmse"].min()
    assert f'<td class="best" data-value="{float(best)!r}">{best:.4f}</td>' in text
    assert "first &lt;1&gt;" in text
    assert "first <1>" not in text
    for name, version in comparison.info.versions.items():
        assert f"{name} {version}" in text
    assert comparison.info.machine in text


def test_the_report_names_nothing_outside_itself(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"|url\((?!#)[^)]*\)|@import', text)


def test_parts_that_there_is_nothing_for_are_left_out(data, tmp_path):
    given = {"mean": Mean(), "failing": Failing(None)}
    compare(given, data, 2).report(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", text) == ["Results", "Fits", "How it was made"]
    assert "failing failed on 2 folds: ArithmeticError: too odd" in text


def test_a_report_that_cannot_be_written_is_one_error(comparison, tmp_path):
    with pytest.raises(
        ValueError, match=r"the report must be a file in a folder that can be written, got .*no"
    ):
        comparison.report(tmp_path / "no" / "report.html")


def test_the_reference_of_the_report_can_be_chosen(comparison, tmp_path):
    Comparison.report(comparison, tmp_path / "report.html", "KNN")
    assert "RMSE minus that of KNN on the same folds" in (tmp_path / "report.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the report with")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_opens_it_without_errors_or_network_and_sorts_its_tables(page, comparison, width):
    probe = page.with_name(f"probe-{width}.html")
    probe.write_text(page.read_text(encoding="utf-8").replace("<title>", f"{PROBE}<title>"), encoding="utf-8")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(page.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/{probe.name}"
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
        profile = page.with_name(f"profile-{width}")
        rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        run = subprocess.run(
            [CHROMIUM, *options, rules, "--virtual-time-budget=5000", f"--user-data-dir={profile}", url],
            capture_output=True, text=True, check=True, timeout=240,
        )  # fmt: skip
        server.shutdown()
        thread.join()
    title = json.loads(html.unescape(re.search("<title>(.*?)</title>", run.stdout)[1]))
    values = [f"{value:.4f}" for value in sorted(comparison.summary()["rmse"])]
    assert title["seen"] == [" ".join(values), " ".join(reversed(values))]
    assert title["problems"] == []
    assert title["loaded"] == []
    assert asked == [f"/{probe.name}"]
    assert not title["wide"]  # wide tables scroll in boxes of their own
