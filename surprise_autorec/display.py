"""How a fitted or unfitted AutoRec is shown: as a line of text, and as a card in a notebook."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 240, 48

_STYLE = (
    "border: 1px solid #8888; border-radius: 6px; display: inline-block; padding: 0.5em 1em; "
    "font-family: sans-serif; font-size: 0.9em; max-width: 40em"
)


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
    """A card of HTML.

    Parameters
    ----------
    name : str
        Of the class.
    changed, parameters : mapping
        The parameters that differ from their defaults, and all of them.
    facts : sequence of str
        What there is to say of the fitted model; none if it is not fitted.
    losses : sequence of float
        Of each epoch.
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
