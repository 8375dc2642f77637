"""The hyper-parameters of AutoRec: declared, documented and checked here, for every class that trains it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar

import joblib
import numpy as np
import torch

from surprise_autorec.callbacks import Callback
from surprise_autorec.checks import check, choice, flag, is_positive_integer, number, positive_integer
from surprise_autorec.core import automatic
from surprise_autorec.core.baselines import Baselines, als_baselines, sgd_baselines, zero_baselines
from surprise_autorec.core.network import ACTIVATIONS
from surprise_autorec.core.optimizers import OPTIMIZERS
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import PRECISIONS
from surprise_autorec.core.trained import Kind
from surprise_autorec.display import naming_unknown_keywords

#: The paper's I-AutoRec, for ``AutoRec(**PAPER)``: eq. 1-2 and nothing else. With these settings, chosen on
#: held-out training ratings, its RMSE on MovieLens-1M is 0.833, where the paper has 0.831. U-AutoRec wants
#: others: with ``variant="user", reg_all=100.0, lr_all=0.001, n_epochs=21`` it is 0.876, where the paper has
#: 0.874. (The configuration that the authors released has RProp or L-BFGS, and a penalty of 400 in the form
#: that ``reg_all`` has. docs/paper.md compares them.)
PAPER: dict[str, Any] = {
    "n_factors": 500,
    "n_epochs": 46,
    "biased": False,
    "two_sided": False,
    "lr_all": 0.0004,
    "reg_all": 200.0,
    "dropout": 0.0,
    "input_scaling": 0.0,
    "averaging": 0.0,
    "uncertainty": False,
}

#: More accuracy for more time: the average of networks of all kinds, each trained longer.
BEST: dict[str, Any] = {"variant": "hybrid", "n_estimators": 4, "n_epochs": 24}

#: The methods of ``bsl_options``, each with the other options it takes.
_BASELINES: dict[str, tuple[Callable[..., Baselines], set[str]]] = {
    "als": (als_baselines, {"n_epochs", "reg_u", "reg_i"}),
    "sgd": (sgd_baselines, {"n_epochs", "reg", "learning_rate"}),
}

Rule: TypeAlias = tuple[str, Callable[[float], bool]]
#: Rules of numbers, in words and as functions.
_NOT_NEGATIVE: Rule = "a number >= 0", lambda x: x >= 0
_SHARE: Rule = "a number in [0, 1]", lambda x: 0 <= x <= 1
_SHARE_BELOW_1: Rule = "a number in [0, 1)", lambda x: 0 <= x < 1

Default = TypeVar("Default", float, None)


class CheckedParameters(NamedTuple):
    """The parameters of a fit, after all of them have been checked.

    ``options`` are what every network has in common, ``kinds`` the networks. The rest is as users set it.
    """

    options: TrainingOptions
    kinds: list[Kind]
    estimate_baselines: Callable[[RatingMatrix], Baselines]
    callbacks: list[Callback]
    n_iter_no_change: int
    tol: float
    verbose: bool


class Keywords(TypedDict, total=False):
    """The parameters of `AutoRecParameters`, for type checkers where a constructor hands them on."""

    n_factors: int | tuple[int, ...] | Literal["auto"]
    n_epochs: int
    variant: Literal["item", "user", "hybrid"]
    item_weight: float | Literal["auto"]
    two_sided: bool
    n_estimators: int
    biased: bool
    bsl_options: dict[str, Any] | None
    encoder_activation: str
    decoder_activation: str
    lr_all: float | Literal["auto"]
    reg_all: float | Literal["auto"]
    reg_bias: float | Literal["auto"]
    dropout: float
    input_centering: float | Literal["auto"]
    input_scaling: float
    averaging: float
    optimizer: str
    batch_size: int | Literal["auto"]
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    uncertainty: bool
    device: str
    precision: Literal["auto", "float32", "bfloat16"]
    random_state: int | np.random.RandomState | None
    callbacks: Sequence[Callback]
    verbose: bool


class AutoRecParameters:
    """Base of the classes that train AutoRec: stores the parameters, and checks them when a fit begins."""

    @naming_unknown_keywords
    def __init__(
        self,
        n_factors: int | tuple[int, ...] | Literal["auto"] = "auto",
        n_epochs: int = 18,
        variant: Literal["item", "user", "hybrid"] = "item",
        item_weight: float | Literal["auto"] = "auto",
        two_sided: bool = True,
        n_estimators: int = 1,
        biased: bool = True,
        bsl_options: dict[str, Any] | None = None,
        encoder_activation: str = "sigmoid",
        decoder_activation: str = "identity",
        lr_all: float | Literal["auto"] = "auto",
        reg_all: float | Literal["auto"] = "auto",
        reg_bias: float | Literal["auto"] = "auto",
        dropout: float = 0.5,
        input_centering: float | Literal["auto"] = "auto",
        input_scaling: float = 0.5,
        averaging: float = 0.8,
        optimizer: str = "adam",
        batch_size: int | Literal["auto"] = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        uncertainty: bool = True,
        device: str = "auto",
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        random_state: int | np.random.RandomState | None = None,
        callbacks: Sequence[Callback] = (),
        verbose: bool = False,
    ) -> None:
        """Store the parameters; `fit` checks them.

        Parameters
        ----------
        variant : {"item", "user", "hybrid"}, default="item"
            What is autoencoded: the ratings of an item by all users (the paper's I-AutoRec), or the ratings
            of all items by a user (U-AutoRec). "hybrid" is the average of one network of each kind, in about
            twice the time, and often better on ratings that are not of films.
        n_factors : int, tuple of int or "auto", default="auto"
            Width k of the hidden layer. With a tuple, the encoder is deep, and the tuple has the widths of
            its layers, first to last. "auto" is four times the mean number of ratings of a column, or eight
            times that of a typical row if this is less, rounded up to a multiple of 32, from 32 to 256.
        n_epochs : int, default=18
            Number of passes over the training ratings; with ``early_stopping``, the maximum.
        reg_all : float or "auto", default="auto"
            The paper's lambda: the loss is the sum of squared errors plus ``reg_all / 2`` times the sum of
            squared weights (eq. 2), with ratings mapped to 1..5. "auto" is 4.5 times the variance of ratings
            about their baselines times the cube root of the number of ratings, for ratings like MovieLens's.
            It is up to 3 times as much if these differences are mostly noise, and down to 0.3 times if they
            have much structure.
        n_estimators : int, default=1
            Number of networks that are trained from different seeds and averaged. With ``variant="hybrid"``
            these encode items, and half as many, rounded up, encode users. If ``bsl_options`` is None, there
            are also half as many, rounded down, that encode items and are added to baselines without item
            biases. Their errors are different, so the average is better.
        item_weight : float in [0, 1] or "auto", default="auto"
            Weight of the item networks in the average of ``variant="hybrid"``. With "auto", the weights of
            all kinds of networks are learnt from the ratings that ``uncertainty`` or ``early_stopping`` holds
            out. Without these, it is 0.9.
        two_sided : bool, default=True
            Whether there is a second encoder. Its output for the ratings of a column (a user, if items are
            autoencoded) is added to the decoder weights of the column; see `surprise_autorec.core.columns`.
            False is the paper's model.
        biased : bool, default=True
            Whether the network predicts the difference from the baseline estimate (the mean rating, plus the
            biases of the user and the item), or, as in the paper, the rating itself.
        bsl_options : dict, optional
            How baselines are estimated, as in Surprise: ``method`` "als" (with ``n_epochs`` 10, ``reg_u`` 15,
            ``reg_i`` 10) or "sgd" (``n_epochs`` 20, ``reg`` 0.02, ``learning_rate`` 0.005). By default, "als"
            with penalties from the data; see `surprise_autorec.core.automatic.baseline_penalties`. Pass {}
            for Surprise's own defaults.
        encoder_activation : str, default="sigmoid"
            The paper's g: "identity", "sigmoid", "tanh", "relu", "elu" or "selu".
        decoder_activation : str, default="identity"
            The paper's f, with the same choices. The range of a bounded f is stretched to the rating scale
            (``biased=False``) or to the range of the differences of two ratings (``biased=True``). relu, elu
            and selu, which only have a lower bound, are shifted to the lower end of this range.
        dropout : float in [0, 1), default=0.5
            Share of the ratings of a row that a step hides from the encoder. The others are scaled up.
        input_centering : float in [0, 1] or "auto", default="auto"
            Share of the baseline estimate that is subtracted from the ratings in the input of the encoders.
            With 0, as in the paper, the input is the ratings themselves, which also show what was rated. With
            1, it is their differences from the baselines. "auto" is, for the ratings of an item, 1.5 times
            the share of all users that has rated a typical item, and at most 1. For the ratings of a user, it
            is computed in the same way, but is at least 0.8. Without effect if not ``biased``.
        input_scaling : float in [0, 10], default=0.5
            The input of each row is divided by this power of its number of ratings, relative to a typical
            row.
        reg_bias : float or "auto", default="auto"
            As ``reg_all``, for the biases of the decoder, one for each column. "auto" is 10, or 0, as in the
            paper, if not ``biased``. If the penalties of the baselines are computed from the data
            (``bsl_options=None``, and f is the identity), they also apply to the sum of the two biases of a
            column. Otherwise the decoder would undo the shrinkage of the baselines.
        lr_all : float or "auto", default="auto"
            Learning rate. "auto" is 0.003 for adam, 0.01 for sgd, 0.001 for rprop (its first step), 1 for
            lbfgs.
        optimizer : {"adam", "sgd", "rprop", "lbfgs"}, default="adam"
            One of torch's optimisers. The paper used rprop and lbfgs.
        batch_size : int or "auto", default="auto"
            Rows in a mini-batch. "auto" is all rows for rprop and lbfgs. Otherwise there are 8 steps per
            epoch, or as few as 2 if columns have so few ratings that updating the weights would take most of
            the time.
        averaging : float in [0, 1), default=0.8
            Polyak averaging: predictions use an exponential average of the weights at the end of each epoch.
            This is the weight of an epoch relative to the one after it. 0 uses the last weights only.
        early_stopping : bool, default=False
            Whether to hold out some training ratings, to stop when the error on them no longer falls, and to
            keep the weights of the best epoch. (Its RMSE is that before the decoder's last fit, see
            `surprise_autorec.core.refit`.)
        validation_fraction : float in (0, 1), default=0.1
            Share of the training ratings that early stopping holds out.
        n_iter_no_change : int, default=5
            Epochs without progress after which early stopping stops.
        tol : float, default=1e-4
            The smallest decrease of the RMSE on the held-out ratings (mapped to 1..5) that counts as
            progress.
        uncertainty : bool, default=True
            Whether to estimate standard errors, which intervals also need. For this, a sample of the ratings
            is held out in the first epochs and used for training in the others; see
            `surprise_autorec.core.uncertainty`. With ``early_stopping``, it is the part held out for that.
        random_state : int, RandomState or None, default=None
            Seed of all random choices. With None, as in Surprise, it is drawn from NumPy's global generator.
        device : str, default="auto"
            "cpu", "cuda", "cuda:1", ...; "auto" is the CPU. Fitted models are kept on the CPU.
        precision : {"auto", "float32", "bfloat16"}, default="auto"
            The type in which the sparse products of training read weights; see
            `surprise_autorec.core.sparse`. The weights themselves and all predictions are float32. "auto"
            is bfloat16, which is faster, if a weight matrix is larger than 2 MiB, the CPU has AVX2 or
            AVX-512, and the optimiser is adam or sgd. Otherwise it is float32.
        callbacks : sequence of Callback, default=()
            Objects whose ``on_epoch_end(state)`` is called after each epoch; see
            `surprise_autorec.callbacks`.
        verbose : bool, default=False
            Whether to show a progress bar while fitting.
        """
        super().__init__()  # Surprise's base class sets what its methods need, such as sim_options
        self.n_factors = n_factors
        self.n_epochs = n_epochs
        self.variant = variant
        self.item_weight = item_weight
        self.two_sided = two_sided
        self.n_estimators = n_estimators
        self.biased = biased
        self.bsl_options = bsl_options
        self.encoder_activation = encoder_activation
        self.decoder_activation = decoder_activation
        self.lr_all = lr_all
        self.reg_all = reg_all
        self.reg_bias = reg_bias
        self.dropout = dropout
        self.input_centering = input_centering
        self.input_scaling = input_scaling
        self.averaging = averaging
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.uncertainty = uncertainty
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose

    def check_parameters(self) -> CheckedParameters:
        """Check every parameter.

        Returns
        -------
        CheckedParameters

        Raises
        ------
        ValueError
            If a parameter breaks its rule; the message names the parameter, the rule and the value.
        """
        state = self.random_state
        is_source = state is None or isinstance(state, np.random.RandomState)
        is_source = is_source or (isinstance(state, Integral) and 0 <= int(state) < 2**32)
        check("random_state", state, "None, an int from 0 to 2**32 - 1 or a numpy RandomState", is_source)
        return CheckedParameters(
            options=self._training_options(),
            kinds=self._kinds(),
            estimate_baselines=self._baseline_estimator(),
            callbacks=self._callbacks(),
            n_iter_no_change=positive_integer("n_iter_no_change", self.n_iter_no_change),
            tol=number("tol", self.tol, *_NOT_NEGATIVE),
            verbose=flag("verbose", self.verbose),
        )

    def _training_options(self) -> TrainingOptions:
        optimizer = choice("optimizer", self.optimizer, OPTIMIZERS)
        biased = flag("biased", self.biased)
        batch_size = precision = None
        if not _is_auto(self.batch_size):
            batch_size = positive_integer("batch_size", self.batch_size, "'auto' or a positive integer")
        if not _is_auto(self.precision):
            precision = PRECISIONS[choice("precision", self.precision, PRECISIONS, "'auto' or one of")]
        return TrainingOptions(
            n_factors=self._widths(),
            n_epochs=positive_integer("n_epochs", self.n_epochs),
            biased=biased,
            two_sided=flag("two_sided", self.two_sided),
            encoder_activation=choice("encoder_activation", self.encoder_activation, ACTIVATIONS),
            decoder_activation=choice("decoder_activation", self.decoder_activation, ACTIVATIONS),
            learning_rate=_number_or(
                automatic.LEARNING_RATES[optimizer], "lr_all", self.lr_all, "a number > 0", lambda x: x > 0
            ),
            reg=_number_or(None, "reg_all", self.reg_all, *_NOT_NEGATIVE),
            reg_bias=_number_or(automatic.bias_penalty(biased), "reg_bias", self.reg_bias, *_NOT_NEGATIVE),
            joint_biases=biased and self.bsl_options is None and self.decoder_activation == "identity",
            dropout=number("dropout", self.dropout, *_SHARE_BELOW_1),
            input_centering=_number_or(None, "input_centering", self.input_centering, *_SHARE),
            input_scaling=number(
                "input_scaling", self.input_scaling, "a number in [0, 10]", lambda x: 0 <= x <= 10
            ),
            averaging=number("averaging", self.averaging, *_SHARE_BELOW_1),
            optimizer=optimizer,
            batch_size=batch_size,
            early_stopping=flag("early_stopping", self.early_stopping),
            validation_fraction=number(
                "validation_fraction", self.validation_fraction, "a number in (0, 1)", lambda x: 0 < x < 1
            ),
            uncertainty=flag("uncertainty", self.uncertainty),
            learn_weights=_is_auto(self.item_weight),
            device=_device(self.device),
            precision=precision,
            n_threads=joblib.cpu_count(),  # which knows of affinity masks and of containers' quotas
        )

    def _widths(self) -> tuple[int, ...] | None:
        """The widths of the hidden layers; None for "auto"."""
        if _is_auto(self.n_factors):
            return None
        widths = self.n_factors if isinstance(self.n_factors, (tuple, list)) else (self.n_factors,)
        are_counts = bool(widths) and all(map(is_positive_integer, widths))
        are_widths = are_counts and all(int(width) < 2**31 for width in widths)
        rule = "'auto', a positive integer or a tuple of them, each below 2**31"
        check("n_factors", self.n_factors, rule, are_widths)
        return tuple(int(width) for width in widths)

    def _callbacks(self) -> list[Callback]:
        """The user's, to be told of each epoch."""
        are_callbacks = isinstance(self.callbacks, (tuple, list)) and all(
            isinstance(callback, Callback) and not isinstance(callback, type) for callback in self.callbacks
        )
        check(
            "callbacks", self.callbacks, "a list of objects with a method on_epoch_end(state)", are_callbacks
        )
        return list(self.callbacks)

    def _kinds(self) -> list[Kind]:
        """The networks that ``variant``, ``n_estimators`` and ``item_weight`` ask for."""
        variant = choice("variant", self.variant, ("item", "user", "hybrid"))
        n_estimators = positive_integer("n_estimators", self.n_estimators)
        item_weight = _number_or(automatic.ITEM_WEIGHT, "item_weight", self.item_weight, *_SHARE)
        half = n_estimators // 2
        items = [Kind("item", n_estimators, 1.0, 1.0)]
        if self.biased and self.bsl_options is None:
            without = automatic.WEIGHT_WITHOUT_BIASES if half else 0.0
            items = [Kind("item", n_estimators, 1 - without, None), Kind("item", half, without, 0.0)]
        if variant == "item":
            return items
        if variant == "user":
            return [Kind("user", n_estimators, 1.0, 1.0)]
        users = Kind("user", n_estimators - half, 1 - item_weight, 1.0)
        return [*(kind._replace(weight=item_weight * kind.weight) for kind in items), users]

    def _baseline_estimator(self) -> Callable[[RatingMatrix], Baselines]:
        """What ``biased`` and ``bsl_options`` ask for."""
        given = self.bsl_options
        check("bsl_options", given, "a dict or None", isinstance(given, (dict, type(None))))
        options = dict(given or {})
        method = options.pop("method", "als")
        estimate, known = _BASELINES[choice("bsl_options['method']", method, _BASELINES)]
        for name, value in options.items():
            rule = f"made of 'method' and, for {method}, {sorted(known)}"
            check("bsl_options", given, rule, name in known)
            if name == "n_epochs":
                options[name] = positive_integer("bsl_options['n_epochs']", value)
            else:
                options[name] = number(f"bsl_options[{name!r}]", value, *_NOT_NEGATIVE)
        if not self.biased:
            return zero_baselines
        if given is None:
            return automatic.baselines
        return partial(estimate, **options)

    def draw_seed(self) -> int:
        """Draw the seed of a fit from ``random_state``, after a check. This advances a RandomState."""
        state = self.random_state
        if state is None:
            return int(np.random.randint(2**31 - 1))  # noqa: NPY002 (the convention of Surprise and scikit-learn)
        generator = state if isinstance(state, np.random.RandomState) else np.random.RandomState(state)
        return int(generator.randint(2**31 - 1))


def _is_auto(value: object) -> bool:
    return isinstance(value, str) and value == "auto"


def _number_or(
    auto: Default, name: str, value: Any, rule: str, holds: Callable[[float], bool]
) -> float | Default:
    """A number, checked, or what "auto" stands for."""
    return auto if _is_auto(value) else number(name, value, f"'auto' or {rule}", holds)


def _device(value: Any) -> torch.device:
    if _is_auto(value):
        return torch.device("cpu")
    rule = "'auto', 'cpu' or a CUDA device that is there (torch's other devices lack sparse products)"
    try:
        device = torch.device(value)
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be {rule}, got {value!r}") from None
    is_there = device.type == "cuda" and (device.index or 0) < torch.cuda.device_count()
    check("device", value, rule, device.type == "cpu" or is_there)
    return device
