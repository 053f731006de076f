"""Label images, and spine outlines for ImageJ."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from roifile import ROI_TYPE, ImagejRoi, roiwrite
from scipy import ndimage as ndi
from skimage.measure import find_contours

from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import write_labels
from spinecore.errors import SpinecoreError
from spinecore.morphometry.measurer import position_only


def write_label_images(analysis: Analysis, folder: Path, out: Path) -> list[Path]:
    """Copy labels.tif (spine ids) and dendrite.tif (dendrite ids): ImageJ TIFF, ZYX, with spacing."""
    for name, labels in (("labels.tif", analysis.labels), ("dendrite.tif", analysis.dendrite_labels)):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
        else:
            write_labels(labels, analysis.spacing, out / name)
    return [out / "labels.tif", out / "dendrite.tif"]


def outline(mask: np.ndarray) -> np.ndarray:
    """Return the longest outline of a 2-D mask in ImageJ's coordinates.

    Parameters
    ----------
    mask : ndarray of bool, shape (Y, X)

    Returns
    -------
    ndarray of float32, shape (n, 2)
        x, y; the corner of the first pixel is (0, 0), so that pixel centres lie at halves.
    """
    contours = find_contours(np.pad(mask, 1).astype(np.float32), 0.5, fully_connected="high")
    longest = max(contours, key=len)
    return np.ascontiguousarray(longest[:-1, ::-1] - 1 + 0.5, np.float32)


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Return the outline of each piece of a 2-D mask, the largest piece first, see `outline`.

    Examples
    --------
    >>> mask = np.zeros((4, 7), bool)
    >>> mask[1, 1] = mask[2, 4:6] = True
    >>> [len(line) for line in outlines(mask)]
    [6, 4]
    """
    pieces, count = ndi.label(mask, np.ones((3, 3)))
    order = np.argsort(-np.bincount(pieces.ravel(), minlength=count + 1)[1:], kind="stable") + 1
    return [outline(pieces == number) for number in order]


def write_rois(analysis: Analysis, folder: Path, out: Path) -> list[Path]:
    """Write two ROI archives: outlines of the spines, and lines.

    Outlines: one per spine and slice, named spine_ID_zSLICE, at its slice (from 1), and spine_ID_zSLICE_2 and so on for further
    pieces there; none of a head of which only the position is known. Lines: the branches of the dendrites
    as polylines (on every slice, since they run through several), and each head as a point at its slice. For a file of
    several channels or time points the ROIs carry channel, slice and time, so that ImageJ shows them on the right plane
    of the hyperstack.
    """
    rois = []
    labels = analysis.labels
    spines = analysis.spines
    bare = set(spines.loc[position_only(spines), "spine_id"].astype(int).tolist())
    for number, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None or number in bare:
            continue
        crop = labels[box] == number
        for k, mask in enumerate(crop):
            if mask.any():
                z = box[0].start + k
                corner = np.array([box[2].start, box[1].start], np.float32)
                for piece, points in enumerate(outlines(mask), 1):
                    name = f"spine_{number:04d}_z{z + 1:03d}" + (f"_{piece}" if piece > 1 else "")
                    rois.append(_placed(ImagejRoi.frompoints(points + corner, name=name), analysis, z))
    if not rois:
        raise SpinecoreError("there is no spine to outline: lower the threshold or choose another analysis")
    paths = [out / f"{analysis.name}_rois.zip", out / f"{analysis.name}_lines_rois.zip"]
    roiwrite(paths[0], rois, mode="w")
    roiwrite(paths[1], [*_dendrite_lines(analysis), *_head_points(analysis)], mode="w")
    return paths


def _placed(roi: ImagejRoi, analysis: Analysis, z: int | None) -> ImagejRoi:
    """Put a ROI on a slice, or on every slice (None), of the channel and time point that were analysed."""
    source = analysis.input
    hyperstack = int(source.get("channels", 1)) > 1 or int(source.get("time_points", 1)) > 1
    # set here, since releases of roifile differ in where `frompoints` counts from
    roi.position = 0 if hyperstack or z is None else z + 1
    if hyperstack:
        roi.c_position, roi.t_position = int(source["channel"]) + 1, int(source["time_point"]) + 1
        roi.z_position = 0 if z is None else z + 1
    return roi


def _dendrite_lines(analysis: Analysis) -> list[ImagejRoi]:
    """Return each branch of each dendrite as a polyline in the stack's own pixels."""
    rois = []
    scale = np.array(analysis.candidates.scale_yx)
    for dendrite in analysis.candidates.dendrites:
        step = np.array(dendrite.spacing_zyx_um)[1:]
        for number, branch in enumerate(dendrite.branches, 1):
            corner_yx = (branch.points_um[:, 1:] / step + 0.5) / scale
            points = np.ascontiguousarray(corner_yx[:, ::-1], np.float32)
            roi = ImagejRoi.frompoints(points, name=f"dendrite_{dendrite.id:03d}_branch_{number:03d}")
            roi.roitype = ROI_TYPE.POLYLINE
            rois.append(_placed(roi, analysis, None))
    return rois


def _head_points(analysis: Analysis) -> list[ImagejRoi]:
    """Return the head of each spine as a point at its slice."""
    rois = []
    for row in analysis.spines.itertuples():
        point = np.array([[row.x_px + 0.5, row.y_px + 0.5]], np.float32)
        roi = ImagejRoi.frompoints(point, name=f"spine_{row.spine_id:04d}_head")
        roi.roitype = ROI_TYPE.POINT
        rois.append(_placed(roi, analysis, 0 if analysis.is_2d else round(row.z_px)))
    return rois
