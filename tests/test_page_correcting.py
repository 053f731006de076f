"""Correcting on the Overlay page: by the button of a chosen spine, by clicks in the picture, and back."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from drawn_analysis import put_in_workspace
from test_pages_view import OVERLAY, RESULTS, open_page, served, text_of

from spinecore.corrections.log import read_edits
from spinecore.ui.figurecomponent import Click, read_click
from spinecore.workspace.workspace import Workspace


@pytest.fixture
def own(tmp_path, monkeypatch):
    space = Workspace(tmp_path / "space")
    job = put_in_workspace(space, tmp_path)
    yield from ((space, job) for space in served(space, monkeypatch))


def test_the_overlay_leads_to_the_page_correct_and_says_what_was_changed(own):
    _, job = own
    at = open_page(OVERLAY, job)
    assert [link.page for link in at.get("page_link")] == ["correct"] and "By hand" not in text_of(at)
    open_page(RESULTS, job, spine="1").button(key="results_remove").click().run()
    at = open_page(OVERLAY, job)
    assert "By hand: 1 removed." in text_of(at) and "3 spines of 5 candidates" in text_of(at)
    at = open_page(OVERLAY, job, spine="2")
    at.button(key="overlay_all").click().run()
    assert "spine" not in at.query_params


def test_results_say_what_was_corrected(own):
    _, job = own
    open_page(RESULTS, job, spine="1").button(key="results_remove").click().run()
    at = open_page(RESULTS, job)
    assert "Corrected by hand: 1 removed." in text_of(at)


def test_a_spine_is_removed_on_the_results_page_too(own):
    space, job = own
    at = open_page(RESULTS, job, spine="3")
    at.button(key="results_remove").click().run()
    assert not at.exception and at.query_params["spine"] == "2"
    assert pd.read_csv(space.result_folder(job.id) / "spines.csv")["spine_id"].tolist() == [1, 2, 4]


def test_a_click_is_a_number_or_a_place():
    assert read_click({"spine": 4.0}).spine == 4 and read_click({"x": 1, "y": 2}) == Click(None, 1.0, 2.0)


def test_the_list_of_steps_is_plain_text(own):
    space, job = own
    open_page(RESULTS, job, spine="4").button(key="results_remove").click().run()
    folder = space.result_folder(job.id)
    assert [s.kind for s in read_edits(folder)] == ["remove"]
    assert json.loads((folder / "corrections.jsonl").read_text())["spine"] == 4


def test_the_planes_share_one_contrast_also_after_a_correction(own):
    """Once the ends of the slider came from the plane in view at the last correction, and the page failed on another."""
    _, job = own
    at = open_page(OVERLAY, job)
    slider = next(s for s in at.slider if s.key.startswith("overlay_levels"))
    slider.set_value((slider.min, slider.max)).run()
    for plane in ("yz", "xz", "xy"):
        at.button_group(key="overlay_plane").set_value(plane).run()
        if plane == "yz":
            open_page(RESULTS, job, spine="4").button(key="results_remove").click().run()
            at.run()
        assert not at.exception
        again = next(s for s in at.slider if s.key == slider.key)
        assert (again.min, again.max, again.value) == (slider.min, slider.max, (slider.min, slider.max))
