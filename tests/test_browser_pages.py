"""Every page with a figure in a real Chromium: what its toolbar offers, and that no text is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_analysis import put_in_workspace
from playwright import sync_api as playwright
from waiting import settle

from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.evaluation.builtin import SIMULATED
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
    first = put_in_workspace(space, tmp_path_factory.mktemp("drawn"), origin=SIMULATED.origin)
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


def toolbar(page: playwright.Page) -> set[str]:
    """Return the titles of all buttons of all figures' toolbars."""
    page.locator(".modebar-btn").first.wait_for(state="attached")
    settle(page)
    return set(page.locator(".modebar-btn").evaluate_all("all => all.map(one => one.dataset.title)"))


@pytest.mark.parametrize(
    ("name", "clicks", "more"),
    [
        ("overlay", (), ""),
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
    settle(page, 1000)
    assert page.locator(".modebar-btn, .vega-actions").count() == 0


#: Returns the texts of metrics, labels and buttons that do not fit where they stand.
CUT_OFF = """() => [...document.querySelectorAll('[data-testid=stMetric] *, label *, button *, [role=tab] *')]
    .filter(one => one.clientWidth && one.innerText?.trim() && !one.closest('[data-testid=stSidebar], [data-testid=stDataFrame]'))
    .filter(one => getComputedStyle(one).overflowX !== 'visible' && one.scrollWidth > one.clientWidth + 1)
    .map(one => one.innerText)"""


@pytest.mark.parametrize("width", [1280, 960])
@pytest.mark.parametrize("name", ["overlay", "results"])
def test_no_text_is_cut_off_in_a_small_window(
    name: str, width: int, address: str, chromium: playwright.Browser, analysis: str
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 720 if width > 1000 else 600})
    page.set_default_timeout(60_000)
    page.goto(f"{address}/{name}?analysis={analysis}")
    seen = page.locator(".js-plotly-plot .main-svg" if name == "overlay" else "[data-testid=stMetric]").first
    seen.wait_for()
    page.locator(f"[data-testid=stSidebar][data-collapsed={'true' if width < 1000 else 'false'}]").wait_for(
        state="attached"
    )
    settle(page)
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    if name == "overlay":
        box = page.locator(".js-plotly-plot").first.bounding_box()
        assert box is not None and box["width"] > 500
    else:
        box = page.get_by_role("button", name="Everything (ZIP)").bounding_box()
        assert box is not None and box["y"] + box["height"] < page.viewport_size["height"]
    page.close()


def test_the_parts_of_a_page_stack_when_the_sidebar_takes_their_room(
    address: str, chromium: playwright.Browser, analysis: str
) -> None:
    page = chromium.new_page(viewport={"width": 960, "height": 600})
    page.set_default_timeout(60_000)
    page.goto(f"{address}/view3d?analysis={analysis}")
    figure = page.locator(".spinecore-figure[data-drawn]")
    figure.wait_for()
    table = page.get_by_test_id("stDataFrame").first
    settle(page)
    assert table.bounding_box()["x"] > figure.bounding_box()["x"] + 300, "side by side"
    page.get_by_role("button", name="Expand sidebar").click()
    settle(page, 1500)
    below = figure.bounding_box()["y"] + figure.bounding_box()["height"]
    assert table.bounding_box()["y"] > below
    drawn = page.locator(".spinecore-figure .main-svg").first.bounding_box()
    assert abs(drawn["width"] - figure.bounding_box()["width"]) < 2, "the figure takes the new width"
    page.close()
