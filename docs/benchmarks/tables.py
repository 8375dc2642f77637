"""How the scripts beside this one publish what they measured: printed, and as Markdown in a file of their name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate


def publish(script: str, text: str, part: str = "") -> None:
    """Print a text, and write it beside the script: to a file of its name, or of its name and the part's."""
    path = Path(script)
    path.with_name(f"{path.stem}-{part}.md" if part else f"{path.stem}.md").write_text(f"{text}\n", encoding="utf-8")
    print(f"\n{text}")


def publish_table(script: str, title: str, rows: Sequence[Any], headers: Sequence[str], formats: Sequence[str]) -> None:
    """Publish a table, with a line of title above it unless that is empty."""
    table = tabulate(rows, headers, tablefmt="github", floatfmt=formats)
    publish(script, f"{title}\n\n{table}" if title else table)


def publish_lines(script: str, lines: Sequence[str]) -> None:
    """Publish lines as they are."""
    publish(script, "\n".join(["```text", *lines, "```"]))
