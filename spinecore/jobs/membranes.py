"""Membranes of a micrograph found as a job; settings are those of `spinecore.membranes.segment.MembraneSettings`."""

from __future__ import annotations

from pathlib import Path

from spinecore.jobs.work import Kind, Report, Summary, Task
from spinecore.membranes.segment import MembraneSettings, segment_file


class MembraneSegmentation(Kind):
    """Find membranes and cells in every section of a stack."""

    name = "membranes"

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        """See `Kind.run`."""
        done = segment_file(task.stack, MembraneSettings(**task.settings), out, progress=report)
        return {"cells": done.n_cells, "sections": done.n_sections}
