"""docs/benchmarks/paper.py: all of it in small, on MovieLens-100K, and the parts of it."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import mse_loss

from surprise_autorec import PAPER, datasets
from surprise_autorec.fitting import Ratings, fit_model
from surprise_autorec.model import RatingScale
from surprise_autorec.parameters import AutoRecParameters

FOLDER = Path(__file__).parent.parent / "docs" / "benchmarks"


@pytest.fixture
def paper(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import paper

    return paper


@pytest.fixture
def fits(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import paper_fits

    return paper_fits


@pytest.fixture
def triples(fits):
    frame = datasets.make_ratings(n_users=60, n_items=40, n_ratings=1500, noise=0.3, random_state=1)
    return fits.Triples.of(frame)


def table(file):
    header, _, *lines = file.read_text(encoding="utf-8").strip().splitlines()
    names, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in (header, *lines))
    return pd.DataFrame(rows, columns=names)


# All of it


@pytest.mark.skipif(find_spec("recbole") is None, reason="ML-100K comes with recbole, which is not installed")
def test_small_study(paper, fits, tmp_path, capsys, monkeypatch):
    paper.main(["--small", "--output", str(tmp_path), "--jobs", "2"])
    models = table(tmp_path / "paper-models.md")
    assert models["model"].tolist() == [
        "I-AutoRec, plain",
        "U-AutoRec, plain",
        "deep I-AutoRec (40, 20, 40), plain",
        "AutoRec, our defaults",
        "AutoRec, our defaults, user",
    ]
    errors = models["RMSE"].str.split().str[0].astype(float).tolist()
    assert errors[3] < errors[4] < errors[0] < errors[1] < 1.1
    functions = table(tmp_path / "paper-functions.md")
    assert functions[["f", "g"]].to_numpy().tolist() == [
        [f, g] for g in ("identity", "sigmoid") for f in ("identity", "sigmoid")
    ]
    widths = table(tmp_path / "paper-widths.md")
    assert widths["k"].tolist() == ["10", "20", "40"]
    assert widths["RMSE"].astype(float).is_monotonic_decreasing
    assert table(tmp_path / "paper-optimizers.md")["optimiser"].tolist() == ["Adam", "RProp", "L-BFGS"]
    assert len(table(tmp_path / "paper-choices.md")) > 10
    assert len(table(tmp_path / "paper-authors.md")) == 3
    assert (tmp_path / "paper-widths.png").stat().st_size > 0
    assert "fits" in capsys.readouterr().out

    # Again: nothing is left to do, and the tables are the same.
    before = {file.name: file.read_bytes() for file in tmp_path.glob("*.md")}
    monkeypatch.setattr(fits, "ProcessPoolExecutor", None)
    paper.main(["--small", "--output", str(tmp_path)])
    assert {file.name: file.read_bytes() for file in tmp_path.glob("*.md")} == before


# Fits


def test_a_tenth_is_for_testing_and_another_for_validation(triples):
    train, test = triples.split(3, "test")
    learnt, held_out = triples.split(3, "validation")
    assert (len(test), len(held_out)) == (150, 135)
    assert sorted([*train, *test]) == [*range(1500)]
    assert sorted([*learnt, *held_out]) == sorted(train)
    np.testing.assert_array_equal(test, np.random.default_rng(3).permutation(1500)[:150])


@pytest.mark.parametrize("variant", ["item", "user"])
@pytest.mark.parametrize(("changes", "every"), [({}, 1), ({"optimizer": "rprop"}, 5), ({"biased": True}, 1)])
def test_errors_are_those_of_the_fitted_model(paper, fits, triples, variant, changes, every):
    parameters = {**paper.PLAIN, "n_factors": 8, "n_epochs": 12, "variant": variant, **changes}
    fit = fits.Fit("package", "test", 0, parameters)
    points = [*fits.package_training(triples, fit, "cpu")]
    assert [point.epoch for point in points] == sorted({*range(every, 13, every), 12})
    train, test = triples.split(0, "test")
    ratings = Ratings(
        triples.users[train].astype(np.int32),
        triples.items[train].astype(np.int32),
        triples.ratings[train].astype(np.float64),
        [*range(60)],
        [*range(40)],
        RatingScale(1.0, 5.0),
    )
    model = fit_model(ratings, AutoRecParameters(**parameters, uncertainty=False, random_state=0)).model
    answers = model.answer(triples.users[test].astype(np.int32), triples.items[test].astype(np.int32))
    rmse = np.sqrt(np.mean((answers - triples.ratings[test]) ** 2))
    assert points[-1].rmse == pytest.approx(rmse, abs=2e-6)
    assert points[-1].papers_rmse == points[-1].rmse  # every user and item is known


def test_unknown_users_and_items_get_3_or_the_mean(fits):
    frame = pd.DataFrame({"user": [0, 0, 1, 1, 2], "item": [0, 1, 0, 1, 0], "rating": [5.0, 4, 5, 4, 1]})
    triples = fits.Triples.of(frame)
    known, measured = triples.matrix(np.arange(4), "user"), triples.matrix(np.array([0, 4]), "user")
    point = fits.Meter(known, measured).measure(7, np.array([9.0, 9.0]), 4.5)
    assert point == (
        7,
        pytest.approx(np.sqrt(3.5**2 / 2), abs=1e-6),
        pytest.approx(np.sqrt(2**2 / 2), abs=1e-6),
    )


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("variant", ["item", "user"])
def test_authors_training_as_dense_torch_does_it(fits, triples, variant, hard):
    """By autograd: its gradient sees sigmoids where the decoder sees 0 or 1."""
    parameters = {"variant": variant, "n_factors": 6, "penalty": 5.0, "hard": hard, "n_epochs": 30}
    points = [*fits.authors_training(triples, fits.Fit("authors", "test", 0, parameters), "cpu")]
    train, test = triples.split(0, "test")
    known, wanted = (triples.matrix(part, variant) for part in (train, test))
    X = torch.zeros(known.n_rows, known.n_columns)
    X[known.rows, known.columns] = torch.from_numpy(known.values)
    generator = torch.Generator().manual_seed(0)
    shapes = [(X.shape[1], 6), (X.shape[1], 6), (6,), (X.shape[1],)]
    scales = [0.01, 0.01, 0.001, 0.001]
    V, W, mu, b = (
        (scale * torch.randn(*shape, generator=generator)).requires_grad_()
        for shape, scale in zip(shapes, scales, strict=True)
    )
    steps, before = [torch.full_like(p, 1e-6) for p in (V, W, mu, b)], [0.0] * 4
    errors = []
    for epoch in range(31):
        soft = torch.sigmoid(X @ V + mu)
        outputs = soft @ W.T + b
        if hard:
            outputs = outputs + (((soft > 0.5).float() - soft) @ W.T).detach()
        if epoch % 5 == 0:
            predicted = outputs.detach()[wanted.rows, wanted.columns].clamp(1, 5)
            errors.append(mse_loss(predicted, torch.from_numpy(wanted.values)).sqrt().item())
        loss = 0.5 * ((X > 0) * (outputs - X)).square().sum() + 5 * (V.square().sum() + W.square().sum())
        gradients = torch.autograd.grad(loss, [V, W, mu, b])
        growth = 5.0 if epoch <= 5 else 1.2
        with torch.no_grad():
            for n, (parameter, gradient) in enumerate(zip((V, W, mu, b), gradients, strict=True)):
                agreement = torch.sign(gradient * before[n])
                steps[n][agreement > 0] *= growth
                steps[n][agreement < 0] *= 0.5
                steps[n].clamp_(1e-6, 1)
                parameter -= steps[n] * gradient.sign()
                before[n] = gradient
    assert [point.epoch for point in points] == [*range(0, 31, 5)]
    assert [point.rmse for point in points] == pytest.approx(errors, abs=1e-3)
    assert errors[-1] < errors[0] - 1


def test_training_on_the_way_to_a_choice_ends_when_the_error_rises(paper, fits, triples):
    parameters = {**paper.PLAIN, "n_factors": 30, "n_epochs": 100, "reg_all": 0.0, "lr_all": 0.02}
    curves = [
        fits.run_fit(triples, fits.Fit("package", part, 0, parameters), "cpu")["curve"]
        for part in ("validation", "test")
    ]
    best = min(curves[0], key=lambda point: point.rmse)
    assert curves[0][-1].epoch == best.epoch + 20 < 100
    assert curves[1][-1].epoch == 100


# What is on disk


def record(fits, seed, rmse):
    fit = fits.Fit("package", "test", seed, {"n_factors": (3, 2), "n_epochs": 1})
    return fit, {**fit._asdict(), "curve": [[1, rmse, rmse]], "cpu_seconds": 0.1}


def test_records_survive_and_a_line_that_was_cut_off_is_dropped(fits, tmp_path):
    file = tmp_path / "fits.jsonl"
    (one, of_one), (two, of_two) = (record(fits, seed, 0.9) for seed in (1, 2))
    fits.Records(file, 77).add(of_one)
    fits.Records(file, 77).add(of_two)
    file.write_text(file.read_text()[:-5])
    records = fits.Records(file, 77)
    assert (one in records, two in records) == (True, False)
    records.add(of_two)
    assert all(fit in fits.Records(file, 77) for fit in (one, two))
    assert [json.loads(line)["seed"] for line in file.read_text().splitlines()] == [1, 2]


def test_fits_on_other_ratings_are_not_used(fits, tmp_path, triples):
    file = tmp_path / "fits.jsonl"
    fit, of_fit = record(fits, 1, 0.9)
    fits.Records(file, triples.checksum).add(of_fit)
    other = triples._replace(ratings=triples.ratings[::-1])
    assert fit in fits.Records(file, triples.checksum)
    assert fit not in fits.Records(file, other.checksum)


def test_a_run_goes_on_with_what_is_missing(fits, triples, tmp_path, capsys):
    def fit(seed):
        return fits.Fit("package", "test", seed, {"n_factors": 4, "n_epochs": 2})

    records = fits.Records(tmp_path / "fits.jsonl", triples.checksum)
    records.add({**fit(0)._asdict(), "curve": [[1, 0.5, 0.5]], "cpu_seconds": 0.1})
    fits.run_all([fit(0), fit(1), fit(1)], triples, records, 1, "cpu")
    assert "1 of 1 fits" in capsys.readouterr().out
    assert records.best(fit(0)).rmse == 0.5
    assert 0.1 < records.last(fit(1)).rmse < 2


def test_the_choice_has_the_lowest_error_on_held_out_ratings(paper, fits, tmp_path):
    records = fits.Records(tmp_path / "fits.jsonl", 77)
    row = paper.Row("models", "name", "0.8", [{"n_epochs": 9, "reg_all": reg} for reg in (1.0, 2.0)], (4, 5))
    assert row.tests(records) == []
    for fit, errors in zip(row.validation(), ([0.9, 0.95], [0.99, 0.85]), strict=True):
        curve = [[epoch, error, 0.0] for epoch, error in enumerate(errors, 1)]
        records.add({**fit._asdict(), "curve": curve, "cpu_seconds": 0.1})
    chosen = [(fit.part, fit.seed, fit.parameters) for fit in row.tests(records)]
    assert chosen == [("test", seed, {"n_epochs": 2, "reg_all": 2.0}) for seed in (4, 5)]


def test_a_fit_that_diverged_at_once_is_never_chosen(fits, tmp_path):
    fit, of_fit = record(fits, 1, 0.9)
    records = fits.Records(tmp_path / "fits.jsonl", 77)
    records.add({**of_fit, "curve": []})
    assert records.best(fit).rmse == np.inf


def test_full_study_has_what_the_paper_has(paper):
    rows = paper.rows_of(paper.FULL)
    names = {table: [row.name for row in rows if row.table == table] for table in paper.TABLES}
    assert names["widths"] == ["10", "20", "40", "80", "100", "200", "300", "400", "500"]
    assert len(names["functions"]) == 4
    item = rows[0]
    assert {candidate["reg_all"] for candidate in item.candidates} >= {0.004, 0.04, 0.4, 4.0, 400.0, 4000.0}
    assert item.seeds == (0, 1, 2, 3, 4)
    assert {candidate["optimizer"] for candidate in item.candidates} == {"adam", "rprop", "lbfgs"}


# What is published


@pytest.fixture
def published(fits):
    file = FOLDER / "paper-ml-1m.jsonl"
    first = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    return fits.Records(file, first["ratings"])


def test_published_tables_are_those_of_the_published_fits(paper, published, tmp_path):
    paper.report(str(tmp_path / "paper.py"), paper.FULL, published)
    tables = [*tmp_path.glob("*.md")]
    assert len(tables) == len(paper.TABLES) + 2
    for file in tables:
        assert cells(file) == cells(FOLDER / file.name)


def cells(file):
    """Those of a table in Markdown. (Versions of tabulate differ in how they align columns.)"""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|") if set(cell) - set(":-")] for line in lines]


def test_preset_is_what_was_chosen_and_has_the_error_of_the_paper(paper, published):
    item, user, *_ = (row.tests(published) for row in paper.rows_of(paper.FULL))
    assert {**item[0].parameters, "uncertainty": False} == {**PAPER, "optimizer": "adam"}
    for fits, error in ((item, 0.831), (user, 0.874)):
        errors = [published.last(fit).papers_rmse for fit in fits]
        assert len(errors) == 5
        assert abs(np.mean(errors) - error) < 0.003


def test_all_fits_are_published(paper, published):
    rows = paper.rows_of(paper.FULL)
    wanted = [fit for row in rows for fit in [*row.validation(), *row.tests(published)]]
    wanted += paper.authors_fits(paper.FULL).values()
    assert all(fit in published for fit in wanted)
