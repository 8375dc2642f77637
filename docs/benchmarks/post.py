"""The settings of a tutorial on AutoRec, run, and put right one by one, on MovieLens-latest-small.

Usage: python docs/benchmarks/post.py

It writes its table beside this file. The network is a page of dense PyTorch, because the package cannot be
told to do what the tutorial does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
import torch
from tables import publish_table
from torch import Tensor

from surprise_autorec import BEST, PAPER, AutoRecRegressor, datasets

LOWEST, HIGHEST = 0.5, 5.0
PRESETS: dict[str, dict[str, Any]] = {
    "`AutoRec(**PAPER)`": PAPER,
    "`AutoRec()`": {},
    "`AutoRec(**BEST)`": BEST,
}


class Ratings(NamedTuple):
    """Items in rows and users in columns.

    Attributes
    ----------
    matrix : Tensor, shape (n_items, n_users)
        Zero where there is no rating.
    mask : Tensor, shape (n_items, n_users)
        One where there is one, else zero.
    """

    matrix: Tensor
    mask: Tensor

    @classmethod
    def of(cls, items: Any, users: Any, ratings: Any, shape: tuple[int, int]) -> Ratings:
        """From triples."""
        values, mask = torch.zeros(shape), torch.zeros(shape)
        values[items, users] = torch.from_numpy(np.array(ratings)).float()
        mask[items, users] = 1.0
        return cls(values, mask)

    def rows(self, chosen: Tensor) -> Ratings:
        """Some rows."""
        return Ratings(self.matrix[chosen], self.mask[chosen])


class Way(NamedTuple):
    """How a network is trained.

    Attributes
    ----------
    stretched : bool
        Whether the sigmoid of the output is stretched from 0..1 onto the rating scale.
    patient : bool
        False: SGD on the mean over all cells, 16 rows at a time, with a penalty on the encoder alone. True:
        Adam on the squared errors of the ratings, 64 rows at a time.
    n_epochs : int
    """

    stretched: bool
    patient: bool
    n_epochs: int


class Network:
    """An autoencoder with one hidden layer of half as many units as a row has cells, and sigmoids.

    Weights start as TensorFlow's dense layers do.
    """

    def __init__(self, n_columns: int, stretched: bool, generator: torch.Generator) -> None:
        k = n_columns // 2
        self.stretched = stretched
        self.V, self.W = torch.empty(n_columns, k), torch.empty(k, n_columns)
        for weight in (self.V, self.W):
            torch.nn.init.xavier_uniform_(weight, generator=generator)
        self.mu, self.b = torch.zeros(k), torch.zeros(n_columns)
        for parameter in self.parameters:
            parameter.requires_grad_()

    @property
    def parameters(self) -> list[Tensor]:
        return [self.V, self.mu, self.W, self.b]

    def __call__(self, values: Tensor) -> Tensor:
        output = torch.sigmoid(torch.sigmoid(values @ self.V + self.mu) @ self.W + self.b)
        return LOWEST + (HIGHEST - LOWEST) * output if self.stretched else output


def train(ratings: Ratings, way: Way, after_epoch: Callable[[Network], None] = lambda _: None) -> Network:
    """Train."""
    generator = torch.Generator().manual_seed(0)
    n_rows, n_columns = ratings.matrix.shape
    network = Network(n_columns, way.stretched, generator)
    if way.patient:
        optimizer, batch_size = torch.optim.Adam(network.parameters, lr=0.001), 64
    else:
        optimizer, batch_size = torch.optim.SGD(network.parameters, lr=0.001), 16
    for _ in range(way.n_epochs):
        for chosen in torch.randperm(n_rows, generator=generator).split(batch_size):
            values, mask = ratings.rows(chosen)
            squares = (mask * network(values) - values).square()
            if way.patient:
                loss = squares.sum() / len(chosen)
            else:
                loss = squares.mean() + 0.01 * network.V.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        after_epoch(network)
    return network


@torch.no_grad()
def rmse(outputs: Tensor, wanted: Ratings, over_all_cells: bool = False) -> float:
    """Of the ratings; or of all cells, where cells without a rating count as predicted without error."""
    squares = (wanted.mask * outputs - wanted.matrix).square()
    return math.sqrt(squares.mean() if over_all_cells else squares.sum() / wanted.mask.sum())


@torch.no_grad()
def predicted(network: Network, values: Tensor) -> Tensor:
    """The network's output, clipped to the scale."""
    return network(values).clamp(LOWEST, HIGHEST)


def best_epoch(known: Ratings, held_out: Ratings, way: Way) -> int:
    """The number of epochs with the lowest error on ratings that are held out."""
    errors: list[float] = []
    train(known, way, lambda network: errors.append(rmse(predicted(network, known.matrix), held_out)))
    return int(np.argmin(errors)) + 1


class Line(NamedTuple):
    """A line of the table.

    Attributes
    ----------
    settings : str
    reported : float or None
        What the tutorial would report: the RMSE over all cells of rows that are not trained on, each
        reconstructed from itself.
    of_ratings : float or None
        The same over the ratings of these rows.
    of_hidden_ratings : float
        Over ratings that are neither trained on nor shown to the encoder.
    """

    settings: str
    reported: float | None
    of_ratings: float | None
    of_hidden_ratings: float


class Study:
    """The lines of the table, each of which can be made alone.

    Parameters
    ----------
    frame : DataFrame
        Columns user, item and rating.
    n_epochs : int
        Of patient training, at most.
    presets : dict
        Parameters of AutoRec, by name.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        n_epochs: int = 10,
        presets: dict[str, dict[str, Any]] = PRESETS,
    ) -> None:
        self.n_epochs, self.presets = n_epochs, presets
        users, items = (pd.factorize(frame[name])[0] for name in ("user", "item"))
        self.pairs, self.ratings = np.column_stack([users, items]), frame["rating"].to_numpy(copy=True)
        self.shape = (int(items.max()) + 1, int(users.max()) + 1)
        order = np.random.default_rng(0).permutation(len(frame))
        self.hidden, self.shown = np.split(order, [len(order) // 10])

    def part(self, chosen: Any) -> Ratings:
        """Some of the ratings."""
        users, items = self.pairs[chosen].T
        return Ratings.of(items, users, self.ratings[chosen], self.shape)

    def rows(self) -> tuple[Ratings, Ratings]:
        """Nine tenths of the rows, and the others."""
        everything = self.part(slice(None))
        order = torch.from_numpy(np.random.default_rng(0).permutation(self.shape[0]))
        return everything.rows(order[len(order) // 10 :]), everything.rows(order[: len(order) // 10])

    def measured(self, name: str, for_new_rows: Tensor, for_all_rows: Tensor) -> Line:
        """A line of two outputs."""
        _, new_rows = self.rows()
        return Line(
            name,
            rmse(for_new_rows, new_rows, over_all_cells=True),
            rmse(for_new_rows, new_rows),
            rmse(for_all_rows, self.part(self.hidden)),
        )

    def trained(self, name: str, way: Way) -> Line:
        """A line of networks trained in one way."""
        other_rows, new_rows = self.rows()
        known = self.part(self.shown)
        return self.measured(
            name,
            predicted(train(other_rows, way), new_rows.matrix),
            predicted(train(known, way), known.matrix),
        )

    def tutorial(self) -> Line:
        """As it is."""
        return self.trained("the tutorial's", Way(stretched=False, patient=False, n_epochs=10))

    def stretched(self) -> Line:
        """With an output that can be any rating."""
        return self.trained(
            "1. output stretched onto the scale", Way(stretched=True, patient=False, n_epochs=10)
        )

    def adam(self) -> Line:
        """And with training that arrives."""
        way = Way(stretched=True, patient=True, n_epochs=self.n_epochs)
        return self.trained(f"2. and Adam, {way.n_epochs} epochs, a loss of ratings only", way)

    def chosen_epochs(self) -> Line:
        """And that ends in time: the number of epochs is chosen on a tenth held out of what is shown."""
        held_out, learnt = np.split(self.shown, [len(self.shown) // 10])
        way = Way(stretched=True, patient=True, n_epochs=self.n_epochs)
        way = way._replace(n_epochs=best_epoch(self.part(learnt), self.part(held_out), way))
        return self.trained(f"3. and epochs chosen on held-out ratings: {way.n_epochs}", way)

    def preset(self, name: str) -> Line:
        """The package."""
        regressor = AutoRecRegressor(**self.presets[name], rating_scale=(LOWEST, HIGHEST), random_state=0)
        regressor.fit(self.pairs[self.shown], self.ratings[self.shown])
        users, items = self.pairs[self.hidden].T
        outputs = Ratings.of(items, users, regressor.predict(self.pairs[self.hidden]), self.shape)
        return Line(name, None, None, rmse(outputs.matrix, self.part(self.hidden)))

    def mean(self) -> Line:
        """The mean rating, for everything."""
        mean = torch.tensor(self.ratings[self.shown].mean())
        return self.measured("no network: the mean rating", mean, mean)

    def copy(self) -> Line:
        """The input, as it is."""
        _, new_rows = self.rows()
        return self.measured(
            "no network: the input is the output", new_rows.matrix, self.part(self.shown).matrix
        )

    def lines(self) -> list[Callable[[], Line]]:
        """What makes each line of the table."""
        steps = [self.tutorial, self.stretched, self.adam, self.chosen_epochs]
        return [*steps, *(partial(self.preset, name) for name in self.presets), self.mean, self.copy]


def made(make: Callable[[], Line]) -> Line:
    """A line, made in one thread."""
    torch.set_num_threads(1)
    line = make()
    print(line, flush=True)
    return line


def main() -> None:
    raw = datasets.load("ml-latest-small").raw_ratings
    study = Study(pd.DataFrame(raw, columns=["user", "item", "rating", "time"]))
    lines = joblib.Parallel(n_jobs=-1)(joblib.delayed(made)(make) for make in study.lines())
    headers = ["settings", "reported", "ratings of these rows", "ratings not shown"]
    publish_table(__file__, "", lines, headers, ["", ".3f", ".3f", ".3f"])


if __name__ == "__main__":
    main()
