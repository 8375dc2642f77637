"""The experiments of the AutoRec paper (Sedhain, Menon, Sanner, Xie, WWW 2015) on MovieLens-1M, made again.

Usage: python docs/benchmarks/paper.py [--jobs N]

Every finished fit is a line of ``paper-ml-1m.jsonl`` beside this file. If the program is stopped, the next
run goes on from there; if all fits are there, it only writes the tables and the figure again. ``--small``
makes all of it in small on MovieLens-100K.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from paper_fits import Fit, Records, Triples, run_all
from tables import publish_table

#: Eq. 1 and 2 of the paper and nothing else.
PLAIN: dict[str, Any] = {
    "biased": False,
    "two_sided": False,
    "dropout": 0.0,
    "input_scaling": 0.0,
    "averaging": 0.0,
}
#: What reg_all is, over the paper's penalty: the authors' program minimises half the squared error and the
#: penalty times the squared norm, we minimise the squared error and half of reg_all times the squared norm.
REG_PER_PENALTY = 4.0

#: The tables of models: what the parts of a line's name are, and the other columns.
TABLES = {
    "models": (["model"], ["paper", "split 0", "splits", "RMSE", "RMSE, unknown: 3", "chosen"]),
    "functions": (["f", "g"], ["paper", "RMSE", "RMSE, unknown: 3", "chosen"]),
    "widths": (["k"], ["RMSE", "RMSE, unknown: 3", "chosen"]),
    "optimizers": (["optimiser"], ["RMSE", "RMSE, unknown: 3", "chosen"]),
}


class Scale(NamedTuple):
    """How large the study is.

    Attributes
    ----------
    data : str
    width : int
        Hidden units, where nothing else is said.
    widths : tuple of int
        Others, for the figure.
    deep : tuple of int
    seeds : tuple of int
        Of the splits.
    n_epochs : dict of int
        By optimiser; training on the way to a choice may end earlier.
    penalties : tuple of float
        The penalties that the paper chose from.
    regs : tuple of float
        Values of reg_all between those of the paper's penalties.
    authors_n_epochs : int
    """

    data: str
    width: int
    widths: tuple[int, ...]
    deep: tuple[int, ...]
    seeds: tuple[int, ...]
    n_epochs: dict[str, int]
    penalties: tuple[float, ...]
    regs: tuple[float, ...]
    authors_n_epochs: int


FULL = Scale(
    data="ml-1m",
    width=500,
    widths=(10, 20, 40, 80, 100, 200, 300, 400),
    deep=(500, 250, 500),
    seeds=(0, 1, 2, 3, 4),
    n_epochs={"adam": 80, "rprop": 300, "lbfgs": 200},
    penalties=(1000.0, 100.0, 1.0, 0.1, 0.01, 0.001),
    regs=(100.0, 200.0, 800.0),
    authors_n_epochs=500,
)
SMALL = Scale(
    data="ml-100k",
    width=40,
    widths=(10, 20),
    deep=(40, 20, 40),
    seeds=(0, 1),
    n_epochs={"adam": 12, "rprop": 30, "lbfgs": 20},
    penalties=(100.0, 1.0),
    regs=(40.0,),
    authors_n_epochs=30,
)


class Row(NamedTuple):
    """A line of a table.

    Attributes
    ----------
    table, name : str
    published : str
        The RMSE in the paper.
    candidates : list of dict
        Parameters to choose from, by the error on a tenth held out of the training part of the first split.
        The number of epochs is chosen too.
    seeds : tuple of int
        The splits to test on.
    choose : bool
        False where the one candidate is used as it is.
    """

    table: str
    name: str
    published: str
    candidates: list[dict[str, Any]]
    seeds: tuple[int, ...]
    choose: bool = True

    def validation(self) -> list[Fit]:
        """The fits to choose by."""
        return [Fit("package", "validation", 0, candidate) for candidate in self.candidates] * self.choose

    def tests(self, records: Records) -> list[Fit]:
        """The fits to report: with the parameters that have the lowest error on the held-out ratings."""
        chosen = self.candidates[0]
        if self.choose:
            done = [fit for fit in self.validation() if fit in records]
            if not done:
                return []
            best = min(done, key=lambda fit: records.best(fit).rmse)
            chosen = {**best.parameters, "n_epochs": records.best(best).epoch}
        return [Fit("package", "test", seed, chosen) for seed in self.seeds]


def rows_of(scale: Scale) -> list[Row]:
    """All lines of all tables but that of the authors' program."""

    def plain(optimizer: str, **changes: Any) -> dict[str, Any]:
        n_epochs = scale.n_epochs[optimizer]
        return {**PLAIN, "n_factors": scale.width, "optimizer": optimizer, "n_epochs": n_epochs, **changes}

    def adam(**changes: Any) -> dict[str, Any]:
        return plain("adam", **{"lr_all": 0.001, **changes})

    papers_regs = [REG_PER_PENALTY * penalty for penalty in scale.penalties]
    papers_reg = REG_PER_PENALTY * 100
    regs = [*scale.regs, papers_reg]
    few_regs = [scale.regs[-1], papers_reg]
    little = scale.regs[0] / 5  # for narrow networks, which overfit less
    item = {
        "Adam": [adam(reg_all=reg) for reg in [*scale.regs, *papers_regs]],
        "RProp": [plain("rprop", reg_all=reg) for reg in regs],
        "L-BFGS": [plain("lbfgs", reg_all=reg) for reg in regs],
    }
    every_item = [candidate for candidates in item.values() for candidate in candidates]
    slow = [adam(reg_all=reg, lr_all=0.0004) for reg in scale.regs[:2]]
    user = [adam(reg_all=reg, variant="user") for reg in [*scale.regs, *papers_regs]]
    user += [plain(name, reg_all=reg, variant="user") for name in ("rprop", "lbfgs") for reg in few_regs]
    every, first = scale.seeds, scale.seeds[:1]
    functions = {  # f, g
        ("identity", "identity"): "0.872",
        ("sigmoid", "identity"): "0.852",
        ("identity", "sigmoid"): "0.831",
        ("sigmoid", "sigmoid"): "0.836",
    }
    return [
        Row("models", "I-AutoRec, plain", "0.831", [*every_item, *slow], every),
        Row("models", "U-AutoRec, plain", "0.874", user, every),
        Row("models", f"deep I-AutoRec {scale.deep}, plain", "0.827",
            [adam(reg_all=reg, n_factors=scale.deep) for reg in regs], first),
        Row("models", "AutoRec, our defaults", "", [{"n_epochs": 18}], every, choose=False),
        Row("models", "AutoRec, our defaults, user", "", [{"variant": "user", "n_epochs": 18}], every,
            choose=False),
        *(
            Row("functions", f"{f} | {g}", published,
                [adam(reg_all=reg, decoder_activation=f, encoder_activation=g)
                 for reg in [*regs, papers_regs[0]]], first)
            for (f, g), published in functions.items()
        ),
        *(
            Row("widths", str(k), "",
                [adam(reg_all=reg, n_factors=k) for reg in [little, *scale.regs[:2], papers_reg]], first)
            for k in [*scale.widths, scale.width]
        ),
        *(Row("optimizers", name, "", candidates, first) for name, candidates in item.items()),
    ]  # fmt: skip


def authors_fits(scale: Scale) -> dict[tuple[str, str], Fit]:
    """The authors' program as released, and with the hidden units of the paper."""
    return {
        (variant, units): Fit(
            "authors", "test", 0,
            {"variant": variant, "n_factors": scale.width, "penalty": 100.0, "hard": units == "0 or 1",
             "n_epochs": scale.authors_n_epochs},
        )
        for variant, units in (("item", "0 or 1"), ("item", "sigmoid"), ("user", "0 or 1"))
    }  # fmt: skip


def run(scale: Scale, triples: Triples, records: Records, n_jobs: int, device: str) -> None:
    """Make all fits: first those to choose by, then those to report."""
    rows = rows_of(scale)
    to_choose = [fit for row in rows for fit in row.validation()]
    run_all([*to_choose, *authors_fits(scale).values()], triples, records, n_jobs, device)
    run_all([fit for row in rows for fit in row.tests(records)], triples, records, n_jobs, device)


def described(parameters: dict[str, Any]) -> str:
    """What was chosen, in a cell of a table."""
    names = [name for name in ("optimizer", "lr_all", "reg_all", "n_epochs") if name in parameters]
    return ", ".join(f"{name} {parameters[name]}" for name in names)


def spread(values: Sequence[float]) -> str:
    """A mean, and its standard deviation where there are several."""
    return f"{np.mean(values):.4f}" + (f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else "")


def report(script: str, scale: Scale, records: Records) -> None:
    """Write the tables and the figure, of the fits that are on disk."""
    columns: dict[str, list[list[str]]] = {}
    curve: list[tuple[int, float]] = []
    for row in rows_of(scale):
        done = [fit for fit in row.tests(records) if fit in records]
        if not done:
            continue
        points = [records.last(fit) for fit in done]
        ours, papers = ([point[n] for point in points] for n in (1, 2))
        cells = {
            "paper": row.published,
            "split 0": f"{ours[0]:.4f}",
            "splits": str(len(points)),
            "RMSE": spread(ours),
            "RMSE, unknown: 3": spread(papers),
            "chosen": described(done[0].parameters),
        }
        line = [*row.name.split(" | "), *(cells[name] for name in TABLES[row.table][1])]
        columns.setdefault(row.table, []).append(line)
        if row.table == "widths":
            curve.append((int(row.name), ours[0]))
    for table, (names, measures) in TABLES.items():
        publish(script, table, [*names, *measures], columns.get(table, []))
    publish(
        script,
        "choices",
        ["variant", "optimiser", "learning rate", "reg_all", "best epoch", "held-out RMSE"],
        [
            [
                fit.parameters.get("variant", "item"),
                fit.parameters["optimizer"],
                str(fit.parameters.get("lr_all", "")),
                f"{fit.parameters['reg_all']:g}",
                str(records.best(fit).epoch),
                f"{records.best(fit).rmse:.4f}",
            ]
            for row in rows_of(scale)[:2]
            for fit in row.validation()
            if fit in records
        ],
    )
    publish(
        script,
        "authors",
        ["variant", "hidden units", "RMSE after the last step", "lowest on the test ratings", "at step"],
        [
            [
                *names,
                f"{records.last(fit).papers_rmse:.4f}",
                f"{records.best(fit).papers_rmse:.4f}",
                str(records.best(fit).epoch),
            ]
            for names, fit in authors_fits(scale).items()
            if fit in records
        ],
    )
    plot(Path(script).with_name("paper-widths.png"), curve)


def publish(script: str, part: str, headers: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Write a table of text."""
    publish_table(script, "", lines, headers, [""] * len(headers), part)


def plot(file: Path, curve: Sequence[tuple[int, float]]) -> None:
    """The paper's figure: RMSE against the number of hidden units."""
    from matplotlib.figure import Figure  # here, as fits don't need it

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*curve, strict=True), marker="o")
    axes.set_xlabel("hidden units")
    axes.set_ylabel("RMSE")
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=150)


def load(name: str, file: str | None) -> Triples:
    """Ratings by name, or of a file, in the same order. (A file needs no Surprise.)"""
    if file is not None:
        from surprise_autorec.data.readers import read

        return Triples.of(read(file).astype({"rating": float}))
    import pandas as pd

    from surprise_autorec import datasets

    columns = ["user", "item", "rating", "time"]
    return Triples.of(pd.DataFrame(datasets.load(name).raw_ratings, columns=columns))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a small version, on MovieLens-100K")
    parser.add_argument("--report", action="store_true", help="only write the tables of what is on disk")
    parser.add_argument("--ratings", metavar="FILE", help="where the ratings are; default: found by name")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the results")
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count(only_physical_cores=True))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    scale = SMALL if options.small else FULL
    triples = load(scale.data, options.ratings)
    records = Records(options.output / f"paper-{scale.data}.jsonl", triples.checksum)
    if not options.report:
        run(scale, triples, records, options.jobs, options.device)
    report(str(options.output / "paper.py"), scale, records)


if __name__ == "__main__":
    main()
