"""Files for other programs, made from a folder that `save_analysis` wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spinecore.errors import SpinecoreError
from spinecore.files import replacing_files

__all__ = ["FORMATS", "export_analysis"]

#: Names that `export_analysis` takes, with what they give.
FORMATS: dict[str, str] = {
    "csv": "the tables of spines, dendrites and branches as CSV, and the meaning of their columns",
    "xlsx": "one workbook: spines, dendrites, branches, column meanings, settings",
    "parquet": "the spine and dendrite tables as Parquet",
    "imagej": "spine outlines for ImageJ's ROI Manager",
    "swc": "centre lines with spines as nodes",
    "mesh": "surfaces in um as PLY, STL and OBJ",
    "labels": "label images of spines and dendrites",
    "bundle": "everything in one ZIP, with a methods paragraph",
}


def export_analysis(folder: Path, to: str, out: Path) -> list[Path]:
    """Write an analysis in another program's format.

    Parameters
    ----------
    folder : Path
        Written by `spinecore.analysis.result.save_analysis`.
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
    from spinecore.analysis.result import Analysis, load_analysis

    analysis = load_analysis(Path(folder))
    writer: Callable[[Analysis, Path, Path], list[Path]]
    if to in ("csv", "xlsx", "parquet"):
        from spinecore.export import tables

        writer = {"csv": tables.write_csv, "xlsx": tables.write_xlsx, "parquet": tables.write_parquet}[to]
    elif to in ("imagej", "labels"):
        from spinecore.export import images

        writer = {"imagej": images.write_rois, "labels": images.write_label_images}[to]
    elif to in ("swc", "mesh"):
        from spinecore.export import shapes3d

        writer = {"swc": shapes3d.write_swc, "mesh": shapes3d.write_meshes}[to]
    else:
        from spinecore.export.bundle import write_bundle as writer
    out = Path(out)
    with replacing_files(out) as scratch:
        written = writer(analysis, Path(folder), scratch)
    return [out / path.name for path in written]
