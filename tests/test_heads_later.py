"""Heads that are looked for on a thread of their own."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest

from spinecore.errors import SpinecoreError
from spinecore.methods.prediction import Heads, HeadsLater, Prediction


def test_whoever_reads_heads_waits_for_them():
    go, begun = Event(), Event()

    def find() -> Heads:
        begun.set()
        assert go.wait(10)
        return Heads(np.ones((2, 3)), np.array([0.9, 0.4]))

    later = HeadsLater(find)
    assert begun.wait(10)  # it looks before anyone asks
    go.set()
    assert later.scores.tolist() == [0.9, 0.4] and later.centres_px.shape == (2, 3) and later.sizes is None


def test_what_goes_wrong_is_told_to_whoever_reads_them():
    def find() -> Heads:
        raise SpinecoreError("the weights are gone")

    later = HeadsLater(find)
    with pytest.raises(SpinecoreError, match="the weights are gone"):
        _ = later.scores


def test_a_finished_prediction_has_its_heads():
    maps = [np.zeros((1, 4, 4), np.uint8)] * 3
    found: list[int] = []

    def find() -> Heads:
        found.append(1)
        return Heads(np.zeros((0, 3)), np.zeros(0))

    made = Prediction(*maps, maps[0], (1.0, 0.1, 0.1), (1.0, 1.0), "made by hand", heads=HeadsLater(find))
    assert made.finished() is made and found == [1]
    plain = Prediction(*maps, maps[0], (1.0, 0.1, 0.1), (1.0, 1.0), "made by hand")
    assert plain.finished().heads is None
