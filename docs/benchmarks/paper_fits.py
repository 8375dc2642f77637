"""The fits that paper.py asks for: run by several processes, each on disk as soon as it is finished.

A fit trains on one part of the ratings and measures the error on another part while it trains. It needs the
package's core, numpy and torch, but neither Surprise nor scikit-learn.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surprise_autorec.core import automatic
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import Cells, decode_cells, encode_cells, weight_gradient
from surprise_autorec.core.training import make_learner
from surprise_autorec.parameters import AutoRecParameters

#: What the authors' program predicts where a user or an item has no training ratings.
PAPERS_DEFAULT = 3.0
#: Training on the way to a choice ends after this share of its epochs without a lower error.
PATIENCE = 0.2


class Triples(NamedTuple):
    """Ratings from 1 to 5, of users and items that are numbered from 0."""

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    ratings: npt.NDArray[np.float32]

    @classmethod
    def of(cls, frame: Any) -> Triples:
        """From columns user, item and rating."""
        users, items = (np.unique(frame[name], return_inverse=True)[1] for name in ("user", "item"))
        return cls(users, items, frame["rating"].to_numpy(np.float32))

    def matrix(self, chosen: npt.NDArray[np.int64], side: str) -> RatingMatrix:
        """Some of the ratings, with users or items in rows."""
        shape = (int(self.users.max()) + 1, int(self.items.max()) + 1)
        matrix = RatingMatrix.from_cells(self.users[chosen], self.items[chosen], self.ratings[chosen], shape)
        return matrix if side == "user" else matrix.transposed

    def split(self, seed: int, part: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """What to train on and what to measure on.

        A tenth of all ratings is for testing. For validation, a tenth of the other nine tenths.
        """
        order = np.random.default_rng(seed).permutation(len(self.ratings))
        test, train = np.split(order, [len(order) // 10])
        if part == "test":
            return train, test
        held_out, train = np.split(train, [len(train) // 10])
        return train, held_out

    @property
    def checksum(self) -> int:
        """A number that other ratings would hardly have."""
        return zlib.crc32(b"".join(np.ascontiguousarray(array, np.float32).tobytes() for array in self))


class Fit(NamedTuple):
    """A fit to be made.

    Attributes
    ----------
    program : {"package", "authors"}
        Whose way of training.
    part : {"validation", "test"}
        What the error is measured on.
    seed : int
        Of the split.
    parameters : dict
        Of `AutoRec`, or of `authors_training`.
    """

    program: Literal["package", "authors"]
    part: Literal["validation", "test"]
    seed: int
    parameters: dict[str, Any]

    @property
    def key(self) -> str:
        """The same for the same fit."""
        return json.dumps(self._asdict(), sort_keys=True)


class Point(NamedTuple):
    """The errors after an epoch.

    Attributes
    ----------
    epoch : int
    rmse : float
        With our answer for a user or an item without training ratings: the mean rating, or the baselines.
    papers_rmse : float
        With the paper's, 3.
    """

    epoch: int
    rmse: float
    papers_rmse: float


class Meter:
    """Measures the error on the held-out ratings.

    Parameters
    ----------
    trained_on, measured : RatingMatrix
        With the encoded side in rows.
    """

    def __init__(self, trained_on: RatingMatrix, measured: RatingMatrix) -> None:
        self.truth = measured.values.astype(np.float64)
        self.cells = measured.rows, measured.columns
        rows, columns = self.cells
        self.unknown = (trained_on.row_counts[rows] == 0) | (trained_on.column_counts[columns] == 0)

    def measure(
        self, epoch: int, outputs: npt.NDArray[np.floating], for_unknown: float | npt.NDArray[np.float64]
    ) -> Point:
        """Errors of predictions, clipped to the scale."""
        errors = (
            np.clip(np.where(self.unknown, answer, outputs), 1, 5) - self.truth
            for answer in (for_unknown, PAPERS_DEFAULT)
        )
        return Point(epoch, *(round(math.sqrt(np.square(error).mean()), 6) for error in errors))


def package_training(triples: Triples, fit: Fit, device: str) -> Iterator[Point]:
    """Train as the package does, and measure on the way: every epoch, or every fifth if full-batch."""
    parameters = AutoRecParameters(**fit.parameters, uncertainty=False, device=device, random_state=0)
    checked = parameters.check_parameters()
    options = replace(checked.options, n_threads=1)
    train, measured = triples.split(fit.seed, fit.part)
    by_user = triples.matrix(train, "user")
    baselines = checked.estimate_baselines(by_user)
    (member,) = automatic.members(by_user, checked.kinds, automatic.gain(options))
    generator = torch.Generator().manual_seed(parameters.draw_seed())
    learner = make_learner(member, by_user, baselines, options, generator)

    held_out = triples.matrix(measured, member.side)
    meter = Meter(by_user if member.side == "user" else by_user.transposed, held_out)
    beside = member.beside(baselines)
    expected = (beside if member.side == "user" else beside.transposed).at(*meter.cells)
    for_unknown = expected if options.biased else float(by_user.values.mean())
    cells = Cells.of(held_out, options.device)
    every = 5 if options.full_batch else 1
    for epoch in range(1, options.n_epochs + 1):
        learner.run_epoch(epoch)
        if epoch % every == 0 or epoch == options.n_epochs:
            (outputs,) = learner.averaged.outputs_at(cells, [member.gain]).cpu().numpy()
            yield meter.measure(epoch, expected + outputs, for_unknown)


def authors_training(triples: Triples, fit: Fit, device: str) -> Iterator[Point]:
    """Train as the authors' released program does, for what it has and the package has not.

    All weights start from a normal distribution with a standard deviation of 0.01 (biases: 0.001). RProp
    starts from tiny steps, which grow fivefold at first and by a fifth later. With ``hard``, the decoder
    sees hidden units as 0 or 1 (above 0.5), while gradients are taken as if it saw the sigmoid; this is what
    ``binary: True`` in the released configuration does.
    """
    side, k, penalty, hard, n_epochs = (
        fit.parameters[name] for name in ("variant", "n_factors", "penalty", "hard", "n_epochs")
    )
    train, measured = triples.split(fit.seed, fit.part)
    known, held_out = triples.matrix(train, side), triples.matrix(measured, side)
    meter = Meter(known, held_out)
    cells, held_out_cells = (Cells.of(matrix, torch.device(device)) for matrix in (known, held_out))
    x = torch.from_numpy(known.values).to(device)
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    V, W = 0.01 * normal(known.n_columns, k), 0.01 * normal(known.n_columns, k)
    mu, b = 0.001 * normal(k), 0.001 * normal(known.n_columns)
    rprop = AuthorsRProp([V, W, mu, b])

    def whole(values: Tensor, factors: Tensor) -> Tensor:
        return torch.cat([block for _, block in weight_gradient(values, factors, cells).blocks()])

    for epoch in range(n_epochs + 1):
        activations = torch.sigmoid(encode_cells(V, x, cells) + mu)
        hidden = (activations > 0.5).float() if hard else activations
        if epoch % 5 == 0:
            outputs = decode_cells(hidden, W, b, held_out_cells).cpu().numpy()
            yield meter.measure(epoch, outputs, float(known.values.mean()))
        hidden, bias = hidden.detach().requires_grad_(), b.detach().requires_grad_()
        error = decode_cells(hidden, W, bias, cells) - x
        by_hidden, by_bias = torch.autograd.grad(error.square().sum() / 2, [hidden, bias])
        by_products = by_hidden * activations * (1 - activations)
        gradients = [
            whole(x, by_products) + 2 * penalty * V,
            whole(error.detach(), activations) + 2 * penalty * W,
            by_products.sum(0),
            by_bias,
        ]
        rprop.step(gradients, growth=5.0 if epoch <= 5 else 1.2)


class AuthorsRProp:
    """RProp as the authors' program sets it: steps from 1e-6 to 1, halved where the gradient changes sign."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self.steps = [torch.full_like(parameter, 1e-6) for parameter in parameters]
        self.before = [torch.zeros_like(parameter) for parameter in parameters]

    def step(self, gradients: Sequence[Tensor], growth: float) -> None:
        """Make a step."""
        factors = torch.tensor([0.5, 1.0, growth], device=gradients[0].device)
        states = zip(self.parameters, self.steps, self.before, gradients, strict=True)
        for parameter, step, before, gradient in states:
            agreement = before.mul_(gradient).sign_().add_(1).long()
            step.mul_(factors[agreement]).clamp_(1e-6, 1.0)
            parameter.addcmul_(step, gradient.sign(), value=-1)
            before.copy_(gradient)


PROGRAMS: dict[str, Callable[[Triples, Fit, str], Iterator[Point]]] = {
    "package": package_training,
    "authors": authors_training,
}


def run_fit(triples: Triples, fit: Fit, device: str) -> dict[str, Any]:
    """Make a fit; returns what is known of it, ready for JSON."""
    torch.set_num_threads(1)
    start = time.process_time()
    curve: list[Point] = []
    best = Point(0, math.inf, math.inf)
    patience = PATIENCE * fit.parameters["n_epochs"]
    for point in PROGRAMS[fit.program](triples, fit, device):
        if not math.isfinite(point.rmse):
            break
        curve.append(point)
        best = min(best, point, key=lambda point: point.rmse)
        if fit.part == "validation" and point.epoch - best.epoch >= patience:
            break
    return {**fit._asdict(), "curve": curve, "cpu_seconds": round(time.process_time() - start, 1)}


class Records:
    """Finished fits, in a file with a line of JSON for each.

    Parameters
    ----------
    file : Path
    checksum : int
        Of the ratings. Fits on other ratings are in the file, but not among the records.
    """

    def __init__(self, file: Path, checksum: int) -> None:
        self.file, self.checksum = file, checksum
        self.records: dict[str, dict[str, Any]] = {}
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
        if lines and not lines[-1].endswith("\n"):  # the program was killed while it wrote
            file.write_text("".join(lines[:-1]), encoding="utf-8")
            del lines[-1]
        for line in lines:
            self._keep(json.loads(line))

    def _keep(self, record: dict[str, Any]) -> None:
        if record["ratings"] == self.checksum:
            self.records[Fit(*(record[name] for name in Fit._fields)).key] = record

    def add(self, record: dict[str, Any]) -> None:
        """Write a record and remember it."""
        record = {"ratings": self.checksum, **record}
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        self._keep(record)

    def __contains__(self, fit: Fit) -> bool:
        return fit.key in self.records

    def curve(self, fit: Fit) -> list[Point]:
        """The errors of a finished fit, epoch by epoch; empty if it diverged at once."""
        return [Point(*values) for values in self.records[fit.key]["curve"]]

    def best(self, fit: Fit) -> Point:
        """The epoch with the lowest error."""
        return min(self.curve(fit), key=lambda point: point.rmse, default=Point(1, math.inf, math.inf))

    def last(self, fit: Fit) -> Point:
        """The last epoch."""
        return self.curve(fit)[-1]


_worker: dict[str, Any] = {}


def _begin(triples: Triples, device: str) -> None:
    _worker.update(triples=triples, device=device)


def _work(fit: Fit) -> dict[str, Any]:
    return run_fit(_worker["triples"], fit, _worker["device"])


def run_all(fits: Iterable[Fit], triples: Triples, records: Records, n_jobs: int, device: str) -> None:
    """Make the fits that are not on disk yet, several at a time, and say how far it has come."""
    missing = {fit.key: fit for fit in fits if fit not in records}
    if not missing:
        return
    start = time.perf_counter()
    pool = ProcessPoolExecutor(n_jobs, get_context("spawn"), _begin, (triples, device))
    try:
        futures = [pool.submit(_work, fit) for fit in missing.values()]
        for n, future in enumerate(as_completed(futures), 1):
            record = future.result()
            records.add(record)
            minutes = (time.perf_counter() - start) / 60
            best = min((point.rmse for point in record["curve"]), default=math.nan)
            print(
                f"{n} of {len(missing)} fits, {minutes:.1f} minutes, "
                f"about {minutes / n * (len(missing) - n):.1f} more: {best:.4f} "
                f"in {record['cpu_seconds']} s, {record['part']} {record['parameters']}",
                flush=True,
            )
    finally:
        pool.shutdown(cancel_futures=True)
