"""Every page with a figure in a real Chromium: what its toolbar offers, and that no text is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_analysis import put_in_workspace
from playwright import sync_api as playwright

from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.ui.session import SAMPLE_ORIGIN
from spinecore.workspace.workspace import Workspace

pytestmark = pytest.mark.browser

#: Buttons of a toolbar that work on this computer only.
LOCAL_BUTTONS = {
    "Autoscale",
    "Box Select",
    "Download plot",
    "Download plot as a PNG",
    "Download plot as PNG",
    "Download plot as SVG",
    "Fullscreen",
    "Lasso Select",
    "Orbital rotation",
    "Pan",
    "Reset axes",
    "Reset camera to default",
    "Reset camera to last save",
    "Turntable rotation",
    "Zoom",
    "Zoom in",
    "Zoom out",
}


@pytest.fixture(scope="module")
def analysis(workspace_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A drawn analysis of the "sample", which has a truth, and a second one of the same stack."""
    space = Workspace(workspace_folder)
    first = put_in_workspace(space, tmp_path_factory.mktemp("drawn"), origin=SAMPLE_ORIGIN)
    second = space.new_job(first.stack_sha256, {"method": "other", "threshold": 0.75})
    other = load_analysis(space.result_folder(first.id)).at_threshold(0.75)
    save_analysis(other, space.result_folder(second.id))
    space.put_job(second.model_copy(update={"state": "done"}))
    return first.id


@pytest.fixture(scope="module")
def page(address: str, chromium: playwright.Browser) -> playwright.Page:
    """A page of Chromium that records the hosts it asks."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    return page


def wait_until_drawn(page: playwright.Page) -> None:
    """Wait until the script of the page has run."""
    page.wait_for_timeout(500)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_timeout(500)


def toolbar(page: playwright.Page) -> set[str]:
    """Return the titles of all buttons of all figures' toolbars."""
    page.locator(".modebar-btn").first.wait_for(state="attached")
    wait_until_drawn(page)
    return set(page.locator(".modebar-btn").evaluate_all("all => all.map(one => one.dataset.title)"))


@pytest.mark.parametrize(
    ("name", "clicks", "more"),
    [
        ("overlay", (), ""),
        ("overlay", ("Remove",), ""),
        ("view3d", (), ""),
        ("results", ("Histograms",), ""),
        ("results", (), "spine=3"),
        ("shapes", ("Map of shapes",), ""),
        ("shapes", ("On the stack",), ""),
        ("evaluate", (), ""),
        ("agreement", (), ""),
    ],
)
def test_no_toolbar_offers_an_upload(
    name: str, clicks: tuple[str, ...], more: str, address: str, page: playwright.Page, analysis: str
) -> None:
    page.goto(f"{address}/{name}?analysis={analysis}&{more}")
    for label in clicks:
        page.get_by_text(label, exact=True).first.click()
    assert toolbar(page) <= LOCAL_BUTTONS
    urls = page.evaluate(
        "() => [...document.querySelectorAll('.js-plotly-plot')].map(one => one._context.plotlyServerURL)"
    )
    assert urls and set(urls) == {""}


@pytest.mark.parametrize("name", ["methods", "upload", "train", "groups"])
def test_other_pages_have_no_toolbar(name: str, address: str, page: playwright.Page, analysis: str) -> None:
    page.goto(f"{address}/{name}?analysis={analysis}")
    page.get_by_role("heading").first.wait_for()
    page.wait_for_timeout(1000)
    wait_until_drawn(page)
    assert page.locator(".modebar-btn, .vega-actions").count() == 0
