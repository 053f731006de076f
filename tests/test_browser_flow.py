"""The main job in a real Chromium: one click on the sample, every spine outlined, and a table to take away."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from playwright import sync_api as playwright

from spinecore.simulation.sample import SAMPLE_DIR
from spinecore.workspace.workspace import Workspace

pytestmark = pytest.mark.browser


def test_the_sample_from_click_to_table(address: str, chromium: playwright.Browser) -> None:
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(180_000)
    page.goto(address)
    page.get_by_role("button", name="Try the sample").click()
    page.wait_for_url("**/overlay?**")
    analysis = page.url.split("analysis=")[1].split("&")[0]
    assert analysis, "the analysis is in the address"
    page.locator(".js-plotly-plot").first.wait_for()
    assert page.locator(".js-plotly-plot path").count() > 10, "spines are outlined"
    page.get_by_text("Show the expert's marks").click()
    page.get_by_text("Compared with the expert's marks, 30 spines").wait_for()
    playwright.expect(page.locator(".js-plotly-plot .points path")).not_to_have_count(0)

    page.goto(f"{address}/results?analysis={analysis}")
    page.get_by_text("Density").first.wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").first.click()
    table = pd.read_csv(io.BytesIO(waiting.value.path().read_bytes()))
    assert len(table) > 20
    assert {"spine_id", "x_um", "length_um", "head_width_um", "volume_um3"} <= set(table.columns)
    assert table["length_um"].median() > 0.2

    page.goto(f"{address}/view3d?analysis={analysis}")
    page.locator(".spinecore-figure[data-drawn] canvas").first.wait_for()
    page.evaluate("() => { document.querySelector('.spinecore-figure canvas').first = true }")
    click = (
        "() => document.querySelector('.spinecore-figure').emit('plotly_click', {points: [{customdata: 3}]})"
    )
    page.evaluate(click)
    page.get_by_text("Around spine 3").wait_for()
    assert "spine=3" in page.url, "a click in the scene chooses the spine"
    assert page.evaluate("() => document.querySelector('.spinecore-figure canvas').first"), (
        "the scene was not built anew"
    )
    assert page.get_by_text("Traceback").count() == 0
    page.close()


def test_an_own_tracing_is_checked_and_used(address: str, chromium: playwright.Browser) -> None:
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(address)
    page.get_by_role("button", name="Try the simulated one").click()
    page.wait_for_url("**/overlay?**")
    page.goto(f"{address}/analyse")
    page.get_by_text("Own tracing of the dendrites (SWC)").click()
    given = page.locator("input[type=file]").first
    given.set_input_files({"name": "bad.swc", "mimeType": "text/plain", "buffer": b"hello world"})
    page.get_by_text("Line 1 of bad.swc is not SWC").wait_for()
    page.locator("input[type=file]").first.set_input_files(SAMPLE_DIR / "truth.swc")
    page.get_by_text("Line 1 of bad.swc is not SWC").wait_for(state="detached")
    done = page.get_by_text("Done", exact=True)
    before = done.count()
    page.get_by_role("button", name="Start the analysis").click()
    done.nth(before).wait_for()
    page.close()


def test_own_marks_are_measured_and_corrected_like_others(
    address: str, workspace_folder: Path, chromium: playwright.Browser
) -> None:
    """The truth of the simulated sample as a person's labels: only these are measured, then one is taken away."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(address)
    page.get_by_role("button", name="Try the simulated one").click()
    page.wait_for_url("**/overlay?**")
    page.goto(f"{address}/analyse")
    page.get_by_text("Own marks of spines").click()
    given = page.locator("input[type=file]").last
    given.set_input_files({"name": "bad.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2"})
    page.get_by_text("The marks are left out. bad.csv has no columns").wait_for()
    page.locator("input[type=file]").last.set_input_files(SAMPLE_DIR / "truth_labels.tif")
    page.get_by_text("Measure only what I marked").click()
    done = page.get_by_text("Done", exact=True)
    before = done.count()
    page.get_by_role("button", name="Start the analysis").click()
    done.nth(before).wait_for()
    newest = max(Workspace(workspace_folder).jobs(), key=lambda job: job.id)
    page.goto(f"{address}/correct?analysis={newest.id}")
    page.get_by_role("heading", name="81 spines").wait_for()
    page.wait_for_function("() => document.querySelector('.sce')?.editor?.voxels?.loaded > 0")
    page.get_by_role("button", name="Undo an earlier change").click()
    page.get_by_text("“mark 81 of truth_labels.tif” was done before this session. Take it back?").wait_for()
    page.close()
