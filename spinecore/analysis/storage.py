"""An analysis on disk: tables and labels that other programs read, and one archive to go on from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import spinecore
from spinecore.analysis.cutter import dendrite_table
from spinecore.analysis.result import Analysis, Settings
from spinecore.corrections.classes import FILE_NAME as CORRECTIONS
from spinecore.corrections.classes import read_corrections
from spinecore.corrections.replay import FILE_NAME as STEPS
from spinecore.corrections.replay import read_steps, with_corrections
from spinecore.detection.candidates import Candidates, Region
from spinecore.errors import SpinecoreError
from spinecore.figures.overview import draw_overview
from spinecore.files import replacing_files
from spinecore.morphometry.soma import FILE_NAME as SOMA
from spinecore.morphometry.soma import read_soma
from spinecore.networks.intensity import intensity_range
from spinecore.stack import Spacing
from spinecore.tables.columns import DENDRITE_COLUMNS, SPINE_COLUMNS
from spinecore.tracing.trace import Branch, Dendrite

FORMAT = 1
#: The files that `save_analysis` writes.
FILES = (
    "spines.csv",
    "dendrites.csv",
    "labels.tif",
    "dendrite.tif",
    "overview.png",
    "analysis.json",
    "candidates.npz",
    "ahead.parquet",
)


#: What a person said about the result.
WRITTEN_BY_HAND = (CORRECTIONS, STEPS, SOMA)
#: Those that hold the spines as they now stand; the others hold the candidates, which corrections leave as they are.
RESULTS = ("spines.csv", "dendrites.csv", "labels.tif", "overview.png", "analysis.json")


def save_analysis(analysis: Analysis, folder: Path, files: tuple[str, ...] = FILES) -> None:
    """Write the files of `FILES` (or some) into a folder; each appears under its final name only when complete."""
    with replacing_files(Path(folder), last=("analysis.json",)) as scratch:
        for name in files:
            _write_file(analysis, scratch / name)


def remove_analysis(folder: Path) -> None:
    """Remove an analysis and what a person said about it (corrections, classes, soma) from a folder; other files stay."""
    for name in (*FILES, *WRITTEN_BY_HAND):
        (Path(folder) / name).unlink(missing_ok=True)


def _write_file(analysis: Analysis, path: Path) -> None:
    """Write one of `FILES`."""
    match path.name:
        case "spines.csv":
            write_table(analysis.spines, path)
        case "dendrites.csv":
            write_table(analysis.dendrites, path)
        case "labels.tif":
            write_labels(analysis.labels, analysis.spacing, path)
        case "dendrite.tif":
            write_labels(analysis.dendrite_labels, analysis.spacing, path)
        case "overview.png":
            _write_overview(analysis, path)
        case "candidates.npz":
            np.savez_compressed(path, **_arrays(analysis))
        case "ahead.parquet":
            analysis.cutter.save_ahead(path)
        case "analysis.json":
            text = json.dumps(_facts(analysis), indent=2, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")
        case _:
            raise SpinecoreError(f"an analysis has no file {path.name}")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 CSV with dot decimals; missing values are empty."""
    table.to_csv(path, index=False, encoding="utf-8", float_format="%.6g")


def write_labels(labels: np.ndarray, spacing: Spacing, path: Path) -> None:
    """Write ZYX labels as an ImageJ TIFF (uint16, or uint32 as plain TIFF above 65,535 ids) with spacing."""
    import tifffile

    z_um, y_um, x_um = spacing.zyx_um()
    resolution = (1 / x_um, 1 / y_um)
    if labels.size == 0 or labels.max() <= 65535:
        metadata = {"axes": "ZYX", "spacing": z_um, "unit": "um"}
        tifffile.imwrite(
            path,
            labels.astype(np.uint16),
            imagej=True,
            resolution=resolution,
            metadata=metadata,
            compression="zlib",
        )
    else:
        metadata = {"axes": "ZYX", "PhysicalSizeX": x_um, "PhysicalSizeY": y_um, "PhysicalSizeZ": z_um}
        tifffile.imwrite(
            path, labels.astype(np.uint32), resolution=resolution, metadata=metadata, compression="zlib"
        )


def _write_overview(analysis: Analysis, path: Path) -> None:
    spine_ids = analysis.to_input_grid(analysis.cutter.label_projection(analysis.threshold))
    dendrite_ids = analysis.to_input_grid(analysis.dendrite_ids.max(0))
    projection = analysis.projections["xy"]
    title = f"{analysis.name}: {len(analysis.spines)} spines"
    draw_overview(
        projection,
        spine_ids,
        dendrite_ids,
        analysis.spacing.pixel_um,
        intensity_range(projection[None]),
        path,
        title,
    )


def _facts(analysis: Analysis) -> dict[str, Any]:
    spacing = analysis.spacing
    return {
        "format": FORMAT,
        "name": analysis.name,
        "created": analysis.created,
        "input": analysis.input,
        "shape_zyx": list(analysis.shape),
        "spacing_um": {"z": spacing.z_um, "y": spacing.y_um, "x": spacing.x_um},
        "spacing_source": spacing.source,
        "spacing_detail": spacing.detail,
        "settings": analysis.settings.model_dump(),
        "threshold": analysis.threshold,
        "models": analysis.models,
        "versions": analysis.versions,
        "seconds": analysis.seconds,
        "notes": list(analysis.notes),
        "domain": analysis.domain,
        "n_spines": len(analysis.spines),
        "n_corrections": analysis.cutter.n_corrections,
        "n_dendrites": len(analysis.dendrites),
        "columns": {
            "spines": {n: _column(SPINE_COLUMNS, n) for n in analysis.spines.columns},
            "dendrites": {n: _column(DENDRITE_COLUMNS, n) for n in analysis.dendrites.columns},
        },
    }


def _column(declared: dict[str, Any], name: str) -> dict[str, str]:
    column = declared.get(name)
    return {} if column is None else {"unit": column.unit, "description": column.description}


def _arrays(analysis: Analysis) -> dict[str, np.ndarray]:
    candidates = analysis.candidates.found or analysis.candidates  # corrections have files of their own
    out: dict[str, np.ndarray] = {
        "centres_px": candidates.centres_px,
        "scores": candidates.scores,
        "shape": np.array(candidates.shape),
        "spacing_zyx_um": np.array(candidates.spacing_zyx_um),
        "scale_yx": np.array(candidates.scale_yx),
        "background": np.array(candidates.background),
        "untraced": candidates.untraced,
        "sizes": candidates.sizes,
        "dendrite_ids": analysis.dendrite_ids,
    }
    out |= {f"projection_{k}": v for k, v in analysis.projections.items()}
    regions = candidates.regions
    out["region_origin"] = np.array([r.origin for r in regions], int).reshape(-1, 3)
    out["region_shape"] = np.array([r.mask.shape for r in regions], int).reshape(-1, 3)
    out["region_peaks"] = _join([r.peaks for r in regions], int)
    out["region_n_peaks"] = np.array([len(r.peaks) for r in regions], int)
    for name in ("mask", "spine", "dendrite", "intensity"):
        out[f"region_{name}"] = _join([getattr(r, name).ravel() for r in regions], float)
    branches = [(d.id, b) for d in candidates.dendrites for b in d.branches]
    out["branch_dendrite"] = np.array([i for i, _ in branches], int)
    out["branch_n"] = np.array([len(b.points_um) for _, b in branches], int)
    out["branch_points_um"] = _join([b.points_um for _, b in branches], float).reshape(-1, 3)
    out["branch_radii_um"] = _join([b.radii_um for _, b in branches], float)
    out["branch_facts"] = np.array(
        [(b.start, b.end, b.start_um, b.order) for _, b in branches], float
    ).reshape(-1, 4)
    return out


def _join(arrays: list[np.ndarray], empty: type) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, empty)


def load_analysis(folder: Path) -> Analysis:
    """Read what `save_analysis` wrote.

    Raises
    ------
    SpinecoreError
        If the folder holds no complete analysis, or one of a newer version.
    """
    folder = Path(folder)
    missing = [
        n
        for n in ("analysis.json", "candidates.npz", "spines.csv", "dendrites.csv")
        if not (folder / n).is_file()
    ]
    if missing:
        raise SpinecoreError(
            f"{folder.name} holds no complete analysis ({missing[0]} is missing): run the analysis again"
        )
    facts = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
    if facts.get("format") != FORMAT:
        raise SpinecoreError(
            f"{folder.name} was written by another version of this program: run the analysis again"
        )
    with np.load(folder / "candidates.npz", allow_pickle=False) as data:
        arrays = {k: data[k] for k in data.files}
    um = facts["spacing_um"]
    analysis = Analysis(
        name=facts["name"],
        settings=Settings(**facts["settings"]),
        spacing=Spacing(um["z"], um["y"], um["x"], facts["spacing_source"], facts["spacing_detail"]),
        shape=tuple(facts["shape_zyx"]),
        threshold=facts["threshold"],
        spines=read_table(folder / "spines.csv"),
        dendrites=read_table(folder / "dendrites.csv"),
        candidates=with_corrections(_candidates(arrays), folder),
        dendrite_ids=arrays["dendrite_ids"],
        projections={
            k.removeprefix("projection_"): v for k, v in arrays.items() if k.startswith("projection_")
        },
        input=facts["input"],
        models=facts["models"],
        versions=facts["versions"],
        seconds=facts["seconds"],
        notes=tuple(facts["notes"]),
        created=facts["created"],
        domain=facts.get("domain", {}),
    )
    steps = len(read_steps(folder))
    analysis.cutter.n_corrections = steps
    up_to_date = facts.get("n_corrections", 0) == steps  # else the tables are from before the last correction
    if analysis.versions.get("spinecore") == spinecore.__version__:
        if (folder / "ahead.parquet").is_file():
            analysis.cutter.load_ahead(folder / "ahead.parquet")
        if up_to_date:
            analysis.cutter.remember_measures(analysis.spines, analysis.threshold)
    if up_to_date:
        analysis.cutter.remember_classes(analysis.spines, analysis.threshold)
    analysis.cutter.corrections = read_corrections(folder)
    analysis.cutter.soma_px = read_soma(folder)
    if not up_to_date:
        return analysis.at_threshold(analysis.threshold)
    if analysis.cutter.soma_px is not None:
        analysis = _with_spines(analysis, analysis.cutter.with_soma(analysis.spines))
    if (folder / CORRECTIONS).exists():
        spines = analysis.cutter.with_classes(analysis.spines, analysis.threshold)
        dendrites = dendrite_table(
            spines, analysis.candidates, analysis.spacing, analysis.is_2d, analysis.calibration
        )
        analysis = _with_spines(analysis, spines, dendrites)
    return analysis


def _with_spines(analysis: Analysis, spines: pd.DataFrame, dendrites: pd.DataFrame | None = None) -> Analysis:
    """Return an analysis with other tables and the same cutter."""
    changed = replace(
        analysis, spines=spines, dendrites=analysis.dendrites if dendrites is None else dendrites
    )
    changed.__dict__["cutter"] = analysis.cutter
    return changed


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote."""
    return pd.read_csv(path, encoding="utf-8")


def _candidates(arrays: dict[str, np.ndarray]) -> Candidates:
    regions, voxel, peak = [], 0, 0
    for origin, shape, n in zip(
        arrays["region_origin"], arrays["region_shape"], arrays["region_n_peaks"], strict=True
    ):
        size = int(np.prod(shape))
        part = {
            k: arrays[f"region_{k}"][voxel : voxel + size].reshape(shape)
            for k in ("mask", "spine", "dendrite", "intensity")
        }
        origin_zyx = (int(origin[0]), int(origin[1]), int(origin[2]))
        regions.append(Region(origin=origin_zyx, peaks=arrays["region_peaks"][peak : peak + n], **part))
        voxel, peak = voxel + size, peak + int(n)
    spacing = tuple(float(v) for v in arrays["spacing_zyx_um"])
    branches: dict[int, list[Branch]] = {}
    start = 0
    for owner, n, facts in zip(
        arrays["branch_dendrite"], arrays["branch_n"], arrays["branch_facts"], strict=True
    ):
        run = slice(start, start + int(n))
        branch = Branch(
            arrays["branch_points_um"][run],
            arrays["branch_radii_um"][run],
            int(facts[0]),
            int(facts[1]),
            float(facts[2]),
            int(facts[3]),
        )
        branches.setdefault(int(owner), []).append(branch)
        start += int(n)
    return Candidates(
        centres_px=arrays["centres_px"],
        scores=arrays["scores"],
        regions=regions,
        dendrites=[Dendrite(number, tuple(found), spacing) for number, found in branches.items()],
        shape=tuple(int(v) for v in arrays["shape"]),
        spacing_zyx_um=spacing,
        scale_yx=tuple(float(v) for v in arrays["scale_yx"]),
        background=float(arrays["background"]),
        untraced=arrays.get("untraced", arrays.get("lone", np.zeros(0, bool))),  # "lone" until version 0.1
        sizes=arrays.get("sizes", np.zeros((0, 3, 2))),
    )
