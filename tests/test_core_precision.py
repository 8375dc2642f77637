"""Products in bfloat16 beside the same in float32."""

import numpy as np
import pytest
import torch
from core_helpers import CPU, RATINGS, dense, finished, make_learner, random_ratings
from torch.testing import assert_close

from surprise_autorec.core import sparse
from surprise_autorec.core import step as step_module
from surprise_autorec.core.baselines import als_baselines
from surprise_autorec.core.optimizers import OPTIMIZERS
from surprise_autorec.core.sparse import PRECISIONS, Cells, WorkingCopy, decode_cells, encode_cells, sum_rows

K = 12
#: The relative error of rounding to bfloat16, which has 8 significant bits, is at most this.
ROUNDING = 2**-9


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=PRECISIONS)
def precision(request):
    return PRECISIONS[request.param]


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 16 rows of K numbers."""
    monkeypatch.setattr(sparse, "BLOCK_BYTES", 16 * K * 4)


def test_a_copy_in_the_precision_of_the_weight_is_the_weight():
    weight = random(30, K)
    assert WorkingCopy(weight, torch.float32).values.data_ptr() == weight.data_ptr()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("has_constant", [False, True])
def test_a_copy_follows_the_weight_and_what_is_added_to_it(precision, has_constant):
    weight, constant = random(30, K), random(30, K, seed=1).to(precision) if has_constant else None
    copy = WorkingCopy(weight, precision, plus=constant)

    def total():
        return (weight + constant if has_constant else weight).to(precision)

    assert torch.equal(copy.values, total())
    weight[3:5] += 1
    copy.refresh(slice(3, 5))
    assert torch.equal(copy.values, total())
    weight *= 2
    copy.refresh_all()
    assert torch.equal(copy.values, total())


def test_sums_of_bfloat16_rows_are_rounded_once():
    """The terms are added up in float32: a thousand of one size would not, in bfloat16."""
    ones = torch.ones(1, K, dtype=torch.bfloat16)
    sums = sum_rows(
        ones,
        torch.zeros(1000, dtype=torch.int32),
        torch.tensor([0, 1000], dtype=torch.int32),
        torch.ones(1000),
    )
    assert sums.dtype == torch.float32
    assert_close(sums, torch.full((1, K), 1000.0), rtol=ROUNDING, atol=0.0)


@pytest.mark.usefixtures("small_blocks")
def test_products_of_bfloat16_tables_are_the_dense_ones_up_to_rounding():
    cells, values = Cells.of(RATINGS, CPU), torch.from_numpy(RATINGS.values).float() / 3
    matrix = dense(RATINGS, values)
    weight, hidden = random(30, K).bfloat16(), random(40, K, seed=1).requires_grad_()

    def assert_near(sums, left, right):
        """Within the error of rounding each factor of each term and the sum."""
        bound = 3 * ROUNDING * (left.abs() @ right.abs())
        assert ((sums - left @ right).abs() <= bound).all()

    assert_near(encode_cells(weight, values, cells), matrix, weight.float())
    outputs = decode_cells(hidden, weight, torch.zeros(30), cells)  # rounds nothing more
    assert_close(outputs, (hidden @ weight.float().T)[RATINGS.rows, RATINGS.columns])
    outputs.backward(values)
    assert_near(hidden.grad, matrix, weight.float())


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_products_always_read_the_weights_as_they_are(monkeypatch, optimizer, two_sided, precision):
    """At every evaluation of every optimiser, and after each epoch."""
    learner = make_learner(
        optimizer=optimizer, two_sided=two_sided, precision=precision, dropout=0.3, batch_size=7
    )
    network, stepper, read = learner.network, learner.stepper, []

    def encode(weight, *others):
        assert torch.equal(weight, network.encoder_weight.to(precision))
        read.append("encoder")
        return encode_cells(weight, *others)

    def decode(hidden, weight, bias, cells):
        vectors = stepper.decoder.plus
        assert (vectors is not None) == two_sided
        total = network.decoder_weight if vectors is None else network.decoder_weight + vectors
        assert torch.equal(weight, total.to(precision))
        read.append("decoder")
        return decode_cells(hidden, weight, bias, cells)

    monkeypatch.setattr(step_module, "encode_cells", encode)
    monkeypatch.setattr(step_module, "decode_cells", decode)
    before = network.encoder_weight.detach().clone(), network.decoder_weight.detach().clone()
    for number in (1, 2):
        learner.run_epoch(number)
    assert read == ["encoder", "decoder"] * (len(read) // 2)
    assert len(read) >= 2 * 2 * len(learner.batches)
    assert not torch.equal(before[0], network.encoder_weight)
    assert not torch.equal(before[1], network.decoder_weight)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_in_bfloat16_ends_beside_training_in_float32(optimizer, two_sided):
    """Where the penalty leaves one solution. (Without it, rounding chooses among equally good ones.)"""
    ratings, settings = (
        random_ratings(100, 80, 4000),
        {"n_factors": (K,), "biased": True, "reg": 60.0, "dropout": 0.5},
    )
    outputs = []
    for precision in PRECISIONS.values():
        learner = make_learner(
            ratings,
            als_baselines(ratings),
            optimizer=optimizer,
            two_sided=two_sided,
            precision=precision,
            **settings,
        )
        for number in range(1, 21):
            learner.run_epoch(number)
        outcome = finished(learner, ratings)
        assert all(array.dtype == np.float32 for array in outcome[:3])
        outputs.append(outcome.outputs[ratings.rows, ratings.columns])
    float32, bfloat16 = outputs
    change = np.abs(bfloat16 - float32)
    assert 0 < change.mean() < 0.01 * float32.std()
