"""How the scripts in this folder measure time and memory."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def timed(run: Callable[[], T]) -> tuple[float, T]:
    """The seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def seconds(run: Callable[[], object]) -> float:
    """The seconds that a call takes."""
    return timed(run)[0]


def peak() -> int:
    """Peak resident memory of this process so far, in bytes. (``resource`` would include the parent's.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
