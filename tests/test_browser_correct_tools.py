"""Every tool of the page Correct with mouse and keys on real images; then the page is reloaded, and files are compared with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from canvas import EDITOR, Canvas
from canvas_files import files_agree_with_the_page, scene_spines
from drawn_analysis import put_analysis
from playwright import sync_api as playwright

from spinecore.analysis.inputs import read_input
from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import analyse
from spinecore.evaluation.builtin import REAL
from spinecore.tracing.edge import path_length
from spinecore.training.recipes import default_data
from spinecore.workspace.workspace import Workspace

pytestmark = pytest.mark.browser
#: Each image, and how it is analysed; ScanImage's header holds no pixel size.
FILES = {
    "sample": (REAL.stack, Settings()),
    "in vivo": (default_data() / "real_stacks" / "tp2.tif", Settings()),
    "ScanImage": (default_data() / "real_inputs" / "scanimage_stack_4z_2ch.tif", Settings(pixel_um=0.1)),
}


@cache
def analysed(name: str) -> Analysis:
    path, settings = FILES[name]
    return analyse(read_input(path, settings), settings)


@pytest.fixture
def canvas(
    address: str,
    workspace_folder: Path,
    chromium: playwright.Browser,
    request: pytest.FixtureRequest,
) -> Iterator[Canvas]:
    path, _ = FILES[request.param]
    if not path.is_file():
        pytest.skip(f"{path.name} is not here (SPINE_DATA names the folder of the data)")
    space = Workspace(workspace_folder)
    job = put_analysis(space, path, analysed(request.param))
    page = chromium.new_page(viewport={"width": 1280, "height": 720}, accept_downloads=True)
    page.set_default_timeout(60_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    made = Canvas(page, address, job.id, space.result_folder(job.id))
    made.zoom_to(30.0)
    yield made
    page.close()
    assert not problems


@contextmanager
def changes(canvas: Canvas, words: str, drawn: bool = True) -> Iterator[None]:
    """What is done within is said, can be undone by its name, and picture (what is `drawn` in it) and tables follow at once."""
    before = canvas.picture()
    yield
    canvas.says(words)
    canvas.saved()
    undo = canvas.page.get_by_role("button", name=re.compile("^Undo: "))
    assert words in undo.inner_text()
    assert not drawn or canvas.picture() != before
    canvas.agrees()


def line_of(canvas: Canvas, dendrite: int) -> np.ndarray:
    """The longest line of a dendrite as it is drawn, (n, 3) ZYX."""
    shown = next(d for d in canvas.ask("editor.scene.dendrites") if d["id"] == dendrite)
    return max((np.reshape(line["points"], (-1, 3)) for line in shown["lines"]), key=len)


def clicks(canvas: Canvas, key: str, *places: np.ndarray) -> None:
    """Take a tool by its key and click places; Enter ends a line."""
    canvas.page.keyboard.press(key)
    for place in places:
        canvas.not_twice()
        canvas.click(*place)


def head_of(canvas: Canvas, spine: int) -> np.ndarray:
    return np.array(scene_spines(canvas)[spine]["head"])


def um(canvas: Canvas) -> np.ndarray:
    return np.array(canvas.ask("editor.scene.voxel"))


def near_pair(canvas: Canvas, most_um: float = 3.0) -> tuple[int, int]:
    """The two spines whose heads are nearest to each other, of those that are apart enough to be seen as two."""
    spines = scene_spines(canvas)
    heads = {n: np.array(s["head"]) * um(canvas) for n, s in spines.items()}
    gaps = {(a, b): float(np.linalg.norm(heads[a] - heads[b])) for a in heads for b in heads if a < b}
    fit = {pair: gap for pair, gap in gaps.items() if 0.7 < gap < most_um}
    assert fit, "no two spines are near each other here"
    return min(fit, key=fit.__getitem__)


def far_voxel(canvas: Canvas, spine: int) -> np.ndarray:
    """The voxel of an outline that is farthest from its head, in the slice of the head."""
    origin, mask = canvas.mask_of(spine)
    grid = canvas.ask("editor.scene.grid")
    voxels = (np.argwhere(mask) + origin) * grid["step"] + grid["offset"]
    head = head_of(canvas, spine)
    voxels = voxels[np.abs(voxels[:, 0] - head[0]) < 0.6]
    return voxels[np.linalg.norm((voxels - head) * um(canvas), axis=1).argmax()]


def choose(canvas: Canvas, spine: int) -> None:
    canvas.page.keyboard.press("v")
    canvas.click(*head_of(canvas, spine))
    canvas.page.get_by_role("heading", name=f"Spine {spine}").wait_for()


def as_left_after_a_reload(canvas: Canvas) -> None:
    """Lines, outlines, measures, the view, what is chosen and what can be undone are there again."""
    seen = "[JSON.parse(editor.sceneText), editor.zoom, ...editor.centre, ...editor.cross, editor.thickness, editor.chosen, editor.told.undo]"
    canvas.page.wait_for_function(
        f"""() => {{
            const editor = {EDITOR}, kept = JSON.parse(sessionStorage[`spinecore-correct-${{editor.analysis}}`])
            return `${{[kept.centre, kept.zoom, kept.chosen]}}` === `${{[editor.centre, editor.zoom, editor.chosen]}}`
        }}"""
    )
    before = canvas.ask(seen)
    canvas.page.reload()
    canvas.wait_for_voxels()
    assert not list(differences(canvas.ask(seen), before))
    canvas.agrees()


def differences(one: object, other: object, where: str = "") -> Iterator[str]:
    """Where two JSON values differ; numbers may by the last digit that a table is stored with."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for k, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{where}[{k}]")
    elif isinstance(one, float) and isinstance(other, int | float):
        if abs(one - other) > 2e-3:
            yield f"{where}: {one}, {other}"
    elif one != other:
        yield f"{where}: {one}, {other}"


# --- the built-in sample --------------------------------------------------------------------------


@pytest.mark.parametrize("canvas", ["sample"], indirect=True)
def test_every_tool_of_dendrites_on_the_sample(canvas: Canvas) -> None:
    page = canvas.page
    before = canvas.dendrites()["path_length_um"]
    own = int(before.idxmax())
    line = line_of(canvas, own)

    arc = np.append(0, np.cumsum(np.linalg.norm(np.diff(line * um(canvas), axis=0), axis=1)))

    def at(share: float) -> np.ndarray:
        return np.array([np.interp(share * arc[-1], arc, line[:, axis]) for axis in range(3)])

    with changes(canvas, f"cut dendrite {own}"):
        clicks(canvas, "c", at(0.7))
    other = int(canvas.dendrites().index.difference(before.index)[0])
    with changes(canvas, f"delete a branch of dendrite {other}"):
        clicks(canvas, "k", line_of(canvas, other)[len(line_of(canvas, other)) // 2])
    assert other not in canvas.dendrites().index
    with changes(canvas, f"extend dendrite {own}"):
        clicks(canvas, "e", at(0.7), at(0.85), at(1.0))
        page.keyboard.press("Enter")
    assert canvas.dendrites()["path_length_um"][own] == pytest.approx(before[own], rel=0.05)
    with changes(canvas, f"cut dendrite {own}"):
        clicks(canvas, "c", at(0.4))
    with changes(canvas, "join dendrites"):
        clicks(canvas, "j", at(0.37), at(0.43))
    assert canvas.dendrites()["path_length_um"].max() == pytest.approx(before[own], rel=0.05)
    with changes(canvas, "redraw dendrite"):
        clicks(canvas, "r", at(0.3), at(0.4), at(0.5))
        page.keyboard.press("Enter")
    assert canvas.dendrites()["path_length_um"].max() == pytest.approx(before[own], rel=0.05)
    number = int(canvas.dendrites()["path_length_um"].idxmax())
    page.keyboard.press("v")
    canvas.click(*at(0.55))
    with changes(canvas, f"delete dendrite {number}"):
        page.get_by_role("button", name="Delete this dendrite").click()
    with changes(canvas, "trace dendrite"):
        clicks(canvas, "p", at(0.02), at(0.33), at(0.66), at(0.98))
        page.keyboard.press("Enter")
    traced = canvas.dendrites().drop(index=number, errors="ignore")["path_length_um"].iloc[-1]
    assert traced == pytest.approx(0.96 * path_length(line * um(canvas)), rel=0.05)
    with changes(canvas, "mark the soma"):
        clicks(canvas, "0", at(0.0))
    assert canvas.table()["soma_distance_um"].notna().any()
    assert canvas.ask("editor.scene.soma") is not None
    as_left_after_a_reload(canvas)
    files_agree_with_the_page(canvas)


@pytest.mark.parametrize("canvas", ["sample"], indirect=True)
def test_every_tool_of_spines_on_the_sample(canvas: Canvas) -> None:
    page, voxel = canvas.page, um(canvas)
    first, second = near_pair(canvas)
    place = head_of(canvas, second)
    with changes(canvas, f"merge spines {first} and {second}"):
        clicks(canvas, "m", head_of(canvas, first), place)
    with changes(canvas, f"count spine {second}"):
        clicks(canvas, "s", place)
    large = int(canvas.table()["area_um2"].idxmax())
    with changes(canvas, "add spine"):
        clicks(canvas, "s", far_voxel(canvas, large))
    spine = max(scene_spines(canvas))
    with changes(canvas, f"remove spine {spine}"):
        page.keyboard.press("Delete")
    whole = canvas.table()
    whole = whole[whole["length_um"].notna() & ~whole["touches_border"].astype(bool)]
    own = int(whole["area_um2"].idxmax())
    choose(canvas, own)
    shown = scene_spines(canvas)[own]
    head, base = np.array(shown["head"]), np.array(shown["base"])
    across = np.array([0.0, *(np.array([-1, 1]) * ((base - head) * voxel)[[2, 1]])]) / voxel
    across /= np.linalg.norm(across * voxel)  # one um beside the spine, in the slice
    with changes(canvas, f"move the base of spine {own}"):
        clicks(canvas, "b", base + 0.4 * across)
    with changes(canvas, f"move the tip of spine {own}"):
        clicks(canvas, "t", head + 0.4 * across)
    with changes(canvas, f"move the head of spine {own}"):
        clicks(canvas, "h", head + 0.1 * across)
    turn = np.arange(0, 2 * np.pi, 0.4)
    ring = [head + np.array([0, np.sin(a) * 0.5, np.cos(a) * 0.5]) / voxel for a in turn]
    page.keyboard.press("o")
    with changes(canvas, f"redraw the outline of spine {own}"):
        canvas.drag(ring)
    page.keyboard.press("d")
    with changes(canvas, f"add to the outline of spine {own}"):
        canvas.drag([head, head + 0.9 * across])
    page.keyboard.press("w")
    with changes(canvas, f"erase of the outline of spine {own}"):
        canvas.drag([head + 0.9 * across, head + 0.5 * across])
    with changes(canvas, f"grow the outline of spine {own}"):
        canvas.slide("Outline wider or tighter", 0.75)
    with changes(canvas, f"class of spine {own}", drawn=False):
        name = "Stubby" if shown["class"] != "stubby" else "Thin"
        page.get_by_role("button", name=name).click()
    with changes(canvas, f"mark spine {own} as branched", drawn=False):
        page.keyboard.press("g")
    _attached_to_the_other_part(canvas)
    as_left_after_a_reload(canvas)
    files_agree_with_the_page(canvas)


def _attached_to_the_other_part(canvas: Canvas) -> None:
    """Cut a dendrite beside the base of a spine, and give the spine to the part that it does not belong to."""
    spine, line, near = next(_spines_far_from_ends(canvas))
    with changes(canvas, "cut dendrite"):
        clicks(canvas, "c", line[near + 8])
    before = canvas.table().loc[spine, "dendrite_id"]
    choose(canvas, spine)
    with changes(canvas, f"attach spine {spine} to dendrite"):
        clicks(canvas, "l", line[near + 16])
    assert canvas.table().loc[spine, "dendrite_id"] not in (before, np.nan)
    assert canvas.table().loc[spine, "length_um"] > 0


def _spines_far_from_ends(canvas: Canvas) -> Iterator[tuple[int, np.ndarray, int]]:
    """Spines whose base is far from the ends of its line: number, the line, and its point at the base."""
    for spine, shown in scene_spines(canvas).items():
        if shown["dendrite"] is None or shown["base"] is None:
            continue
        line = line_of(canvas, shown["dendrite"])
        near = int(np.linalg.norm((line - shown["base"]) * um(canvas), axis=1).argmin())
        if 30 < near < len(line) - 30:
            yield spine, line, near


# --- real stacks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("canvas", ["in vivo"], indirect=True)
def test_attach_extend_base_and_merge_on_a_stack_in_vivo(canvas: Canvas) -> None:
    page, voxel = canvas.page, um(canvas)
    first, second = near_pair(canvas)
    with changes(canvas, f"merge spines {first} and {second}"):
        clicks(canvas, "m", head_of(canvas, first), head_of(canvas, second))
    choose(canvas, first)
    base = np.array(scene_spines(canvas)[first]["base"])
    with changes(canvas, f"move the base of spine {first}"):
        clicks(canvas, "b", base + np.array([0, 0, 0.3]) / voxel)
    lengths = canvas.dendrites()["path_length_um"]
    own = int(lengths.idxmax())
    line = line_of(canvas, own)
    with changes(canvas, f"cut dendrite {own}"):
        clicks(canvas, "c", line[round(0.8 * len(line))])
    other = int(canvas.dendrites().index.difference(lengths.index)[0])
    page.keyboard.press("v")
    part = line_of(canvas, other)
    canvas.click(*part[len(part) // 2])
    with changes(canvas, f"delete dendrite {other}"):
        page.get_by_role("button", name="Delete this dendrite").click()
    with changes(canvas, f"extend dendrite {own}"):
        clicks(canvas, "e", line[round(0.8 * len(line)) - 1], line[round(0.9 * len(line))], line[-1])
        page.keyboard.press("Enter")
    assert canvas.dendrites()["path_length_um"][own] == pytest.approx(lengths[own], rel=0.08)
    _attached_to_the_other_part(canvas)
    as_left_after_a_reload(canvas)
    files_agree_with_the_page(canvas)


@pytest.mark.parametrize("canvas", ["ScanImage"], indirect=True)
def test_grow_soma_and_trace_on_four_thick_slices(canvas: Canvas) -> None:
    page = canvas.page
    own = int(canvas.table()["score"].idxmax())
    choose(canvas, own)
    with changes(canvas, f"grow the outline of spine {own}"):
        canvas.slide("Outline wider or tighter", 0.9)
    lengths = canvas.dendrites()["path_length_um"]
    longest = int(lengths.idxmax())
    line = line_of(canvas, longest)
    page.keyboard.press("v")
    canvas.click(*line[len(line) // 2])
    with changes(canvas, f"delete dendrite {longest}"):
        page.get_by_role("button", name="Delete this dendrite").click()
    with changes(canvas, "trace dendrite"):  # all clicks in one slice, though the shaft rises through two
        clicks(canvas, "p", *([1.0, *line[k][1:]] for k in (2, len(line) // 2, len(line) - 3)))
        page.keyboard.press("Enter")
    traced = canvas.dendrites()["path_length_um"].iloc[-1]
    assert traced == pytest.approx(path_length(line[2:-2] * um(canvas)), rel=0.15)
    with changes(canvas, "mark the soma"):
        clicks(canvas, "0", line[0])
    assert canvas.table()["soma_distance_um"].notna().any()
    assert canvas.ask("editor.scene.soma") is not None
    as_left_after_a_reload(canvas)
    files_agree_with_the_page(canvas)
