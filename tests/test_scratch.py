"""What pretraining gains, as the cards tell it."""

from __future__ import annotations

import pytest

from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import get_card, write_card
from spinecore.training.recipe import shipped_name
from spinecore.training.scratch import gain_sentence, note_scratch
from spinecore.ui.methods import card_lines


def rows(*values: tuple[float, float]) -> list[dict]:
    return [{"step": k, "minutes": minutes, "select": select} for k, (minutes, select) in enumerate(values)]


def test_the_same_time_is_compared():
    card = {
        "history": rows((8, 0.6), (16, 0.7), (40, 0.9)),
        "without_pretraining": {"history": rows((8, 0.1), (16, 0.4))},
    }
    assert gain_sentence(card) == (
        "0.700 after 16 minutes with pretraining, 0.400 after 16 minutes without (validation data)"
    )
    doubtful = card["without_pretraining"] | {"caution": "scored on other truths"}
    assert gain_sentence(card | {"without_pretraining": doubtful}).endswith("data); scored on other truths")
    assert gain_sentence({"history": card["history"]}) is None
    assert gain_sentence(card | {"history": rows((30, 0.9))}) is None


def test_a_note_goes_on_the_shipped_card_and_shows_there(tmp_path):
    assert shipped_name("panoptic-scratch") == ("panoptic", True)
    assert shipped_name("panoptic") == ("panoptic", False)
    (tmp_path / "panoptic.safetensors").write_bytes(b"")
    facts = {"name": "panoptic", "method": "panoptic", "title": "x", "history": rows((8, 0.6))}
    write_card(tmp_path / "panoptic.json", facts)
    note_scratch("panoptic-scratch", tmp_path, 8, rows((4, 0.1), (8, 0.05)))
    card = get_card("panoptic", folder=tmp_path)
    assert card.data["without_pretraining"]["best"]["select"] == 0.1
    assert "panoptic-scratch --minutes 8" in card.data["without_pretraining"]["recipe"]
    lines = dict(card_lines(card))
    assert lines["What pretraining gains"].startswith("0.600 after 8 minutes with")
    with pytest.raises(SpinecoreError):
        note_scratch("panoptic-scratch", tmp_path / "nowhere", 8, rows((4, 0.1)))
