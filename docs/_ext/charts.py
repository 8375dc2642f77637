"""Draws charts of the tables in benchmarks/, so that a chart never shows other figures than its table."""

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sphinx.application import Sphinx

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))


def numbers(name: str, *columns: str):
    """Columns of a table, as numbers."""
    from tables import cells_of

    table = cells_of((BENCHMARKS / f"{name}.md").read_text(encoding="utf-8"))
    return table[list(columns)].replace(",", "", regex=True).replace("", "nan").astype(float)


def peers(ax: Axes) -> None:
    table = numbers("peers", "ml-100k: RMSE", "ml-100k: fit [s]", "ml-100k: test [s]")
    for place, (name, (rmse, fit, test)) in enumerate(table.sort_values("ml-100k: RMSE").iterrows()):
        color = "C0" if name.startswith("AutoRec") else "0.5"
        ax.plot(fit + test, rmse, "o", color=color)
        ax.annotate(name, (fit + test, rmse), xytext=(6, (-11, 4)[place % 2]), textcoords="offset points")
    ax.margins(y=0.15)
    ax.set(xscale="log", xlabel="fit and test time per fold [s]", ylabel="RMSE", title="MovieLens-100K")
    ax.set_xlim(right=3 * ax.get_xlim()[1])
    ax.xaxis.set_major_formatter("{x:g}")


def load(ax: Axes) -> None:
    for offset, data in ((-0.2, "ml-100k"), (0.2, "ml-1m")):
        ratio = numbers(f"load-{data}", "chosen / one")["chosen / one"]
        ax.barh([place + offset for place in range(len(ratio))], ratio, 0.38, label=data)
    ax.set_yticks(range(len(ratio)), ratio.index)
    ax.axvline(1, color="0.5", linestyle=":")
    ax.invert_yaxis()
    ax.set(xlabel="time of a fit, as a multiple of that with one thread")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)


def scale(ax: Axes) -> None:
    table = numbers("scale", "epoch [s]", "memory [GB]")
    millions = [float(count.replace(",", "")) / 1e6 for count in table.index]
    ax.plot(millions, table["epoch [s]"], marker="o", label="an epoch [s]")
    ax.plot(millions, table["memory [GB]"], marker="s", label="memory [GB]")
    ax.set(xlabel="million ratings", ylim=(0, None))
    ax.legend()


def draw(app: Sphinx) -> None:
    folder = Path(app.srcdir, "_generated")
    for chart in (peers, load, scale):
        figure = Figure(figsize=(7, 4), layout="constrained")
        ax = figure.subplots()
        chart(ax)
        ax.grid(alpha=0.3)
        figure.savefig(folder / f"chart-{chart.__name__}.png", dpi=150)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
