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
from paper_fits import Fit, Point, Records, Triples, run_all
from tables import publish_table

#: Eq. 1 and 2 of the paper and nothing else.
PLAIN: dict[str, Any] = {
    "biased": False,
    "two_sided": False,
    "dropout": 0.0,
    "input_scaling": 0.0,
    "averaging": 0.0,
}
#: The penalties that the paper chose from ...
PAPERS_PENALTIES = (0.001, 0.01, 0.1, 1.0, 100.0, 1000.0)
#: ... and what reg_all is for them: the authors' program minimises half the squared error and the penalty
#: times the squared norm, we minimise the squared error and half of reg_all times the squared norm.
REG_PER_PENALTY = 4.0


class Scale(NamedTuple):
    """How large the study is."""

    data: str
    width: int
    widths: tuple[int, ...]
    deep: tuple[int, ...]
    seeds: tuple[int, ...]
    n_epochs: dict[str, int]
    regs: tuple[float, ...]
    authors_n_epochs: int


FULL = Scale(
    data="ml-1m",
    width=500,
    widths=(10, 20, 40, 80, 100, 200, 300, 400),
    deep=(500, 250, 500),
    seeds=(0, 1, 2, 3, 4),
    n_epochs={"adam": 80, "rprop": 300, "lbfgs": 200},
    regs=(100.0, 200.0, 800.0),
    authors_n_epochs=500,
)
SMALL = Scale(
    data="ml-100k",
    width=40,
    widths=(10, 20),
    deep=(40, 20, 40),
    seeds=(0, 1),
    n_epochs={"adam": 20, "rprop": 40, "lbfgs": 30},
    regs=(40.0,),
    authors_n_epochs=40,
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

    def chosen(self, records: Records) -> dict[str, Any]:
        """The parameters with the lowest error on the held-out ratings."""
        if not self.choose:
            return self.candidates[0]
        best = min(self.validation(), key=lambda fit: records.best(fit).rmse)
        return {**best.parameters, "n_epochs": records.best(best).epoch}

    def tests(self, records: Records) -> list[Fit]:
        """The fits to report."""
        return [Fit("package", "test", seed, self.chosen(records)) for seed in self.seeds]


def rows_of(scale: Scale) -> list[Row]:
    """All lines of all tables but that of the authors' program."""

    def plain(optimizer: str, **changes: Any) -> dict[str, Any]:
        n_epochs = scale.n_epochs[optimizer]
        return {**PLAIN, "n_factors": scale.width, "optimizer": optimizer, "n_epochs": n_epochs, **changes}

    def adam(**changes: Any) -> dict[str, Any]:
        return plain("adam", **{"lr_all": 0.001, **changes})

    papers_regs = [REG_PER_PENALTY * penalty for penalty in PAPERS_PENALTIES]
    papers_reg = REG_PER_PENALTY * 100
    regs = [*scale.regs, papers_reg]
    few_regs = [scale.regs[-1], papers_reg]
    item = {
        "Adam": [adam(reg_all=reg) for reg in [*scale.regs, *reversed(papers_regs)]],
        "RProp": [plain("rprop", reg_all=reg) for reg in regs],
        "L-BFGS": [plain("lbfgs", reg_all=reg) for reg in regs],
    }
    every_item = [candidate for candidates in item.values() for candidate in candidates]
    slow = [adam(reg_all=reg, lr_all=0.0004) for reg in scale.regs[:2]]
    user = [adam(reg_all=reg, variant="user") for reg in [*scale.regs, *reversed(papers_regs)]]
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
                 for reg in [*regs, papers_regs[-1]]], first)
            for (f, g), published in functions.items()
        ),
        *(
            Row("widths", str(k), "",
                [adam(reg_all=reg, n_factors=k) for reg in [*scale.regs[:2], papers_reg]], first)
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
    return ", ".join(
        f"{name} {parameters[name]}"
        for name in ("optimizer", "lr_all", "reg_all", "n_epochs")
        if name in parameters
    )


def spread(values: Sequence[float]) -> str:
    """A mean, and its standard deviation where there are several."""
    return f"{np.mean(values):.4f}" + (f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else "")


def report(script: str, scale: Scale, records: Records) -> None:
    """Write the tables and the figure."""
    rows = rows_of(scale)
    results: dict[tuple[str, str], list[Point]] = {
        (row.table, row.name): [records.last(fit) for fit in row.tests(records)] for row in rows
    }

    def lines(table: str) -> list[list[str]]:
        found = [(row, results[table, row.name]) for row in rows if row.table == table]
        return [
            [
                *row.name.split(" | "),
                row.published,
                f"{points[0].rmse:.4f}",
                spread([point.rmse for point in points]) if len(points) > 1 else "",
                spread([point.papers_rmse for point in points]),
                described(row.chosen(records)),
            ]
            for row, points in found
        ]

    def table(part: str, headers: list[str], rows: Sequence[Sequence[str]]) -> None:
        publish_table(script, "", rows, headers, [""] * len(headers), part)

    split, splits = "RMSE, split 0", f"{len(scale.seeds)} splits"
    table("models", ["model", "paper", split, splits, "unknown: 3", "chosen"], lines("models"))
    functions = [line[:4] + line[5:] for line in lines("functions")]
    table("functions", ["f", "g", "paper", split, "unknown: 3", "chosen"],
          [line[:4] + line[4:] for line in functions])  # fmt: skip
    optimizers = [[line[0], *line[2:3], *line[4:]] for line in lines("optimizers")]
    table("optimizers", ["optimiser", split, "unknown: 3", "chosen"], optimizers)
    widths = [[line[0], *line[2:3], *line[4:]] for line in lines("widths")]
    table("widths", ["k", split, "unknown: 3", "chosen"], widths)

    item, user = rows[:2]
    candidates = [(fit, records.best(fit)) for row in (item, user) for fit in row.validation()]
    table(
        "choices",
        ["variant", "optimiser", "learning rate", "reg_all", "best epoch", "held-out RMSE"],
        [
            [
                fit.parameters.get("variant", "item"),
                fit.parameters["optimizer"],
                str(fit.parameters.get("lr_all", "")),
                f"{fit.parameters['reg_all']:g}",
                str(best.epoch),
                f"{best.rmse:.4f}",
            ]
            for fit, best in candidates
        ],
    )
    table(
        "authors",
        ["variant", "hidden units", "RMSE after the last step", "lowest on the test ratings", "at step"],
        [
            [
                variant,
                units,
                f"{records.last(fit).papers_rmse:.4f}",
                f"{records.best(fit).papers_rmse:.4f}",
                str(records.best(fit).epoch),
            ]
            for (variant, units), fit in authors_fits(scale).items()
        ],
    )
    plot_widths(Path(script).with_name("paper-widths.png"), widths)


def plot_widths(file: Path, widths: Sequence[Sequence[str]]) -> None:
    """The paper's figure: RMSE against the number of hidden units."""
    from matplotlib.figure import Figure  # here, as fits don't need it

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([int(k) for k, *_ in widths], [float(rmse) for _, rmse, *_ in widths], marker="o")
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
    parser.add_argument("--ratings", metavar="FILE", help="where the ratings are; default: found by name")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the results")
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count(only_physical_cores=True))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    scale = SMALL if options.small else FULL
    triples = load(scale.data, options.ratings)
    records = Records(options.output / f"paper-{scale.data}.jsonl", triples.checksum)
    run(scale, triples, records, options.jobs, options.device)
    report(str(options.output / "paper.py"), scale, records)


if __name__ == "__main__":
    main()
