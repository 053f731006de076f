"""A small analysis whose spines were drawn, not detected: quick to make, the same every time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from spinecore.analysis.cutter import Cutter, dendrite_table
from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import library_versions
from spinecore.analysis.storage import save_analysis
from spinecore.detection.candidates import find_candidates
from spinecore.files import write_model
from spinecore.methods.prediction import Prediction
from spinecore.stack import Spacing
from spinecore.workspace.records import JobRecord, Progress, now
from spinecore.workspace.workspace import Workspace

SPACING = (0.25, 0.1, 0.1)
SHAPE = (14, 90, 120)
#: Head centres (ZYX px) beside a dendrite along x at y = 45, z = 7, and their scores.
HEADS = ((7, 33, 20), (7, 57, 40), (7, 32, 60), (9, 58, 80), (5, 33, 100))
SCORES = (0.9, 0.8, 0.7, 0.6, 0.4)
THRESHOLD = 0.5


def drawn_maps(flat: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return dendrite, spine and centre maps (uint8) and the intensity (uint16), ZYX."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")

    def distance(zc: float, yc: float, xc: np.ndarray | float) -> np.ndarray:
        return np.sqrt(((z - zc) * 0.25) ** 2 + ((y - yc) * 0.1) ** 2 + ((x - xc) * 0.1) ** 2)

    dendrite = distance(7, 45, x) < 0.6
    spine, centre = np.zeros(SHAPE, bool), np.zeros(SHAPE)
    for (zc, yc, xc), score in zip(HEADS, SCORES, strict=True):
        spine |= distance(zc, yc, xc) < 0.45
        neck = (np.abs(x - xc) < 1.5) & (np.abs(z - zc) < 1.2) & ((y - yc) * (y - 45) <= 0)
        spine |= neck
        centre = np.maximum(centre, score * np.exp(-((distance(zc, yc, xc) / 0.3) ** 2)))
    spine &= ~dendrite
    intensity = (100 + 1500 * dendrite + 900 * spine).astype(np.uint16)
    maps = [
        (dendrite * 255).astype(np.uint8),
        (spine * 255).astype(np.uint8),
        (centre * 255).round().astype(np.uint8),
    ]
    if flat:
        maps, intensity = [m.max(0, keepdims=True) for m in maps], intensity.max(0, keepdims=True)
    return *maps, intensity


def drawn_analysis(flat: bool = False) -> tuple[Analysis, np.ndarray]:
    """Return the analysis and the stack's voxels; one slice when `flat`."""
    dendrite, spine, centre, intensity = drawn_maps(flat)
    prediction = Prediction(dendrite, spine, centre, intensity, SPACING, (1.0, 1.0), "drawn")
    candidates, ids = find_candidates(prediction)
    spacing = Spacing(None if flat else SPACING[0], *SPACING[1:], "user", "given by the user")
    cutter = Cutter(candidates, intensity.shape, spacing)
    spines = cutter.table(THRESHOLD)
    analysis = Analysis(
        name="drawn cell",
        settings=Settings(),
        spacing=spacing,
        shape=intensity.shape,
        threshold=THRESHOLD,
        spines=spines,
        dendrites=dendrite_table(spines, candidates, spacing, flat),
        detected=candidates,
        detected_ids=ids,
        projections={"xy": intensity.max(0), "xz": intensity.max(1), "yz": intensity.max(2)},
        input={
            "name": "drawn cell",
            "path": "drawn cell.tif",
            "dtype": "uint16",
            "channel": 0,
            "time_point": 0,
        },
        models=[{"name": "drawn", "sha256": "0" * 64, "title": "drawn by hand"}],
        versions=library_versions(),
        seconds={"network": 1.0},
        notes=("This is a note.",),
        created="2026-11-21T10:00:00+00:00",
    )
    return analysis, intensity


def put_in_workspace(
    workspace: Workspace, folder: Path, flat: bool = False, origin: str = "upload"
) -> JobRecord:
    """Store the drawn stack and its analysis and return the finished job."""
    analysis, voxels = drawn_analysis(flat)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"drawn cell {'2d' if flat else '3d'} {origin}.tif"
    metadata = {"axes": "ZYX", "spacing": SPACING[0], "unit": "um"}
    # the origin makes two files of the same voxels differ, so that each is a stack of its own
    analysis = replace(analysis, notes=(*analysis.notes, origin))
    tifffile.imwrite(path, voxels, imagej=True, resolution=(10, 10), metadata=metadata | {"Info": origin})
    return put_analysis(workspace, path, analysis, origin)


def put_analysis(workspace: Workspace, path: Path, analysis: Analysis, origin: str = "upload") -> JobRecord:
    """Store a stack and an analysis of it and return the finished job."""
    record = workspace.add_stack(path, origin=origin)
    job = workspace.new_job(record.sha256, {})
    save_analysis(analysis, workspace.result_folder(job.id))
    job = job.model_copy(update={"state": "done", "finished": now()})
    workspace.put_job(job)
    progress = Progress(
        pid=1,
        started=now(),
        updated=now(),
        stage="Done",
        fraction=1.0,
        summary={"spines": len(analysis.spines)},
    )
    write_model(workspace.job_folder(job.id) / "progress.json", progress)
    return job
