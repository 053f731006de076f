"""Files for other programs, made from a folder that `save_analysis` wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spinecore.analysis.edits import draw_corrections
from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import load_analysis
from spinecore.errors import SpinecoreError
from spinecore.export.bundle import write_bundle
from spinecore.export.images import write_label_images, write_rois
from spinecore.export.shapes3d import write_meshes, write_swc
from spinecore.export.tables import write_csv, write_parquet, write_xlsx
from spinecore.files import replacing_files

__all__ = ["FORMATS", "export_analysis"]

#: Names that `export_analysis` takes, with what they give.
FORMATS: dict[str, str] = {
    "csv": "the tables of spines, dendrites and branches as CSV, and the meaning of their columns",
    "xlsx": "one workbook: spines, dendrites, branches, column meanings, settings",
    "parquet": "the spine and dendrite tables as Parquet",
    "imagej": "outlines of spines, lines of dendrites and points of heads for ImageJ's ROI Manager",
    "swc": "centre lines with spines as nodes",
    "mesh": "surfaces in um as PLY, STL and OBJ",
    "labels": "label images of spines and dendrites",
    "bundle": "everything in one ZIP, with a methods paragraph",
}

_WRITERS: dict[str, Callable[[Analysis, Path, Path], list[Path]]] = {
    "csv": write_csv,
    "xlsx": write_xlsx,
    "parquet": write_parquet,
    "imagej": write_rois,
    "swc": write_swc,
    "mesh": write_meshes,
    "labels": write_label_images,
    "bundle": write_bundle,
}


def export_analysis(folder: Path, to: str, out: Path) -> list[Path]:
    """Write an analysis in another program's format.

    Parameters
    ----------
    folder : Path
        Written by `spinecore.analysis.storage.save_analysis`.
    to : str
        A name from `FORMATS`.
    out : Path
        Folder for the files; made when missing. Files appear under their final names only when complete.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    SpinecoreError
        If the format is unknown, or the analysis has nothing to put into it.
    SpinecoreError
        If the folder holds no complete analysis.
    """
    if to not in FORMATS:
        raise SpinecoreError(f"{to!r} is no export format: choose one of {', '.join(FORMATS)}")
    draw_corrections(Path(folder))
    analysis = load_analysis(Path(folder))
    out = Path(out)
    with replacing_files(out) as scratch:
        written = _WRITERS[to](analysis, Path(folder), scratch)
    return [out / path.name for path in written]
