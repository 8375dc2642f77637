"""``surprise-autorec similar``."""

from __future__ import annotations

from typing import Annotated

import typer

from surprise_autorec.cli.models import ModelArgument
from surprise_autorec.cli.shared import (
    TableOption,
    as_ids,
    check_output,
    load_model,
    one_line_errors,
    write_table,
)


def command(
    model: ModelArgument,
    item: Annotated[str | None, typer.Option("--item", "-i", help="An item, to list similar items.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="A user, to list similar users.")] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many to list.")] = 10,
    output: TableOption = "-",
) -> None:
    """List the items, or users, that are most similar to one, by the model's factors.

    Example: surprise-autorec similar model.safetensors --item heat -n 5
    """
    if (item is None) == (user is None):
        raise typer.BadParameter("give one of the two", param_hint="--item or --user")
    check_output(output)
    with one_line_errors():
        algorithm = load_model(model)
        if item is not None:
            (one,) = as_ids([item], algorithm.model_.item_ids)
            frame = algorithm.similar_items(one, n)
        else:
            (one,) = as_ids([user], algorithm.model_.user_ids)
            frame = algorithm.similar_users(one, n)
        write_table(frame, output)
