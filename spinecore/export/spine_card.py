"""One spine for a person to judge: its surroundings in three planes, its outline, and the path it was measured along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spinecore.analysis.result import Analysis
from spinecore.figures.overview import nice_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours on a grey picture (Okabe and Ito 2008).
OUTLINE, PATH, SHAFT = "#e69f00", "#56b4e9", "#cc79a7"
_PLANES = (("XY", 0, 1, 2), ("XZ", 1, 0, 2), ("YZ", 2, 0, 1))


@dataclass(frozen=True)
class SpinePicture:
    """A spine with its surroundings.

    Parameters
    ----------
    spine_id : int
    intensity, mask, shaft : ndarray, shape (Z, Y, X)
        Crop on the analysis grid: recorded values, the spine, the dendrite.
    spacing_zyx_um : ndarray, shape (3,)
    centre : ndarray, shape (3,)
        Head centre in voxels of the crop.
    path : ndarray, shape (n, 3), or None
        From base to tip, in voxels of the crop; None where no path could be traced.
    origin : tuple of int
        Of the crop on the analysis grid.
    """

    spine_id: int
    intensity: np.ndarray
    mask: np.ndarray
    shaft: np.ndarray
    spacing_zyx_um: np.ndarray
    centre: np.ndarray
    path: np.ndarray | None
    origin: tuple[int, int, int]

    @property
    def flat(self) -> bool:
        """True for a single image or projection."""
        return self.mask.shape[0] == 1


def spine_picture(analysis: Analysis, spine_id: int) -> SpinePicture:
    """Cut a spine with its surroundings out of an analysis; the stack itself is not needed.

    Raises
    ------
    KeyError
        When the analysis has no such spine at its threshold.
    """
    cutter = analysis.cutter
    crop, seed, _ = cutter.crop_of(spine_id, analysis.threshold)
    z, y, x = (int(v) for v in crop.origin)
    origin = np.array((z, y, x))
    path = cutter.measurer.path_px(crop, seed)
    return SpinePicture(
        spine_id=spine_id,
        intensity=np.asarray(crop.intensity),
        mask=crop.mask,
        shaft=crop.dendrite > 0,
        spacing_zyx_um=np.asarray(analysis.candidates.spacing_zyx_um, float),
        centre=seed - origin,
        path=None if path is None else path - origin,
        origin=(z, y, x),
    )


def card_figure(picture: SpinePicture) -> Figure:
    """Draw the projection and the three planes through the head, each with outline, path and scale bar."""
    from matplotlib.figure import Figure  # takes a second to import

    _, along, row, column = _PLANES[0]
    panels = [("projection", along, row, column, True)]
    if not picture.flat:
        panels += [(*plane, False) for plane in _PLANES]
    ratio = [_aspect(picture, row, column) for _, _, row, column, _ in panels]
    figure = Figure(figsize=(2.6 * len(panels), 2.6 * max(max(ratio), 0.5) + 0.3), layout="constrained")
    low, high = np.percentile(picture.intensity, [1, 99.7])
    for axis, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _draw_plane(axis, picture, panel, (float(low), float(max(high, low + 1))))
    return figure


def _aspect(picture: SpinePicture, row: int, column: int) -> float:
    """Height over width of a plane."""
    extent = np.array(picture.mask.shape) * picture.spacing_zyx_um
    return float(extent[row] / extent[column])


def _draw_plane(
    axis: Axes, picture: SpinePicture, panel: tuple[str, int, int, int, bool], levels: tuple[float, float]
) -> None:
    name, along, row, column, projected = panel
    k = int(np.clip(round(float(picture.centre[along])), 0, picture.mask.shape[along] - 1))

    def flat(volume: np.ndarray) -> np.ndarray:
        return volume.max(axis=along) if projected else volume.take(k, axis=along)

    down, across = picture.spacing_zyx_um[[row, column]]
    image = flat(picture.intensity)
    rows, columns = image.shape
    extent = (-0.5 * across, (columns - 0.5) * across, (rows - 0.5) * down, -0.5 * down)
    axis.imshow(image, cmap="gray", vmin=levels[0], vmax=levels[1], extent=extent, interpolation="nearest")
    at = (np.arange(columns) * across, np.arange(rows) * down)
    for mask, colour, width in ((picture.shaft, SHAFT, 0.9), (picture.mask, OUTLINE, 1.4)):
        if min(image.shape) > 1 and flat(mask).any() and not flat(mask).all():
            axis.contour(*at, flat(mask).astype(float), [0.5], colors=[colour], linewidths=width)
    if picture.path is not None:
        axis.plot(
            picture.path[:, column] * across,
            picture.path[:, row] * down,
            color=PATH,
            lw=1.4,
            solid_capstyle="round",
        )
        axis.plot(picture.path[0, column] * across, picture.path[0, row] * down, "s", color=PATH, ms=3.5)
        axis.plot(picture.path[-1, column] * across, picture.path[-1, row] * down, "o", color=PATH, ms=3.5)
    axis.set(xlim=extent[:2], ylim=extent[2:])
    bar = nice_length(columns * across)
    right, low = extent[1] - 0.05 * columns * across, extent[2] - 0.07 * rows * down
    axis.plot([right - bar, right], [low, low], color="white", lw=2.5, solid_capstyle="butt")
    axis.text(
        right - bar / 2,
        low - 0.03 * rows * down,
        f"{bar:g} µm",
        color="white",
        ha="center",
        va="bottom",
        fontsize=8,
    )
    axis.set_title(name if projected else f"{name} through the head", fontsize=9)
    axis.set_axis_off()
