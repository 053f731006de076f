"""Everything of one analysis in one ZIP, with a paragraph for a paper's methods section."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

import pandas as pd

from spinecore.analysis.given import given_files
from spinecore.analysis.result import Analysis
from spinecore.corrections.edit import DENDRITE_KINDS
from spinecore.corrections.log import EDITS, SAMPLE_CHECK
from spinecore.corrections.replay import count_corrections
from spinecore.corrections.samplecheck import SampleCheck, check_words, read_check
from spinecore.errors import SpinecoreError
from spinecore.export.images import write_label_images, write_rois
from spinecore.export.shapes3d import write_meshes, write_swc
from spinecore.export.tables import write_csv, write_parquet, write_xlsx
from spinecore.files import scratch_folder
from spinecore.shapes.words import class_words
from spinecore.tracing.trace import BY_HAND, CORRECTED


def _reading_words(analysis: Analysis) -> list[str]:
    """Say how the file was read where the user decided it."""
    reading = analysis.settings.reading
    words = []
    if reading.axes:
        words.append(f"Axes were read as {reading.axes}, as the user said.")
    if reading.series is not None:
        words.append(f"Image {reading.series} of the file was analysed.")
    if reading.average_time:
        words.append("The mean of all time points was analysed.")
    if reading.line_shift_px:
        words.append(f"Odd scan lines were moved by {reading.line_shift_px:g} pixels along x.")
    return words


def _checked_words(analysis: Analysis) -> list[str]:
    """Say what else people did: outlines, dendrites, and spines looked at."""
    words = []
    kinds = [e.kind for e in analysis.corrections.standing]
    shaped = len({e.spine for e in analysis.corrections.standing if e.kind in ("outline", "move", "attach")})
    if shaped:
        words.append(f"Outline, head, base, tip or dendrite of {shaped} spines were set by hand.")
    if any(kind in DENDRITE_KINDS for kind in kinds):
        origin = analysis.dendrites["origin"]
        words.append(
            f"Dendrites were corrected by hand: {int((origin == BY_HAND).sum())} traced, "
            f"{int((origin == CORRECTED).sum())} changed, {kinds.count('delete dendrite')} removed."
        )
    looked = int(analysis.spines["reviewed"].sum()) if len(analysis.spines) else 0
    if looked:
        names = sorted({by for said in analysis.corrections.answers.values() for by in said.by if by})
        who = f" by {' and '.join(names)}" if names else ""
        words.append(f"{looked} of {len(analysis.spines)} spines were looked at one by one{who}.")
    return words


def methods_text(analysis: Analysis, check: SampleCheck | None = None) -> str:
    """Return a paragraph that says how an analysis was made, with versions, for a paper's methods section.

    Parameters
    ----------
    analysis : Analysis
    check : SampleCheck, optional
        The sample check of its folder; its estimate becomes a sentence.
    """
    versions = dict(analysis.versions)
    own = versions.pop("spinecore", "unknown")
    python = versions.pop("python", "")
    device = versions.pop("device", "")
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    spacing = analysis.spacing
    z, y, x = analysis.shape
    source = {
        "file": "as stored in the file",
        "user": "as given by the user",
        "estimated": "pixel size estimated from the image and accepted by the user",
        "assumed": "assumed",
        "unknown": "unknown",
    }[spacing.source]
    if not spacing.known_xy:
        size = "of unknown voxel size"
    elif analysis.is_2d:
        size = f"with pixels of {spacing.y_um:.4g} x {spacing.x_um:.4g} um (y, x; {source})"
    else:
        step = "unknown" if spacing.z_um is None else f"{spacing.z_um:.4g}"
        size = f"with voxels of {step} x {spacing.y_um:.4g} x {spacing.x_um:.4g} um (z, y, x; {source})"
    kind = f"A single image of {y} x {x} pixels" if analysis.is_2d else f"A stack of {z} x {y} x {x} voxels"
    models = "; ".join(
        f"{m.get('name', '')}, SHA-256 {str(m.get('sha256', ''))[:12]}" for m in analysis.models
    )
    sentences = [
        f"{kind} (z, y, x) {size} was analysed with spinecore {own} (method {analysis.settings.method}; "
        f"weights: {models or 'none'}).",
        *_counted_words(analysis),
        *_reading_words(analysis),
        *_corrected_words(analysis),
        *_checked_words(analysis),
        f"Dendrite centre lines were taken from the tracing {Path(analysis.settings.tracing).name}."
        if analysis.settings.tracing
        else "Dendrite centre lines were traced by thinning the dendrite mask on an isotropic grid (scikit-image), "
        "pruned, centred on the mask and smoothed.",
        "Density is the number of spines over the centre line's path length, with an exact Poisson 95 % confidence interval "
        "(Garwood 1936).",
        "Spine length is the length of the spine's own path from the dendrite's surface to the tip; head and neck widths "
        "are in-plane diameters of cross-sections along this path, replaced by the full width at half maximum of the "
        "intensity where they are below the resolution limit (flagged in the table); volume is the voxel count times the "
        "voxel volume.",
    ]
    if analysis.spines.get("volume_estimated_um3", pd.Series(dtype=float)).notna().any():
        sentences.append(
            "Columns named 'estimated' hold volume, head width and length as read from the image by a convolutional network "
            "trained on simulated spines, with the error expected for 68 % of them."
        )
    sentences += class_words(analysis.spines, analysis.models, analysis.cutter.chosen_rules)
    if analysis.is_2d:
        sentences.append("Lengths in this two-dimensional image are projected lengths.")
    if check is not None and check.checked:
        sentences.append(check_words(check))
    sentences.append(f"Software: Python {python}, {libraries}" + (f"; device: {device}." if device else "."))
    return " ".join(sentences).replace(" (z, y, x) with pixels", " with pixels") + "\n"


def _corrected_words(analysis: Analysis) -> list[str]:
    """Say what a person corrected; marks out of a file alone are no correction."""
    by_hand = count_corrections(analysis.candidates, analysis.threshold)
    kinds = ("remove", "count", "add")
    said = any(e.kind in kinds and "mark" not in e.values for e in analysis.corrections.standing)
    if (not said and analysis.corrections.marked) or not by_hand.any:
        return []
    marks = ", the marks among them" if analysis.corrections.marked else ""
    return [f"This list was corrected by hand: {by_hand.words}{marks}."]


def _counted_words(analysis: Analysis) -> list[str]:
    """Say what counts as a spine."""
    settings = analysis.settings
    total = f"{len(analysis.spines)} spines on {len(analysis.dendrites)} dendrites"
    if settings.marks is None:
        return [f"Candidates with a score of at least {analysis.threshold:g} were taken as spines: {total}."]
    file = Path(settings.marks).name
    marked = len(analysis.corrections.marked)
    if settings.only_marked:
        return [f"The spines are those that a person marked ({marked} marks of {file}): {total}."]
    return [
        f"Candidates with a score of at least {analysis.threshold:g}, and what a person had marked ({marked} marks of {file}), were "
        f"taken as spines: {total}."
    ]


def write_bundle(analysis: Analysis, folder: Path, out: Path) -> list[Path]:
    """Write one ZIP of all exports, the overview, analysis.json and methods.txt; a format with nothing in it is left out."""
    path = out / f"{analysis.name}_spinecore.zip"
    with scratch_folder(out) as scratch, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _parts(analysis, folder, scratch):
            archive.write(file, file.name)
    return [path]


def _parts(analysis: Analysis, folder: Path, scratch: Path) -> list[Path]:
    """Write what goes into the ZIP and return it with the files that are taken as they are."""
    files: list[Path] = []
    for writer in (
        write_csv,
        write_xlsx,
        write_parquet,
        write_label_images,
        write_rois,
        write_swc,
        write_meshes,
    ):
        with contextlib.suppress(SpinecoreError):
            files += writer(analysis, folder, scratch)
    methods = scratch / "methods.txt"
    methods.write_text(methods_text(analysis, read_check(folder)), encoding="utf-8")
    stored = (folder / name for name in ("analysis.json", "overview.png", SAMPLE_CHECK, EDITS))
    return [*files, methods, *(path for path in stored if path.is_file()), *given_files(folder)]
