"""Time and memory, as every script beside this one measures them."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def timed(run: Callable[[], T]) -> tuple[float, T]:
    """Seconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def seconds(run: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    return timed(run)[0]


def peak() -> int:
    """Peak resident memory of this process so far, in bytes. (``resource`` would count the parent's in.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
