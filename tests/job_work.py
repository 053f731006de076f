"""Work for the tests of the job manager; worker processes import it by name, so it stays small."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from waiting import wait_until

from spinecore.errors import SpinecoreError
from spinecore.jobs.work import Kind, Report, Summary, Task
from spinecore.workspace.workspace import Workspace

#: A patient job goes on when a file of this name lies in its folder.
GO = "go"


class Copy(Kind):
    """Do a little, and leave the size of the file and the settings as the result."""

    name = "analysis"

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        for step in range(4):
            report("Looking", step / 4)
        size = task.stack_path.stat().st_size if task.stack_path else 0
        (out / "result.txt").write_text(f"{size} {task.settings}")
        return {"spines": 3, "dendrites": 1, "dendrite_um": None}


class Patient(Copy):
    """Go on only when told to, or cancelled."""

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        def may_go_on() -> bool:
            report("Going slowly", 0.1)
            return (task.folder / GO).exists()

        wait_until(may_go_on)
        return super().run(task, out, report)


class Deaf(Copy):
    """Begin, and then never look at anything again."""

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        report("Not listening", 0.1)
        wait_until(lambda: False)
        return {}


class Fragile(Copy):
    """End as settings["end"] says."""

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        report("Being fragile", 0.2)
        end = task.settings.get("end")
        if end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if end == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if end == "value":
            raise SpinecoreError("the file has 5 axes: choose one time point")
        if end == "fault":
            raise KeyError("no such thing")
        return super().run(task, out, report)


class Background(Patient):
    """Work that must not keep analyses waiting; it notes its niceness."""

    name = "training"
    background = True

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        if hasattr(os, "nice"):
            (task.folder / "niceness").write_text(str(os.nice(0)))
        return super().run(task, out, report)


def be_a_server(root: str, stack_sha256: str) -> None:
    """Run a patient job and queue two more, as a server that is about to be killed does."""
    from spinecore.jobs.manager import JobManager  # not needed by workers, and slow to import

    manager = JobManager(Workspace(Path(root)), kinds={"analysis": Patient()})
    for n in range(3):
        print(manager.submit(stack_sha256, {"n": n}).id, flush=True)
    sys.stdin.read()
