"""How many threads each step of training uses: the number that is fastest at the moment.

torch cuts each operation into equal parts, one a thread, and waits for the slowest. On a machine that does
nothing else, two threads are nearly twice as fast as one. But if another process keeps one of two cores busy,
each operation waits for the thread that has no core, and training takes many times as long as on one thread.

The results are the same bits for any number of threads, so the number can change from step to step.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

#: Training that takes less than so many seconds on one thread stays there: there is little to gain.
WORTHWHILE = 0.2
#: The share of the time of training that attempts with more threads may cost.
LARGEST_LOSS = 0.05
#: How much a new measurement counts beside what was measured before.
NEWEST_SHARE = 0.5
#: Threads have a core each if so many short operations in a row take less than so many seconds each. They
#: take some microseconds; a thread that waits for a core does so for milliseconds.
N_PROBES, PROBE_SECONDS = 400, 1e-3
#: torch's CPU kernels give a thread at least so many elements.
GRAIN = 32_768

Result = TypeVar("Result")


class ThreadChooser:
    """Chooses the number of threads for a series of like pieces of work, by measuring them.

    Each number has an estimate of the time that it takes, and the least one is used, which renews its
    estimate: when a number becomes slow, the next piece of work uses another. Whether more threads than that
    would be faster (again) is tried out as often as a small share of the time allows, and only after a probe
    has shown that they have cores.

    Parameters
    ----------
    limit : int
        The largest number of threads.
    total : float
        How much work there will be in all.
    """

    def __init__(self, limit: int, total: float) -> None:
        self.total = total
        self.numbers = sorted({1, limit // 2, limit - 1, limit} - {0})
        #: Seconds a unit of work, by number of threads, for those that were tried.
        self.estimates: dict[int, float] = {}
        self.seconds_to_lose = 0.0
        self.n_attempts = 0

    def run(self, work: Callable[[], Result], amount: float) -> Result:
        """Do a piece of work, with the number of threads that is best for all that is known."""
        best = self.best
        number = self._choose(best)
        use_threads(number)
        start = time.perf_counter()
        result = work()
        self._learn(number, time.perf_counter() - start, amount, is_attempt=number != best)
        use_threads(self.best)  # for what comes between the pieces
        return result

    @property
    def best(self) -> int:
        """The number that is best for all that is known; at first one."""
        return min(self.estimates, key=self.estimates.__getitem__, default=1)

    def _choose(self, best: int) -> int:
        if not self.estimates:
            return best
        more = [number for number in self.numbers if number > best]
        if not more or self.seconds_to_lose <= 0 or self.estimates[best] * self.total < WORTHWHILE:
            return best
        self.n_attempts += 1
        number = more[-self.n_attempts % len(more)]  # the largest first
        return number if self._have_cores(number) else best

    def _have_cores(self, number: int) -> bool:
        """Whether each of so many threads has a core now."""
        torch.set_num_threads(number)
        numbers = torch.zeros(number * GRAIN)
        start = before = time.perf_counter()
        for _ in range(N_PROBES):
            numbers.neg_()
            now = time.perf_counter()
            if now - before > PROBE_SECONDS:
                break
            before = now
        self.seconds_to_lose -= now - start
        return before == now

    def _learn(self, number: int, seconds: float, amount: float, is_attempt: bool) -> None:
        now = seconds / amount
        before = self.estimates.get(number, now)
        if is_attempt:
            self.seconds_to_lose -= max(now - min(self.estimates.values(), default=now), 0.0) * amount
        self.seconds_to_lose += LARGEST_LOSS * seconds
        self.estimates[number] = before + NEWEST_SHARE * (now - before)


def use_threads(number: int) -> None:
    """Let torch use so many threads from now on."""
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)


class _Setting:
    """torch's number of threads, as it was before the first of the fits that are running now."""

    def __init__(self) -> None:
        self.reset()
        if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
            os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Forget the fits that are running."""
        self.lock, self.n_fits, self.number = threading.Lock(), 0, 1

    @contextmanager
    def kept(self) -> Iterator[int]:
        """Within this, the number, which it yields, may be changed; whatever happens, it is then what it was.

        Fits in several Python threads share the setting: it is what it was before the first of them.
        """
        with self.lock:
            if self.n_fits == 0:
                self.number = torch.get_num_threads()
            self.n_fits += 1
        try:
            yield self.number
        finally:
            with self.lock:
                self.n_fits -= 1
                torch.set_num_threads(self.number)


setting_kept = _Setting().kept
