"""The page Correct in a real Chromium, with mouse and keys: what is done is on the disk and there after a reload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from canvas import EDITOR, Canvas
from drawn_analysis import HEADS, put_in_workspace
from playwright import sync_api as playwright

from spinecore.workspace.workspace import Workspace

pytestmark = pytest.mark.browser


@pytest.fixture
def canvas(
    address: str, workspace_folder: Path, chromium: playwright.Browser, tmp_path: Path
) -> Iterator[Canvas]:
    space = Workspace(workspace_folder)
    job = put_in_workspace(space, tmp_path, origin=tmp_path.name)
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(60_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield Canvas(page, address, job.id, space.result_folder(job.id))
    page.close()
    assert not problems


def test_spines_are_chosen_removed_counted_and_undone(canvas: Canvas) -> None:
    page = canvas.page
    assert canvas.table().index.tolist() == [1, 2, 3, 4]
    canvas.click(*HEADS[1])
    page.get_by_role("heading", name="Spine 2").wait_for()
    page.wait_for_url("**spine=2**")
    assert canvas.ask("editor.path?.points.length ?? 0") or page.wait_for_function(
        f"() => {EDITOR}.path?.points.length > 6"
    )

    page.keyboard.press("Delete")
    canvas.says("remove spine 2")
    canvas.saved()
    assert canvas.table().index.tolist() == [1, 3, 4]
    page.get_by_role("button", name="Undo: remove spine 2").wait_for()

    page.keyboard.press("a")
    page.get_by_text("Click the middle of a spine's head").wait_for()
    canvas.click(*HEADS[4])  # a candidate below the lowest score
    canvas.says("count spine 5")
    assert canvas.table().index.tolist() == [1, 3, 4, 5]

    page.keyboard.press("Control+z")
    canvas.says("Undone")
    page.keyboard.press("Control+z")
    page.get_by_role("button", name="Undo", exact=True).wait_for()
    assert canvas.table().index.tolist() == [1, 2, 3, 4]


def test_a_class_is_changed_by_key_and_a_reload_shows_all_as_left(canvas: Canvas) -> None:
    page = canvas.page
    canvas.click(*HEADS[0])
    page.get_by_role("heading", name="Spine 1").wait_for()
    page.keyboard.press("4")
    page.get_by_role("button", name="Filopodium").and_(page.locator(".sce-on")).wait_for()
    assert canvas.table().loc[1, "class"] == "filopodium"

    x, y = canvas.point(*HEADS[0])
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.mouse.move(x - 40, y + 20)
    page.mouse.down()
    page.mouse.move(x + 30, y - 10, steps=4)
    page.mouse.up()
    page.keyboard.press(".")
    page.wait_for_timeout(400)
    view = canvas.ask("[editor.zoom, ...editor.centre, editor.slice, editor.levels.low, editor.levels.high]")
    page.keyboard.press("Delete")
    canvas.says("remove spine 1")
    assert view == canvas.ask(
        "[editor.zoom, ...editor.centre, editor.slice, editor.levels.low, editor.levels.high]"
    ), "a correction neither moves nor recolours the picture"
    page.reload()
    canvas.wait_for_voxels()
    page.get_by_role("heading", name="3 spines").wait_for()
    assert view[:5] == canvas.ask("[editor.zoom, ...editor.centre, editor.slice]")


def test_every_tool_of_spines(canvas: Canvas) -> None:
    page, (z, y, x) = canvas.page, HEADS[0]
    canvas.click(z, y, x)
    page.get_by_role("heading", name="Spine 1").wait_for()
    before = canvas.table().loc[1]
    page.keyboard.press("t")
    page.get_by_text("Click the tip of spine 1.").wait_for()
    canvas.click(z, y - 5, x)
    canvas.says("move the tip of spine 1")
    assert canvas.table().loc[1, "length_um"] != before["length_um"]
    page.get_by_text("corrected", exact=True).wait_for()

    page.keyboard.press("o")
    centre_x, centre_y = canvas.point(z, y, x)
    radius = 7 * float(canvas.ask("editor.zoom * editor.scene.voxel[2]"))
    page.mouse.move(centre_x + radius, centre_y)
    page.mouse.down()
    for k in range(1, 25):
        turn = k * np.pi / 12
        page.mouse.move(centre_x + radius * np.cos(turn), centre_y + radius * np.sin(turn))
    page.mouse.up()
    canvas.says("redraw the outline of spine 1")
    assert canvas.table().loc[1, "volume_um3"] > before["volume_um3"]

    page.keyboard.press("g")
    canvas.says("mark spine 1 as branched")
    assert canvas.table().loc[1, "branched"]
    page.keyboard.press("s")
    page.get_by_text("Click the second head inside the outline").wait_for()
    canvas.click(z, y + 3, x + 3)
    canvas.says("add spine 6")
    page.get_by_text("added by hand").wait_for()
    page.keyboard.press("m")
    page.get_by_text("Click the other part").wait_for()
    canvas.click(z, y - 3, x - 1)
    canvas.says("merge spines 6 and 1")
    assert canvas.table().index.tolist() == [2, 3, 4, 6]


def test_dendrites_are_cut_joined_redrawn_traced_and_deleted(canvas: Canvas) -> None:
    page = canvas.page
    page.keyboard.press("f")
    page.wait_for_function(f"() => {EDITOR}.zoom < 40")
    page.keyboard.press("c")
    canvas.click(7, 45, 60, look=False)
    canvas.says("cut dendrite 1")
    assert len(canvas.dendrites()) == 2
    page.keyboard.press("j")
    for at in (50, 75):
        canvas.click(7, 45, at, look=False)
    canvas.says("join dendrites 1 and 2")
    assert len(canvas.dendrites()) == 1
    page.keyboard.press("r")
    for at in (40, 60, 80):
        canvas.click(7, 45, at, look=False)
    page.keyboard.press("Enter")
    canvas.says("redraw dendrite")
    page.keyboard.press("p")
    for at in (20, 80):
        canvas.click(7, 70, at, look=False)
    page.keyboard.press("Enter")
    canvas.says("trace dendrite")
    assert len(canvas.dendrites()) == 2
    page.keyboard.press("Control+z")
    canvas.says("Undone: trace dendrite")
    page.keyboard.press("Control+Shift+z")
    canvas.says("Done again: trace dendrite")
    page.get_by_role("button", name="Undo: trace dendrite").wait_for()


def test_what_was_done_before_is_only_undone_when_asked(canvas: Canvas) -> None:
    page = canvas.page
    canvas.click(*HEADS[1])
    page.get_by_role("heading", name="Spine 2").wait_for()
    page.keyboard.press("Delete")
    canvas.says("remove spine 2")
    page.evaluate("() => sessionStorage.removeItem('spinecore-session')")  # as another person, or another day
    page.reload()
    canvas.wait_for_voxels()
    page.get_by_role("button", name="Undo an earlier change").wait_for()
    page.keyboard.press("Control+z")
    page.get_by_text("was done before this session. Take it back?").wait_for()
    assert canvas.table().index.tolist() == [1, 3, 4]
    page.get_by_role("button", name="Take it back").click()
    canvas.says("Undone: remove spine 2")
    assert canvas.table().index.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("way", ["link", "slow link", "back"])
def test_the_page_can_be_left_at_once(canvas: Canvas, address: str, way: str) -> None:
    """Three corrections in a moment and away: all are kept, and the labels follow though nothing is exported."""
    page = canvas.page
    page.goto(f"{address}/results?{page.url.split('?')[1]}")
    page.get_by_role("heading", name="Results").wait_for()
    page.get_by_role("link", name="Correct", exact=True).click()
    canvas.wait_for_voxels()
    before = tifffile.imread(canvas.folder / "labels.tif")
    assert set(np.unique(before)) == {0, 1, 2, 3, 4}
    if way == "slow link":  # the first message takes two seconds to be sent
        page.evaluate(
            f"""() => {{
                const editor = {EDITOR}, send = editor.send
                editor.send = (what) => setTimeout(() => send(what), 2000)
            }}"""
        )
    page.evaluate(f"""() => {{ for (const spine of [1, 2, 4]) {EDITOR}.act({{ do: "remove", spine }}) }}""")
    if way == "back":
        while "/results" not in page.url:
            page.go_back()
            page.wait_for_timeout(300)
    else:
        page.get_by_role("link", name="Results", exact=True).click()
    page.wait_for_url("**/results?**")
    if way == "back":  # nothing can hold the browser's Back: what it cut off is done on return
        page.get_by_role("heading", name="Results").wait_for()
        page.get_by_role("link", name="Correct", exact=True).click()
        page.get_by_role("heading", name="1 spine", exact=True).wait_for()
        canvas.saved()
        page.get_by_role("link", name="Results", exact=True).click()
    for _ in range(100):
        if set(np.unique(tifffile.imread(canvas.folder / "labels.tif"))) == {0, 3}:
            break
        page.wait_for_timeout(200)
    assert canvas.table().index.tolist() == [3]
    assert set(np.unique(tifffile.imread(canvas.folder / "labels.tif"))) == {0, 3}


def test_spines_are_checked_one_by_one(canvas: Canvas) -> None:
    page = canvas.page
    page.get_by_role("button", name="Start checking").click()
    canvas.says("Give your name or initials first")
    page.get_by_label("Your name or initials").fill("AB")
    page.get_by_role("button", name="Start checking").click()
    page.get_by_text("0 of 5 checked").wait_for()
    first = canvas.ask("editor.checking.at")
    page.keyboard.press("n")
    page.get_by_text("1 of 5 checked").wait_for()
    assert first == 4 and canvas.table().index.tolist() == [1, 2, 3]
    second = canvas.ask("editor.checking.at")
    page.keyboard.press("y")
    page.get_by_text("2 of 5 checked").wait_for()
    assert canvas.table().index.tolist() == [1, 2, 3, 5], "a candidate below the threshold takes part"
    assert canvas.table().loc[second, "reviewed_by"] == "AB"
    page.keyboard.press("ArrowLeft")
    page.get_by_text(f"Is {second} a spine?").wait_for()
    page.keyboard.press("u")
    page.get_by_text("1 of 5 checked").wait_for()
    assert canvas.table().index.tolist() == [1, 2, 3]
    page.get_by_role("button", name="Stop checking").click()
    page.get_by_text("1 spine checked by AB").wait_for()
    page.reload()
    canvas.wait_for_voxels()
    assert page.get_by_label("Your name or initials").input_value() == "AB", "it is asked once"


def test_a_click_keeps_the_shown_slice_and_a_long_message_covers_nothing(canvas: Canvas) -> None:
    page = canvas.page
    canvas.click(*HEADS[0])
    page.get_by_role("heading", name="Spine 1").wait_for()
    depth = "(editor.goToSlice(7), editor.voxels.value = (z) => heights[z] ?? 0, editor.depthAt(33, 20))"
    for heights, wanted in (("{6: 95, 7: 92, 8: 100}", 7), ("{6: 95, 7: 60, 8: 100}", 6)):
        assert canvas.ask(f"((heights) => {depth})({heights})") == wanted
    page.set_viewport_size({"width": 1280, "height": 560})
    canvas.ask(f"editor.say({'nothing stands out there, click elsewhere; ' * 4!r}, true)")
    page.locator(".sce-message").filter(has_text="elsewhere").wait_for()
    overlap = page.evaluate(
        """() => {
            const message = document.querySelector('.sce-message')
            return message.scrollHeight - message.clientHeight
        }"""
    )
    assert overlap <= 0
