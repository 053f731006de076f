"""Marked volumes as other microscopes might show them: dimmer or brighter, larger or smaller, with more noise.

Few real stacks are marked, and those of one microscope look alike. A variant changes the light and the size of a whole volume
before the first network draws its maps, so that maps, candidates and cubes of a second look change together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinecore.networks.scale import resize_plane
from spinecore.training.pool import PoolVolume, decode, encode

#: Largest change of the size in plane and of the slice distance (logarithm).
ZOOM, Z_ZOOM = 0.29, 0.25
#: What the light above the background is multiplied with, the power that it is raised to, and the noise that is added (standard
#: deviation, in parts of the range of intensities).
GAIN, POWER, NOISE = (0.45, 1.1), (0.8, 1.3), (0.0, 0.03)
#: Below this percentile a volume shows background.
BACKGROUND = 20.0


@dataclass(frozen=True)
class Variant:
    """How a volume is changed.

    Parameters
    ----------
    zoom, z_zoom : float
        How many times as large everything is in plane, and how many times as far slices are said to be apart.
    gain, power : float
        What the light above the background is multiplied with after it was raised to a power.
    noise : float
        Standard deviation of what is added, in parts of the range of intensities.
    seed : int
        Of the noise.
    """

    zoom: float = 1.0
    z_zoom: float = 1.0
    gain: float = 1.0
    power: float = 1.0
    noise: float = 0.0
    seed: int = 0

    @staticmethod
    def drawn(seed: int) -> Variant:
        """Return one drawn at random."""
        rng = np.random.default_rng(seed)
        zoom, z_zoom = np.exp(rng.uniform(-1, 1, 2) * (ZOOM, Z_ZOOM))
        gain = np.exp(rng.uniform(*np.log(GAIN)))
        return Variant(
            float(zoom), float(z_zoom), float(gain), rng.uniform(*POWER), rng.uniform(*NOISE), seed
        )

    def shape(self, shape_zyx: tuple[int, ...]) -> tuple[int, int, int]:
        """Return the shape of a changed volume."""
        rows, columns = (max(1, round(side * self.zoom)) for side in shape_zyx[1:])
        return shape_zyx[0], rows, columns

    def of(self, volume: PoolVolume) -> PoolVolume:
        """Return a volume changed; its classes are all 0, and `known` and sizes are left out."""
        image = decode(volume.image)
        background = float(np.percentile(image, BACKGROUND))
        above = image - background
        light = background + self.gain * np.where(above > 0, np.abs(above) ** self.power, above)
        light += self.noise * np.random.default_rng(self.seed).standard_normal(light.shape, np.float32)
        shape = self.shape(image.shape)
        planes = np.stack([encode(resize_plane(plane, shape[1:])) for plane in light])
        centres = volume.centres.copy()
        centres[:, :3] = self.forth(volume.centres[:, :3], image.shape)
        return PoolVolume(planes, np.zeros(shape, np.uint8), centres, volume.z_um * self.z_zoom)

    def forth(self, places_px: np.ndarray, shape_zyx: tuple[int, ...]) -> np.ndarray:
        """Return where places (n, 3; voxels) of a volume are in the changed one."""
        scale = np.array(self.shape(shape_zyx)) / np.array(shape_zyx)
        return (np.reshape(places_px, (-1, 3)) + 0.5) * scale - 0.5

    def back(self, places_px: np.ndarray, shape_zyx: tuple[int, ...]) -> np.ndarray:
        """Return where places (n, 3; voxels) of a changed volume are in that of a shape (Z, Y, X)."""
        scale = np.array(self.shape(shape_zyx)) / np.array(shape_zyx)
        return (np.reshape(places_px, (-1, 3)) + 0.5) / scale - 0.5


#: Nothing changes.
UNCHANGED = Variant()
