"""The first pages in a real Chromium: nothing from outside is asked for, and the main button is always in sight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from playwright import sync_api as playwright
from waiting import settle

pytestmark = pytest.mark.browser


def test_a_linked_page_an_upload_and_the_way_on(
    address: str, chromium: playwright.Browser, tmp_path: Path
) -> None:
    files = []
    for name, known in (("known.tif", {"resolution": (10, 10)}), ("unknown.tif", {})):
        voxels = np.random.default_rng(len(files)).integers(0, 4000, (3, 96, 96)).astype(np.uint16)
        details = {"axes": "ZYX", "spacing": 0.4, "unit": "um"} if known else {"axes": "ZYX"}
        tifffile.imwrite(tmp_path / name, voxels, imagej=True, metadata=details, **known)
        files.append(tmp_path / name)
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))

    page.goto(f"{address}/upload")
    page.get_by_text("Workspace:").wait_for()
    assert page.get_by_test_id("stSidebarNavLink").first.inner_text() == "Start"
    page.locator("input[type=file]").set_input_files(files)
    page.get_by_role("button", name="Analyse these 2 stacks").wait_for()
    for name in ("Analyse these 2 stacks", "Analyse this stack"):
        box = page.get_by_role("button", name=name).first.bounding_box()
        assert box is not None and box["y"] + box["height"] < 900, f"{name} is out of sight"

    page.reload()
    page.get_by_role("button", name="Analyse these 2 stacks").click()
    page.get_by_text("Please enter it").wait_for()
    start = page.get_by_role("button", name="Start 2 analyses")
    assert start.is_disabled()
    for label, value in (("Pixel size (µm)", "0.1"), ("Slice step (µm)", "0.5")):
        page.get_by_label(label).fill(value)
        page.get_by_label(label).press("Enter")
        # a rerun that is still under way would take the next entry back
        settle(page)
    page.get_by_text("Please enter it").wait_for(state="detached")
    playwright.expect(start).to_be_enabled()
    box = start.bounding_box()
    assert box is not None and box["y"] + box["height"] < 900
    assert hosts == {address.split("/")[2]}, "no outside fonts, icons or statistics"
    page.close()
