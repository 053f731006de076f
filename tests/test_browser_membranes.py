"""The page Membranes in a real Chromium: cells painted and erased with the mouse are on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright import sync_api as playwright
from test_page_membranes import put_segmentation

from spinecore.corrections.cells import read_cell_steps
from spinecore.membranes.result import load_segmentation
from spinecore.workspace.workspace import Workspace

pytestmark = pytest.mark.browser


def test_cells_are_painted_and_erased_with_the_mouse(
    address: str, workspace_folder: Path, chromium: playwright.Browser, tmp_path: Path
) -> None:
    space = Workspace(workspace_folder)
    job = put_segmentation(space, tmp_path)
    folder = space.result_folder(job.id)
    before = load_segmentation(folder).section(0, 0.5)
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(60_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{address}/membranes?segmentation={job.id}")

    def drawn() -> str:
        page.wait_for_function("() => document.querySelector('.spinecore-figure')?.dataset.drawn")
        return str(page.locator(".spinecore-figure").get_attribute("data-drawn"))

    def draw(corners: list[tuple[float, float]]) -> None:
        """Draw through places (y, x) of the section with the button held down."""
        places = page.evaluate(
            """(corners) => {
                const host = document.querySelector(".spinecore-figure"), { xaxis, yaxis } = host._fullLayout
                const box = host.getBoundingClientRect()
                return corners.map(([y, x]) => [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)])
            }""",
            corners,
        )
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=4)
        page.mouse.up()

    drawn()
    page.get_by_text("Paint", exact=True).click()
    page.wait_for_function("() => document.querySelector('.spinecore-figure')?.lines === true")
    # from the cell on the left over the wall into the next one
    draw([(10, 20), (10, 40), (20, 40), (20, 20), (10, 20)])
    page.get_by_role("button", name="Undo (1 painted)").wait_for()
    painted = read_cell_steps(folder)(before, 0)
    assert before[15, 38] != before[15, 22] == painted[15, 38] == painted[15, 30]

    page.get_by_text("Erase", exact=True).click()
    page.get_by_role("button", name="Undo (1 painted)").wait_for()
    page.wait_for_timeout(500)
    draw([(40, 70), (40, 80), (50, 80), (50, 70), (40, 70)])
    page.get_by_role("button", name="Undo (1 painted, 1 erased)").wait_for()
    assert not read_cell_steps(folder)(before, 0)[42:48, 72:78].any()
    page.get_by_role("button", name="Undo (1 painted, 1 erased)").click()
    page.get_by_role("button", name="Undo (1 painted)").wait_for()
    assert read_cell_steps(folder).words == "1 painted"
    page.close()
    assert not problems
