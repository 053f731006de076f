"""Every hostile file goes through the Upload page in a real Chromium: a sentence or a card each, and the next upload works."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hostile import TABLE, write_all
from playwright import sync_api as playwright
from waiting import settle

pytestmark = pytest.mark.browser


def test_all_hostile_files_at_once_and_then_a_good_one(
    address: str, chromium: playwright.Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    write_all(folder)
    files = [folder / name for name in TABLE if (folder / name).is_file()]
    assert len(files) >= 45
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(240_000)
    page.goto(f"{address}/upload")
    page.get_by_text("Workspace:").wait_for()
    settle(page)
    page.locator("input[type=file]").first.set_input_files(files)
    page.get_by_test_id("stAlert").first.wait_for()
    settle(page)
    said = page.get_by_test_id("stAlert").all_inner_texts()
    following = page.get_by_test_id("stPagination").get_by_role("button").last
    for _ in range(len(files)):  # the cards of those that were taken in, three at a time
        assert page.get_by_test_id("stException").count() == 0
        assert page.get_by_text("Traceback").count() == 0
        if following.is_disabled():
            break
        following.click()
        settle(page)
        said += page.get_by_test_id("stAlert").all_inner_texts()
    for name, (outcome, _) in TABLE.items():
        own = {text.strip() for text in said if re.search(rf"(^|[^\w]){re.escape(name)}", text)}
        if outcome == "refuse" and (folder / name).is_file():
            assert len(own) == 1, f"{name}: {own}"
            assert all("\n" not in text and len(text) < 260 for text in own)

    good = tmp_path / "good.tif"
    voxels = np.random.default_rng(0).integers(0, 4000, (3, 96, 96)).astype(np.uint16)
    tifffile.imwrite(good, voxels, imagej=True, resolution=(10, 10), metadata={"axes": "ZYX", "unit": "um"})
    page.locator("input[type=file]").first.set_input_files(good)
    page.get_by_text("good.tif").first.wait_for()
    settle(page)
    playwright.expect(page.get_by_role("button", name="Analyse this stack").first).to_be_in_viewport()
    assert page.get_by_role("heading", name="good.tif").count() == 1, "what came last is shown first"
    assert page.get_by_text("empty.tif is empty").count() == 0, "old problems go with the next upload"
    page.close()
