"""How many spines of a single image are expected to be right: the sum over their scores, called doubtful below two thirds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import put_in_workspace
from test_pages_view import RESULTS, open_page, served, text_of

from spinecore.detection import doubt
from spinecore.detection.calibration import ScoreCalibration
from spinecore.detection.doubt import Doubt, doubt_of, real_marks
from spinecore.networks.zoo import get_card
from spinecore.ui import doubtline
from spinecore.ui.doubtline import doubtful_words, saturated_share
from spinecore.workspace.workspace import Workspace


def counted(share: float = 0.5) -> ScoreCalibration:
    """Half (or another share) of the spines are right at a score of 0.5, all of them at 1."""
    scores, shares = (0.0, 0.5, 1.0), (0.0, share, 1.0)
    return ScoreCalibration("drawn", "0" * 64, 1.0, scores, shares, 0.0, 0.0, (), 9, 90, "as on 9 drawings")


def test_what_is_expected_is_the_sum_over_the_scores_of_those_that_nobody_looked_at():
    spines = pd.DataFrame(
        {"score": [0.5, 0.75, 1.0, np.nan, 0.5], "reviewed": [False, None, False, True, True]}
    )
    found = doubt_of(spines, counted())
    assert found is not None and (found.n_spines, found.right) == (3, 0.5 + 0.75 + 1.0)
    assert not found.doubtful and Doubt(3, 1.9, "").doubtful
    assert doubt_of(spines.iloc[3:], counted()) is None


def test_words_tell_how_many_why_and_what_to_do():
    words = doubtful_words(Doubt(154, 80.0, "as on 9 drawings"), 0.0062)
    assert words.startswith(
        "About half of these 154 spines are not reliable: by their scores about 80 are right"
    )
    assert "0.6% of its pixels are saturated" in words and "Correct" in words
    assert "saturated" not in doubtful_words(Doubt(20, 11.0, ""), 0.0)
    assert doubtful_words(Doubt(20, 8.0, ""), 0.0).startswith("More than half")


def test_a_plateau_of_the_highest_value_is_saturated():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    assert saturated_share(image) == 0.01
    assert saturated_share(np.minimum(image, 49)) == 0.51
    assert saturated_share(image.astype(np.float32)) == 0.0


def test_the_stored_shares_belong_to_the_shipped_weights_and_rise_with_the_score(monkeypatch):
    card = get_card("centre-unet-2d")
    found = real_marks([{"name": card.name, "sha256": card.sha256}])
    assert found is not None and found.n_stacks > 50 and "real projections" in found.data
    low, high = found.probability(np.array([0.4, 0.85]))
    assert low < 0.5 < 0.85 < high
    assert real_marks([{"name": card.name, "sha256": "0" * 64}]) is None
    rescaled = replace(card, data=card.data | {"score_power": 2 * found.score_power})
    monkeypatch.setattr(doubt, "get_card", lambda name: rescaled)
    assert real_marks([{"name": card.name, "sha256": card.sha256}]) is None


@pytest.fixture
def space(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setattr(doubtline, "FEWEST", 1)
    yield from served(Workspace(tmp_path / "space"), monkeypatch)


@pytest.mark.parametrize(("share", "words"), [(0.0, "not reliable"), (0.95, "of the 4 spines")])
def test_results_of_a_single_image_say_it_and_those_of_a_stack_do_not(
    space, tmp_path, monkeypatch, share, words
):
    monkeypatch.setattr(doubtline, "real_marks", lambda models: counted(share))
    flat, stack = put_in_workspace(space, tmp_path, flat=True), put_in_workspace(space, tmp_path)
    at = open_page(RESULTS, flat)
    assert not at.exception and words in text_of(at)
    assert words not in text_of(open_page(RESULTS, stack))
