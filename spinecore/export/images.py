"""Label images, and spine outlines for ImageJ."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from roifile import ImagejRoi, roiwrite
from scipy import ndimage as ndi
from skimage.measure import find_contours

from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import write_labels
from spinecore.errors import SpinecoreError


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
    contours = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    longest = max(contours, key=len)
    return np.ascontiguousarray(longest[:-1, ::-1] - 1 + 0.5, np.float32)


def write_rois(analysis: Analysis, folder: Path, out: Path) -> list[Path]:
    """Write a ROI archive: one outline per spine and slice, named spine_ID_zSLICE, at its slice (from 1).

    For a file of several channels or time points the ROIs carry channel, slice and time, so that ImageJ shows them on
    the right plane of the hyperstack.
    """
    rois = []
    source = analysis.input
    hyperstack = int(source.get("channels", 1)) > 1 or int(source.get("time_points", 1)) > 1
    labels = analysis.labels
    for number, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None:
            continue
        crop = labels[box] == number
        for k, mask in enumerate(crop):
            if mask.any():
                z = box[0].start + k
                points = outline(mask) + np.array([box[2].start, box[1].start], np.float32)
                roi = ImagejRoi.frompoints(points, name=f"spine_{number:04d}_z{z + 1:03d}")
                # set here, since releases of roifile differ in where `frompoints` counts from
                roi.position = 0 if hyperstack else z + 1
                if hyperstack:
                    roi.c_position, roi.z_position = int(source["channel"]) + 1, z + 1
                    roi.t_position = int(source["time_point"]) + 1
                rois.append(roi)
    path = out / f"{analysis.name}_rois.zip"
    if rois:
        roiwrite(path, rois, mode="w")
    else:
        raise SpinecoreError("there is no spine to outline: lower the threshold or choose another analysis")
    return [path]
