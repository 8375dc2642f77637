"""What the commands share: settings, input and output, errors."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

import numpy as np
import pandas as pd
import typer
from surprise import Dataset
from tabulate import tabulate
from tqdm.auto import tqdm

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.data.readers import read, tables_of
from surprise_autorec.data.tables import ROLES, encode, role_batches
from surprise_autorec.datasets import Opened, load, open_ratings, to_dataset
from surprise_autorec.fitting import Ratings
from surprise_autorec.model import RatingScale
from surprise_autorec.persistence import load as load_saved
from surprise_autorec.regressor import AutoRecRegressor

#: How a table is written, by suffix.
_WRITERS: dict[str, Callable[[pd.DataFrame, Any], object]] = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".parquet": lambda frame, path: _one_type_a_column(frame).to_parquet(path, index=False),
    ".jsonl": lambda frame, path: frame.to_json(
        path, orient="records", lines=True, force_ascii=False, double_precision=15
    ),
}

RatingsArgument = Annotated[
    str,
    typer.Argument(
        help="ml-100k, ml-1m, ml-latest-small, a file (csv, parquet, ...), a folder of files, or - for csv "
        "on stdin."
    ),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", help="Set a keyword of AutoRec, as in n_factors=50; repeat for more."),
]
ScaleOption = Annotated[
    str | None,
    typer.Option(
        help="Lowest and highest rating, as in 1,5. Default: that of the data set, or the range in the file."
    ),
]
UserColumnOption = Annotated[
    str | None, typer.Option(help="Name of the column with the users' ids. Default: a usual name.")
]
ItemColumnOption = Annotated[str | None, typer.Option(help="The same for the items.")]
RatingColumnOption = Annotated[str | None, typer.Option(help="The same for the ratings.")]
NamesOption = Annotated[
    str | None,
    typer.Option(help="Names of all columns, as in user,item,rating, of a text file without a header."),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of all random choices.")]
JobsOption = Annotated[
    int,
    typer.Option(
        help="How many fits to run at a time, with one thread each; -1 for all cores. Times can only be "
        "compared with 1."
    ),
]
TableOption = Annotated[
    str, typer.Option("--output", "-o", help="A .csv, .parquet or .jsonl file, or - for csv on stdout.")
]


def fail(message: str) -> NoReturn:
    """Print an error message and exit with code 1."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)


def matched(name: str, known: Iterable[str]) -> str:
    """The known name that is the same but for its case, or else the name as it is."""
    return next((one for one in known if one.lower() == name.lower()), name)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """What to add to a message about an unknown name."""
    nearest = get_close_matches(name.lower(), [one.lower() for one in known], n=1)
    return f"; did you mean {matched(nearest[0], known)}?" if nearest else ""


def load_model(path: Path) -> AutoRec | AutoRecRegressor:
    """Read a saved model. Raises FileNotFoundError that says so if there is none."""
    if not path.exists():
        raise FileNotFoundError(f"no such model file: {path}")
    return load_saved(path)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn any exception inside into a message and exit code 1, and warnings into lines on stderr."""

    def show(message: Warning | str, *_: object) -> None:
        warn(str(message))

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = show  # type: ignore[assignment]
            yield
    except (typer.Exit, typer.BadParameter, BrokenPipeError):
        raise
    except Exception as error:  # Surprise's algorithms and pandas may raise anything
        is_plain = isinstance(error, (ValueError, OSError, ArithmeticError, ImportError)) and str(error)
        fail(str(error).strip() if is_plain else f"{type(error).__name__}: {error}".strip(": \n"))


def warn(message: str) -> None:
    """Print a warning on stderr, above the progress bar if there is one."""
    tqdm.write(f"warning: {message}", file=sys.stderr)


def known_keywords(constructor: type) -> list[str]:
    """The keywords of an algorithm, with the two that Surprise's algorithms take through ``**kwargs``."""
    parameters = inspect.signature(constructor).parameters
    named = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    unnamed = ["bsl_options", "sim_options"] if len(named) < len(parameters) else []
    return list(dict.fromkeys([*named, *unnamed]))


def parse_setting(name: str, known: Sequence[str], assignment: str, hint: str = "--param") -> tuple[str, Any]:
    """A keyword and its value from KEYWORD=VALUE. Anything else is a usage error."""
    key, equals, text = assignment.partition("=")
    if not equals:
        raise typer.BadParameter(f"must be KEYWORD=VALUE, got {assignment!r}", param_hint=hint)
    key = matched(key, known)
    if key not in known:
        raise typer.BadParameter(
            f"a keyword of {name} must be one of {', '.join(known)}, got {key!r}{did_you_mean(key, known)}",
            param_hint=hint,
        )
    return key, value_of(text)


def autorec_keywords(settings: list[str] | None, seed: int) -> dict[str, Any]:
    """The keywords of AutoRec given by -p settings and a seed."""
    known = known_keywords(AutoRec)
    return {"random_state": seed} | dict(
        parse_setting("AutoRec", known, setting) for setting in settings or []
    )


def value_of(text: str) -> Any:
    """The value of a Python literal, or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # (of brackets in brackets)
        return text


class Layout(NamedTuple):
    """What was said of a file's columns: some of their names by role, and all names if it has no header."""

    columns: dict[str, str]
    names: list[str] | None

    @classmethod
    def of(cls, names: str | None, user: str | None, item: str | None, rating: str | None = None) -> Layout:
        """What the options said."""
        given = {"user": user, "item": item, "rating": rating}
        columns = {role: name for role, name in given.items() if name is not None}
        return cls(columns, None if names is None else names.split(","))


def load_ratings(source: str, rating_scale: str | None, layout: Layout) -> Ratings:
    """The ratings of a known data set, a file, a folder or stdin."""
    scale = _scale_of(rating_scale)
    if source == "-":
        opened = Opened(role_batches(tables_of(sys.stdin, layout.names), columns=layout.columns), None)
    else:
        opened = open_ratings(source, columns=layout.columns, names=layout.names)
    users, items, values, user_ids, item_ids = encode(opened.batches)
    found = float(values.min()), float(values.max())
    known_scale = RatingScale(*(scale or opened.scale or found))
    return Ratings(users, items, values, user_ids, item_ids, known_scale)


def load_dataset(source: str, rating_scale: str | None, layout: Layout, path: Path | None = None) -> Dataset:
    """The same as a Surprise dataset, for algorithms of Surprise."""
    scale = _scale_of(rating_scale)
    if source == "-":
        return to_dataset(read(sys.stdin, ROLES, *layout), scale)
    return load(source, path, scale, *layout)


def _scale_of(rating_scale: str | None) -> tuple[float, float] | None:
    """The rating scale that --rating-scale gives. Anything else than two numbers is a usage error."""
    if rating_scale is None:
        return None
    ends = value_of(rating_scale)
    is_scale = isinstance(ends, tuple) and len(ends) == 2 and all(isinstance(end, Real) for end in ends)
    if not is_scale or not ends[0] < ends[1]:
        raise typer.BadParameter(
            f"must be the lowest and the highest rating, as in 1,5, got {rating_scale!r}",
            param_hint="--rating-scale",
        )
    return float(ends[0]), float(ends[1])


def read_table(source: str, roles: Sequence[str], layout: Layout | None = None) -> pd.DataFrame:
    """Columns of a file, or of stdin."""
    return read(sys.stdin if source == "-" else source, roles, *(layout or ()))


def check_output(output: str) -> None:
    """Raise a usage error, before any work is done, if a table cannot be written there."""
    path = Path(output)
    if output == "-":
        return
    if path.suffix.lower() not in _WRITERS:
        raise typer.BadParameter(
            f"must be - or end in one of {', '.join(_WRITERS)}, got {output!r}", param_hint="--output"
        )
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        fail("a .parquet file needs pyarrow: pip install 'surprise-autorec[parquet]'")
    check_file(path)


def check_file(path: Path, option: str = "--output") -> None:
    """Raise a usage error, before any work is done, if the file cannot be written."""
    is_writable = os.access(path if path.exists() else path.parent, os.W_OK)
    if path.is_dir() or not path.parent.is_dir() or not is_writable:
        raise typer.BadParameter(
            f"must be a writable file in an existing folder, got {str(path)!r}", param_hint=option
        )


def write_table(frame: pd.DataFrame, output: str) -> None:
    """Write a table to a file or to stdout."""
    if output == "-":
        frame.to_csv(sys.stdout, index=False, lineterminator="\n")
        sys.stdout.flush()  # here, where a broken pipe is recognised
    else:
        _WRITERS[Path(output).suffix.lower()](frame, output)


def show_table(columns: Mapping[Hashable, Sequence[Any]]) -> None:
    """Print a table of columns."""
    typer.echo(tabulate(columns, headers="keys", tablefmt="rounded_outline", floatfmt=".4f"))


def _one_type_a_column(frame: pd.DataFrame) -> pd.DataFrame:
    """Make strings of columns that mix numbers and strings (known and unknown ids), as parquet requires."""
    mixed = [name for name in frame if pd.api.types.infer_dtype(frame[name]).startswith("mixed")]
    return frame.astype(dict.fromkeys(mixed, "str"))


def as_ids(values: Iterable[Hashable], known: Iterable[Hashable]) -> list[Hashable]:
    """Match ids from a file with a model's: an id that the model lacks becomes the one with the same text.

    So "7" becomes the model's 7, and 7 the model's "7". "007" is not the text of 7 and stays as it is.
    """
    ids = set(known)
    by_text = {_text(one): one for one in ids}
    return [one if one in ids else by_text.get(_text(one), one) for one in values]


def _text(one: Hashable) -> str:
    is_whole = isinstance(one, (float, np.floating)) and float(one).is_integer()
    return str(int(one)) if is_whole else str(one)  # type: ignore[call-overload]
