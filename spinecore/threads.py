"""Working on several parts of an image at a time, each on a thread of its own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")
#: At most so many are worked on at a time: a tile of a slice, or a large piece of a dendrite, takes up to 150 MB while it is.
MOST_TOGETHER = 4


@lru_cache(maxsize=1)
def thread_count() -> int:
    """Return on how many threads this program computes: `OMP_NUM_THREADS`, or the cores that this process may use.

    Two threads of one core count once, as far as the system says.
    """
    chosen = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len({_core(processor) for processor in os.sched_getaffinity(0)})


def _core(processor: int) -> str:
    """Return which core a processor of the system belongs to."""
    siblings = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
    try:
        return siblings.read_text(encoding="ascii").strip() or str(processor)
    except OSError:
        return str(processor)


def most_together(jobs: int) -> int:
    """Return how many of some jobs are worked on at a time."""
    return max(1, min(thread_count(), MOST_TOGETHER, jobs))


def in_order(work: Callable[[Given], Made], jobs: Iterable[Given], together: int) -> Iterator[Made]:
    """Yield what is made of each job, in their order; some are worked on at a time and few wait.

    Examples
    --------
    >>> list(in_order(lambda n: n * n, range(5), together=2))
    [0, 1, 4, 9, 16]
    """
    if together == 1:
        yield from map(work, jobs)
        return
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(together) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > together:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # stopped half-way: what has not begun is left undone
            for future in waiting:
                future.cancel()
