"""AutoRec as it is trained, on dense matrices in plain torch: the clearest account of it, and the slowest.

The package's training is tested against this. Symbols are those of docs/algorithm.md: the paper's V, mu, W
and b, and E, the weights of the second encoder. Every step here sees all rows; there is no dropout.
"""

import torch

#: The optimisers that measure the loss's curvature. For them hidden activations are left as they are.
FULL_BATCH = {"rprop", "lbfgs"}

#: Encoder weights and biases, decoder weights and biases learn at rates that stand to one another like these.
RATES = (1.0, 10.0, 2.0, 10.0)


def groups(parameters, rate):
    return [{"params": [p], "lr": rate * relative} for p, relative in zip(parameters, RATES, strict=True)]


TORCH_OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(groups(parameters, 0.003)),
    "sgd": lambda parameters: torch.optim.SGD(groups(parameters, 0.01), momentum=0.9),
    "rprop": lambda parameters: torch.optim.Rprop(groups(parameters, 0.001)),
    "lbfgs": lambda parameters: torch.optim.LBFGS(
        parameters, lr=1, max_iter=1, max_eval=25, history_size=10, line_search_fn="strong_wolfe"
    ),
}


def paper_parameters(network):
    """The paper's V, mu, W and b, and the column encoder's weights, if it has one."""
    tensors = [network.encoder_weight.T, network.encoder_bias, network.decoder_weight, network.decoder_bias]
    if network.column_encoder_weight is not None:
        tensors.append(network.column_encoder_weight)
    return [tensor.detach().clone(memory_format=torch.contiguous_format) for tensor in tensors]


def dense_training(R, observed, start, optimizer, reg, reg_bias, n_epochs):
    """Minimise eq. 2, an epoch being one step on all rows.

    R holds the ratings, and zeros elsewhere; observed holds ones where there are ratings. Returns the
    parameters and the loss per rating of each epoch.
    """
    Y = R / observed.sum(0).sqrt()  # what the second encoder sees
    parameters = [tensor.clone().requires_grad_() for tensor in start]
    V, mu, W, b, *E = parameters
    stepper = TORCH_OPTIMIZERS[optimizer](parameters[:4])
    counts = observed.sum(0).sort().values
    typical_count = counts[torch.searchsorted(counts.cumsum(0), counts.sum() / 2)]
    pace = float((40 / typical_count).sqrt().clamp(1, 4))
    column_stepper = torch.optim.Adam(E, lr=0.4 * pace * 0.003) if E else None
    errors, losses, means, column_gradients = [], [], [], []

    def penalty():
        return reg / 2 * sum(matrix.square().sum() for matrix in (V, W, *E)) + reg_bias / 2 * b.square().sum()

    def objective():
        for parameter in parameters:
            parameter.grad = None
        hidden = torch.sigmoid(R @ V.T + mu)
        if optimizer not in FULL_BATCH:
            mean = (observed.sum(1) @ hidden.detach()) / observed.sum()
            means.append(0.9 * means[-1] + 0.1 * mean if means else mean)
            hidden = hidden - means[-1]
        outputs = hidden @ W.T + b
        for e in E:
            outputs = outputs + hidden @ (Y.T @ e).T - Y * (hidden * e).sum(1, keepdim=True)
        error = (observed * (R - outputs)).square().sum()
        errors.append(error.item())
        loss = (error + penalty()) / len(R)
        loss.backward()
        column_gradients.extend(e.grad for e in E)
        return loss

    for _ in range(n_epochs):
        errors.clear()
        column_gradients.clear()
        stepper.step(objective)
        for e in (
            E
        ):  # along the gradient where the step began: the optimiser may try other points, and reject them
            e.grad = column_gradients[0]
            column_stepper.step()
        losses.append((errors[0] + penalty().item()) / observed.sum().item())
    return [tensor.detach() for tensor in parameters], losses
