"""How long twenty errors of a real stack take to correct on the page: `python -m benchmarks.correcting_page`.

A day of `real_stacks` that is learned from (`--day`, tp0, tp2 or tp4) is analysed (`--analysis DIR` takes a stored analysis). What differs from the
expert's marks of segment 0 are its errors: spines that are none, spines that are missing, and tips that are not at the mark, which sits
at the far end of the head. Twenty of them are corrected on the page Correct in Chromium with mouse and keys: the picture is dragged,
slices are stepped through, the tool's key is pressed and the place is clicked. A person is imitated by pauses: so many
seconds for each place aimed at, each key, and each error for a look at it (`--aim`, `--key`, `--look`). Printed are these seconds and,
apart from them, those from the click to the answer on the page, by kind of error, and F1 against the marks before and after. Finding the
errors is not counted. Needs playwright and a Chromium.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pandas as pd
from playwright.sync_api import Page

from benchmarks.screenshots import dashboard
from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import analyse
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.evaluation.marks import marks_are_silent
from spinecore.evaluation.matching import match_edges
from spinecore.reading import read_stack
from spinecore.training.real_stacks import (
    LEARNED,
    OWN_SEGMENT,
    Marks,
    count_by_segment,
    label_places,
    load_marks,
)
from spinecore.training.recipes import default_data
from spinecore.workspace.records import Progress, now
from spinecore.workspace.workspace import Workspace

#: A tip farther than this from the mark, in the picture, is wrong (um).
TIP_UM = 0.6
#: Pixels of the screen per um while errors are corrected.
ZOOM = 30.0
EDITOR = "document.querySelector('.sce').editor"
Place = tuple[float, float, float]


@dataclass(frozen=True)
class Fault:
    """One error: "false", "missed" or "tip"; where its head is, and the place to click (ZYX px)."""

    kind: str
    at: Place
    click: Place


@dataclass
class Times:
    """Seconds of one kind of error."""

    human: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)


def faults_of(marks: Marks, analysis: Analysis, most: int) -> list[Fault]:
    """Return errors of segment 0 in order along x: of each kind in turn one, the worst tips first."""
    spines = analysis.spines
    centres = spines[["z_um", "y_um", "x_um"]].to_numpy(float)
    size = np.array(analysis.spacing.zyx_um())
    scores = spines["score"].fillna(1).to_numpy(float)
    false, missed = [], []
    for k in np.flatnonzero(label_places(marks, centres, scores, OWN_SEGMENT) == 0):
        at = _place(centres[k] / size)
        false.append(Fault("false", at, at))
    silent = marks_are_silent(centres, marks.line_um)
    pairs = match_edges(marks.edges(centres), marks.counts, None, silent).pairs
    own = marks.counts & (marks.segment == OWN_SEGMENT)
    for k in np.setdiff1d(np.flatnonzero(own), pairs[:, 0]):
        at = _place(marks.heads_um()[k] / size)
        missed.append(Fault("missed", at, at))
    tips = []
    for mark, spine in pairs:
        row = spines.iloc[spine]
        tip = row[["tip_z_px", "tip_y_px", "tip_x_px"]].to_numpy(float)
        off = float(np.linalg.norm((tip - marks.places_um[mark, :3] / size)[1:] * size[1:]))
        if own[mark] and off > TIP_UM:
            tips.append(
                (off, Fault("tip", _place(centres[spine] / size), _place(marks.places_um[mark, :3] / size)))
            )
    worst = [fault for _, fault in sorted(tips, key=lambda t: -t[0])]
    turns = (fault for turn in zip_longest(false, missed, worst) for fault in turn if fault is not None)
    return sorted(islice(turns, most), key=lambda fault: fault.at[2])


def _place(zyx: np.ndarray) -> Place:
    z, y, x = (float(v) for v in zyx)
    return z, y, x


class Person:
    """Corrects on the page with mouse and keys, at the pace of a person."""

    def __init__(self, page: Page, aim: float, key: float, look: float) -> None:
        self.page, self.aim, self.key, self.look = page, aim, key, look
        self.spent, self.refused = 0.0, 0

    def pause(self, seconds: float) -> None:
        """Wait as long as a person takes."""
        self.page.wait_for_timeout(1000 * seconds)
        self.spent += seconds

    def press(self, key: str) -> None:
        """Press a key."""
        self.pause(self.key)
        self.page.keyboard.press(key)

    def ask(self, script: str) -> object:
        """Return what the page knows."""
        return self.page.evaluate(f"() => {{ const editor = {EDITOR}; return {script} }}")

    def where(self, place: Place) -> tuple[float, float]:
        """Return where a place is in the window."""
        x, y = self.page.evaluate(
            f"""(p) => {{
                const view = {EDITOR}.views[0], box = view.canvas.getBoundingClientRect()
                return [box.left + view.toX(p[2]), box.top + view.toY(p[1])]
            }}""",
            list(place),
        )
        return float(x), float(y)

    def go(self, place: Place) -> None:
        """Bring a place into view: the picture is dragged, slices are stepped through."""
        box = self.page.evaluate(
            f"() => {{ const b = {EDITOR}.views[0].canvas.getBoundingClientRect(); return [b.left, b.top, b.width, b.height] }}"
        )
        left, top, width, height = box
        middle = left + width / 2, top + height / 2
        for _ in range(12):
            x, y = self.where(place)
            if abs(x - middle[0]) < 0.4 * width and abs(y - middle[1]) < 0.4 * height:
                break
            reach = 0.4 * np.array([width, height])
            shift = np.clip(np.array(middle) - (x, y), -2 * reach, 2 * reach)
            start = np.array(middle) - shift / 2
            self.pause(self.aim)
            self.page.mouse.move(*start)
            self.page.mouse.down()
            self.page.mouse.move(*(start + shift / 2), steps=3)
            self.page.mouse.move(*(start + shift), steps=3)
            self.page.mouse.up()
            self.pause(self.aim)
        steps = round(place[0]) - int(self.ask("editor.slice"))  # type: ignore[call-overload]
        for _ in range(abs(steps)):
            self.press("." if steps > 0 else ",")

    def click(self, place: Place) -> None:
        """Aim and click."""
        self.pause(self.aim)
        self.page.mouse.click(*self.where(place))

    def correct(self, fault: Fault) -> float:
        """Correct an error; return the seconds from the last click to the answer."""
        self.pause(self.look)
        self.go(fault.at)
        if fault.kind == "tip":
            self.press("v")
            self.click(fault.at)
        self.press({"false": "x", "missed": "a", "tip": "t"}[fault.kind])
        heard = self.ask("editor.heardTo ?? 0")
        self.click(fault.click)
        start = perf_counter()
        self.page.wait_for_function(
            f"(n) => {{ const e = {EDITOR}; return ((e.heardTo ?? 0) > n && !e.saving) || e.message.bad }}",
            arg=heard,
        )
        seconds = perf_counter() - start
        if self.ask("Boolean(editor.message.bad)"):
            self.refused += 1
            print(f"  {fault.kind} at {np.round(fault.at, 1)}: {self.ask('editor.message.text')}")
        return seconds


def store(space: Path, marks: Marks, given: Path | None) -> tuple[Workspace, str]:
    """Put the stack and its analysis into a workspace; return that and the number of the analysis."""
    workspace = Workspace(space)
    record = workspace.add_stack(marks.path)
    job = workspace.new_job(record.sha256, {})
    found = load_analysis(given) if given else analyse(read_stack(marks.path), Settings())
    save_analysis(found, workspace.result_folder(job.id))
    workspace.put_job(job.model_copy(update={"state": "done", "finished": now()}))
    summary = {"spines": len(found.spines)}
    progress = Progress(pid=1, started=now(), updated=now(), stage="Done", fraction=1.0, summary=summary)
    (workspace.job_folder(job.id) / "progress.json").write_text(progress.model_dump_json(), encoding="utf-8")
    return workspace, job.id


def f1_of(marks: Marks, folder: Path) -> float:
    """F1 of a stored table on segment 0."""
    spines = pd.read_csv(folder / "spines.csv")
    return count_by_segment(marks, spines[["z_um", "y_um", "x_um"]].to_numpy(float))[OWN_SEGMENT].f1


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--day", choices=LEARNED, default="tp2")
    parser.add_argument("--analysis", type=Path, metavar="DIR", help="take this analysis of the day")
    parser.add_argument("--errors", type=int, default=20)
    parser.add_argument("--aim", type=float, default=1.2, help="seconds for a place aimed at")
    parser.add_argument("--key", type=float, default=0.4, help="seconds for a key")
    parser.add_argument("--look", type=float, default=1.35, help="seconds to look at an error")
    args = parser.parse_args()
    marks = load_marks(args.data or default_data(), [args.day])[0]
    with TemporaryDirectory() as space:
        workspace, number = store(Path(space), marks, args.analysis)
        folder = workspace.result_folder(number)
        faults = faults_of(marks, load_analysis(folder), args.errors)
        before, times = f1_of(marks, folder), {kind: Times() for kind in ("false", "missed", "tip")}
        with dashboard(Path(space)) as (page, address):
            page.goto(f"{address}/correct?analysis={number}")
            page.wait_for_function(
                f"() => {EDITOR}?.voxels?.loaded > 0".replace(
                    EDITOR, "document.querySelector('.sce')?.editor"
                )
            )
            person = Person(page, args.aim, args.key, args.look)
            person.press("f")
            page.wait_for_timeout(500)
            while float(person.ask("editor.zoom")) < ZOOM:  # type: ignore[arg-type]
                page.mouse.move(*person.where(faults[0].at))
                page.mouse.wheel(0, -120)
                person.pause(0.1)
            page.wait_for_timeout(3000)  # the voxels arrive
            first = person.spent
            for fault in faults:
                spent = person.spent
                seconds = person.correct(fault)
                times[fault.kind].human.append(person.spent - spent)
                times[fault.kind].answer.append(seconds)
            page.wait_for_function(f"() => !{EDITOR}.saving")
        human = [v for t in times.values() for v in t.human]
        answer = [v for t in times.values() for v in t.answer]
        for kind, own in times.items():
            if own.human:
                print(
                    f"{kind}: {len(own.human)} errors, {np.mean(own.human):.1f} s of a person each, "
                    f"answered in {np.median(own.answer):.2f} s (median; most {max(own.answer):.2f} s)"
                )
        print(
            f"{args.day}: {len(faults) - person.refused} of {len(faults)} errors corrected in {first + sum(human) + sum(answer):.0f} s: {first + sum(human):.0f} s of a person "
            f"({args.aim:g} s a place, {args.key:g} s a key, {args.look:g} s to look), {sum(answer):.0f} s until answered"
        )
        print(f"F1 against the marks of segment 0: {before:.3f} before, {f1_of(marks, folder):.3f} after")


if __name__ == "__main__":
    main()
