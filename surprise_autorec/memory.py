"""How much memory training needs, before it begins, and how much the machine has."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from surprise_autorec.core import automatic
from surprise_autorec.parameters import AutoRecParameters

#: Bytes for each rating: the ratings as they were read, and each network's copy of them in batches.
#: Early stopping holds some of them out and needs all of them again at the end.
BYTES_PER_RATING, BYTES_PER_RATING_AND_NETWORK, BYTES_PER_RATING_STOPPED_EARLY = 16, 36, 12
#: Bytes for each weight: itself, its average, two moments of Adam and gradients; L-BFGS remembers the last
#: ten steps besides, and the gradients of each.
BYTES_PER_WEIGHT, BYTES_PER_WEIGHT_OF_LBFGS = 20, 120
#: Bytes for each element of the column vectors: themselves, their gradient, their sum with the weights.
BYTES_PER_VECTOR_ELEMENT = 12


def memory_needed(algorithm: AutoRecParameters, n_ratings: int, n_users: int, n_items: int) -> int:
    """Estimate how much memory training on the CPU needs at its peak.

    Memory grows with the ratings, and with the width (``n_factors``) times the numbers of users and items.
    Both are multiplied by the number of networks: ``n_estimators``, and twice that for ``variant="hybrid"``.

    Parameters
    ----------
    algorithm : AutoRec or AutoRecRegressor
        It need not be fitted. With ``n_factors="auto"``, the largest possible width for this number of
        ratings counts.
    n_ratings, n_users, n_items : int
        Numbers of ratings, users and items.

    Returns
    -------
    int
        Bytes, in addition to the memory that the process already uses and to the ids.

    Raises
    ------
    ValueError
        If a parameter is wrong.

    Examples
    --------
    >>> from surprise_autorec import AutoRec, memory_needed
    >>> netflix = {"n_ratings": 100_480_507, "n_users": 480_189, "n_items": 17_770}
    >>> f"{memory_needed(AutoRec(), **netflix) / 1e9:.0f} GB"
    '12 GB'
    >>> f"{memory_needed(AutoRec(n_factors=64), **netflix) / 1e9:.0f} GB"
    '7 GB'
    """
    options, kinds, *_ = algorithm.check_parameters()
    needed = n_ratings * BYTES_PER_RATING
    per_weight = BYTES_PER_WEIGHT_OF_LBFGS if options.optimizer == "lbfgs" else BYTES_PER_WEIGHT
    for kind in kinds:
        n_rows, n_columns = (n_users, n_items) if kind.side == "user" else (n_items, n_users)
        widths = options.n_factors or (automatic.largest_width(n_ratings, n_columns),)
        first, last = widths[0], widths[-1]
        n_weights = n_columns * (first + last) + (n_rows * last if options.two_sided else 0)
        of_each = n_ratings * BYTES_PER_RATING_AND_NETWORK + n_weights * per_weight
        if options.two_sided:
            of_each += n_columns * last * BYTES_PER_VECTOR_ELEMENT
        if options.early_stopping:
            of_each += n_ratings * BYTES_PER_RATING_STOPPED_EARLY + n_weights * 4
        needed += kind.number * of_each
    return needed


def machine_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that this machine has, or that its control groups (containers) leave this process.

    It is None where the system does not tell. ``root`` is where ``proc`` and ``sys`` are.
    """
    sizes = [_limit(file) for file in _limit_files(root)]
    with suppress(AttributeError, OSError, ValueError):  # Windows has no sysconf
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min((size for size in sizes if size is not None), default=None)


def _limit_files(root: Path) -> list[Path]:
    """Where Linux keeps the limits of this process's control groups and of those around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        folder = root / "sys/fs/cgroup" / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        inner = folder / path.lstrip("/")
        files += [place / name for place in (inner, *inner.parents) if place.is_relative_to(folder)]
    return files


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:  # (the group may be one outside of the container)
        return None
    return int(text) if text.isdigit() else None  # "max" is no limit
