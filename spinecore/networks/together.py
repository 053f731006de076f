"""Running one network over several parts of an image at a time."""

from __future__ import annotations

from typing import Any

from spinecore.threads import most_together, thread_count


def side_by_side(model: Any, jobs: int) -> tuple[Any, int]:
    """Return a network for several jobs at a time, and how many; one, on all threads, where the network cannot.

    Parameters
    ----------
    model : Any
        That of `spinecore.networks.onnx_runtime` can.
    jobs : int
        How many there are in all.
    """
    together = most_together(jobs)
    if together == 1 or jobs <= together or not hasattr(model, "on_threads"):
        return model, 1
    return model.on_threads(thread_count() // together), together
