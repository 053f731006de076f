"""What a browser reports once more, of a control that the page no longer shows, is not taken for a person's answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_analysis import put_in_workspace
from playwright import sync_api as playwright
from waiting import settle

from spinecore.corrections.log import read_corrections
from spinecore.workspace.workspace import Workspace

pytestmark = pytest.mark.browser


def test_no_class_is_named_by_hand_while_the_gallery_is_sorted(
    address: str, workspace_folder: Path, chromium: playwright.Browser, tmp_path: Path
) -> None:
    """Each change of the order once confirmed the class of the spine whose card was shown before."""
    space = Workspace(workspace_folder)
    folder = space.result_folder(put_in_workspace(space, tmp_path).id)
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(f"{address}/shapes?analysis={folder.parent.name}")
    settle(page)
    title = page.get_by_role("heading", name="Spine")
    for order in ("Spine number", "Least certain first", "Class", "Most certain first"):
        page.get_by_test_id("stSelectbox").filter(has_text="Order").locator("input").click()
        page.get_by_role("option", name=order, exact=True).click()
        settle(page)
        title.wait_for()
    for tab in ("Counts", "Gallery"):
        page.get_by_role("tab", name=tab).click()
        settle(page)
    assert not read_corrections(folder).edits and page.get_by_text("Class named by hand").count() == 0
    # a person's click on the class that the spine has confirms it
    page.get_by_test_id("stButtonGroup").filter(has_text="Class (click").get_by_role(
        "radio", checked=True
    ).click()
    page.get_by_text("Class named by hand").wait_for()
    assert len(read_corrections(folder).class_of) == 1
    page.close()
