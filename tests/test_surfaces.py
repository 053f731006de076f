"""Surfaces of spines and dendrites, and the 3-D figure made of them, as pure functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from drawn_analysis import drawn_analysis

from spinecore.analysis.result import Analysis
from spinecore.figures.surfaces import (
    Grid,
    Surface,
    dendrite_surface,
    dendrite_surfaces,
    grid_of,
    mask_surface,
    merge,
    part_within,
    simplify,
    spine_surfaces,
    within_budget,
)
from spinecore.ui.colours import (
    colour_spines,
)
from spinecore.ui.figurecomponent import library_address
from spinecore.ui.scene import hover_texts
from spinecore.ui.scene3d import Scene3D, centre_lines_um, figure_3d, lines_within, lit


@pytest.fixture(scope="module")
def drawn() -> tuple[Analysis, np.ndarray]:
    return drawn_analysis()


def ball(radius_um: float, spacing: np.ndarray) -> np.ndarray:
    half = np.ceil(radius_um / spacing).astype(int) + 2
    grids = np.meshgrid(*(np.arange(-n, n + 1) for n in half), indexing="ij")
    return sum((g * s) ** 2 for g, s in zip(grids, spacing, strict=True)) <= radius_um**2


def as_trimesh(surface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.points_um, surface.faces, process=False)


def test_a_ball_has_its_volume_its_place_and_outward_faces():
    spacing = np.array([0.25, 0.08, 0.08])
    grid = Grid(spacing, np.array([0.0, 0.01, 0.01]))
    mask = ball(1.0, spacing)
    middle = (np.array(mask.shape) // 2 + (5, 6, 7)) * spacing + grid.offset_um
    mesh = as_trimesh(mask_surface(mask, (5, 6, 7), grid))
    assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * np.pi, rel=0.06)
    assert mesh.centroid == pytest.approx(middle[::-1], abs=0.02)
    volume = np.zeros(np.array(mask.shape) + np.array([5, 6, 7]), np.uint16)
    volume[5:, 6:, 7:] = mask
    coarse = as_trimesh(dendrite_surface(volume, 1, grid))
    assert coarse.is_watertight and coarse.volume == pytest.approx(4 / 3 * np.pi, rel=0.08)
    assert coarse.centroid == pytest.approx(middle[::-1], abs=0.03)


def test_nothing_has_no_surface():
    grid = Grid(np.ones(3), np.zeros(3))
    assert mask_surface(np.zeros((3, 3, 3), bool), (0, 0, 0), grid) is None
    assert dendrite_surface(np.zeros((3, 3, 3), np.uint16), 1, grid) is None
    empty, owner = merge({})
    assert empty.n_faces == 0 and owner.size == 0


def test_surfaces_keep_to_the_budget_and_know_their_spine(drawn):
    analysis, _ = drawn
    grid = grid_of(analysis.candidates, analysis.spacing)
    full = spine_surfaces(analysis.cutter.cut(0.5), grid)
    total = sum(s.n_faces for s in full.values())
    thin = within_budget(full, total // 3)
    assert sum(s.n_faces for s in thin.values()) <= total // 3 * 1.1
    joined, owner = merge(thin)
    assert set(owner) == {1, 2, 3, 4} and joined.faces.max() == len(owner) - 1
    places = analysis.spines.set_index("spine_id")
    for number in (1, 4):
        middle = joined.points_um[owner == number].mean(axis=0)
        assert middle[0] == pytest.approx(places.loc[number, "x_um"], abs=0.3)
    assert simplify(full[1], 10**6) is full[1]
    assert sum(s.n_faces for s in within_budget(full, 60).values()) <= 66


def test_the_part_in_a_box_has_only_whole_triangles_in_it():
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0]], np.float32)
    surface = Surface(points, np.array([[0, 1, 2], [1, 3, 2]], np.int32))
    part, owner = part_within(surface, np.array([7, 7, 7, 9]), np.full(3, -0.5), np.full(3, 1.5))
    assert part.faces.tolist() == [[0, 1, 2]] and owner.tolist() == [7, 7, 7]
    np.testing.assert_array_equal(part.points_um, points[:3])


def test_lines_are_cut_where_they_leave_a_box():
    line = np.stack([np.arange(10.0), np.zeros(10), np.zeros(10)], 1)
    pieces = lines_within([line, line + 50], np.array([2.5, -1, -1]), np.array([6.5, 1, 1]))
    assert [p[:, 0].tolist() for p in pieces] == [[3, 4, 5, 6]]


def test_plotly_js_is_copied_once_and_not_where_nothing_can_be_written(tmp_path):
    address = library_address.__wrapped__(tmp_path / "static")
    copied = tmp_path / "static" / address.rsplit("/", 1)[1]
    assert address.startswith("app/static/plotly-") and copied.stat().st_size > 1e6
    before = copied.stat().st_mtime_ns
    assert library_address.__wrapped__(tmp_path / "static") == address and copied.stat().st_mtime_ns == before
    (tmp_path / "file").write_text("no folder")
    assert library_address.__wrapped__(tmp_path / "file") is None


def test_the_3d_figure_is_in_proportion_and_under_the_limit(drawn):
    analysis, _ = drawn
    grid = grid_of(analysis.candidates, analysis.spacing)
    spines, owner = merge(spine_surfaces(analysis.cutter.cut(0.5), grid))
    shaft, _ = merge(dendrite_surfaces(analysis.dendrite_ids, grid))
    zyx = np.array(analysis.spacing.zyx_um())
    scene = Scene3D(
        spines,
        owner,
        shaft,
        centre_lines_um(analysis.candidates, grid),
        colour_spines(analysis.spines, "score"),
        hover_texts(analysis.spines),
        (-0.5 * zyx)[::-1],
        ((np.array(analysis.shape) - 0.5) * zyx)[::-1],
        3,
    )
    figure = figure_3d(scene)
    ratio, ranges = figure.layout.scene.aspectratio, figure.layout.scene
    assert ratio.x / ratio.z == pytest.approx(12.0 / 3.5) and ranges.yaxis.range[0] > ranges.yaxis.range[1]
    meshes = [trace for trace in figure.data if trace.type == "mesh3d"]
    assert sum(len(m.i) for m in meshes) == scene.n_faces < 50_000
    assert len(meshes[1].vertexcolor) == len(owner) and len(set(meshes[1].vertexcolor)) > 10
    assert scene.centre_lines[0][:, 1] == pytest.approx(4.5, abs=0.15)
    assert 0 <= lit(shaft).min() < lit(shaft).max() <= 1
    # whatever the colours mean, the traces stay the same kind: another one costs the browser a second
    by_name = figure_3d(replace(scene, colouring=colour_spines(analysis.spines, "dendrite_id")))
    kinds = [[(t.type, getattr(t, "mode", None)) for t in f.data] for f in (figure, by_name)]
    assert kinds[0] == kinds[1]
    assert figure.layout.coloraxis.showscale and not by_name.layout.coloraxis.showscale
    assert not figure.layout.annotations and "■" in by_name.layout.annotations[0].text
