"""Writes the figures of peers.md into the README's table, below its header.

Usage: python docs/benchmarks/readme.py (peers.py does this too)
"""

from pathlib import Path

from tables import cells_of

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"
#: The columns of the README's table, by their names in peers.md.
ALGORITHMS = ["AutoRec", "Surprise SVD++", "LensKit BiasedMF (ALS)", "Cornac MF", "myFM, rank 10"]
DATA = {"ml-100k": "MovieLens-100K", "ml-1m": "MovieLens-1M"}
FIGURES = ("| RMSE, ", "| seconds, ")


def figures(table: str) -> list[str]:
    """The rows of the README's table that have figures: error, and time to fit and predict."""
    cells = cells_of(table)
    rows = []
    for data, title in DATA.items():
        if f"{data}: RMSE" in cells.columns:
            chosen = cells.loc[ALGORITHMS]
            rows.append([f"RMSE, {title}", *chosen[f"{data}: RMSE"]])
            seconds = chosen[[f"{data}: fit [s]", f"{data}: test [s]"]].astype(float).sum(axis=1)
            rows.append([f"seconds, {title}", *seconds.map("{:.1f}".format)])
    return [f"| {' | '.join(row)} |" for row in rows]


def with_figures(readme: str, table: str) -> str:
    """The README with the figures of a table."""
    lines = [line for line in readme.splitlines() if not line.startswith(FIGURES)]
    (header,) = [place for place, line in enumerate(lines) if line.startswith("|---|:-")]
    return "\n".join([*lines[: header + 1], *figures(table), *lines[header + 1 :], ""])


def main() -> None:
    table = (HERE / "peers.md").read_text(encoding="utf-8")
    README.write_text(with_figures(README.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
