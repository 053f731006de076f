"""Simulated stacks of dendrites with given shapes: where pieces lie, and what is true about their spines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spinecore.errors import SpinecoreError
from spinecore.simulation.real_shapes import ShapeSet, simulate_shapes
from spinecore.simulation.rendering import Grid
from spinecore.simulation.shape_pieces import CUT_UM, Piece, place

VOXEL_UM = np.array([0.04, 0.04, 0.04])
RADIUS_UM, HEAD_UM, REACH_UM = 0.4, 0.35, 1.4


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> ShapeSet:
    """Four copies of a straight shaft of 8 um along x, with four round heads on straight necks."""
    folder = tmp_path_factory.mktemp("shapes")
    shape = (100, 100, 200)
    z, y, x = (np.arange(n) * um for n, um in zip(shape, VOXEL_UM, strict=True))
    away = np.hypot((z - 2)[:, None], (y - 2)[None])
    ids = np.repeat((away <= RADIUS_UM)[:, :, None], shape[2], axis=2).astype(np.uint8)
    rows = []
    for number, at in enumerate((1.5, 3.0, 4.5, 6.0), 2):
        side = 1 if number % 2 else -1
        head = np.array([2.0, 2.0 + side * REACH_UM, at])
        d2 = (
            ((z - head[0]) ** 2)[:, None, None]
            + ((y - head[1]) ** 2)[None, :, None]
            + ((x - head[2]) ** 2)[None, None]
        )
        neck = (
            (np.hypot((z - 2)[:, None, None], (x - at)[None, None]) <= 0.1)
            & (np.abs(y - 2) < REACH_UM)[None, :, None]
            & (side * (y - 2) > 0)[None, :, None]
        )
        ids[((d2 <= HEAD_UM**2) | neck) & (ids == 0)] = number
        base, tip = (
            np.array([2.0, 2 + side * RADIUS_UM, at]),
            np.array([2.0, head[1] + side * HEAD_UM, at]),
        )
        places = {
            f"{name}_{axis}_um": value
            for name, point in (("head", head), ("base", base), ("tip", tip))
            for axis, value in zip("zyx", point, strict=True)
        }
        rows.append(
            places
            | {
                "spine_id": number,
                "length_um": REACH_UM + HEAD_UM - RADIUS_UM,
                "protrusion_um": 1.3,
                "head_width_um": 2 * HEAD_UM,
                "neck_width_um": 0.2,
                "neck_length_um": 0.6,
                "class": "mushroom",
                "touches_edge": False,
            }
        )
    path = np.stack([np.full(80, 2.0), np.full(80, 2.0), np.linspace(0, 7.96, 80)], 1)
    (folder / "dendrites").mkdir()
    tables = []
    for copy in range(4):
        name = f"dendrite_{copy}"
        np.savez(
            folder / "dendrites" / f"{name}.npz",
            spine_ids=ids,
            voxel_zyx_um=VOXEL_UM,
            shaft_path_zyx_um=path,
            shaft_radius_um=np.full(80, RADIUS_UM),
            shaft_branch=np.zeros(80, int),
        )
        tables.append(pd.DataFrame(rows).assign(dendrite=name))
    pd.concat(tables).to_csv(folder / "spines.csv", index=False)
    return ShapeSet.of(folder)


def test_one_dendrite_in_four_is_kept_aside(shapes: ShapeSet) -> None:
    folder = shapes.dendrites[0].parent.parent
    aside = ShapeSet.of(folder, unseen=True)
    assert len(shapes.dendrites) == 3 and len(aside.dendrites) == 1
    assert not set(shapes.dendrites) & set(aside.dendrites)


def test_a_folder_without_shapes_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpinecoreError, match="holds no shapes of dendrites"):
        ShapeSet.of(tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_a_piece_keeps_its_volume_and_lies_along_its_direction(shapes: ShapeSet, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = Grid.for_stack((40, 160, 160), (0.3, 0.1, 0.1))
    heading = rng.normal(size=3) * [0.2, 1, 1]
    heading /= np.linalg.norm(heading)
    start = np.array([6.0, 8.0, 8.0]) - heading * 3.3
    placed = place(Piece.read(shapes.dendrites[0]), start, heading, 1.1, rng)
    np.testing.assert_allclose(placed.path_um[0], start, atol=1e-9)
    np.testing.assert_allclose(placed.path_um[-1], start + heading * placed.length_um, atol=1e-9)
    assert placed.length_um == pytest.approx(1.1 * (7.96 - 2 * CUT_UM), rel=0.03)
    points = rng.normal(size=(5, 3))
    np.testing.assert_allclose(placed.to_piece(placed.to_stack(points)), points, atol=1e-9)
    window, labels = placed.sample(grid)
    assert window is not None
    shaft_um3 = (labels == 1).mean(0).sum() * np.prod(grid.fine_um)
    assert shaft_um3 == pytest.approx(np.pi * (1.1 * RADIUS_UM) ** 2 * placed.length_um, rel=0.05)
    head_um3 = (labels == 2).mean(0).sum() * np.prod(grid.fine_um)
    ball = 4 / 3 * np.pi * HEAD_UM**3 + np.pi * 0.1**2 * 0.6
    assert head_um3 == pytest.approx(1.1**3 * ball, rel=0.1)


def test_truth_lies_where_the_light_is(shapes: ShapeSet) -> None:
    made = simulate_shapes(501, shapes, "confocal", (24, 260, 260), (0.3, 0.1, 0.1))
    spines = made.spines
    seen = spines[spines["visible"]]
    assert len(seen) >= 4
    places = np.round(seen[["z_px", "y_px", "x_px"]].to_numpy()).astype(int)
    own = made.labels[tuple(places.T)]
    assert (own == seen["spine_id"]).mean() > 0.8, "heads lie in their own labels"
    voxels = made.stack.voxels.astype(float)
    assert np.median(voxels[tuple(places.T)]) > 2 * np.median(voxels)
    on_shaft = voxels[made.dendrite_labels > 0]
    assert np.median(on_shaft) > 3 * np.median(voxels)
    again = simulate_shapes(501, shapes, "confocal", (24, 260, 260), (0.3, 0.1, 0.1))
    np.testing.assert_array_equal(voxels, again.stack.voxels)


def test_spines_at_a_cut_face_do_not_count(shapes: ShapeSet) -> None:
    table = shapes.spines.assign(touches_edge=True)
    cut = ShapeSet(shapes.dendrites, shapes.axons, table)
    made = simulate_shapes(501, cut, "confocal", (24, 260, 260), (0.3, 0.1, 0.1))
    assert len(made.spines) and not made.spines["visible"].any()
