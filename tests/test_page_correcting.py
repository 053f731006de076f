"""Correcting on the Overlay page: by the button of a chosen spine, by clicks in the picture, and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import put_in_workspace
from playwright import sync_api as playwright
from test_pages_view import OVERLAY, RESULTS, open_page, served, text_of
from waiting import settle

from spinecore.corrections.log import read_edits
from spinecore.errors import SpinecoreError
from spinecore.ui.correcting import place_px
from spinecore.ui.figurecomponent import Click, read_click
from spinecore.ui.planeviews import View
from spinecore.workspace.workspace import Workspace


@pytest.fixture
def own(tmp_path, monkeypatch):
    space = Workspace(tmp_path / "space")
    job = put_in_workspace(space, tmp_path)
    yield from ((space, job) for space in served(space, monkeypatch))


def test_a_chosen_spine_is_removed_and_the_next_is_looked_at(own):
    space, job = own
    at = open_page(OVERLAY, job)
    at.button(key="check_start").click().run()
    assert at.query_params["spine"] == "4", "the lowest score comes first"
    assert at.button(key="check_back").disabled
    at.button(key="check_next").click().run()
    at.button(key="check_next").click().run()
    assert at.query_params["spine"] == "2"
    at.button(key="overlay_remove").click().run()
    assert not at.exception and at.query_params["spine"] == "1" and at.button(key="check_next").disabled
    assert "3 spines of 5 candidates" in text_of(at) and "By hand: 1 removed." in text_of(at)
    table = pd.read_csv(space.result_folder(job.id) / "spines.csv")
    assert table["spine_id"].tolist() == [1, 3, 4]
    assert space.progress(job.id).summary["spines"] == 3
    at.button(key="correction_undo").click().run()
    assert "4 spines of 5 candidates" in text_of(at) and "By hand" not in text_of(at)


def test_results_say_what_was_corrected(own):
    _, job = own
    open_page(OVERLAY, job, spine="1").button(key="overlay_remove").click().run()
    at = open_page(RESULTS, job)
    assert "Corrected by hand on the Overlay page: 1 removed." in text_of(at)


def test_a_spine_is_removed_on_the_results_page_too(own):
    space, job = own
    at = open_page(RESULTS, job, spine="3")
    at.button(key="results_remove").click().run()
    assert not at.exception and at.query_params["spine"] == "2"
    assert pd.read_csv(space.result_folder(job.id) / "spines.csv")["spine_id"].tolist() == [1, 2, 4]


def test_a_click_is_a_place_in_voxels(own):
    shown = type("Shown", (), {"saved": _load(own)})()
    np.testing.assert_allclose(place_px(shown, View("xy"), Click(x=6.0, y=3.2)), [np.nan, 32, 60])
    np.testing.assert_allclose(place_px(shown, View("xz", 33), Click(x=2.0, y=1.75)), [7, 33, 20])
    with pytest.raises(SpinecoreError, match="choose the XY view"):
        place_px(shown, View("yz"), Click(x=1.0, y=1.0))
    assert read_click({"spine": 4.0}).spine == 4 and read_click({"x": 1, "y": 2}) == Click(None, 1.0, 2.0)


def _load(own):
    from spinecore.analysis.storage import load_analysis

    space, job = own
    return load_analysis(space.result_folder(job.id))


@pytest.mark.browser
def test_clicks_in_the_picture_count_remove_and_divide(
    address: str, chromium: playwright.Browser, tmp_path: Path
) -> None:
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(180_000)
    page.goto(address)
    page.get_by_role("button", name="Try the sample").click()
    page.wait_for_url("**/overlay?**")
    page.locator(".js-plotly-plot").first.wait_for()
    counts = page.get_by_test_id("stCaptionContainer").filter(has_text="spines of")
    before = int(counts.first.inner_text().split()[0])

    page.get_by_text("Add", exact=True).click()
    page.locator(".spinecore-figure[data-drawn]").wait_for()
    circle = page.evaluate(
        """() => { const host = document.querySelector('.spinecore-figure'), box = host.getBoundingClientRect()
        const { xaxis, yaxis } = host._fullLayout, trace = host.data.find(t => t.marker?.symbol == 'circle-open')
        return [box.left + xaxis._offset + xaxis.d2p(trace.x[0]), box.top + yaxis._offset + yaxis.d2p(trace.y[0])] }"""
    )
    page.mouse.move(*circle)
    page.wait_for_function("() => document.querySelector('.spinecore-figure')._hoverdata?.length")
    page.mouse.click(*circle)
    page.get_by_text("now counts as a spine").wait_for()
    counts.filter(has_text=f"{before + 1} spines").wait_for()

    page.evaluate("() => document.querySelector('.spinecore-figure').report({x: -3, y: 1})")
    page.get_by_text("Nothing was changed: That place lies outside the image").wait_for()

    page.get_by_text("Remove", exact=True).click()
    page.get_by_text("Click a spine to remove it.").wait_for()
    settle(page)
    page.evaluate("() => document.querySelector('.spinecore-figure').report({spine: 5})")
    page.get_by_text("Spine 5 is removed").wait_for()
    counts.filter(has_text=f"{before} spines").wait_for()
    page.get_by_role("button", name="Undo").click()
    counts.filter(has_text=f"{before + 1} spines").wait_for()
    assert page.get_by_text("Traceback").count() == 0
    page.close()


def test_the_list_of_steps_is_plain_text(own):
    space, job = own
    open_page(OVERLAY, job, spine="4").button(key="overlay_remove").click().run()
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
            at.button(key="check_start").click().run()
            at.button(key="overlay_remove").click().run()
        assert not at.exception
        again = next(s for s in at.slider if s.key == slider.key)
        assert (again.min, again.max, again.value) == (slider.min, slider.max, (slider.min, slider.max))
