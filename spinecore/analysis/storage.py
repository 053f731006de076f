"""An analysis on disk: tables and labels that other programs read, and one archive to go on from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

import spinecore
from spinecore.analysis.given import keep_given, remove_given
from spinecore.analysis.result import Analysis, Settings
from spinecore.corrections.log import Corrections, read_corrections, remove_corrections, write_corrections
from spinecore.detection.belonging import DetectionRules
from spinecore.detection.candidates import Candidates, Region
from spinecore.errors import SpinecoreError
from spinecore.figures.overview import draw_overview
from spinecore.files import replacing_files
from spinecore.morphometry.columns import DENDRITE_COLUMNS, SPINE_COLUMNS
from spinecore.networks.intensity import intensity_range
from spinecore.stack import Spacing
from spinecore.tables.column import NUMBER_FORMAT
from spinecore.tracing.trace import Branch, Dendrite

FORMAT = 1
#: Arrays of a region; those of all regions are stored one after the other.
_PARTS = ("mask", "spine", "dendrite", "intensity")
#: Measures of the spines as any threshold would cut them (`spinecore.analysis.ahead`).
AHEAD = "ahead.parquet"
#: The files that `save_analysis` writes.
FILES = (
    "spines.csv",
    "dendrites.csv",
    "labels.tif",
    "dendrite.tif",
    "overview.png",
    "analysis.json",
    "candidates.npz",
    AHEAD,
)


#: Those that hold the spines as they now stand; the others hold the candidates, which corrections leave as they are.
RESULTS = ("spines.csv", "dendrites.csv", "labels.tif", "overview.png", "analysis.json")
#: The small ones among them, which are written with every correction.
TABLES = ("spines.csv", "dendrites.csv", "analysis.json")


def save_analysis(analysis: Analysis, folder: Path, files: tuple[str, ...] = FILES) -> None:
    """Write the files of `FILES` (or some) into a folder; each appears under its final name only when complete.

    What people said about the analysis goes along into a folder that has no such list yet.
    """
    drawn = len(analysis.corrections.history) if "labels.tif" in files else drawn_up_to(Path(folder))
    with replacing_files(Path(folder), last=("analysis.json",)) as scratch:
        for name in files:
            _write_file(analysis, scratch / name, drawn)
    write_corrections(analysis.corrections, folder)
    if "candidates.npz" in files:
        keep_given(analysis.settings, Path(folder))


def remove_analysis(folder: Path) -> None:
    """Remove an analysis and what a person said about it (corrections, classes, soma) from a folder; other files stay."""
    for name in FILES:
        (Path(folder) / name).unlink(missing_ok=True)
    remove_given(folder)
    remove_corrections(folder)


def drawn_up_to(folder: Path) -> int:
    """Return how many lines of the log the labels and the overview in a folder show."""
    try:
        facts = json.loads((Path(folder) / "analysis.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    return int(facts.get("n_corrections_drawn", facts.get("n_corrections", 0)))


def _write_file(analysis: Analysis, path: Path, drawn: int) -> None:
    """Write one of `FILES`; the labels beside it show `drawn` lines of the log."""
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
            analysis.cuts.write(path)
        case "analysis.json":
            text = json.dumps(_facts(analysis, drawn), indent=2, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")
        case _:
            raise SpinecoreError(f"an analysis has no file {path.name}")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 CSV with dot decimals; missing values are empty."""
    table.to_csv(path, index=False, encoding="utf-8", float_format=NUMBER_FORMAT)


def write_labels(labels: np.ndarray, spacing: Spacing, path: Path) -> None:
    """Write ZYX labels as an ImageJ TIFF (uint16, or uint32 as plain TIFF above 65,535 ids) with spacing."""
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


def analysis_id(analysis: Analysis) -> str:
    """Return a name for what was detected, which corrections carry: a hash of the stack's name, the time and the heads.

    Another threshold, corrections and copies of the folder leave it as it is.
    """
    digest = hashlib.sha256(f"{analysis.name}\n{analysis.created}\n".encode())
    digest.update(np.ascontiguousarray(analysis.detected.centres_px, np.float32).tobytes())
    digest.update(np.ascontiguousarray(analysis.detected.scores, np.float32).tobytes())
    return digest.hexdigest()[:16]


def _facts(analysis: Analysis, drawn: int) -> dict[str, Any]:
    spacing = analysis.spacing
    return {
        "format": FORMAT,
        "name": analysis.name,
        "created": analysis.created,
        "id": analysis_id(analysis),
        "input": analysis.input,
        "shape_zyx": list(analysis.shape),
        "spacing_um": {"z": spacing.z_um, "y": spacing.y_um, "x": spacing.x_um},
        "spacing_source": spacing.source,
        "spacing_detail": spacing.detail,
        "settings": analysis.settings.model_dump(),
        "detection_rules": analysis.rules.model_dump(),
        "threshold": analysis.threshold,
        "models": analysis.models,
        "versions": analysis.versions,
        "seconds": analysis.seconds,
        "notes": list(analysis.notes),
        "domain": analysis.domain,
        "n_spines": len(analysis.spines),
        "n_spines_reviewed": int(analysis.spines["reviewed"].sum()) if "reviewed" in analysis.spines else 0,
        **_counted(analysis.corrections),
        "n_corrections_drawn": drawn,
        "n_dendrites": len(analysis.dendrites),
        "columns": {
            "spines": {n: _column(SPINE_COLUMNS, n) for n in analysis.spines.columns},
            "dendrites": {n: _column(DENDRITE_COLUMNS, n) for n in analysis.dendrites.columns},
        },
    }


def _counted(corrections: Corrections) -> dict[str, Any]:
    """How much of what people said is in the tables."""
    return {
        "n_corrections": len(corrections.history),
        "n_reviewed": sum(bool(said.by) for said in corrections.answers.values()),
        "soma_zyx_px": None if corrections.soma_px is None else list(corrections.soma_px),
    }


def _column(declared: dict[str, Any], name: str) -> dict[str, str]:
    column = declared.get(name)
    return {} if column is None else {"unit": column.unit, "description": column.description}


def _arrays(analysis: Analysis) -> dict[str, Any]:
    candidates = analysis.detected  # corrections have files of their own
    out: dict[str, Any] = {
        "centres_px": candidates.centres_px,
        "scores": candidates.scores,
        "shape": np.array(candidates.shape),
        "spacing_zyx_um": np.array(candidates.spacing_zyx_um),
        "scale_yx": np.array(candidates.scale_yx),
        "background": np.array(candidates.background),
        "untraced": candidates.untraced,
        "sizes": candidates.sizes,
        "far_scores": candidates.far_scores,
        "dendrite_ids": analysis.detected_ids,
    }
    out |= {f"projection_{k}": v for k, v in analysis.projections.items()}
    regions = candidates.regions
    out["region_origin"] = np.array([r.origin for r in regions], int).reshape(-1, 3)
    out["region_shape"] = np.array([r.mask.shape for r in regions], int).reshape(-1, 3)
    out["region_peaks"] = _join([r.peaks for r in regions], int)
    out["region_outlined"] = np.array([r.outlined for r in regions], bool)
    out["region_n_peaks"] = np.array([len(r.peaks) for r in regions], int)
    for name in _PARTS:
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
    """Read what `save_analysis` wrote, and what people said about it since.

    Raises
    ------
    SpinecoreError
        If the folder holds no complete analysis, or one of a newer version.
    """
    folder = Path(folder)
    facts = read_facts(folder)
    with np.load(folder / "candidates.npz", allow_pickle=False) as data:
        arrays = {k: data[k] for k in data.files}
    tables = read_table(folder / "spines.csv"), read_table(folder / "dendrites.csv")
    analysis = _build(facts, arrays, tables, read_corrections(folder))
    return _up_to_date(analysis, facts, folder / AHEAD)


def check_complete(folder: Path) -> None:
    """Raise where a folder holds no complete analysis.

    Raises
    ------
    SpinecoreError
    """
    for name in ("analysis.json", "candidates.npz", "spines.csv", "dendrites.csv"):
        if not (folder / name).is_file():
            raise SpinecoreError(
                f"{folder.name} holds no complete analysis ({name} is missing): run the analysis again"
            )


def read_facts(folder: Path) -> dict[str, Any]:
    """Read analysis.json.

    Raises
    ------
    SpinecoreError
        If the folder holds no complete analysis, or one of a newer version.
    """
    check_complete(folder)
    facts = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
    if facts.get("format") != FORMAT:
        raise SpinecoreError(
            f"{folder.name} was written by another version of this program: run the analysis again"
        )
    return facts


def _build(
    facts: dict[str, Any],
    arrays: dict[str, np.ndarray],
    tables: tuple[pd.DataFrame, pd.DataFrame],
    corrections: Corrections,
) -> Analysis:
    """Make the analysis of what was read; its tables are those of the files."""
    um = facts["spacing_um"]
    return Analysis(
        name=facts["name"],
        settings=Settings(**facts["settings"]),
        spacing=Spacing(um["z"], um["y"], um["x"], facts["spacing_source"], facts["spacing_detail"]),
        shape=tuple(facts["shape_zyx"]),
        threshold=facts["threshold"],
        spines=tables[0],
        dendrites=tables[1],
        detected=_candidates(arrays),
        detected_ids=arrays["dendrite_ids"],
        projections={
            k.removeprefix("projection_"): v for k, v in arrays.items() if k.startswith("projection_")
        },
        input=facts["input"],
        models=facts["models"],
        versions=facts["versions"],
        corrections=corrections,
        rules=DetectionRules(**facts.get("detection_rules", {})),
        seconds=facts["seconds"],
        notes=tuple(facts["notes"]),
        created=facts["created"],
        domain=facts.get("domain", {}),
    )


def _up_to_date(analysis: Analysis, facts: dict[str, Any], ahead: Path) -> Analysis:
    """Put what was measured before into the cache, and follow what people said after the tables were written."""
    same_program = analysis.versions.get("spinecore") == spinecore.__version__
    if same_program and ahead.is_file():
        analysis.cuts.read(ahead, len(analysis.detected.scores))
    written_before = not set(SPINE_COLUMNS) <= set(analysis.spines) or "origin" not in analysis.dendrites
    if written_before or facts.get("n_corrections", 0) != len(analysis.corrections.history):
        return analysis.at_threshold(analysis.threshold)
    if same_program:
        analysis.cutter.remember_measures(analysis.spines, analysis.threshold)
    analysis.cutter.remember_classes(analysis.spines, analysis.threshold)
    return analysis


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote."""
    return pd.read_csv(path, encoding="utf-8")


def _candidates(arrays: dict[str, np.ndarray]) -> Candidates:
    spacing = _three(arrays["spacing_zyx_um"])
    y, x = arrays["scale_yx"].tolist()
    return Candidates(
        centres_px=arrays["centres_px"],
        scores=arrays["scores"],
        regions=tuple(_regions(arrays)),
        dendrites=tuple(_dendrites(arrays, spacing)),
        shape=_three(arrays["shape"]),
        spacing_zyx_um=spacing,
        scale_yx=(y, x),
        background=float(arrays["background"]),
        untraced=arrays.get("untraced", arrays.get("lone", np.zeros(0, bool))),  # "lone" until version 0.1
        sizes=arrays.get("sizes", np.zeros((0, 3, 2))),
        far_scores=arrays.get("far_scores", np.zeros(0)),  # not kept until version 0.2
    )


def _three(values: np.ndarray) -> tuple[Any, Any, Any]:
    z, y, x = values.tolist()
    return z, y, x


def _regions(arrays: dict[str, np.ndarray]) -> Iterator[Region]:
    voxel = peak = 0
    shapes = arrays["region_shape"]
    outlined = arrays.get("region_outlined", np.ones(len(shapes), bool))  # not known until version 0.2
    for origin, shape, n, seen in zip(
        arrays["region_origin"], shapes, arrays["region_n_peaks"], outlined, strict=True
    ):
        size = int(np.prod(shape))
        part = {k: arrays[f"region_{k}"][voxel : voxel + size].reshape(shape) for k in _PARTS}
        peaks = arrays["region_peaks"][peak : peak + n]
        yield Region(origin=_three(origin), peaks=peaks, outlined=bool(seen), **part)
        voxel, peak = voxel + size, peak + int(n)


def _dendrites(arrays: dict[str, np.ndarray], spacing: tuple[float, float, float]) -> list[Dendrite]:
    branches: dict[int, list[Branch]] = {}
    start = 0
    for owner, n, (first, last, start_um, order) in zip(
        arrays["branch_dendrite"], arrays["branch_n"], arrays["branch_facts"], strict=True
    ):
        run = slice(start, start + int(n))
        points, radii = arrays["branch_points_um"][run], arrays["branch_radii_um"][run]
        branch = Branch(points, radii, int(first), int(last), float(start_um), int(order))
        branches.setdefault(int(owner), []).append(branch)
        start += int(n)
    return [Dendrite(number, tuple(found), spacing) for number, found in branches.items()]
