"""Pages stay whole where a timer of the page before is late, in a real Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_analysis import put_in_workspace
from playwright import sync_api as playwright

from spinecore.workspace.workspace import Workspace

pytestmark = pytest.mark.browser

#: Lets a test keep back what the browser sends to the server, and send it later.
HOLD = """
window.held = []; window.holding = false;
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  if (window.holding) window.held.push(() => send.call(this, data)); else send.call(this, data);
};
"""


def test_a_late_timer_of_the_page_before_leaves_the_page_whole(
    address: str, chromium: playwright.Browser
) -> None:
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    page.add_init_script(HOLD)
    page.goto(address)
    page.get_by_text("None yet.").wait_for()
    page.evaluate("() => { window.holding = true }")
    page.wait_for_function("() => window.held.length > 0")  # the sidebar looks every two seconds
    page.evaluate("() => { window.holding = false }")
    page.get_by_role("button", name="Upload a stack").click()
    page.get_by_text("Nothing here yet").wait_for()
    page.evaluate("() => window.held.forEach((send) => send())")
    page.wait_for_timeout(3_000)
    playwright.expect(page.get_by_text("Nothing here yet")).to_be_visible()
    assert "/upload" in page.url
    page.close()


def test_the_older_of_two_analyses_of_one_minute_stays_shown(
    address: str, workspace_folder: Path, chromium: playwright.Browser, tmp_path: Path
) -> None:
    space = Workspace(workspace_folder)
    older = put_in_workspace(space, tmp_path)
    newer = put_in_workspace(space, tmp_path)
    space.put_job(newer.model_copy(update={"submitted": older.submitted}))
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    for job in (older, newer):
        page.goto(f"{address}/overlay?analysis={job.id}")
        page.locator(".js-plotly-plot, canvas, img").first.wait_for()
        page.get_by_text("XZ", exact=True).click()  # the page is drawn again with what the lists read
        page.wait_for_timeout(3_000)
        assert f"analysis={job.id}" in page.url
    page.close()
