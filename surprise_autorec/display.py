"""How an AutoRec is shown: its signature and docstring, and it itself as a line of text and as a card."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from html import escape
from inspect import Parameter, Signature, signature
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Class = TypeVar("Class", bound=type)


_WIDTH, _HEIGHT = 240, 48
_STYLE = (
    "border: 1px solid #8888; border-radius: 6px; display: inline-block; padding: 0.5em 1em; "
    "font-family: sans-serif; font-size: 0.9em; max-width: 40em"
)


class BriefSignature(Signature):
    """A signature that is printed short, so that ``help`` begins with the description of the class.

    All parameters are in the docstring, and in ``parameters``, where editors and scikit-learn read them.
    """

    __slots__ = ()

    def __str__(self) -> str:
        first = Signature(list(self.parameters.values())[:6])
        return f"{str(first).removesuffix(')')}, ...)"


def naming_unknown_keywords(init: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Make a constructor name the class and the nearest keyword if it gets one that it does not know.

    Its signature is brief and without types, so that ``help`` can be read. (Type checkers see all of it.)
    """
    parameters = signature(init).parameters

    @wraps(init)
    def checked(*args: Arguments.args, **keywords: Arguments.kwargs) -> None:
        unknown = [keyword for keyword in keywords if keyword not in parameters]
        if unknown:
            constructor = type(args[0])
            known = list(signature(constructor).parameters)
            beginning = [keyword for keyword in known if keyword.startswith(f"{unknown[0]}_")]
            nearest = [*beginning, *get_close_matches(unknown[0], known, n=1)]
            hint = f": did you mean {nearest[0]!r}?" if nearest else ""
            raise TypeError(f"{constructor.__name__} has no parameter {unknown[0]!r}{hint}")
        init(*args, **keywords)

    checked.__signature__ = _without_types(parameters.values())  # type: ignore[attr-defined]
    return checked


def with_parameters_of(base: type) -> Callable[[Callable[Arguments, None]], Callable[Arguments, None]]:
    """Show the parameters of a base class in a constructor's signature, where scikit-learn finds them."""

    def shown(init: Callable[Arguments, None]) -> Callable[Arguments, None]:
        own = [one for one in signature(init).parameters.values() if one.kind != Parameter.VAR_KEYWORD]
        _, *shared = signature(base.__init__).parameters.values()  # type: ignore[misc]
        shared = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in shared]
        init.__signature__ = _without_types([*own, *shared])  # type: ignore[attr-defined]
        return init

    return shown


def _without_types(parameters: Iterable[Parameter]) -> Signature:
    return BriefSignature([one.replace(annotation=Parameter.empty) for one in parameters])


def documented(constructor: Class) -> Class:
    """Put all parameters and attributes into the docstring of a class, where people look.

    Parameters are documented in ``__init__``, its own and that of its bases in this package; what its bases
    document as attributes comes before its own.
    """
    bases = [base for base in constructor.__bases__ if base.__module__.partition(".")[0] == __package__]
    inits = [vars(one).get("__init__") for one in (constructor, *bases)]
    # The last parameter of its own, ``**parameters``, stands for those of the bases.
    parameters = [_section(init, "Parameters").partition("**")[0].strip() for init in inits if init]
    attributes = [_section(one, "Attributes") for one in (*bases, constructor)]
    text = inspect.cleandoc(constructor.__doc__ or "")
    summary, _, examples = text.partition("Attributes\n----------\n" + attributes[-1])
    constructor.__doc__ = "\n\n".join(
        [
            summary.strip(),
            "Parameters\n----------\n" + "\n".join(parameters),
            "Attributes\n----------\n" + "\n".join(filter(None, attributes)),
            examples.strip(),
        ]
    )
    return constructor


def _section(documented: object, heading: str) -> str:
    """A section of a docstring, without its heading; empty if there is none."""
    text = inspect.cleandoc(documented.__doc__ or "")
    found = re.search(rf"^{heading}\n-+\n(.*?)(?=\n\n\w+\n---|\Z)", text, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def parameters_of(algorithm: object) -> dict[str, Any]:
    """All parameters of an algorithm, in the order of its signature."""
    return {name: getattr(algorithm, name) for name in inspect.signature(type(algorithm)).parameters}


def changed_parameters(algorithm: object) -> dict[str, Any]:
    """The parameters of an algorithm that differ from their defaults."""
    signature = inspect.signature(type(algorithm)).parameters
    return {
        name: value
        for name, value in parameters_of(algorithm).items()
        if not _is_same(value, signature[name].default)
    }


def _is_same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))


def as_text(name: str, parameters: Mapping[str, Any]) -> str:
    """A call that makes the object again."""
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in parameters.items())})"


def as_card(
    name: str,
    changed: Mapping[str, Any],
    parameters: Mapping[str, Any],
    facts: Sequence[str],
    losses: Sequence[float],
) -> str:
    """A card of HTML, with the name of the class.

    ``changed`` are the parameters that differ from their defaults, ``parameters`` all of them. ``facts`` is
    what there is to say of the fitted model (nothing if it is not fitted), ``losses`` are those of each
    epoch.
    """
    rows = "".join(
        f"<tr><td><code>{escape(key)}</code></td><td><code>{escape(repr(value))}</code></td></tr>"
        for key, value in parameters.items()
    )
    state = "".join(f"<div>{escape(fact)}</div>" for fact in facts) or "<div>not fitted</div>"
    return (
        f'<div style="{_STYLE}"><strong><code>{escape(as_text(name, changed))}</code></strong>'
        f"{state}{_curve(losses)}"
        f"<details><summary>all parameters</summary><table>{rows}</table></details></div>"
    )


def _curve(losses: Sequence[float]) -> str:
    """The loss of each epoch as a small picture; nothing for fewer than two epochs."""
    if len(losses) < 2:
        return ""
    low, high = min(losses), max(losses)
    points = " ".join(
        f"{_WIDTH * epoch / (len(losses) - 1):.1f},{_HEIGHT * (high - loss) / ((high - low) or 1.0):.1f}"
        for epoch, loss in enumerate(losses)
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT + 8}" viewBox="-4 -4 {_WIDTH + 8} {_HEIGHT + 8}" role="img" '
        f'aria-label="loss of each epoch"><polyline points="{points}" fill="none" stroke="#2a7de1" '
        'stroke-width="2"/></svg>'
        f"<div>loss: {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the last</div>"
    )
