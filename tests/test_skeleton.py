"""Centre lines against closed forms: length within 2 %, whatever the direction and the voxel."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import grid, tube

from spinecore.simulation.geometry import length_inside
from spinecore.tracing.graph import SkeletonGraph
from spinecore.tracing.refine import smooth_path
from spinecore.tracing.trace import centreline_points, dendrite_labels, trace_dendrites

CONFOCAL = (0.3, 0.1, 0.1)


def wavy(spacing, angle_deg, radius=0.5, extent=(8.0, 9.0, 9.0)):
    """Return a wavy dendrite through a volume and its length inside the volume."""
    shape = tuple(round(e / s) for e, s in zip(extent, spacing, strict=True))
    angle = np.deg2rad(angle_deg)
    along = np.array([np.sin(angle), np.cos(angle) * 0.3, np.cos(angle) * np.sqrt(1 - 0.09)])
    side = np.cross(along, [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    s = np.linspace(-10, 10, 41)
    points = np.array(extent) / 2 + s[:, None] * along + 0.5 * np.sin(s / 1.6)[:, None] * side
    fine = np.linspace(-10, 10, 20001)
    dense = np.stack([np.interp(fine, s, points[:, k]) for k in range(3)], axis=1)
    low, high = -np.array(spacing) / 2, (np.array(shape) - 0.5) * spacing
    inside = np.all((dense >= low) & (dense <= high), axis=1)
    length = np.linalg.norm(np.diff(dense[inside], axis=0), axis=1).sum()
    return tube(grid(shape, spacing), points, radius), length


@pytest.mark.parametrize("spacing", [CONFOCAL, (0.5, 0.2, 0.2), (1.0, 0.15, 0.15)])
@pytest.mark.parametrize("angle", [0, 30, 60])
def test_length_and_radius_of_a_dendrite_through_the_volume(spacing, angle):
    mask, length = wavy(spacing, angle)
    (dendrite,) = trace_dendrites(mask, spacing)
    assert len(dendrite.branches) == 1
    assert dendrite.path_length_um == pytest.approx(length, rel=0.02)
    assert dendrite.mean_radius_um == pytest.approx(0.5, rel=0.08 if spacing == CONFOCAL else 0.18)


def test_an_oblique_dendrite_is_as_long_as_a_flat_one():
    lengths = []
    for angle in (0, 25, 50):
        a = np.deg2rad(angle)
        half = 4 * np.array([np.sin(a), 0.0, np.cos(a)])
        middle = np.array([4.5, 2.0, 5.5])
        mask = tube(grid((30, 40, 110), CONFOCAL), np.array([middle - half, middle + half]), 0.4)
        lengths.append(trace_dendrites(mask, CONFOCAL)[0].path_length_um)
    assert lengths == pytest.approx([8.0] * 3, abs=CONFOCAL[0])


@pytest.mark.parametrize(("angle", "radius"), [(20, 0.4), (20, 0.7), (35, 0.8)])
def test_a_shaft_that_leaves_through_the_top_ends_where_its_axis_does(angle, radius):
    a = np.deg2rad(angle)
    heading = np.array([np.sin(a), 0.0, np.cos(a)])
    top = np.array([29.5 * 0.3, 3.0, 14.0])  # the axis leaves through the last slice's upper face here
    line = np.array([top - 25 * heading, top + 5 * heading])
    mask = tube(grid((30, 60, 220), CONFOCAL), line, radius)
    low = -np.array(CONFOCAL) / 2
    length = length_inside(line, low, low + np.array(mask.shape) * CONFOCAL)
    (dendrite,) = trace_dendrites(mask, CONFOCAL)
    points, _ = centreline_points([dendrite])
    assert np.linalg.norm(points[np.argmax(points[:, 2])] - top) < 0.35
    assert dendrite.path_length_um == pytest.approx(length, abs=0.5)


@pytest.mark.parametrize("angle", [25, 40, 60])
def test_a_branch_begins_on_the_axis_of_its_shaft(angle):
    a = np.deg2rad(angle)
    fork, tip = np.array([3.0, 6.0, 8.0]), 9.0
    heading = np.array([0.0, np.sin(a), np.cos(a)])
    where = grid((20, 160, 240), CONFOCAL)
    shaft, branch = np.array([[3, 6, -2.0], [3, 6, 26.0]]), np.array([fork, fork + tip * heading])
    dendrite, *others = trace_dendrites(tube(where, shaft, 0.6) | tube(where, branch, 0.35), CONFOCAL)
    assert not others and len(dendrite.branches) == 3
    assert dendrite.path_length_um == pytest.approx(24.0 + tip, rel=0.02)
    begins = [b.points_um[0] for b in dendrite.branches] + [b.points_um[-1] for b in dendrite.branches]
    at = min(begins, key=lambda p: np.linalg.norm(p - fork))
    assert np.linalg.norm(at - fork) < 0.6
    points, _ = centreline_points([dendrite])
    along = points[(points[:, 2] > 1) & (points[:, 2] < 23) & (abs(points[:, 1] - 6) < 0.3)]
    assert np.median(abs(along[:, 1] - 6)) < 0.05


def test_spine_stumps_are_pruned_and_branches_kept():
    where = grid((20, 100, 200), CONFOCAL)
    shaft = np.array([[3, 5, -2.0], [3, 5, 10.0], [3, 1, 18.0]])
    mask = tube(where, shaft, 0.5) | tube(where, np.array([[3, 5, 10.0], [4, 9, 18.0]]), 0.4)
    for x in np.arange(1, 9, 2.0):
        mask |= tube(where, np.array([[3, 5, x], [3, 6.5, x + 0.3]]), 0.2)
    (dendrite,) = trace_dendrites(mask, CONFOCAL)
    assert len(dendrite.branches) == 3
    assert [b.order for b in dendrite.branches] == [0, 1, 1]
    assert dendrite.path_length_um == pytest.approx(10.05 + 2 * np.hypot(4, 8), rel=0.03)
    assert dendrite.branches[1].start_um == pytest.approx(dendrite.branches[0].length_um, abs=0.01)


def test_two_lines_that_cross_in_a_projection_are_two_dendrites():
    spacing = (1.0, 0.1, 0.1)
    where = grid((1, 200, 200), spacing)
    first, second = np.array([[0, 1, -1.0], [0, 19, 21.0]]), np.array([[0, 18, -1.0], [0, 3, 21.0]])
    mask = tube(where, first, 0.5) | tube(where, second, 0.5)
    found = trace_dendrites(mask, spacing)
    assert len(found) == 2
    truth = [np.linalg.norm(line[1] - line[0]) * 20 / 22 for line in (first, second)]
    assert [d.path_length_um for d in found] == pytest.approx(truth, rel=0.03)
    assert set(np.unique(dendrite_labels(mask, found, spacing))) == {0, 1, 2}


def test_a_gap_is_joined_and_a_speck_dropped():
    spacing = (1.0, 0.1, 0.1)
    where = grid((1, 120, 200), spacing)
    mask = tube(where, np.array([[0, 5, -1.0], [0, 5, 8.0]]), 0.4) | tube(
        where, np.array([[0, 5, 10.0], [0, 5, 22.0]]), 0.4
    )
    speck = tube(where, np.array([[0, 10, 5.0], [0, 10, 6.0]]), 0.4)
    (dendrite,) = trace_dendrites(mask | speck, spacing)
    assert dendrite.path_length_um == pytest.approx(20.0, rel=0.01)
    ids = dendrite_labels(mask | speck, [dendrite], spacing)
    assert (ids[mask] == 1).all() and (ids[speck] == 0).all()


def test_a_perfectly_straight_bar_of_even_width_is_not_lost():
    mask = np.zeros((21, 40, 80), bool)
    mask[8:12, 16:22, :] = True
    (dendrite,) = trace_dendrites(mask, (0.1, 0.1, 0.1))
    assert dendrite.path_length_um == pytest.approx(8.0, rel=0.01)


def test_turning_the_volume_does_not_change_the_length():
    mask, _ = wavy(CONFOCAL, 20, extent=(9.0, 10.0, 10.0))
    plain = trace_dendrites(mask, CONFOCAL)[0].path_length_um
    for turned in (
        np.rot90(mask, axes=(1, 2)),
        mask[::-1],
        mask.transpose(0, 2, 1),
        np.pad(mask[:, :, ::-1], ((2, 2), (0, 0), (0, 0))),
    ):
        length = trace_dendrites(turned, CONFOCAL)[0].path_length_um
        assert length == pytest.approx(plain, rel=0.03 if turned.shape[0] != mask.shape[0] else 0.01)


def test_lone_voxels_of_a_skeleton_are_no_path():
    """A dim real image of `unet3d` thinned to two voxels apart from each other, which ended its analysis."""
    skeleton = np.zeros((6, 6, 12), bool)
    skeleton[1, 1, 1] = skeleton[4, 4, 4] = True
    graph = SkeletonGraph()
    graph.add_skeleton(skeleton, np.ones(3), np.zeros(3))
    assert not graph.edges and not graph.nodes
    skeleton[2, 2, 6:11] = True
    graph.add_skeleton(skeleton, np.ones(3), np.zeros(3))
    assert len(graph.edges) == 1


def test_nothing_in_nothing_out_and_clear_errors():
    empty = np.zeros((4, 30, 30), bool)
    assert trace_dendrites(empty, CONFOCAL) == []
    assert dendrite_labels(empty, [], CONFOCAL).max() == 0
    assert len(centreline_points([])[0]) == 0
    with pytest.raises(ValueError, match="axes ZYX"):
        trace_dendrites(empty[0], CONFOCAL)
    with pytest.raises(ValueError, match="three positive numbers"):
        trace_dendrites(empty, (0.0, 0.1, 0.1))


def test_smoothing_keeps_the_ends_and_takes_off_the_staircase():
    steps = np.array([[0.0, (i + 1) // 2 * 0.1, i // 2 * 0.1] for i in range(200)])
    path = smooth_path(steps, 0.1, 0.5)
    assert path[0] == pytest.approx(steps[0]) and path[-1] == pytest.approx(steps[-1])
    straight = np.linalg.norm(steps[-1] - steps[0])
    assert np.linalg.norm(np.diff(path, axis=0), axis=1).sum() == pytest.approx(straight, rel=0.002)


def test_crossings_that_share_an_edge_are_taken_apart():
    from spinecore.tracing.graph import SkeletonGraph

    graph = SkeletonGraph()
    places = {
        "a": (0, 0, 0), "b": (0, 0, 0.5), "c": (0, -0.15, 2.0),
        "left up": (0, 0.4, -5), "left down": (0, -0.4, -5), "right": (0, 0.4, 6),
        "far up": (0, 0.4, 7), "far down": (0, -0.8, 7),
    }  # fmt: skip
    node = {name: graph.add_node(np.array(place, float)) for name, place in places.items()}
    pairs = [
        ("a", "b"),
        ("b", "c"),
        ("a", "left up"),
        ("a", "left down"),
        ("b", "right"),
        ("c", "far up"),
        ("c", "far down"),
    ]
    for one, other in pairs:
        line = np.linspace(places[one], places[other], 20)
        graph.add_edge(node[one], node[other], line)
    graph.split_crossings(lambda points: np.ones(len(points)))
    assert all(edge.a in graph.nodes and edge.b in graph.nodes for edge in graph.edges.values())


@pytest.mark.parametrize("radius_um", [0.5, 1.0])
def test_a_mask_that_is_one_small_ring_has_no_centre_line(radius_um):
    z, y, x = np.moveaxis(grid((8, 40, 40), CONFOCAL), -1, 0)
    ring = (abs(np.hypot(y - 2.0, x - 2.0) - radius_um) <= 0.15) & (abs(z - 1.05) < 0.2)
    assert ring.any()
    assert trace_dendrites(ring, CONFOCAL) == []
