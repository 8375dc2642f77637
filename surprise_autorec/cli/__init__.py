"""The command line."""

from __future__ import annotations

from typing import Annotated

import typer

from surprise_autorec import __version__
from surprise_autorec.cli import compare, models, tune

__all__ = ["app"]

app = typer.Typer(
    help="Predict ratings with AutoRec, an autoencoder, and compare it with the algorithms of Surprise.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # so that an error is one line, not a box that breaks it into several
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and stop."),
    ] = False,
) -> None:
    """Take the options that come before a command."""


app.command(name="fit")(models.fit)
app.command(name="predict")(models.predict)
app.command(name="recommend")(models.recommend)
app.command(name="explain")(models.explain)
app.command(name="evaluate")(models.evaluate)
app.command(name="tune")(tune.command)
app.command(name="compare")(compare.command)
