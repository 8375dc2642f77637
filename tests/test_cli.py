"""The command line."""

import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from surprise_autorec import __version__, datasets
from surprise_autorec.cli import app
from surprise_autorec.cli import studies as cli

CHEAP = ["-a", "BaselineOnly", "-a", "NormalPredictor"]


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    """A csv file of 1,000 ratings."""
    file = tmp_path_factory.mktemp("ratings") / "mine.csv"
    datasets.make_ratings(n_users=50, n_items=40, n_ratings=1000).to_csv(file, index=False)
    return file


def run(*arguments):
    """Run the command line in this process; an exception that it does not handle fails the test."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if not isinstance(result.exception, (SystemExit, type(None))):
        raise result.exception
    return result


def compare(ratings, *arguments):
    return run("compare", ratings, "--folds", 2, *arguments)


def assert_one_error(result, *words):
    """The error is one line on stderr after the progress bar; there is no traceback."""
    assert result.exit_code == 1
    message = result.stderr.splitlines()[-1]
    assert message.startswith("error: ")
    assert "Traceback" not in result.output
    for word in words:
        assert word in message


def test_compare_prints_a_table(ratings):
    result = compare(ratings, *CHEAP)
    assert result.exit_code == 0
    assert "mine: 1,000 ratings; KFold(n_splits=2, shuffle=True, random_state=0)" in result.stdout
    rows = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("│") and "±" in line]
    assert rows == ["BaselineOnly", "NormalPredictor"]


def test_output_is_written_as_csv_markdown_latex_and_picture(ratings, tmp_path):
    folder = tmp_path / "deep" / "out"
    result = compare(ratings, *CHEAP, "--output", folder)
    assert result.exit_code == 0
    assert str(folder) in result.stdout
    frame = pd.read_csv(folder / "comparison.csv", index_col="algorithm")
    assert list(frame.index) == ["BaselineOnly", "NormalPredictor"]
    assert frame.notna().all(axis=None)
    for name in ("comparison.md", "comparison.tex"):
        assert f"{frame['rmse'].iloc[0]:.4f}" in (folder / name).read_text(encoding="utf-8")
    assert len(pd.read_csv(folder / "folds.csv")) == 4
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_output_over_a_file_is_an_error_before_any_work(ratings, tmp_path):
    (tmp_path / "out").touch()
    result = compare(ratings, *CHEAP, "--output", tmp_path / "out")
    assert result.exit_code in (1, 2)
    assert "out" in result.stderr
    assert "fit/s" not in result.stderr


def test_params_and_seed_reach_the_algorithms(ratings, monkeypatch):
    built = {}

    def spy(algorithms, *arguments, **options):
        built.update(algorithms)
        return real_compare(algorithms, *arguments, **options)

    real_compare = cli.comparison.compare
    monkeypatch.setattr(cli.comparison, "compare", spy)
    settings = [
        "AutoRec.n_factors=(9, 4)",
        "AutoRec.n_epochs=1",
        "AutoRec.encoder_activation=relu",
        "KNNBasic.k=7",
    ]
    sims = "KNNBasic.sim_options={'name': 'cosine'}"
    flags = [text for setting in [*settings, sims] for text in ("-p", setting)]
    assert compare(ratings, "-a", "AutoRec", "-a", "KNNBasic", "--seed", 3, *flags).exit_code == 0
    autorec, knn = built["AutoRec"], built["KNNBasic"]
    assert autorec.n_factors == (9, 4)
    assert autorec.encoder_activation == "relu"
    assert autorec.random_state == 3
    assert knn.k == 7
    assert knn.sim_options["name"] == "cosine"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("AutoRec.n_factors=-1", ["n_factors", "-1"]),
        ("AutoRec.dropout=much", ["dropout", "much"]),
        ("AutoRec.bsl_options={[]: 1}", ["bsl_options"]),
        pytest.param(f"AutoRec.n_factors={'-' * 20_000}1", ["n_factors"], id="nested too deep"),
        ("SVD.n_factors=many", []),
        ("KNNBasic.sim_options={'name': 'best'}", ["best"]),
    ],
)
def test_wrong_value_of_a_param_is_one_error(ratings, setting, words):
    assert_one_error(compare(ratings, "-a", setting.split(".")[0], "-p", setting), *words)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["-a", "Oracle"], "Oracle"),
        (["-a", "svd", "-a", "SVD"], "must be given only once, got SVD twice"),
        (["-a", "BaselinOnly"], "got 'BaselinOnly'; did you mean BaselineOnly?"),
        (["--train-sizes", "0.5,2"], "must be shares in (0, 1], as in 0.1,0.3,1, got '0.5,2'"),
        (["--train-sizes", "half"], "must be shares in (0, 1]"),
        (
            ["--report", "no/report.html"],
            "must be a writable file in an existing folder",
        ),
        (["ml-100k", "--path", "x"], "must not be given with several data sets"),
        (["--repeats", "0"], "repeats"),
        (["-a", "SVD", "-p", "SVD.speed=1"], "speed"),
        (["-a", "SVD", "-p", "AutoRec.n_factors=5"], "AutoRec.n_factors=5"),
        (["-a", "SVD", "-p", "SVD.n_factors"], "NAME.KEYWORD=VALUE"),
        (["-a", "SVD", "-p", "n_factors=5"], "NAME.KEYWORD=VALUE"),
        (["--folds", "1"], "folds"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_wrong_usage_is_exit_code_2(ratings, arguments, word):
    result = compare(ratings, *arguments)
    assert result.exit_code == 2
    assert word in result.stderr


def test_missing_file_is_one_error(tmp_path):
    assert_one_error(
        compare(tmp_path / "missing.csv", *CHEAP), "or the path of an existing file, got", "missing.csv"
    )


def test_missing_data_set_is_an_error_that_says_what_to_do(tmp_path):
    result = run("compare", "ml-1m", "--path", tmp_path, *CHEAP)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ml-1m was not found in any of these places")
    assert datasets.DATA_FOLDER in result.stderr
    assert "Traceback" not in result.output


def test_file_without_ratings_is_one_error(tmp_path):
    (tmp_path / "mine.csv").write_text("user,item,stars\n1,2,3\n")
    assert_one_error(compare(tmp_path / "mine.csv", *CHEAP), "column for the rating")


def test_output_without_matplotlib_says_what_to_install(ratings, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda _name: None)
    assert_one_error(compare(ratings, *CHEAP, "--output", tmp_path / "out"), "surprise-autorec[plot]")
    assert not (tmp_path / "out").exists()


def test_seed_decides_the_errors(ratings, tmp_path):
    def rmse(folder, seed):
        compare(ratings, "-a", "SVD", "-a", "NormalPredictor", "--seed", seed, "--output", tmp_path / folder)
        return pd.read_csv(tmp_path / folder / "comparison.csv", index_col="algorithm")["rmse"].to_dict()

    first = rmse("a", 1)
    assert rmse("b", 1) == first
    assert rmse("c", 2)["SVD"] != first["SVD"]


def test_names_of_algorithms_are_matched_without_case(ratings):
    result = compare(ratings, "-a", "baselineonly", "-a", "knnBASIC", "-p", "KnnBasic.k=7")
    assert result.exit_code == 0
    assert "│ BaselineOnly " in result.stdout
    assert "│ KNNBasic " in result.stdout


def test_several_data_sets_repeats_and_sizes_are_compared_and_reported(ratings, tmp_path):
    other = tmp_path / "other.parquet"
    datasets.make_ratings(n_users=50, n_items=40, n_ratings=900, random_state=1).to_parquet(other)
    options = ["--repeats", 2, "--train-sizes", "0.5,1", "--errors", "--n-jobs", 2, "--rank", 3]
    report = tmp_path / "report.html"
    result = compare(ratings, other, *CHEAP, *options, "--report", report, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "mine: 1,000 ratings, other: 900 ratings" in result.stdout
    assert "not comparable, as 2 fits ran at a time" in result.stdout
    assert "32/32" in result.stderr
    text = report.read_text(encoding="utf-8")
    assert "Learning curve" in text
    assert "Errors by the true rating" in text
    assert "NDCG" in result.stdout


def test_a_second_run_continues_in_the_folder(ratings, tmp_path):
    flags = ["-a", "SVD", "--output", tmp_path / "out"]
    first = compare(ratings, *flags)
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "fits").iterdir()}
    assert len(files) == 2
    second = compare(ratings, *flags)
    assert second.stdout == first.stdout
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "fits").iterdir()} == files
    changed = compare(ratings, *flags, "-p", "SVD.n_factors=5")
    assert "warning: " in changed.stderr
    assert "has fits of SVD on mine with other inputs (n_factors was 100, is 5)" in changed.stderr


def test_data_sets_of_one_name_have_their_paths_as_names(ratings, tmp_path):
    twin = tmp_path / "mine.csv"
    twin.write_bytes(ratings.read_bytes())
    result = compare(ratings, twin, *CHEAP)
    assert f"{ratings}: 1,000 ratings, {twin}: 1,000 ratings" in result.stdout
    again = compare(ratings, ratings, *CHEAP)
    assert again.exit_code == 2
    assert "must not repeat a data set" in again.stderr


def test_ratings_may_come_from_stdin(ratings):
    command = [sys.executable, "-m", "surprise_autorec", "compare", "-", "--folds", "2", "-a", "BaselineOnly"]
    text = ratings.read_text(encoding="utf-8")
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=True)
    assert "-: 1,000 ratings" in done.stdout


def test_a_failing_algorithm_is_a_note_and_failing_ones_alone_are_an_error(ratings):
    result = compare(ratings, "-a", "SVD", "-a", "BaselineOnly", "-p", "SVD.n_factors=many")
    assert result.exit_code == 0
    assert "SVD failed on 2 folds: " in result.stdout
    alone = compare(ratings, "-a", "SVD", "-p", "SVD.n_factors=many")
    assert_one_error(alone, "every algorithm failed")


def test_ctrl_c_prints_the_table_and_exits_with_130(ratings, monkeypatch):
    class Interrupting(cli.surprise.BaselineOnly):
        def fit(self, _trainset):
            raise KeyboardInterrupt

    monkeypatch.setitem(cli._ALGORITHMS, "SVD", (Interrupting, {}))
    result = compare(ratings, "-a", "BaselineOnly", "-a", "SVD")
    assert result.exit_code == 130
    assert "interrupted: 1 of 4 fits are done" in result.stdout
    assert "│ BaselineOnly " in result.stdout


def test_version_is_shown():
    assert run("--version").stdout.strip() == __version__


def test_help_is_shown_without_a_command():
    result = run()
    assert result.exit_code in (0, 2)  # as Click has it: 2 since 8.2
    assert "Usage" in result.output
    assert "compare" in result.output


def test_module_can_be_run():
    done = subprocess.run(
        [sys.executable, "-m", "surprise_autorec", "--help"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert "python -m surprise_autorec" in done.stdout
    assert "compare" in done.stdout


@pytest.mark.parametrize("name", cli._ALGORITHMS)
def test_every_named_algorithm_fits_in_silence(name, ratings, capsys):
    quick = [f"{name}.n_epochs=1", f"{name}.n_factors=8"] if name.startswith("AutoRec") else []
    algorithm = cli._ALGORITHMS[name][0](**cli._keywords([name], quick, seed=0)[name])
    trainset = datasets.load(str(ratings)).build_full_trainset()
    predictions = algorithm.fit(trainset).test(trainset.build_testset()[:5])
    assert len(predictions) == 5
    assert capsys.readouterr() == ("", "")


def test_names_of_algorithms_may_be_in_any_case(ratings):
    result = compare(ratings, "-a", "baselineonly", "-p", "BASELINEONLY.verbose=False")
    assert result.exit_code == 0
    assert "BaselineOnly" in result.output


def test_an_unknown_algorithm_is_told_the_nearest(ratings):
    result = compare(ratings, "-a", "KNNBaselin")
    assert result.exit_code == 2
    assert "did you mean KNNBaseline?" in result.output


def test_the_list_of_commands_says_what_the_commands_say():
    from surprise_autorec.cli import COMMANDS

    for name, (_, _, text) in COMMANDS.items():
        result = CliRunner().invoke(app, [name, "--help"])
        words = " ".join(result.output.split())
        assert text.rstrip(".").partition(",")[0] in words, name


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_large(option):
    script = (
        "import sys; sys.argv = ['surprise-autorec', sys.argv[1]]\n"
        "from surprise_autorec.cli import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, option], capture_output=True, encoding="utf-8", check=True
    )
    assert not {"numpy", "torch", "surprise", "pandas"} & set(done.stderr.split())


def test_an_interrupt_while_a_command_is_imported_leaves_no_traceback(monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("surprise_autorec.cli.import_module", interrupted)
    result = CliRunner().invoke(app, ["compare"])
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
