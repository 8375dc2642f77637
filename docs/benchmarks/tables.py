"""How the scripts in this folder publish what they measure, printed and as Markdown, and how that is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate


def publish(script: str, text: str, part: str = "") -> None:
    """Print a text and write it to a Markdown file beside the script, named after the script and the part."""
    path = Path(script)
    file = path.with_name(f"{path.stem}-{part}.md" if part else f"{path.stem}.md")
    file.write_text(f"{text}\n", encoding="utf-8")
    print(f"\n{text}")


def publish_table(
    script: str,
    title: str,
    rows: Sequence[Any],
    headers: Sequence[str],
    formats: Sequence[str],
    part: str = "",
) -> None:
    """Publish a table, below its title if there is one."""
    table = tabulate(rows, headers, tablefmt="github", floatfmt=formats)
    publish(script, f"{title}\n\n{table}" if title else table, part)


def cells_of(markdown: str) -> pd.DataFrame:
    """The cells of the table in a Markdown text, as they are written; the first column is the index."""
    rows = [line.strip()[1:-1].split("|") for line in markdown.splitlines() if line.startswith("|")]
    header, _, *cells = [[cell.strip() for cell in row] for row in rows]
    return pd.DataFrame(cells, columns=header).set_index(header[0])


def publish_lines(script: str, lines: Sequence[str]) -> None:
    """Publish lines as they are."""
    publish(script, "\n".join(["```text", *lines, "```"]))
