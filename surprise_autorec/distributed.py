"""One fit on many processes or machines, through torch.distributed.

torchrun starts the processes::

    torchrun --nproc-per-node 2 -m surprise_autorec.distributed fit ratings/ -o model.safetensors

and `fit` does the same inside a program that starts them itself.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import typer
from torch import distributed
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from surprise_autorec.checks import choice
from surprise_autorec.cli.shared import (
    ParamOption,
    ScaleOption,
    SeedOption,
    autorec_keywords,
    check_file,
    one_line_errors,
    value_of,
)
from surprise_autorec.core.arrays import Int32Array
from surprise_autorec.core.collective import Collective, ProcessGroup
from surprise_autorec.core.sparse import PRECISIONS
from surprise_autorec.data.readers import tables_of
from surprise_autorec.data.tables import Encoded, encode, role_batches
from surprise_autorec.fitting import Ratings, fit_model
from surprise_autorec.model import RatingScale
from surprise_autorec.regressor import AutoRecRegressor

__all__ = ["app", "fit"]

#: When one process has failed, torchrun ends the others at once. So the first, which says why, has this many
#: seconds before the others exit.
_EXIT_DELAY = 2.0


def fit(
    regressor: AutoRecRegressor,
    X: npt.ArrayLike | pd.DataFrame,
    y: npt.ArrayLike,
    *,
    checkpoints: str | os.PathLike[str] | None = None,
    gradient_dtype: str = "float32",
) -> AutoRecRegressor:
    """Fit a regressor on the ratings of all processes.

    Every process of the default group of torch.distributed calls this with its own ratings, and a regressor
    with the same parameters. The model is the same as that of one process with all ratings, in the order of
    the processes, except for rounding and for other dropout masks.

    Parameters
    ----------
    regressor : AutoRecRegressor
        Its ``random_state`` is that of the first process.
    X : DataFrame or array-like, shape (n_ratings, n_columns)
        Ids of users and items, as in `AutoRecRegressor.fit`, with at least one rating in each process. The
        ratings may be divided in any way. Each is sent to the process that needs it.
    y : array-like of float, shape (n_ratings,)
        The ratings.
    checkpoints : path-like, optional
        A folder where each process writes a file after each epoch. A fit that was stopped continues from
        there, to the same result, bit for bit. Machines may share the folder, or have one each.
    gradient_dtype : {"float32", "bfloat16"}, default="float32"
        The type in which gradients are sent. "bfloat16" halves their bytes. ("rprop" and "lbfgs" always send
        float32.)

    Returns
    -------
    AutoRecRegressor
        The regressor, with the same model in every process. It does not have the ratings, so `partial_fit`
        does not work, and `explain` needs the ratings of the user.

    Raises
    ------
    ValueError
        In all processes, if one of them has no ratings, or wrong ratings, parameters or checkpoints.
    DivergenceError
        In all processes, if training diverges.
    """
    collective = ProcessGroup(PRECISIONS[choice("gradient_dtype", gradient_dtype, PRECISIONS)])
    return _fit(collective, regressor, partial(_encoded, regressor, X, y), checkpoints)


def _encoded(regressor: AutoRecRegressor, X: npt.ArrayLike | pd.DataFrame, y: npt.ArrayLike) -> Encoded:
    """Ratings as the regressor takes them."""
    if not np.size(y):
        raise ValueError("every process must have at least one rating, got none")
    return regressor._encoded(X, y)


def _fit(
    collective: Collective,
    regressor: AutoRecRegressor,
    get_own: Callable[[], Encoded],
    checkpoints: str | os.PathLike[str] | None,
) -> AutoRecRegressor:
    """Fit on the ratings that each process gets. What goes wrong in one is raised in all."""
    with collective.errors_shared():
        users, items, values, own_user_ids, own_item_ids = get_own()
        scale = regressor._scale_of(values)
    lows, highs = (np.concatenate(collective.gather(np.array([end]))) for end in scale)
    user_ids, user_places = _joined("user", own_user_ids, collective)
    item_ids, item_places = _joined("item", own_item_ids, collective)
    receivers = (user_places[users] % collective.size).astype(np.int64)
    ratings = Ratings(
        collective.exchange(user_places[users], receivers),
        collective.exchange(item_places[items], receivers),
        collective.exchange(values, receivers),
        user_ids,
        item_ids,
        RatingScale(float(lows.min()), float(highs.max())),
    )
    regressor._keep(fit_model(ratings, regressor, collective=collective, checkpoints=checkpoints))
    return regressor


def _joined(side: str, own: Sequence[Hashable], collective: Collective) -> tuple[list[Hashable], Int32Array]:
    """The ids of all processes, in the order they appear from the first on, and the place of each own one."""
    with collective.errors_shared():
        kinds = {type(one).__name__ for one in own}
        if not kinds <= {"int", "float", "str", "bool"}:
            raise ValueError(f"{side} ids must be strings or numbers, got {sorted(kinds)}")
        text = json.dumps([sorted(kinds), list(own)])
    sent = [json.loads(part.tobytes()) for part in collective.gather(np.frombuffer(text.encode(), np.uint8))]
    if len({tuple(kinds) for kinds, _ in sent}) > 1:
        kinds_of_each = ", ".join(" and ".join(kinds) for kinds, _ in sent)
        raise ValueError(f"{side} ids must be of the same types in all parts, got {kinds_of_each}")
    places: dict[Hashable, int] = {}
    for _, ids in sent:
        for one in ids:
            places.setdefault(one, len(places))
    return list(places), np.array([places[one] for one in own], np.int32)


app = typer.Typer(
    help="Train AutoRec on many processes or machines, started by torchrun.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _main() -> None:
    """Take the name of the command, though there is but one."""


@app.command(name="fit")
def _fit_files(
    ratings: Annotated[
        Path,
        typer.Argument(
            help="A folder of files of ratings (csv, parquet, ...), at least one for each process."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to save the model to.")],
    param: ParamOption = None,
    rating_scale: ScaleOption = None,
    seed: SeedOption = 0,
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="A folder to save each epoch in, and to go on from when training was ended."),
    ] = None,
    gradient_dtype: Annotated[
        str, typer.Option(help="float32, or bfloat16, which sends gradients in half the bytes.")
    ] = "float32",
    timeout: Annotated[
        float, typer.Option(min=1, help="How many seconds to wait for a process that does not answer.")
    ] = 1800,
) -> None:
    """Train AutoRec on ratings and save it, as `surprise-autorec fit` does.

    Example: torchrun --nproc-per-node 2 -m surprise_autorec.distributed fit ratings/ -o model.safetensors
    """
    with _errors_of_one(), _joined_processes(timeout):
        collective = ProcessGroup(PRECISIONS[choice("--gradient-dtype", gradient_dtype, PRECISIONS)])
        keywords = {"verbose": True, **autorec_keywords(param, seed)}
        scale = None if rating_scale is None else value_of(rating_scale)
        regressor = AutoRecRegressor(rating_scale=scale, **keywords)
        with collective.errors_shared():
            if collective.rank == 0:
                _check_output(output)
        _fit(collective, regressor, lambda: _part(ratings, regressor, collective), checkpoints)
        with collective.errors_shared():
            if collective.rank == 0:
                regressor.save(output)
        if collective.rank == 0:
            typer.echo(f"Trained by {collective.size} processes; saved to {output}")


def _check_output(output: Path) -> None:
    try:
        check_file(output)
    except typer.BadParameter as error:
        raise ValueError(f"--output {error.message}") from error


def _part(path: Path, regressor: AutoRecRegressor, collective: Collective) -> Encoded:
    """The ratings that this process reads: files that follow one another."""
    tables = list(tables_of(path))
    if len(tables) < collective.size:
        raise ValueError(
            f"{path} must be a folder with a file for each of {collective.size} processes at least, got "
            f"{len(tables)}"
        )
    first, last = (len(tables) * rank // collective.size for rank in (collective.rank, collective.rank + 1))
    encoded = encode(role_batches(iter(tables[first:last])))
    regressor._expect_two_columns()
    return encoded


@contextmanager
def _errors_of_one() -> Iterator[None]:
    """One line for an error that all processes raise, from the first of them; and an exit code for all."""
    with one_line_errors():
        try:
            yield
        except (typer.BadParameter, ValueError, ArithmeticError, OSError) as error:
            if os.environ.get("RANK", "0") == "0":
                raise
            time.sleep(_EXIT_DELAY)
            raise typer.Exit(1) from error


@contextmanager
def _joined_processes(timeout: float) -> Iterator[None]:
    """Inside this, the processes that torchrun has started are torch.distributed's default group."""
    if "RANK" not in os.environ:
        raise ValueError(
            "the processes must be started by torchrun, as in "
            "torchrun --nproc-per-node 2 -m surprise_autorec.distributed fit ratings/ -o model.safetensors"
        )
    limit, backend = timedelta(seconds=timeout), "gloo"
    if torch.cuda.is_available():  # each process of a machine has a GPU of its own
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        if distributed.is_nccl_available():  # (torch may be built with it where there is no GPU)
            backend = "cpu:gloo,cuda:nccl"
    try:
        store, rank, size = next(rendezvous("env://", timeout=limit))
        # torchrun's store outlives processes that it starts again: they must not find the addresses of the
        # old ones.
        store = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"all {os.environ.get('WORLD_SIZE')} processes (WORLD_SIZE) must be started and reach one "
            f"another within {timeout:g} s (--timeout): {str(error).splitlines()[0]}"
        ) from error
    yield
    distributed.destroy_process_group()


if __name__ == "__main__":
    app(prog_name="python -m surprise_autorec.distributed")
