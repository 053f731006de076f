"""Work for the tests of the job manager; worker processes import it by name, so it stays small."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from spinecore.errors import SpinecoreError
from spinecore.jobs.manager import JobManager
from spinecore.jobs.work import Report, Summary
from spinecore.workspace.workspace import Workspace


def copy_work(stack_path: Path, settings: dict[str, Any], folder: Path, report: Report) -> Summary:
    """Do a little, and leave the size of the file and the settings as the result."""
    for step in range(4):
        report("Looking", step / 4)
    (folder / "result.txt").write_text(f"{stack_path.stat().st_size} {settings}")
    return {"spines": 3, "dendrites": 1, "dendrite_um": None}


def slow_work(stack_path: Path, settings: dict[str, Any], folder: Path, report: Report) -> Summary:
    """Take settings["seconds"] unless cancelled."""
    steps = max(1, int(settings["seconds"] / 0.02))
    for step in range(steps):
        report("Going slowly", step / steps)
        time.sleep(0.02)
    return copy_work(stack_path, settings, folder, report)


def deaf_work(stack_path: Path, settings: dict[str, Any], folder: Path, report: Report) -> Summary:
    """Begin, and then never look at anything again."""
    report("Not listening", 0.1)
    time.sleep(60)
    return {}


def fragile_work(stack_path: Path, settings: dict[str, Any], folder: Path, report: Report) -> Summary:
    """End as settings["end"] says."""
    report("Being fragile", 0.2)
    end = settings.get("end")
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if end == "value":
        raise SpinecoreError("the file has 5 axes: choose one time point")
    if end == "fault":
        raise KeyError("no such thing")
    return copy_work(stack_path, settings, folder, report)


def be_a_server(root: str, stack_sha256: str) -> None:
    """Run a slow job and queue two more, as a server that is about to be killed does."""
    manager = JobManager(Workspace(Path(root)), work=slow_work)
    for n in range(3):
        print(manager.submit(stack_sha256, {"seconds": 60.0, "n": n}).id, flush=True)
    time.sleep(60)
