"""What stands before the simulated microscope: random dendrites, spines and clutter."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from spinecore.simulation.geometry import (
    SPINE_CLASSES,
    Neurite,
    SpineShape,
    dendrite_radii,
    frame,
    make_spine,
    wander,
)
from spinecore.simulation.room import Room, outside, spheres_along

#: How often a body that would fill a place that is taken is drawn anew before it is left out.
TRIES = 20


@dataclass(frozen=True)
class Preset:
    """Ranges from which one stack's microscope and tissue are drawn; all uniform unless said.

    Parameters
    ----------
    lateral_fwhm_um, axial_fwhm_um : (low, high)
        Point-spread function.
    tail : (low, high)
        Share of light in the wide axial tail.
    photons : (low, high)
        Photons per voxel from a shaft (log-uniform).
    density_per_um : (low, high)
        Spines per um of shaft.
    tilt_deg : float
        Standard deviation of the shafts' angle to the image plane.
    dendrites : (low, high)
        Number of shafts through the volume, high excluded.
    radius_um : (low, high)
        Mean radius of a shaft.
    clutter : float
        Multiplier of the amount of axons, blobs and haze.
    crowding : float
        Chance that a spine is placed next to the one before.
    """

    lateral_fwhm_um: tuple[float, float] = (0.20, 0.36)
    axial_fwhm_um: tuple[float, float] = (0.55, 1.0)
    tail: tuple[float, float] = (0.0, 0.3)
    photons: tuple[float, float] = (25.0, 900.0)
    density_per_um: tuple[float, float] = (0.4, 2.2)
    tilt_deg: float = 14.0
    dendrites: tuple[int, int] = (1, 4)
    clutter: float = 1.0
    crowding: float = 0.1
    radius_um: tuple[float, float] = (0.25, 0.8)


_CONFOCAL = Preset()
_TWOPHOTON = replace(
    _CONFOCAL,
    lateral_fwhm_um=(0.33, 0.5),
    axial_fwhm_um=(1.3, 2.4),
    tail=(0.0, 0.35),
    photons=(20.0, 500.0),
    clutter=1.5,
)

#: Named ranges. "clutter" has no dendrite at all: nothing may be found on it.
PRESETS: dict[str, Preset] = {
    "confocal": _CONFOCAL,
    "twophoton": _TWOPHOTON,
    "confocal-crowded": replace(_CONFOCAL, density_per_um=(2.0, 3.2), crowding=0.35),
    "confocal-noisy": replace(_CONFOCAL, photons=(6.0, 18.0)),
    "confocal-oblique": replace(_CONFOCAL, tilt_deg=45.0),
    "twophoton-oblique": replace(_TWOPHOTON, tilt_deg=40.0),
    "confocal-clutter": replace(_CONFOCAL, dendrites=(0, 1), clutter=2.0),
    "twophoton-clutter": replace(_TWOPHOTON, dendrites=(0, 1), clutter=2.0),
}


@dataclass
class Scene:
    """Shapes in um with brightness relative to a shaft (1.0)."""

    dendrites: list[Neurite] = field(default_factory=list)
    dendrite_brightness: list[float] = field(default_factory=list)
    spines: list[SpineShape] = field(default_factory=list)
    clutter: list[tuple[np.ndarray, np.ndarray, float]] = field(default_factory=list)
    distant: list[tuple[np.ndarray, np.ndarray, float]] = field(default_factory=list)


def draw_scene(rng: np.random.Generator, preset: Preset, extent_um: np.ndarray) -> Scene:
    """Draw a scene that fills a box of `extent_um` (ZYX).

    No shaft, spine, axon or blob reaches into another neuron's shaft or into any spine, though they may touch. Axons and
    blobs may cross each other, and a cell body at the edge may lie over anything.
    """
    scene, room = Scene(), Room()
    kinds = rng.dirichlet(np.array([4.0, 3.0, 2.5, 0.8]))
    for _ in range(int(rng.integers(*preset.dendrites))):
        _add_dendrite(scene, room, rng, preset, extent_um)
    for index in range(len(scene.dendrites)):
        _add_spines(scene, room, rng, preset, extent_um, index, kinds)
    add_clutter(scene, room, rng, preset, extent_um)
    return scene


def _shaft(index: int) -> str:
    """Return the name of a shaft in the room."""
    return f"shaft {index}"


def draw_heading(rng: np.random.Generator, tilt_deg: float) -> np.ndarray:
    """Return a unit vector (ZYX) of any direction in the plane, tilted out of it by about `tilt_deg`."""
    tilt = np.clip(np.deg2rad(tilt_deg) * rng.standard_normal(), -1.2, 1.2)
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.sin(tilt), np.cos(tilt) * np.sin(angle), np.cos(tilt) * np.cos(angle)])


def _through(
    rng: np.random.Generator, extent_um: np.ndarray, heading: np.ndarray, tortuosity: float
) -> np.ndarray:
    """A curve that passes through the middle part of the box and leaves it at both ends."""
    centre = extent_um * rng.uniform(0.2, 0.8, 3)
    reach = float(np.linalg.norm(extent_um)) * 0.75
    forward = wander(rng, centre, heading, reach, tortuosity)
    backward = wander(rng, centre, -heading, reach, tortuosity)
    return np.vstack([backward[::-1], forward[1:]])


def _trim(points: np.ndarray, extent_um: np.ndarray, margin_um: float) -> slice:
    """The longest run of points inside the box grown by a margin."""
    inside = np.all((points > -margin_um) & (points < extent_um + margin_um), axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    if len(edges) == 0:
        return slice(0, 0)
    runs = edges.reshape(-1, 2)
    start, stop = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return slice(int(start), int(stop))


def _add_dendrite(
    scene: Scene, room: Room, rng: np.random.Generator, preset: Preset, extent_um: np.ndarray
) -> None:
    mean = rng.uniform(*preset.radius_um) if rng.random() > 0.06 else rng.uniform(0.8, 1.6)
    tortuosity = rng.choice([0.02, 0.05, 0.11])
    for _ in range(TRIES):
        points = _through(rng, extent_um, draw_heading(rng, preset.tilt_deg), tortuosity)
        points = points[_trim(points, extent_um, 2.0)]
        if len(points) < 12:
            return
        if rng.random() < 0.15:  # a dendrite that ends inside the volume
            points = points[: int(len(points) * rng.uniform(0.4, 0.8))]
        radii = dendrite_radii(rng, len(points), mean, rng.uniform(0.75, 1.0), rng.uniform(0, 0.8))
        if room.depth_um(spheres_along(points, radii)) <= 0:
            break
    else:
        return
    brightness = 1.0 if not scene.dendrites else float(np.exp(rng.uniform(np.log(0.3), np.log(1.4))))
    parent = len(scene.dendrites)
    _place_shaft(scene, room, Neurite(points, radii), brightness)
    if rng.random() >= 0.35:
        return
    for _ in range(TRIES):
        at = int(rng.integers(len(points) // 4, 3 * len(points) // 4 + 1))
        at = min(at, len(points) - 2)
        tangent = points[at + 1] - points[at]
        turn = frame(tangent / np.linalg.norm(tangent), rng)[0]
        turn[0] *= 0.4
        branch = wander(
            rng,
            points[at],
            tangent / np.linalg.norm(tangent) + turn * rng.uniform(0.6, 1.4),
            60.0,
            tortuosity,
        )
        branch = branch[_trim(branch, extent_um, 2.0)]
        if len(branch) < 12:
            return
        thinner = dendrite_radii(rng, len(branch), radii[at] * rng.uniform(0.55, 0.85), 0.85, 0.5)
        if room.depth_um(spheres_along(branch, thinner), but=(_shaft(parent),)) <= 0:
            _place_shaft(scene, room, Neurite(branch, thinner, parent=parent), brightness)
            return


def _place_shaft(scene: Scene, room: Room, neurite: Neurite, brightness: float) -> None:
    room.add(_shaft(len(scene.dendrites)), spheres_along(neurite.points_um, neurite.radii_um))
    scene.dendrites.append(neurite)
    scene.dendrite_brightness.append(brightness)


def _add_spines(
    scene: Scene,
    room: Room,
    rng: np.random.Generator,
    preset: Preset,
    extent_um: np.ndarray,
    index: int,
    kinds: np.ndarray,
) -> None:
    neurite = scene.dendrites[index]
    arc = neurite.arc_um
    density = rng.uniform(*preset.density_per_um)
    if rng.random() < 0.08:
        density *= 0.1
    factor = scene.dendrite_brightness[index]
    positions = np.sort(rng.uniform(0.6, max(arc[-1] - 0.6, 0.7), rng.poisson(density * arc[-1])))
    previous: tuple[float, float] | None = None
    for position in positions:
        kind = str(rng.choice(SPINE_CLASSES, p=kinds))
        neighbour = previous if previous is not None and rng.random() < preset.crowding else None
        for _ in range(TRIES):
            place = (float(position), rng.uniform(0, 2 * np.pi))
            if neighbour is not None:
                place = (neighbour[0] + rng.uniform(0.3, 0.7), neighbour[1] + rng.normal(0, 0.4))
            spine = _draw_spine(rng, neurite, index, kind, *place)
            if np.any(spine.head_um < 0) or np.any(spine.head_um > extent_um):
                previous = place
                break
            body = _free_body(spine, room)
            if body is None:
                continue
            previous = place
            spine.brightness = factor * float(np.exp(rng.normal(0.0, 0.25)))
            room.add(f"spine {len(scene.spines)}", body)
            scene.spines.append(spine)
            break


def _draw_spine(
    rng: np.random.Generator, neurite: Neurite, index: int, kind: str, position: float, azimuth: float
) -> SpineShape:
    """Draw a spine that leaves a shaft at a place along it (um) and a direction around it."""
    i = int(np.clip(np.searchsorted(neurite.arc_um, position), 1, len(neurite.points_um) - 2))
    tangent = neurite.points_um[i + 1] - neurite.points_um[i - 1]
    tangent /= np.linalg.norm(tangent)
    z_axis = np.array([1.0, 0.0, 0.0]) - tangent[0] * tangent
    u = z_axis / np.linalg.norm(z_axis) if np.linalg.norm(z_axis) > 0.1 else frame(tangent, rng)[0]
    v = np.cross(tangent, u)
    outward = np.cos(azimuth) * u + np.sin(azimuth) * v
    centre, radius = neurite.points_um[i], neurite.radii_um[i]
    surface = centre + outward * radius
    return make_spine(
        rng, kind, surface, centre + outward * radius * 0.6, outward, tangent, index, float(position)
    )


def _free_body(spine: SpineShape, room: Room) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the spheres of a spine outside its shaft; None where they reach into another body or its head lies in the shaft."""
    shaft = room[_shaft(spine.dendrite)]
    if not len(outside((spine.head_um[None], np.zeros(1)), shaft)[0]):
        return None
    chains = [outside(spheres_along(*chain), shaft) for chain in spine.chains]
    body = np.concatenate([c for c, _ in chains]), np.concatenate([r for _, r in chains])
    return None if room.depth_um(body, but=(_shaft(spine.dendrite),)) > 0 else body


def add_clutter(
    scene: Scene, room: Room, rng: np.random.Generator, preset: Preset, extent_um: np.ndarray
) -> None:
    """Add axons with boutons, loose blobs, now and then a cell body at the edge, and neurites far out of focus."""
    area = extent_um[1] * extent_um[2] / 400.0
    for _ in range(rng.poisson(1.2 * preset.clutter * area)):  # thin axons with boutons
        _add_axon(scene, room, rng, extent_um)
    for _ in range(rng.poisson(2.5 * preset.clutter * area)):  # loose blobs and debris
        bright = float(np.exp(rng.uniform(np.log(0.05), np.log(0.7))))
        for _ in range(TRIES):
            at = extent_um * rng.random(3)
            other = at + rng.normal(0, 0.5, 3)
            size = float(np.exp(rng.uniform(np.log(0.12), np.log(0.6))))
            if _add_free(scene, room, np.stack([at, other]), np.full(2, size), bright):
                break
    if rng.random() < 0.06:  # a cell body at the edge
        at = extent_um * np.array([rng.random(), rng.choice([-0.1, 1.1]), rng.random()])
        scene.clutter.append((np.stack([at, at + 0.1]), np.full(2, rng.uniform(4, 8)), rng.uniform(0.8, 1.5)))
    for _ in range(rng.poisson(1.2 * preset.clutter * max(area, 0.5))):  # neurites above and below
        points = _through(rng, extent_um, draw_heading(rng, 5.0), 0.08)
        depth = rng.uniform(1.5, 8.0)
        points[:, 0] = extent_um[0] / 2 + rng.choice([-1, 1]) * (extent_um[0] / 2 + depth)
        scene.distant.append((points, np.full(len(points), rng.uniform(0.3, 1.5)), depth))


def _add_free(scene: Scene, room: Room, points: np.ndarray, radii: np.ndarray, bright: float) -> bool:
    """Add a piece of clutter where it reaches into no shaft or spine."""
    if room.depth_um(spheres_along(points, radii)) > 0:
        return False
    scene.clutter.append((points, radii, bright))
    return True


def _add_axon(scene: Scene, room: Room, rng: np.random.Generator, extent_um: np.ndarray) -> None:
    bright = float(np.exp(rng.uniform(np.log(0.12), np.log(0.9))))
    for _ in range(TRIES):
        points = _through(rng, extent_um, draw_heading(rng, 20.0), rng.choice([0.1, 0.25, 0.5]))
        points = points[_trim(points, extent_um, 1.0)]
        if len(points) < 8:
            return
        if _add_free(scene, room, points, np.full(len(points), rng.uniform(0.06, 0.16)), bright):
            break
    else:
        return
    for _ in range(rng.poisson(len(points) * 0.25 / rng.uniform(2.5, 7))):
        for _ in range(TRIES):
            at = points[rng.integers(len(points))]
            ends, size = np.stack([at, at + 1e-3]), np.full(2, rng.uniform(0.2, 0.5))
            if _add_free(scene, room, ends, size, bright * rng.uniform(0.8, 1.3)):
                break
