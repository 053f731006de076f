"""Which places of a scene are taken: two bodies do not fill the same place."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

#: Bodies are compared by spheres this far apart along their centre lines (um).
STEP_UM = 0.1


def spheres_along(points_um: np.ndarray, radii_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return spheres along a chain, at most `STEP_UM` apart and with radii between those at its points.

    Parameters
    ----------
    points_um : ndarray, shape (n, 3)
    radii_um : ndarray, shape (n,)

    Returns
    -------
    centres_um : ndarray, shape (m, 3)
    radii_um : ndarray, shape (m,)
    """
    steps = np.linalg.norm(np.diff(points_um, axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    counts = np.maximum(np.ceil(steps / STEP_UM).astype(int), 1)
    at = np.concatenate(
        [
            arc[:1],
            *(np.linspace(a, b, n + 1)[1:] for a, b, n in zip(arc[:-1], arc[1:], counts, strict=True)),
        ]
    )
    centres = np.stack([np.interp(at, arc, points_um[:, axis]) for axis in range(3)], axis=1)
    return centres, np.interp(at, arc, radii_um)


def outside(
    body: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the spheres of a body whose centres lie outside another body's spheres."""
    distance, nearest = cKDTree(other[0]).query(body[0])
    keep = distance > other[1][nearest]
    return body[0][keep], body[1][keep]


class Room:
    """The bodies of a scene so far, each under a name, as spheres."""

    def __init__(self) -> None:
        self._bodies: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, name: str, body: tuple[np.ndarray, np.ndarray]) -> None:
        """Take the place of a body: centres (n, 3) and radii (n,) of its spheres, in um."""
        if len(body[0]):
            self._bodies[name] = body

    def __getitem__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self._bodies[name]

    def depth_um(self, body: tuple[np.ndarray, np.ndarray], but: tuple[str, ...] = ()) -> float:
        """Return how deep a body reaches into any other (um): 0 where it touches one, negative where it is free.

        Parameters
        ----------
        body : tuple of ndarray
            Centres (n, 3) and radii (n,) of its spheres.
        but : tuple of str
            Bodies that do not count.
        """
        deepest = -np.inf
        if not len(body[0]):
            return deepest
        for name, (centres, radii) in self._bodies.items():
            reach = float(radii.max() + body[1].max())
            low, high = body[0].min(0) - reach, body[0].max(0) + reach
            near = ((centres > low) & (centres < high)).all(1)
            if name in but or not near.any():
                continue
            away = np.linalg.norm(body[0][:, None] - centres[near][None], axis=2)
            deepest = max(deepest, float((body[1][:, None] + radii[near][None] - away).max()))
        return deepest
