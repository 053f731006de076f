"""Two people check one analysis in two browsers at once: each for themselves, then they see where they differ and settle it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from canvas import Canvas
from drawn_analysis import put_in_workspace
from playwright import sync_api as playwright
from typer.testing import CliRunner

from spinecore.cli.main import app
from spinecore.workspace.workspace import Workspace

pytestmark = pytest.mark.browser


@pytest.fixture
def pair(
    address: str, workspace_folder: Path, chromium: playwright.Browser, tmp_path: Path
) -> Iterator[tuple[Canvas, Canvas]]:
    """The same analysis in two browsers that share nothing."""
    space = Workspace(workspace_folder)
    job = put_in_workspace(space, tmp_path, origin=tmp_path.name)
    problems: list[str] = []
    made = []
    for _ in range(2):
        page = chromium.new_context(viewport={"width": 1280, "height": 720}).new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        made.append(Canvas(page, address, job.id, space.result_folder(job.id)))
    yield made[0], made[1]
    for canvas in made:
        canvas.page.context.close()
    assert not problems


def start(canvas: Canvas, by: str, order: str, blinded: bool = False) -> None:
    page = canvas.page
    page.get_by_label("Your name or initials").fill(by)
    page.get_by_label("Order").select_option(label=order)
    if blinded:
        page.get_by_label("Order").select_option(label="Least sure first")
        page.get_by_label("Hide names, scores and outlines").check()
        chosen = page.get_by_label("Order").locator("option:checked")
        playwright.expect(chosen).to_have_text(order)  # the least sure first would tell scores
        playwright.expect(page.get_by_role("option", name="Least sure first")).to_be_disabled()
    page.get_by_role("button", name="Start checking").click()
    page.get_by_text("0 of 5 checked").wait_for()


def answer(canvas: Canvas, key: str, checked: int) -> int:
    """Press a key about what is asked; return its number."""
    asked = int(canvas.ask("editor.checking.at"))
    canvas.page.keyboard.press(key)
    canvas.page.get_by_text(f"{checked} of 5 checked").wait_for()
    canvas.saved()
    return asked


def test_two_people_check_settle_and_see_how_far_they_agree(pair: tuple[Canvas, Canvas]) -> None:
    ada, ben = pair
    start(ada, "Ada", "In random order", blinded=True)
    page = ada.page
    page.get_by_text("Is there a spine in the ring?").wait_for()
    assert not page.get_by_text("Score 0.").count() and not page.get_by_role("heading", name="Spine ").count()
    assert (
        page.locator(".st-key-side_by_side_heading").evaluate("e => getComputedStyle(e).visibility")
        == "hidden"
    )
    order = ada.ask("editor.told.check.order")
    first = answer(ada, "y", 1)
    page.keyboard.press("u")
    page.get_by_text("0 of 5 checked").wait_for()
    assert ada.ask("Object.keys(editor.told.check.answers)") == []
    ada.ask(f"editor.checking.go({first})")
    page.keyboard.press(
        "1"
    )  # of a candidate that the program did not count as well: it looks the same while blinded
    page.get_by_role("button", name="Mushroom").and_(page.locator(".sce-on")).wait_for()
    assert page.get_by_role("heading", name="Its class").is_visible()
    for k in range(1, 6):
        asked = int(ada.ask("editor.checking.at"))
        assert page.get_by_role("heading", name="Its class").is_visible(), asked
        if asked == 5:
            page.keyboard.press("2")
            ada.says("class of spine 5")
        answer(ada, "y", k)
    page.get_by_text("All are checked.").wait_for()
    assert ada.table().loc[5, "class"] == ada.ask("editor.classes[1]")

    start(ben, "Ben", "Along each dendrite")
    assert sorted(ben.ask("editor.told.check.order")) == sorted(order)
    asked = int(ben.ask("editor.checking.at"))
    ben.page.keyboard.press("3")  # the class of what is asked about, and it stays asked
    ben.page.get_by_role("button", name="Stubby").and_(ben.page.locator(".sce-on")).wait_for()
    assert ben.table().loc[asked, "class"] == "stubby" and ben.ask("editor.checking.at") == asked
    refused = 2
    for k in range(1, 6):
        answer(ben, "n" if ben.ask("editor.checking.at") == refused else "y", k)
    ben.page.get_by_role("button", name="Stop checking").click()
    ben.page.get_by_text("5 spines checked by Ada and Ben").wait_for()
    ben.page.get_by_text("Ada and Ben both checked 5: F1 0.89").wait_for()
    ben.page.get_by_text("Ada: yes, Ben: no").wait_for()
    assert refused in ben.table().index, "while they differ, what held before holds"
    table = ben.table()
    assert table["reviewed"].all() and set(table["reviewed_by"]) == {"Ada; Ben"}

    ada.page.get_by_role("button", name="Stop checking").click()
    ada.page.get_by_text("Ada: yes, Ben: no").wait_for()
    ada.page.get_by_role("button", name="None", exact=True).click()
    ada.says(f"no to spine {refused}")
    ada.saved()
    assert refused not in ada.table().index
    assert not ada.page.get_by_text("Ada: yes, Ben: no").count()
    found = json.loads(CliRunner().invoke(app, ["check", "report", str(ada.folder), "--json"]).stdout)
    assert found["people"] == ["Ada", "Ben"] and found["open"] == 0
    (both,) = found["agreement"]
    assert (both["n"], both["both_yes"], both["only_a"], both["both_no"]) == (5, 4, 1, 0)
    assert both["kappa"] == pytest.approx(0.0) and both["f1"] == pytest.approx(8 / 9)
    lines = (ada.folder / "corrections.jsonl").read_text(encoding="utf-8").splitlines()
    people = [json.loads(line)["by"] for line in lines if json.loads(line)["kind"] == "check"]
    assert people.count("Ben") >= 5 and people.count("Ada") >= 7


def test_a_spine_is_divided_while_checking(pair: tuple[Canvas, Canvas]) -> None:
    canvas = pair[0]
    start(canvas, "Ada", "Along each dendrite")
    asked = int(canvas.ask("editor.checking.at"))
    before = set(canvas.table().index)
    place = canvas.ask(f"editor.scene.byId.get({asked}).head")
    canvas.page.keyboard.press("s")
    canvas.click(place[0], place[1] + (6 if place[1] < 45 else -6), place[2])
    canvas.says("add spine")
    canvas.saved()
    (new,) = set(canvas.table().index) - before
    canvas.agrees()
    assert canvas.ask("editor.checking.on")
    canvas.page.keyboard.press("v")
    canvas.ask(f"editor.checking.go({asked})")
    canvas.page.get_by_text(f"Is {asked} a spine?").wait_for()
    canvas.page.get_by_text("1 of 6 checked").wait_for()  # the new one is its own answer
    canvas.page.keyboard.press("y")
    canvas.page.get_by_text("2 of 6 checked").wait_for()
    canvas.saved()
    assert canvas.table().loc[asked, "reviewed"] and new in canvas.table().index
