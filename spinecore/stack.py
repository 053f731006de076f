"""The noun everything else speaks about: voxels with a known, or honestly unknown, spacing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from spinecore.errors import SpinecoreError

#: Where a voxel size came from. "unknown" means no micrometre result may be printed.
SPACING_SOURCES = ("file", "user", "estimated", "assumed", "unknown")


@dataclass(frozen=True)
class Spacing:
    """Voxel size in micrometres along Z, Y and X, with its provenance.

    Parameters
    ----------
    z_um, y_um, x_um : float or None
        Distance between voxel centres in micrometres; None where unknown.
    source : str
        One of `SPACING_SOURCES`.
    detail : str
        A short phrase for people, e.g. "ImageJ tag, unit micron".
    """

    z_um: float | None = None
    y_um: float | None = None
    x_um: float | None = None
    source: str = "unknown"
    detail: str = ""

    def __post_init__(self) -> None:
        if self.source not in SPACING_SOURCES:
            raise SpinecoreError(f"source must be one of {SPACING_SOURCES}, not {self.source!r}")
        for name in ("z_um", "y_um", "x_um"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise SpinecoreError(f"{name} must be a positive number of micrometres, not {value!r}")

    @property
    def known_xy(self) -> bool:
        """True when both in-plane sizes are known."""
        return self.y_um is not None and self.x_um is not None

    @property
    def known_z(self) -> bool:
        """True when the distance between slices is known."""
        return self.z_um is not None

    @property
    def pixel_um(self) -> float | None:
        """In-plane pixel size in um (geometric mean of y and x), or None when unknown."""
        if self.y_um is None or self.x_um is None:
            return None
        return float(np.sqrt(self.y_um * self.x_um))

    def zyx_um(self, z_default: float = 1.0) -> tuple[float, float, float]:
        """Return (z, y, x) in um; an unknown z becomes `z_default` (for single slices).

        Raises
        ------
        ValueError
            If the in-plane size is unknown.
        """
        if self.y_um is None or self.x_um is None:
            raise SpinecoreError(
                "the pixel size is unknown: give it on the Upload page",
                "the pixel size is unknown: give it with --pixel-size",
            )
        return (z_default if self.z_um is None else self.z_um, self.y_um, self.x_um)

    def with_user(
        self,
        pixel_um: float | None = None,
        z_um: float | None = None,
        pixel_y_um: float | None = None,
        estimated: bool = False,
    ) -> Spacing:
        """Return a copy in which sizes given by the user (um) replace those of the file.

        Parameters
        ----------
        pixel_um : float or None
            Along x, and along y unless `pixel_y_um` is given.
        z_um : float or None
        pixel_y_um : float or None
            Along y, where pixels are not square.
        estimated : bool
            The pixel size was estimated from the image, and the user accepted it.
        """
        if pixel_um is None and z_um is None and pixel_y_um is None:
            return self
        y_um = pixel_um if pixel_y_um is None else pixel_y_um
        return replace(
            self,
            y_um=self.y_um if y_um is None else float(y_um),
            x_um=self.x_um if pixel_um is None else float(pixel_um),
            z_um=self.z_um if z_um is None else float(z_um),
            source="estimated" if estimated else "user",
            detail="pixel size estimated from the image and accepted by the user"
            if estimated
            else "given by the user",
        )


@dataclass(frozen=True)
class Stack:
    """One channel of one time point: a ZYX array and its spacing.

    Parameters
    ----------
    voxels : ndarray, shape (Z, Y, X)
        Raw intensities, any real dtype; a projection or single image has Z == 1.
    spacing : Spacing
        Voxel size with its source.
    name : str
        The file's name without its last suffix.
    channel, time_point : int
        Which part of the file this is, counted from 0.
    channels, time_points : int
        How many the file has.
    path : str or None
        The file it was read from.
    notes : tuple of str
        Sentences a person should see (e.g. "RGB was converted to grey").
    """

    voxels: np.ndarray
    spacing: Spacing = field(default_factory=Spacing)
    name: str = "stack"
    channel: int = 0
    time_point: int = 0
    channels: int = 1
    time_points: int = 1
    path: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3:
            raise SpinecoreError(f"a Stack holds ZYX voxels; this array has {self.voxels.ndim} axes")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        z, y, x = self.voxels.shape
        return (z, y, x)

    @property
    def is_2d(self) -> bool:
        """True for a projection or single image (one slice)."""
        return self.voxels.shape[0] == 1

    def with_spacing(self, spacing: Spacing) -> Stack:
        """Return the same voxels with another spacing."""
        return replace(self, spacing=spacing)
