"""The command line. The module of a command, and with it torch, is imported when the command is called."""

from __future__ import annotations

import io
import signal
import sys
from contextlib import redirect_stderr
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from surprise_autorec import __version__

__all__ = ["app", "main"]

#: Each command: its module here, its function there, and what the list of commands says of it.
COMMANDS = {
    "fit": ("models", "fit", "Train AutoRec on ratings and save it."),
    "predict": ("models", "predict", "Predict ratings for pairs of a user and an item."),
    "recommend": ("models", "recommend", "List the items with the highest predicted ratings for each user."),
    "similar": ("models", "similar", "List the items, or users, that are most similar to one."),
    "explain": ("models", "explain", "List what each rating of a user contributes to an estimate."),
    "evaluate": ("models", "evaluate", "Measure the error of AutoRec, or of a saved model."),
    "tune": ("studies", "tune", "Cross-validate combinations of AutoRec's keywords, and name the best."),
    "compare": ("studies", "compare", "Cross-validate AutoRec and other algorithms, and print a table."),
}

_SETTINGS: dict[str, Any] = {
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,  # so that an error is one line, not a box that breaks it into several
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class _Commands(TyperGroup):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (typer's signature)
        """Name all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[cmd_name]
        single = typer.Typer(add_completion=False, **_SETTINGS)
        single.command(name=cmd_name)(getattr(import_module(f"{__name__}.{module}"), function))
        return get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let ``-q`` also stand after the command."""
        quiet = [arg for arg in args if arg in ("-q", "--quiet")]
        return super().parse_args(ctx, quiet[:1] + [arg for arg in args if arg not in quiet])


class _ErrorsOnly(io.StringIO):
    """A stream that passes on error messages to another one, and nothing else."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self.stream = stream

    def write(self, text: str) -> int:
        """Pass on an error message."""
        if text.startswith("error: "):
            self.stream.write(text)
        return len(text)


app = typer.Typer(
    help="Predict ratings with AutoRec, an autoencoder, and compare it with the algorithms of Surprise.",
    no_args_is_help=True,
    cls=_Commands,
    **_SETTINGS,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _be_quiet(context: typer.Context, wanted: bool) -> None:
    if wanted:
        context.with_resource(redirect_stderr(_ErrorsOnly(sys.stderr)))


@app.callback()
def _main(
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=_be_quiet,
            help="Show results and errors only. May also stand after the command.",
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and stop."),
    ] = False,
) -> None:
    """Take the options that come before a command."""


def main(program: str = "surprise-autorec") -> None:
    """Run the program. It ends silently, as others do, when the reader of its output closes the pipe."""
    if sys.platform != "win32":
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    app(prog_name=program)
