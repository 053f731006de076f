"""From a stack and a person's own marks to an analysis; without marks the analysis alone. The page and the command line call this."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spinecore.analysis.gridimage import GridImage
from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import Progress, analyse
from spinecore.errors import SpinecoreError
from spinecore.marking.files import read_marks
from spinecore.marking.place import place_marks
from spinecore.stack import Stack

#: Share of the work that is done once the program has looked itself.
_ANALYSED = 0.95


def analyse_marked(
    stack: Stack, settings: Settings, progress: Progress | None = None, own_models: Path | None = None
) -> Analysis:
    """Analyse a stack, with every mark of `settings.marks` as a spine.

    Parameters
    ----------
    stack, settings, progress, own_models
        As for `spinecore.analysis.run.analyse`.

    Raises
    ------
    SpinecoreError
        As `analyse` and `spinecore.marking.files.read_marks`.
    """
    if settings.marks is None:
        if settings.only_marked:
            raise SpinecoreError(
                "nothing was marked: give the file of your marks, or count what the program finds too",
                "--only-marked measures the marks of a file: give it with --spines",
            )
        return analyse(stack, settings, progress, own_models)
    sizes = settings.pixel_um, settings.z_um, settings.pixel_y_um, settings.pixel_estimated
    sized = stack.with_spacing(stack.spacing.with_user(*sizes))
    path = Path(settings.marks)
    said = read_marks(path, sized, settings.marks_units)  # first: what is wrong with it is said at once
    report = progress or (lambda stage, fraction: None)
    found = analyse(stack, settings, lambda stage, done: report(stage, _ANALYSED * done), own_models)
    report("Placing the marks", _ANALYSED)
    image = GridImage(lambda wanted: stack.voxels[wanted.start : wanted.stop], found.candidates.shape)
    placed = place_marks(found, said.marks, image, path.name, settings.only_marked)
    return replace(placed, notes=(*placed.notes, *said.notes))
