"""How the scripts beside this one publish what they measured: printed, and as Markdown in a file of their name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate


def publish(path: Path, text: str) -> None:
    """Print the text and write it to the path."""
    path.write_text(f"{text}\n", encoding="utf-8")
    print(f"\n{text}")


def publish_table(script: str, title: str, rows: Sequence[Any], headers: Sequence[str], formats: Sequence[str]) -> None:
    """Publish a table, with a line of title above it, beside the script."""
    table = tabulate(rows, headers, tablefmt="github", floatfmt=formats)
    publish(Path(script).with_suffix(".md"), f"{title}\n\n{table}")


def publish_lines(script: str, lines: Sequence[str]) -> None:
    """Publish lines as they are beside the script."""
    publish(Path(script).with_suffix(".md"), "\n".join(["```text", *lines, "```"]))
