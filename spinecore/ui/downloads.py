"""All downloads of the Results page, each file made only when it is asked for."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import streamlit as st

from spinecore.analysis.editor import Editor
from spinecore.analysis.storage import save_analysis, write_table
from spinecore.corrections.log import SAMPLE_CHECK
from spinecore.errors import SpinecoreError
from spinecore.ui.session import workspace
from spinecore.ui.shown import Shown
from spinecore.ui.words import time_text

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def table_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as the CSV that every analysis folder holds: UTF-8, dot decimals, empty where missing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(table, path)
        return path.read_bytes()


def stored_bytes(shown: Shown, name: str) -> bytes:
    """Return one file of the analysis as it is shown; at a changed threshold it is rewritten."""
    return _with_folder(shown, lambda folder: (folder / name).read_bytes())


def exported_bytes(shown: Shown, to: str) -> bytes:
    """Return the one file that an export makes of the analysis as it is shown."""

    def export(folder: Path) -> bytes:
        from spinecore.export import export_analysis

        with tempfile.TemporaryDirectory() as target:
            return export_analysis(folder, to, Path(target))[0].read_bytes()

    return _with_folder(shown, export)


def _with_folder(shown: Shown, work: Callable[[Path], bytes]) -> bytes:
    """Call `work` with a folder that holds the analysis as it is shown."""
    if not shown.changed:
        stored = workspace().result_folder(shown.job.id)
        Editor(
            stored, analysis=shown.saved
        ).finish()  # labels and overview wait for this while a person corrects
        return work(stored)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / shown.file_stem
        save_analysis(shown.analysis, folder)
        stored = workspace().result_folder(shown.job.id) / SAMPLE_CHECK
        if stored.exists():
            shutil.copy(stored, folder)
        return work(folder)


def draw_downloads(shown: Shown, rows: pd.DataFrame) -> None:
    """Draw the buttons; the CSV holds the rows that pass the filters, everything else the whole analysis."""
    stem, every = shown.file_stem, len(shown.analysis.spines)
    csv = "CSV" if len(rows) == every else f"CSV ({len(rows)} of {every})"
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        for label, data, file, mime, text in (
            (csv, lambda: table_bytes(rows), "spines.csv", "text/csv", "The spine table with all columns."),
            (
                "Excel",
                lambda: exported_bytes(shown, "xlsx"),
                "results.xlsx",
                XLSX,
                "Both tables, the meaning of every column, and the settings.",
            ),
            (
                "Spine labels",
                lambda: stored_bytes(shown, "labels.tif"),
                "labels.tif",
                "image/tiff",
                "TIFF with the voxel size; each voxel holds the number of its spine.",
            ),
            (
                "Dendrite labels",
                lambda: stored_bytes(shown, "dendrite.tif"),
                "dendrite.tif",
                "image/tiff",
                "TIFF with the voxel size; each voxel holds the number of its dendrite.",
            ),
            (
                "Everything (ZIP)",
                lambda: exported_bytes(shown, "bundle"),
                "spinecore.zip",
                "application/zip",
                "Tables, labels, overview, settings with versions, and a methods paragraph.",
            ),
        ):
            st.download_button(
                label,
                data,
                f"{stem}_{file}",
                mime,
                key=f"download_{file}",
                help=text,
                on_click="ignore",
                type="primary" if mime == "application/zip" else "secondary",
            )


def draw_provenance(shown: Shown) -> None:
    """Draw the methods paragraph, settings, voxel size, model and versions, and the notes of this analysis."""
    from spinecore.corrections.samplecheck import read_check
    from spinecore.export.bundle import methods_text

    st.caption("A paragraph for a paper; it is also in the ZIP.")
    try:
        check = read_check(workspace().result_folder(shown.job.id))
    except SpinecoreError:
        check = None  # the top of the page says why
    st.code(methods_text(shown.analysis, check).strip(), language=None, wrap_lines=True)
    saved, spacing = shown.saved, shown.saved.spacing
    for note in saved.notes:
        st.warning(note)
    unknown = "unknown"
    size = " × ".join(f"{v:.4g}" if v else unknown for v in (spacing.x_um, spacing.y_um, spacing.z_um))
    facts = {
        "Stack": f"{saved.input['name']}, channel {saved.input['channel'] + 1}, time point {saved.input['time_point'] + 1}",
        "Size (x, y, z)": " × ".join(str(n) for n in saved.shape[::-1]) + f" voxels, {saved.input['dtype']}",
        "Voxel size (x, y, z)": f"{size} µm ({spacing.detail or spacing.source})",
        "Method": saved.settings.method,
        "Lowest score": f"{shown.threshold:.2f}",
        "Model": ", ".join(f"{m['name']} (sha256 {m['sha256'][:12]})" for m in saved.models),
        "Analysed": saved.created.replace("T", " ").replace("+00:00", " UTC"),
        "Time": ", ".join(f"{stage} {time_text(s)}" for stage, s in saved.seconds.items()),
        "Device": saved.versions.get("device", unknown),
        "Versions": ", ".join(f"{name} {v}" for name, v in saved.versions.items() if name != "device"),
    }
    st.table(pd.DataFrame({"Value": facts}))
