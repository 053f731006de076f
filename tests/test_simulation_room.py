"""No two bodies of a simulated scene fill the same place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinecore.simulation.room import STEP_UM, Room, outside, spheres_along
from spinecore.simulation.scene import PRESETS, draw_scene

number = st.floats(-5, 5)
radius = st.floats(0.05, 1.5)


def ball(at: tuple[float, float, float], r: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([at], float), np.array([r])


@given(number, number, number, radius, radius)
def test_two_balls_reach_into_each_other_by_their_radii_less_their_distance(z, y, x, r, s):
    room = Room()
    room.add("one", ball((0, 0, 0), r))
    expected = r + s - np.sqrt(z * z + y * y + x * x)
    depth = room.depth_um(ball((z, y, x), s))
    if expected > 0:
        assert depth == pytest.approx(expected)
    else:
        assert depth <= 1e-9
    assert room.depth_um(ball((z, y, x), s), but=("one",)) == -np.inf


def test_the_deepest_body_counts_and_an_empty_one_takes_no_place():
    room = Room()
    room.add("near", ball((0, 0, 0), 1.0))
    room.add("far", ball((0, 0, 3), 1.0))
    room.add("none", (np.zeros((0, 3)), np.zeros(0)))
    assert room.depth_um(ball((0, 0, 1.2), 0.5)) == pytest.approx(0.3)
    assert room.depth_um((np.zeros((0, 3)), np.zeros(0))) == -np.inf


@given(st.lists(st.tuples(number, number, number, radius), min_size=1, max_size=6))
def test_spheres_follow_the_chain_closely(chain):
    points, radii = np.array([c[:3] for c in chain]), np.array([c[3] for c in chain])
    centres, widths = spheres_along(points, radii)
    assert np.linalg.norm(np.diff(centres, axis=0), axis=1).max(initial=0) <= STEP_UM + 1e-9
    assert radii.min() - 1e-9 <= widths.min() and widths.max() <= radii.max() + 1e-9
    for point in (points[0], points[-1]):
        assert np.linalg.norm(centres - point, axis=1).min() < 1e-9


def test_what_lies_inside_another_body_is_taken_away():
    line = spheres_along(np.array([[0, 0, 0], [0, 0, 2.0]]), np.full(2, 0.1))
    kept, radii = outside(line, ball((0, 0, 0), 1.0))
    assert len(kept) == len(radii) > 0
    assert kept[:, 2].min() > 1.0


def fine(points: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spheres along a chain by a second way: ten between every two points."""
    share = np.linspace(0, 1, 10)[:, None, None]
    centres = (points[None, :-1] * (1 - share) + points[None, 1:] * share).reshape(-1, 3)
    widths = (radii[None, :-1] * (1 - share[..., 0]) + radii[None, 1:] * share[..., 0]).ravel()
    return centres, widths


def deepest(one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray]) -> float:
    away = np.linalg.norm(one[0][:, None] - two[0][None], axis=2)
    return float((one[1][:, None] + two[1][None] - away).max(initial=-np.inf))


@pytest.mark.parametrize("preset", ["confocal", "confocal-crowded", "twophoton-oblique"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_body_of_a_scene_reaches_into_another(preset, seed):
    scene = draw_scene(np.random.default_rng(seed), PRESETS[preset], np.array([7.0, 24.0, 24.0]))
    shafts = [fine(n.points_um, n.radii_um) for n in scene.dendrites]
    spines = []
    for spine in scene.spines:
        parts = [outside(fine(*chain), shafts[spine.dendrite]) for chain in spine.chains]
        spines.append((np.concatenate([p for p, _ in parts]), np.concatenate([r for _, r in parts])))
    clutter = [fine(p, r) for p, r, _ in scene.clutter if r.max() < 3]  # a cell body may lie over anything
    assert len(shafts) and len(spines) > 5
    slack = 0.06  # bodies are compared at steps of 0.1 um, here at smaller ones
    for i, one in enumerate(spines):
        assert all(deepest(one, two) < slack for two in spines[:i])
        assert all(deepest(one, two) < slack for two in clutter)
        own = scene.spines[i].dendrite
        assert all(deepest(one, shaft) < slack for k, shaft in enumerate(shafts) if k != own)
    for k, shaft in enumerate(shafts):
        assert all(deepest(shaft, two) < slack for two in clutter)
        for m in range(k):
            if scene.dendrites[k].parent != m:
                assert deepest(shaft, shafts[m]) < slack


def test_a_crowded_scene_keeps_its_density():
    """Drawing again keeps the number of spines: leaving out what collides would lower the density that was asked for."""
    found = per_um = 0.0
    for seed in range(6):
        scene = draw_scene(np.random.default_rng(seed), PRESETS["confocal-crowded"], np.array([40.0, 24, 24]))
        found += len(scene.spines)
        per_um += sum(n.arc_um[-1] for n in scene.dendrites)
    low, high = PRESETS["confocal-crowded"].density_per_um
    assert 0.75 * low < found / per_um < high
