"""Centre lines as SWC, and surfaces for 3-D programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from spinecore.analysis.result import Analysis
from spinecore.errors import SpinecoreError
from spinecore.figures.surfaces import Surface, dendrite_surfaces, grid_of, merge, spine_surfaces
from spinecore.tracing.swc import swc_text


def write_swc(analysis: Analysis, folder: Path, out: Path) -> list[Path]:
    """Write the centre lines in um, every spine as a chain base - head - tip."""
    if not analysis.candidates.dendrites:
        raise SpinecoreError(
            "no dendrite was found, so there is no centre line to write: choose another analysis"
        )
    grid = grid_of(analysis.candidates, analysis.spacing)
    comment = f"{analysis.name}: dendrites (type 3) and spines (type 7), made with spinecore"
    text = swc_text(analysis.candidates.dendrites, spine_chains(analysis), grid.offset_um, comment)
    path = out / f"{analysis.name}.swc"
    path.write_text(text, encoding="utf-8")
    return [path]


def spine_chains(analysis: Analysis) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return (spine id, points ZYX in um from base to tip, radii in um); points that are missing are left out."""
    scale = np.array(analysis.spacing.zyx_um())
    chains = []
    for row in analysis.spines.itertuples():
        head = row.head_width_um / 2 if pd.notna(row.head_width_um) else 0.2
        neck = row.neck_width_um / 2 if pd.notna(row.neck_width_um) else head
        stations = (
            ((row.base_z_px, row.base_y_px, row.base_x_px), neck),
            ((row.z_px, row.y_px, row.x_px), head),
            ((row.tip_z_px, row.tip_y_px, row.tip_x_px), 0.05),
        )
        known = [
            (np.array(at, float) * scale, radius) for at, radius in stations if all(pd.notna(v) for v in at)
        ]
        chains.append((int(row.spine_id), np.array([p for p, _ in known]), np.array([r for _, r in known])))
    return chains


def write_meshes(analysis: Analysis, folder: Path, out: Path) -> list[Path]:
    """Write the surfaces of spines and dendrites: PLY and STL for each kind, and one OBJ with named objects.

    Vertices are X, Y, Z in um; PLY vertices carry the id of their spine or dendrite.
    """
    import trimesh  # takes a second to import, for one format of many

    if analysis.is_2d:
        raise SpinecoreError("a single slice or projection has no surfaces: export labels or imagej instead")
    grid = grid_of(analysis.candidates, analysis.spacing)
    kinds = {
        "spines": spine_surfaces(analysis.cutter.cut(analysis.threshold), grid),
        "dendrites": dendrite_surfaces(analysis.dendrite_ids, grid),
    }
    written = []
    for kind, surfaces in kinds.items():
        if not surfaces:
            continue
        joined, owner = merge(surfaces)
        mesh = trimesh.Trimesh(joined.points_um, joined.faces, process=False)
        mesh.vertex_attributes["id"] = owner.astype(np.int32)
        for suffix in ("ply", "stl"):
            path = out / f"{analysis.name}_{kind}.{suffix}"
            mesh.export(path)
            written.append(path)
    if not written:
        raise SpinecoreError("nothing was found, so there is no surface to write: choose another analysis")
    path = out / f"{analysis.name}.obj"
    path.write_text(obj_text(kinds), encoding="utf-8")
    return [*written, path]


def obj_text(kinds: dict[str, dict[int, Surface]]) -> str:
    """Return a Wavefront OBJ file in which every spine and dendrite is an object with its own name."""
    lines, first = ["# units: um"], 1
    for kind, surfaces in kinds.items():
        for number, surface in surfaces.items():
            lines.append(f"o {kind[:-1]}_{number}")
            lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in surface.points_um]
            lines += [f"f {a} {b} {c}" for a, b, c in surface.faces + first]
            first += len(surface.points_um)
    return "\n".join(lines) + "\n"
