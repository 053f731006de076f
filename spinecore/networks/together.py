"""Working on several parts of an image at a time, each on threads of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Given = TypeVar("Given")
Made = TypeVar("Made")
#: At most so many are computed at a time: a tile of a slice takes up to 150 MB while it is.
MOST_TOGETHER = 4


def side_by_side(model: Any, jobs: int) -> tuple[Any, int]:
    """Return a network for several jobs at a time, and how many; one, on all threads, where the network cannot.

    Parameters
    ----------
    model : Any
        That of `spinecore.networks.onnx_runtime` can.
    jobs : int
        How many there are in all.
    """
    threads = torch.get_num_threads()
    together = min(threads, MOST_TOGETHER)
    if together == 1 or jobs <= together or not hasattr(model, "on_threads"):
        return model, 1
    return model.on_threads(threads // together), together


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
