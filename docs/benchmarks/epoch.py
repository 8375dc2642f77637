"""Time of a training epoch, of its bare sparse products, and of an epoch of a dense AutoRec in plain PyTorch.

Usage: python docs/benchmarks/epoch.py

The data are MovieLens-1M and a million synthetic ratings of 10,000 items by 50,000 users. Epochs and products
take turns. The products are the same kernels on the same batches, with inputs already dropped, and nothing
else: five products for the model of the paper, two more for the encoder of columns. They are timed in two
forms. The plain form is float32 and decodes row by row. The other form is that of training, which reads
weights in bfloat16 and decodes column by column. The dense epoch uses zero-filled rows, a mask, the same
batches and Adam.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median

import numpy as np
import torch
from accuracy import RandomTenth
from measuring import seconds
from tables import publish_table
from torch import Tensor, nn

from surprise_autorec import AutoRec, datasets
from surprise_autorec.core.learner import Learner
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import products_at, sum_rows
from surprise_autorec.core.trained import Member
from surprise_autorec.core.training import make_learner
from surprise_autorec.trainsets import ratings_of

N_FACTORS, ROUNDS, DENSE_ROUNDS = 500, 7, 3


def movielens() -> RatingMatrix:
    ((trainset, _),) = RandomTenth([0]).split(datasets.load("ml-1m"))
    ratings = ratings_of(trainset)
    return RatingMatrix.from_cells(
        ratings.users, ratings.items, ratings.values, (trainset.n_users, trainset.n_items)
    )


def synthetic() -> RatingMatrix:
    generator = np.random.default_rng(0)
    pairs = np.unique(
        (generator.random((2, 1_100_000)) ** [[2], [3]] * [[50_000], [10_000]]).astype(np.int64), axis=1
    )
    users, items = generator.permutation(pairs.T)[:1_000_000].T
    return RatingMatrix.from_cells(users, items, generator.integers(1, 6, len(users)), (50_000, 10_000))


def learner_of(ratings: RatingMatrix, two_sided: bool) -> Learner:
    checked = AutoRec(n_factors=N_FACTORS, two_sided=two_sided).check_parameters()
    baselines, generator = checked.estimate_baselines(ratings), torch.Generator().manual_seed(0)
    options = replace(checked.options, n_threads=torch.get_num_threads())
    return make_learner(Member("item", 1.0), ratings, baselines, options, generator)


def bare_products(learner: Learner, as_in_training: bool) -> Callable[[], None]:
    """The sparse products of an epoch of the learner, on inputs that have already been dropped."""
    network, dropout = learner.network, learner.options.dropout
    dropped = [batch.cells.keep(torch.rand(len(batch.inputs)) >= dropout) for batch in learner.batches]
    hidden = [torch.rand(len(batch.rows), N_FACTORS) for batch in learner.batches]
    encoder_weight, decoder_weight = network.encoder_weight.detach(), network.decoder_weight.detach()
    encoder, decoder = encoder_weight, decoder_weight
    if as_in_training:
        learner.stepper.begin_epoch(learner.batches)
        encoder, decoder = learner.stepper.encoder.values, learner.stepper.decoder.values

    def run() -> None:
        for batch, (inputs, positions), h in zip(learner.batches, dropped, hidden, strict=True):
            cells, values = batch.cells, batch.targets
            sum_rows(encoder, inputs.columns, inputs.row_offsets, batch.inputs[: len(positions)])
            if as_in_training:
                products_at(decoder_weight, h, cells.column_offsets, cells.rows)
            else:
                products_at(h, decoder_weight, cells.row_offsets, cells.columns)
            sum_rows(decoder, cells.columns, cells.row_offsets, values)
            sum_rows(h, cells.rows, cells.column_offsets, values)
            sum_rows(h, inputs.rows, inputs.column_offsets, batch.inputs[: len(positions)])
            if learner.stepper.column_encoder:
                sum_rows(h, cells.rows, cells.column_offsets, values)
                sum_rows(decoder, cells.columns, cells.row_offsets, values)

    return run


def dense_epoch(ratings: RatingMatrix, batch_size: int) -> Callable[[], None]:
    """A straightforward dense AutoRec: a zero-filled matrix of items by users, and a mask."""
    n_items, n_users = ratings.n_columns, ratings.n_rows
    rows = torch.zeros(n_items, n_users)
    rows[torch.from_numpy(ratings.columns).long(), torch.from_numpy(ratings.rows).long()] = torch.from_numpy(
        ratings.values
    )
    network = nn.Sequential(nn.Linear(n_users, N_FACTORS), nn.Sigmoid(), nn.Linear(N_FACTORS, n_users))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-3)

    def run() -> None:
        for chosen in torch.randperm(n_items).split(batch_size):
            inputs: Tensor = rows[chosen]
            optimizer.zero_grad()
            loss = ((network(inputs) - inputs) * (inputs != 0)).square().sum() / len(chosen)
            loss.backward()
            optimizer.step()

    return run


def main() -> None:
    rows = []
    for name, load in {"MovieLens-1M": movielens, "50,000 x 10,000": synthetic}.items():
        ratings = load()
        for threads in (1, 2):
            torch.set_num_threads(threads)
            learners = [learner_of(ratings, two_sided) for two_sided in (False, True)]
            runs: list[Callable[[], object]] = []
            for learner in learners:
                runs.append(partial(learner.run_epoch, 2))
                runs += [bare_products(learner, as_in_training) for as_in_training in (False, True)]
            times = np.array([[seconds(run) for run in runs] for _ in range(ROUNDS + 1)])[1:]
            dense = dense_epoch(ratings, len(learners[0].batches[0].rows))
            dense_time = median(seconds(dense) for _ in range(DENSE_ROUNDS))
            del dense
            for label, (epoch, plain, own) in zip(("five", "seven"), np.split(times.T, 2), strict=True):
                middle = median(epoch)
                ratios = median(epoch / plain), median(epoch / own), dense_time / middle
                rows.append((name, threads, label, middle, median(plain), median(own), dense_time, *ratios))
                print(rows[-1], flush=True)
    headers = [
        "ratings",
        "threads",
        "products",
        "epoch [s]",
        "products [s]",
        "as trained [s]",
        "dense [s]",
        "epoch / products",
        "epoch / as trained",
        "dense / epoch",
    ]
    title = f"k = {N_FACTORS}, batches of {len(learners[0].batches[0].rows)} items on the second"
    publish_table(
        __file__, title, rows, headers, ("", "", "", ".3f", ".3f", ".3f", ".2f", ".2f", ".2f", ".1f")
    )


if __name__ == "__main__":
    main()
