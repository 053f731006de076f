"""Label TIFFs and ImageJ ROI files as annotations."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import roifile
import tifffile
from scipy import ndimage

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import Annotations, Outline, empty_objects
from spinecore.evaluation.readers_via import polygon_centre
from spinecore.reading import open_stack

#: Largest label image read, in voxels, and largest unpacked ROI zip, in bytes.
MAX_VOXELS = 2 * 1024**3
MAX_ROI_BYTES = 256 * 1024**2
#: Most times a compressed label image may grow when unpacked.
MAX_COMPRESSION = 10_000
#: ROIs that are drawn round something; composite ones are as well.
_OUTLINES = (roifile.ROI_TYPE.POLYGON, roifile.ROI_TYPE.FREEHAND, roifile.ROI_TYPE.TRACED)
#: ROIs from which a constant remainder of their stack positions tells the number of channels.
_ENOUGH_ROIS = 8


def _voxel_size(path: Path) -> tuple[float, float, float]:
    """Return (z, y, x) in um as `spinecore.reading` finds it; NaN where the file does not say."""
    unknown = float("nan")
    try:
        with open_stack(path, max_bytes=2**40) as file:
            spacing = file.spacing
    except SpinecoreError:
        return unknown, unknown, unknown
    z, y, x = (unknown if size is None else size for size in (spacing.z_um, spacing.y_um, spacing.x_um))
    return z, y, x


def read_label_tiff(path: Path) -> Annotations:
    """Read a label image (ZYX or YX integers, 0 = background); each label is one object.

    Raises
    ------
    SpinecoreError
        If it is no TIFF, or not a label image.
    """
    name = path.name
    try:
        with tifffile.TiffFile(path) as tif:
            if not tif.series:
                raise SpinecoreError(f"{name} holds no image: give a label TIFF")
            series = tif.series[0]
            planes, dtype = [n for n in series.shape[:-2] if n != 1], series.dtype
            if dtype.kind not in "iubf" or len(planes) > 1 or "S" in series.axes or series.ndim < 2:
                raise SpinecoreError(
                    f"{name} is {dtype} with axes {series.axes}: a label TIFF holds whole numbers in Z, Y and X"
                )
            ratio = 1 if tif.pages[0].compression == 1 else MAX_COMPRESSION
            stored = series.size * int(tif.pages.first.bitspersample) // 8  # masks may take a bit a voxel
            if series.size > MAX_VOXELS or stored > ratio * path.stat().st_size:
                raise SpinecoreError(
                    f"{name} claims {series.size:,} voxels, more than it holds or we can read"
                )
            labels = series.asarray()
    except SpinecoreError:
        raise
    except (
        tifffile.TiffFileError,
        OSError,
        ValueError,
        IndexError,
        KeyError,
        struct.error,
        RuntimeError,
    ) as fault:
        raise SpinecoreError(
            f"{name} cannot be read as a TIFF: it may be cut short or of another kind"
        ) from fault
    size_um = _voxel_size(path)
    labels = labels.reshape(-1, *labels.shape[-2:])
    if labels.dtype.kind == "f":
        if not np.array_equal(labels, np.rint(labels)):
            raise SpinecoreError(
                f"{name} holds fractions: a label TIFF holds whole numbers, one for each spine"
            )
        labels = labels.astype(np.int64)
    if labels.min(initial=0) < 0:
        raise SpinecoreError(
            f"{name} holds negative labels: 0 is background and every spine a positive number"
        )
    notes: tuple[str, ...] = ()
    values = np.unique(labels)
    if len(values[values > 0]) == 1:
        parts, count = ndimage.label(labels > 0, np.ones((3, 3, 3)))
        if count > 1:
            labels = parts
            notes = (
                f"{name} is a mask (0 and {int(values[-1])}), not labels: its {count} connected pieces are taken as spines.",
            )
    objects = objects_of_labels(labels, size_um)
    return Annotations(name, "label image", objects, labels={"": labels}, stack_names=("",), notes=notes)


def objects_of_labels(labels: np.ndarray, size_um: tuple[float, float, float]) -> pd.DataFrame:
    """Return one object per label of a ZYX image, in rising order of label; sizes (z, y, x) in um may be NaN."""
    ids, index = np.unique(labels, return_inverse=True)
    dense = index.reshape(labels.shape) + (0 if len(ids) and ids[0] == 0 else 1)
    ids = ids[ids != 0]
    table = empty_objects(len(ids))
    table["object_id"] = ids
    if len(ids) == 0:
        return table
    spans = ndimage.find_objects(dense)
    centres = np.array(ndimage.center_of_mass(dense > 0, dense, np.arange(1, len(ids) + 1)))
    edges = np.array([[(part.start, part.stop) for part in span] for span in spans], float)
    for axis, size, letter in zip(range(3), size_um, "zyx", strict=True):
        table[f"{letter}_px"] = centres[:, axis]
        table[f"{letter}_um"] = centres[:, axis] * size
    table["first_slice"], table["last_slice"] = edges[:, 0, 0], edges[:, 0, 1] - 1
    table["top_px"], table["bottom_px"] = edges[:, 1, 0] - 0.5, edges[:, 1, 1] - 0.5
    table["left_px"], table["right_px"] = edges[:, 2, 0] - 0.5, edges[:, 2, 1] - 0.5
    return table


def _rois(path: Path) -> list[roifile.ImagejRoi]:
    if path.suffix.lower() == ".roi":
        found = roifile.ImagejRoi.fromfile(path)
        return found if isinstance(found, list) else [found]
    with zipfile.ZipFile(path) as packed:
        members = [entry for entry in packed.infolist() if entry.filename.lower().endswith(".roi")]
        if sum(entry.file_size for entry in members) > MAX_ROI_BYTES:
            raise SpinecoreError(
                f"{path.name} unpacks to more than {MAX_ROI_BYTES // 1024**2} MB: it holds no ROIs"
            )
        return [roifile.ImagejRoi.frombytes(packed.read(entry)) for entry in members]


def read_roi_zip(path: Path) -> Annotations:
    """Read an ImageJ ROI zip (or one .roi); each ROI is one object, points and multi-points one object a point.

    Polygons, freehand, traced and composite ROIs keep their outlines. A ROI's slice is its z position less one, or its stack position less one (divided by the channels where all positions
    leave the same remainder); where no ROI has a position, the slice is missing.

    Raises
    ------
    SpinecoreError
        If the file is no ROI archive.
    """
    name = path.name
    try:
        rois = _rois(path)
    except SpinecoreError:
        raise
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
        IndexError,
        struct.error,
        RuntimeError,
        NotImplementedError,
    ) as e:
        raise SpinecoreError(
            f"{name} cannot be read as ImageJ ROIs: save them again from the ROI manager"
        ) from e
    rows = []
    outlines: dict[int, tuple[Outline, ...]] = {}
    notes = []
    channels = _channels_in_positions(rois)
    if channels > 1:
        notes.append(
            f"All stack positions in {name} leave the same remainder by {channels}, so they are taken as positions in a stack "
            f"of {channels} channels."
        )
    placed = any(roi.z_position or roi.position for roi in rois) or any(
        roi.counter_positions is not None for roi in rois
    )
    if not placed and len(rois):
        notes.append(f"The ROIs of {name} have no slice: they are compared in x and y only.")
    if any(
        roi.roitype
        in (
            roifile.ROI_TYPE.LINE,
            roifile.ROI_TYPE.POLYLINE,
            roifile.ROI_TYPE.FREELINE,
            roifile.ROI_TYPE.ANGLE,
        )
        for roi in rois
    ):
        notes.append(f"Lines in {name} are open and outline nothing: they are placed at their middle.")
    for roi in rois:
        index = roi.z_position or (-(-roi.position // channels) if roi.position else 0)
        number = max(index - 1, 0) if placed else 0
        points = np.asarray(roi.coordinates(), float).reshape(-1, 2)
        if roi.roitype == roifile.ROI_TYPE.POINT:
            half = 0.5 if roi.subpixelresolution else 0.0
            slices = roi.counter_positions
            for order, (x, y) in enumerate(points - half):
                own = number
                if slices is not None and order < len(slices) and slices[order] > 0:
                    own = int(slices[order]) - 1
                rows.append((x, y, own, x, y, x, y))
            continue
        if roi.composite or (roi.roitype in _OUTLINES and len(points)):
            paths = roi.coordinates(multi=True)
            drawn = tuple(np.asarray(path, float).reshape(-1, 2) - 0.5 for path in paths)
            outlines[len(rows)] = (Outline(float(number) if placed else np.nan, drawn),)
        if len(points) == 0:
            points = np.array([[roi.left, roi.top], [roi.right, roi.bottom]], float)
        points = points - 0.5
        low, high = points.min(axis=0), points.max(axis=0)
        if roi.roitype in (roifile.ROI_TYPE.RECT, roifile.ROI_TYPE.OVAL):
            x, y = (low + high) / 2
        else:
            x, y = polygon_centre(*points.T)
        rows.append((x, y, number, low[0], low[1], high[0], high[1]))
    values = np.array(rows, float).reshape(-1, 7)
    table = empty_objects(len(rows))
    for column, value in zip(
        ("x_px", "y_px", "z_px", "left_px", "top_px", "right_px", "bottom_px"), values.T, strict=True
    ):
        table[column] = value
    if not placed:
        table["z_px"] = np.nan
    table["first_slice"] = table["last_slice"] = table["z_px"]
    return Annotations(name, "ImageJ ROIs", table, outlines=outlines, stack_names=("",), notes=tuple(notes))


def _channels_in_positions(rois: list[roifile.ImagejRoi]) -> int:
    """Return in how many channels the stack positions of ROIs count (1 unless all leave the same remainder)."""
    positions = np.array([roi.position for roi in rois if roi.position and not roi.z_position])
    if len(positions) < _ENOUGH_ROIS or len(np.unique(positions)) < _ENOUGH_ROIS // 2:
        return 1
    return next((n for n in (4, 3, 2) if len(np.unique(positions % n)) == 1), 1)
