import numpy as np
import pytest
import torch

from surprise_autorec.core.network import ACTIVATIONS, Architecture, AutoEncoder, activate, decoder_output
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import Cells

#: The paper's g and f, written out.
FUNCTIONS = {
    "identity": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
    "relu": lambda x: torch.where(x > 0, x, 0.0),
    "elu": lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
    "selu": lambda x: 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (torch.exp(x) - 1)),
}
#: The lower bounds of those without an upper one.
LOWER = {"relu": 0.0, "elu": -1.0, "selu": -1.7580993408473766}
N_ROWS, N_COLUMNS = 8, 6


def make_network(
    n_factors=(7,), encoder="sigmoid", decoder="identity", biased=False, two_sided=False, mean=0.0, seed=0
):
    generator = torch.Generator().manual_seed(seed)
    architecture = Architecture(n_factors, two_sided, biased, encoder, decoder)
    return AutoEncoder(N_ROWS, N_COLUMNS, architecture, mean, generator)


def make_ratings():
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero(rng.random((N_ROWS, N_COLUMNS)) < 0.6)
    return RatingMatrix.from_cells(rows, columns, rng.integers(1, 6, len(rows)), (N_ROWS, N_COLUMNS))


def with_random_parameters(network):
    """All parameters but the encoder's weights, which are random anyway, start at a constant."""
    generator = torch.Generator().manual_seed(1)
    random_already = {id(weight) for weight in network.encoder_parameters()[0]}
    with torch.no_grad():
        for parameter in network.parameters():
            if id(parameter) not in random_already:
                parameter.normal_(generator=generator)
    return network


def run(network, ratings):
    """The network's outputs at the cells of its inputs."""
    cells = Cells.of(ratings, torch.device("cpu"))
    hidden = network.encode(cells, torch.from_numpy(ratings.values))
    return network.decode(hidden, cells, network.decoder_weight)


def dense_inputs(ratings):
    x = torch.zeros(N_ROWS, N_COLUMNS)
    x[ratings.rows, ratings.columns] = torch.from_numpy(ratings.values)
    return x


def output(inputs, decoder, biased):
    """The outputs of f, as they have to be to reach the ratings 1..5, or their differences."""
    if decoder in LOWER:  # moved: nothing is below the lowest answer
        shift = (-4 if biased else 1) - LOWER[decoder]
        return FUNCTIONS[decoder](inputs - shift) + shift
    outputs = FUNCTIONS[decoder](inputs)
    unit = {"sigmoid": outputs, "tanh": (outputs + 1) / 2}
    if decoder not in unit:
        return outputs
    return unit[decoder] * 8 - 4 if biased else unit[decoder] * 4 + 1


def test_every_activation_is_tested_here():
    assert FUNCTIONS.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("decoder", ACTIVATIONS)
@pytest.mark.parametrize("encoder", ACTIVATIONS)
def test_forward_is_equation_1(encoder, decoder, biased):
    network, ratings = with_random_parameters(make_network((7,), encoder, decoder, biased)), make_ratings()
    V, mu = network.encoder_weight.T, network.encoder_bias
    W, b = network.decoder_weight, network.decoder_bias
    g = FUNCTIONS[encoder]
    wanted = torch.stack([output(W @ g(V @ x + mu) + b, decoder, biased) for x in dense_inputs(ratings)])
    torch.testing.assert_close(
        run(network, ratings), wanted[ratings.rows, ratings.columns], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("encoder", ACTIVATIONS)
def test_forward_of_a_deep_network_applies_each_layer_in_turn(encoder):
    network, ratings = with_random_parameters(make_network((7, 5, 3), encoder)), make_ratings()
    g, hidden = FUNCTIONS[encoder], dense_inputs(ratings)
    for weight, bias, width in zip(*network.encoder_parameters(), (7, 5, 3), strict=True):
        hidden = g(hidden @ weight + bias)
        assert hidden.shape == (N_ROWS, width)
    wanted = hidden @ network.decoder_weight.T + network.decoder_bias
    torch.testing.assert_close(
        run(network, ratings), wanted[ratings.rows, ratings.columns], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("n_factors", [(7,), (7, 5, 3)])
def test_an_empty_row_is_encoded_from_the_biases_alone(n_factors):
    network = with_random_parameters(make_network(n_factors))
    hidden = torch.sigmoid(network.encoder_bias)
    for weight, bias in zip(network.deeper_weights, network.deeper_biases, strict=True):
        hidden = torch.sigmoid(hidden @ weight + bias)
    cells = Cells.of(RatingMatrix.from_cells([0], [1], [5.0], (2, N_COLUMNS)), torch.device("cpu"))
    torch.testing.assert_close(network.encode(cells, torch.tensor([5.0]))[1], hidden)
    torch.testing.assert_close(network.encode_nothing(), hidden.unsqueeze(0))


@pytest.mark.parametrize(("decoder", "biased"), [("identity", True), ("sigmoid", False), ("tanh", True)])
def test_decoding_with_other_weights_is_the_output_of_its_pre_activation(decoder, biased):
    network, ratings = (
        with_random_parameters(make_network((7,), decoder=decoder, biased=biased)),
        make_ratings(),
    )
    generator, cells = torch.Generator().manual_seed(2), Cells.of(ratings, torch.device("cpu"))
    hidden, weight = (
        torch.randn(N_ROWS, 7, generator=generator),
        torch.randn(N_COLUMNS, 7, generator=generator),
    )
    pre_activation = (hidden @ weight.T + network.decoder_bias)[ratings.rows, ratings.columns]
    torch.testing.assert_close(network.decode(hidden, cells, weight), output(pre_activation, decoder, biased))


@pytest.mark.parametrize(("biased", "interval"), [(False, (1, 5)), (True, (-4, 4))])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_bounded_outputs_are_stretched_onto_all_answers(activation, biased, interval):
    outputs = decoder_output(torch.tensor([-100.0, 0.0, 100.0]), activation, biased)
    torch.testing.assert_close(outputs, torch.tensor([interval[0], sum(interval) / 2, interval[1]]))


@pytest.mark.parametrize(("biased", "lowest"), [(False, 1.0), (True, -4.0)])
def test_relu_ends_at_the_lowest_answer_and_leaves_all_others_alone(biased, lowest):
    x = torch.linspace(-9, 9, 37)
    torch.testing.assert_close(decoder_output(x, "relu", biased), torch.maximum(x, torch.tensor(lowest)))


@pytest.mark.parametrize(("biased", "interval"), [(False, (1, 5)), (True, (-4, 4))])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_output_reaches_the_whole_scale_and_none_that_has_a_lower_bound_goes_below(
    activation, biased, interval
):
    outputs = decoder_output(torch.linspace(-100, 100, 10_001, dtype=torch.float64), activation, biased)
    lowest, highest = interval
    assert outputs.min() < lowest + 1e-3
    assert outputs.max() > highest - 1e-3
    if activation != "identity":
        assert outputs.min() >= lowest - 1e-6


@pytest.mark.parametrize("biased", [False, True])
def test_the_identity_is_left_alone(biased):
    x = torch.linspace(-3, 30, 34)
    assert torch.equal(decoder_output(x, "identity", biased), x)


@pytest.mark.parametrize("n_threads", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_their_gradients_have_the_same_bits_for_any_number_of_threads(activation, n_threads):
    # torch uses one thread for each 32,768 elements begun, at most as many as set: 2, 3, 5 and 7 of them
    # here.
    for size in (40_001, 70_016, 150_001, 200_400):
        results = []
        for threads in (1, n_threads):
            torch.set_num_threads(threads)
            inputs = torch.randn(size, generator=torch.Generator().manual_seed(0)).requires_grad_()
            outputs = activate(ACTIVATIONS[activation].function, inputs)
            results.append((outputs, *torch.autograd.grad(outputs.square().sum(), inputs)))
        assert all(map(torch.equal, *results)), size


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("n_factors", [(7,), (7, 5), (7, 5, 3)])
def test_the_penalised_weights_are_all_matrices_once_each(n_factors, two_sided):
    network = make_network(n_factors, two_sided=two_sided)
    matrices = [id(parameter) for parameter in network.parameters() if parameter.ndim == 2]
    assert sorted(id(weight) for weight in network.weights()) == sorted(matrices)
    assert len(matrices) == len(n_factors) + 1 + two_sided
    weights, biases = network.encoder_parameters()
    assert [weight.shape[1] for weight in weights] == [len(bias) for bias in biases] == list(n_factors)


def test_only_a_two_sided_network_has_a_column_encoder():
    assert make_network((7, 5), two_sided=True).column_encoder_weight.shape == (N_ROWS, 5)
    assert make_network((7, 5), two_sided=False).column_encoder_weight is None


def test_the_encoder_starts_xavier_uniform_and_all_else_at_zero():
    generator = torch.Generator().manual_seed(0)
    network = AutoEncoder(200, 300, Architecture((50, 20), True, True, "sigmoid", "identity"), 0.0, generator)
    encoder_weights, _ = network.encoder_parameters()
    for weight in encoder_weights:
        bound = (6 / sum(weight.shape)) ** 0.5
        assert 0.95 * bound < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    others = [p for p in network.parameters() if not any(p is weight for weight in encoder_weights)]
    assert [p.shape for p in others if not (p == 0).all()] == []
    assert len(others) == 5  # two encoder biases, decoder weight and bias, column encoder


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize(
    ("decoder", "biased", "start"),
    [
        ("identity", False, 3.7),
        ("relu", False, 3.7),
        ("elu", False, 3.7),
        ("identity", True, 3.7),
        ("sigmoid", False, 3.0),
        ("tanh", True, 0),
    ],
)
def test_the_output_starts_at_the_mean_or_for_a_bounded_f_halfway(decoder, biased, start, two_sided):
    network, ratings = make_network((7,), "sigmoid", decoder, biased, two_sided, mean=3.7), make_ratings()
    torch.testing.assert_close(run(network, ratings), torch.full((ratings.n_ratings,), float(start)))


def test_initial_weights_are_those_of_the_generators_seed():
    one, same, other = (make_network((7, 5), seed=seed) for seed in (3, 3, 4))
    assert all(map(torch.equal, one.parameters(), same.parameters()))
    assert not any(map(torch.equal, one.encoder_parameters()[0], other.encoder_parameters()[0]))


@pytest.mark.parametrize("two_sided", [False, True])
def test_a_network_of_weights_is_the_one_that_gave_them(two_sided):
    network = with_random_parameters(make_network((7, 3), two_sided=two_sided))
    weights = network.get_weights()
    other = AutoEncoder.of_weights(weights, network.architecture)
    assert torch.equal(run(other, make_ratings()), run(network, make_ratings()))
    assert dict(other.named_parameters()).keys() == weights.keys()
    for name, parameter in other.named_parameters():
        assert np.shares_memory(parameter.numpy(), weights[name])
        assert not parameter.requires_grad


def test_a_network_goes_on_from_a_smaller_one():
    smaller = with_random_parameters(make_network((7, 3), two_sided=True))
    generator = torch.Generator().manual_seed(5)
    larger = AutoEncoder(N_ROWS + 2, N_COLUMNS + 3, smaller.architecture, 0.5, generator)
    before = larger.get_weights()
    larger.start_from(smaller)
    after = larger.get_weights()
    for name, weight in smaller.get_weights().items():
        np.testing.assert_array_equal(after[name], np.concatenate([weight, before[name][len(weight) :]]))


def test_a_network_of_another_architecture_is_not_gone_on_from():
    network = make_network((7, 3))
    rule = r"n_factors must be the same as in the model to continue from, \(7,\), got \(7, 3\)"
    with pytest.raises(ValueError, match=rule):
        network.start_from(make_network((7,)))
