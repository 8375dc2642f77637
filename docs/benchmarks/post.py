"""The settings of a tutorial on AutoRec, run, and put right one by one, on MovieLens-latest-small.

Usage: python docs/benchmarks/post.py

It writes its table beside this file. The network is a page of dense PyTorch, because the package cannot be
told to do what the tutorial does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from tables import publish_table
from torch import Tensor

from surprise_autorec import BEST, AutoRecRegressor, datasets

LOWEST, HIGHEST = 0.5, 5.0
PRESETS: dict[str, dict[str, Any]] = {"AutoRec, defaults": {}, "AutoRec, `BEST`": BEST}


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
        values[items, users] = torch.from_numpy(ratings).float()
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
        Adam on the squared errors of the ratings, 64 rows at a time, with a penalty on both matrices.
    n_epochs : int
    penalty : float
        Where ``patient``, what half the sum of squared weights is multiplied by.
    """

    stretched: bool
    patient: bool
    n_epochs: int
    penalty: float = 0.0


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
                penalty = way.penalty / 2 * (network.V.square().sum() + network.W.square().sum()) / n_rows
                loss = squares.sum() / len(chosen) + penalty
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


def chosen_way(known: Ratings, held_out: Ratings, ways: Sequence[Way]) -> Way:
    """The penalty and the number of epochs with the lowest error on ratings that are held out."""
    found: list[tuple[float, Way]] = []
    for way in ways:
        errors: list[float] = []

        def measure(network: Network, errors: list[float] = errors) -> None:
            errors.append(rmse(predicted(network, known.matrix), held_out))

        train(known, way, measure)
        best = int(np.argmin(errors))
        found.append((errors[best], way._replace(n_epochs=best + 1)))
    return min(found)[1]


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


def run(
    frame: pd.DataFrame,
    n_epochs: int = 30,
    penalties: Sequence[float] = (10.0, 30.0, 100.0),
    presets: dict[str, dict[str, Any]] = PRESETS,
) -> Iterator[Line]:
    """Lines of the table, one after another.

    Parameters
    ----------
    frame : DataFrame
        Columns user, item and rating.
    n_epochs : int
        Of patient training, at most.
    penalties : sequence of float
        To choose from.
    presets : dict
        Parameters of AutoRec, by name.
    """
    users, items = (pd.factorize(frame[name])[0] for name in ("user", "item"))
    ratings = frame["rating"].to_numpy(np.float64, copy=True)
    shape = (int(items.max()) + 1, int(users.max()) + 1)
    everything = Ratings.of(items, users, ratings, shape)
    rows = torch.from_numpy(np.random.default_rng(0).permutation(shape[0])).split(shape[0] // 10)
    other_rows, new_rows = everything.rows(torch.cat(rows[1:])), everything.rows(rows[0])
    order = np.random.default_rng(0).permutation(len(ratings))
    hidden, shown = np.split(order, [len(order) // 10])
    held_out, learnt = np.split(shown, [len(shown) // 10])

    def part(chosen: Any) -> Ratings:
        return Ratings.of(items[chosen], users[chosen], ratings[chosen], shape)

    def measured(name: str, for_new_rows: Tensor, for_all_rows: Tensor) -> Line:
        return Line(
            name,
            rmse(for_new_rows, new_rows, over_all_cells=True),
            rmse(for_new_rows, new_rows),
            rmse(for_all_rows, part(hidden)),
        )

    def trained(name: str, way: Way) -> Line:
        known = part(shown)
        return measured(
            name,
            predicted(train(other_rows, way), new_rows.matrix),
            predicted(train(known, way), known.matrix),
        )

    yield trained("the tutorial's", Way(stretched=False, patient=False, n_epochs=10))
    yield trained("1. output stretched onto the scale", Way(stretched=True, patient=False, n_epochs=10))
    patient = Way(stretched=True, patient=True, n_epochs=n_epochs)
    yield trained(f"2. and Adam, {n_epochs} epochs, a loss of ratings only", patient)
    chosen = chosen_way(part(learnt), part(held_out), [patient])
    yield trained(f"3. and epochs chosen on held-out ratings: {chosen.n_epochs}", chosen)
    ways = [patient._replace(penalty=penalty) for penalty in penalties]
    chosen = chosen_way(part(learnt), part(held_out), ways)
    yield trained(f"4. and a penalty: {chosen.penalty:g}, {chosen.n_epochs} epochs", chosen)

    pairs = np.column_stack([users, items])
    for name, preset in presets.items():
        regressor = AutoRecRegressor(**preset, rating_scale=(LOWEST, HIGHEST), random_state=0)
        regressor.fit(pairs[shown], ratings[shown])
        outputs = Ratings.of(items[hidden], users[hidden], regressor.predict(pairs[hidden]), shape)
        yield Line(name, None, None, rmse(outputs.matrix, part(hidden)))
    mean = torch.tensor(ratings[shown].mean())
    yield measured("no network: the mean rating", mean, mean)
    yield measured("no network: the input is the output", new_rows.matrix, part(shown).matrix)


def main() -> None:
    torch.set_num_threads(1)
    raw = datasets.load("ml-latest-small").raw_ratings
    lines = []
    for line in run(pd.DataFrame(raw, columns=["user", "item", "rating", "time"])):
        print(line, flush=True)
        lines.append(line)
    headers = ["settings", "reported", "ratings of these rows", "ratings not shown"]
    publish_table(__file__, "", lines, headers, ["", ".3f", ".3f", ".3f"])


if __name__ == "__main__":
    main()
