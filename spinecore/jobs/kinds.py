"""The kinds of work that a job can be.

To add one: write a class with `name` and `run` as below (`spinecore.jobs.work.Kind` documents both and what else may be
overridden), put it into `KINDS`, and give its name a folder in `spinecore.workspace.records.JOB_FOLDERS`. Queue, progress,
log, cancel, crashes, trash and "run again" then work for it. A page submits one with ``manager().submit(stack or None,
settings, kind)``, lists them with ``workspace().jobs(kind=...)`` and draws them with `spinecore.ui.queue.draw_job`.
"""

from __future__ import annotations

from pathlib import Path

from spinecore.analysis.inputs import read_input
from spinecore.analysis.result import Settings
from spinecore.analysis.storage import save_analysis
from spinecore.jobs.membranes import MembraneSegmentation
from spinecore.jobs.trainings import Training
from spinecore.jobs.work import Kind, Report, Summary, Task
from spinecore.marking.run import analyse_marked
from spinecore.workspace.own_models import models_folder


class StackAnalysis(Kind):
    """Read a stack, analyse it, and save the analysis."""

    name = "analysis"

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        """See `Kind.run`; the settings are those of `spinecore.analysis.result.Settings`."""
        chosen = Settings(**task.settings)
        report("Reading the file", 0.0)
        stack = read_input(task.stack, chosen)
        analysis = analyse_marked(stack, chosen, report, models_folder(task.workspace))
        report("Saving", 0.99)
        save_analysis(analysis, out)
        lengths = analysis.dendrites["path_length_um"]
        length_um = None if lengths.isna().all() else float(lengths.sum())
        return {
            "spines": len(analysis.spines),
            "dendrites": len(analysis.dendrites),
            "dendrite_um": length_um,
        }


#: All kinds by name.
KINDS: dict[str, Kind] = {kind.name: kind for kind in (StackAnalysis(), Training(), MembraneSegmentation())}
