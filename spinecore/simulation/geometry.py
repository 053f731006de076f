"""Shapes of dendrites, spines and clutter as chains of spheres joined by tapered capsules.

All coordinates are micrometres in ZYX order with the origin at the centre of voxel (0, 0, 0).
Size distributions are those of Harris 1992 and later work, as listed in `CLASS_SIZES`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter1d

SPINE_CLASSES = ("thin", "mushroom", "stubby", "filopodium")


@dataclass
class Neurite:
    """A centre line with radii.

    Parameters
    ----------
    points_um : ndarray, shape (n, 3)
        ZYX points along the centre line.
    radii_um : ndarray, shape (n,)
        Radius at each point.
    parent : int
        Index of the neurite this one branches from, or -1.
    """

    points_um: np.ndarray
    radii_um: np.ndarray
    parent: int = -1

    @property
    def arc_um(self) -> np.ndarray:
        """Arc length from the first point to each point, in um."""
        steps = np.linalg.norm(np.diff(self.points_um, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])


@dataclass
class SpineShape:
    """One simulated spine: its parts and its true measures (um, ZYX).

    `chains` holds (points, radii) pairs; the first is the neck from the base on the shaft's
    surface to the head, the rest are heads.
    """

    chains: list[tuple[np.ndarray, np.ndarray]]
    head_um: np.ndarray
    base_um: np.ndarray
    tip_um: np.ndarray
    length_um: float
    head_width_um: float
    neck_width_um: float
    neck_length_um: float
    kind: str
    dendrite: int
    arc_um: float
    n_heads: int = 1
    brightness: float = 1.0
    extra: dict = field(default_factory=dict)


def smooth_noise(rng: np.random.Generator, n: int, correlation: float) -> np.ndarray:
    """Return `n` values of a zero-mean, unit-variance series, correlated over `correlation` samples."""
    pad = int(4 * correlation) + 1
    series = gaussian_filter1d(rng.standard_normal(n + 2 * pad), max(correlation, 1e-3))[pad : pad + n]
    return series / (series.std() + 1e-9)


def wander(
    rng: np.random.Generator, start_um: np.ndarray, direction: np.ndarray, length_um: float, tortuosity: float
) -> np.ndarray:
    """Return points every 0.25 um along a curve whose heading does a slow random walk.

    Parameters
    ----------
    rng : Generator
    start_um, direction : ndarray, shape (3,)
        First point and initial heading (ZYX).
    length_um : float
        Arc length.
    tortuosity : float
        Standard deviation of the heading's change per um, in radians.

    Returns
    -------
    ndarray, shape (n, 3)
    """
    step = 0.25
    n = max(int(length_um / step), 2)
    heading = np.asarray(direction, float) / np.linalg.norm(direction)
    home = heading.copy()
    turns = np.stack([smooth_noise(rng, n, 8) for _ in range(3)], axis=1) * tortuosity * step
    turns[:, 0] *= 0.6
    points = np.empty((n, 3))
    points[0] = start_um
    for i in range(1, n):
        heading = heading + turns[i] + 0.01 * (home - heading)
        heading /= np.linalg.norm(heading)
        points[i] = points[i - 1] + step * heading
    return points


def dendrite_radii(
    rng: np.random.Generator, n: int, mean_um: float, taper: float, varicosity: float
) -> np.ndarray:
    """Return radii along a shaft: slow variation, taper and occasional varicosities (um)."""
    radii = mean_um * np.linspace(1.0, taper, n) * np.exp(0.10 * smooth_noise(rng, n, 12))
    for _ in range(rng.poisson(varicosity * n * 0.25 / 10)):
        centre, width = rng.uniform(0, n), rng.uniform(2, 5)
        radii *= 1 + rng.uniform(0.2, 0.6) * np.exp(-0.5 * ((np.arange(n) - centre) / width) ** 2)
    return np.clip(radii, 0.12, 3.0)


def frame(tangent: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two unit vectors perpendicular to `tangent` and to each other."""
    helper = rng.standard_normal(3)
    u = np.cross(tangent, helper)
    u /= np.linalg.norm(u)
    return u, np.cross(tangent, u)


def _positive_normal(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    for _ in range(20):
        value = rng.normal(mean, sd)
        if low <= value <= high:
            return float(value)
    return float(np.clip(mean, low, high))


def draw_sizes(rng: np.random.Generator, kind: str) -> tuple[float, float, float]:
    """Draw (length, head diameter, neck diameter) in um for a spine class.

    Thin and mushroom follow Harris 1992 (thin: length 0.98 +- 0.42, neck diameter 0.10 +- 0.03,
    volume 0.04 +- 0.02 um^3; mushroom: length 1.5 +- 0.25, neck diameter 0.20 +- 0.07, volume
    0.29 +- 0.13 um^3), the head diameter being that of a sphere of the drawn volume.
    """
    if kind == "thin":
        volume = _positive_normal(rng, 0.04, 0.02, 0.012, 0.11)
        head = (6 * volume / np.pi) ** (1 / 3)
        return (
            max(_positive_normal(rng, 0.98, 0.42, 0.45, 2.4), 1.3 * head),
            head,
            _positive_normal(rng, 0.10, 0.03, 0.06, 0.2),
        )
    if kind == "mushroom":
        volume = _positive_normal(rng, 0.29, 0.13, 0.08, 0.7)
        head = (6 * volume / np.pi) ** (1 / 3)
        return (
            max(_positive_normal(rng, 1.5, 0.25, 0.9, 2.4), 1.25 * head),
            head,
            _positive_normal(rng, 0.20, 0.07, 0.09, 0.4),
        )
    if kind == "stubby":
        head = rng.uniform(0.35, 0.85)
        return head * rng.uniform(0.75, 1.15), head, head
    if kind == "filopodium":
        length = 2.0 + min(rng.exponential(1.2), 7.0)
        neck = _positive_normal(rng, 0.15, 0.04, 0.08, 0.24)
        return length, min(neck * rng.uniform(1.0, 1.5), 0.3), neck
    raise ValueError(f"spine class must be one of {SPINE_CLASSES}, not {kind!r}")


def make_spine(
    rng: np.random.Generator,
    kind: str,
    surface_um: np.ndarray,
    inner_um: np.ndarray,
    outward: np.ndarray,
    tangent: np.ndarray,
    dendrite: int,
    arc_um: float,
) -> SpineShape:
    """Build one spine that leaves the shaft at `surface_um` along `outward`.

    The neck is a quadratic Bezier curve, so some spines are bent; lengths are arc lengths from
    the shaft's surface to the tip. `inner_um` lies inside the shaft and anchors the neck.
    """
    length, head_width, neck_width = draw_sizes(rng, kind)
    lean = 0.35 if kind != "filopodium" else 0.7
    side = frame(outward, rng)[0] * rng.normal(0, lean) + tangent * rng.normal(0, lean)
    end_direction = outward + side
    end_direction /= np.linalg.norm(end_direction)
    head_radius = head_width / 2
    reach = max(length - head_radius, 0.02)
    bend = surface_um + outward * reach * 0.5
    head = bend + end_direction * reach * 0.5
    t = np.linspace(0, 1, 9)[:, None]
    neck = (1 - t) ** 2 * surface_um + 2 * t * (1 - t) * bend + t**2 * head
    arc = float(np.linalg.norm(np.diff(neck, axis=0), axis=1).sum())
    along = neck[-1] - neck[-2]
    along = along / (np.linalg.norm(along) + 1e-9)
    neck_radii = np.full(len(neck), neck_width / 2)
    if kind == "stubby":
        neck_radii = np.linspace(head_radius * 1.1, head_radius, len(neck))
    elif kind == "filopodium":
        neck_radii = np.linspace(neck_width / 2, head_radius, len(neck)) * (
            1 + 0.15 * rng.standard_normal(len(neck))
        )
        neck_radii = np.clip(neck_radii, 0.03, 0.15)
    chains = [(np.vstack([inner_um, neck]), np.concatenate([[neck_radii[0]], neck_radii]))]
    stretch = rng.uniform(-0.15, 0.15) * head_width
    across = frame(along, rng)[0]
    axis = along if rng.random() < 0.5 else across
    ends = np.stack([head - axis * abs(stretch), head + axis * abs(stretch)])
    shrink = head_radius - abs(stretch) * 0.5
    chains.append((ends, np.full(2, shrink)))
    tip = head + along * (shrink + (abs(stretch) if axis is along else 0.0))
    n_heads = 1
    if kind in ("thin", "mushroom") and rng.random() < 0.04:
        n_heads = 2
        second = neck[4] + (across * 0.8 + outward * 0.6) * head_width * 1.1
        chains.append((np.stack([neck[4], second]), np.array([neck_width / 2, neck_width / 2])))
        chains.append((np.stack([second, second]), np.full(2, head_radius * rng.uniform(0.6, 0.9))))
    return SpineShape(
        chains=chains,
        head_um=head,
        base_um=np.asarray(surface_um, float),
        tip_um=tip,
        length_um=arc + float(np.linalg.norm(tip - head)),
        head_width_um=2 * shrink if axis is along else 2 * (shrink + abs(stretch) * 0.5),
        neck_width_um=float(2 * neck_radii.mean()) if kind == "filopodium" else neck_width,
        neck_length_um=0.0 if kind == "stubby" else max(arc - head_radius, 0.0),
        kind=kind,
        dendrite=dendrite,
        arc_um=arc_um,
        n_heads=n_heads,
    )


def length_inside(points_um: np.ndarray, low_um: np.ndarray, high_um: np.ndarray) -> float:
    """Return the length of a polyline inside a box, its segments cut exactly at the faces (Liang and Barsky 1984).

    Parameters
    ----------
    points_um : ndarray, shape (n, 3)
    low_um, high_um : ndarray, shape (3,)
        Faces of the box.

    Examples
    --------
    >>> length_inside(np.array([[0, 0, -1.0], [0, 0, 3.0]]), np.full(3, -0.5), np.full(3, 1.5))
    2.0
    """
    start, step = points_um[:-1], np.diff(points_um, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        first, last = (low_um - start) / step, (high_um - start) / step
    still = step == 0
    outside = (still & ((start < low_um) | (start > high_um))).any(axis=1)
    enter = np.where(still, 0.0, np.minimum(first, last)).max(axis=1)
    leave = np.where(still, 1.0, np.maximum(first, last)).min(axis=1)
    share = np.clip(np.minimum(leave, 1.0) - np.maximum(enter, 0.0), 0.0, None)
    return float((np.where(outside, 0.0, share) * np.linalg.norm(step, axis=1)).sum())
