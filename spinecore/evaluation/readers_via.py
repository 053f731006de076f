"""VGG Image Annotator 2 files: CSV export, JSON export and saved projects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import (
    EDGE_COLUMNS,
    Annotations,
    objects_of_boxes,
    split_picture_name,
)

#: Region attributes that may carry the id of a spine through the slices.
ID_ATTRIBUTES = ("spine_id", "id", "track_id", "track")
#: VIA counts from the corner of the first pixel; we count from its centre.
CORNER_TO_CENTRE = -0.5


def polygon_centre(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the centroid (x, y) of a polygon by the shoelace formula; of its corners if it has no area."""
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = cross.sum() / 2
    if abs(area) < 1e-9:
        return float(x.mean()), float(y.mean())
    cx = ((x + np.roll(x, -1)) * cross).sum() / (6 * area)
    cy = ((y + np.roll(y, -1)) * cross).sum() / (6 * area)
    return float(cx), float(cy)


def _outline(
    name: str, shape: Mapping[str, Any]
) -> tuple[tuple[float, float, float, float], tuple[float, float]]:
    """Return the box (left, top, right, bottom) and centre (x, y) of one region, in VIA's own coordinates."""
    kind = shape.get("name")
    try:
        if kind == "rect":
            x, y, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
            return (x, y, x + width, y + height), (x + width / 2, y + height / 2)
        if kind in ("circle", "ellipse"):
            x, y = float(shape["cx"]), float(shape["cy"])
            rx, ry = (
                (float(shape["r"]),) * 2 if kind == "circle" else (float(shape["rx"]), float(shape["ry"]))
            )
            return (x - rx, y - ry, x + rx, y + ry), (x, y)
        if kind == "point":
            x, y = float(shape["cx"]), float(shape["cy"])
            return (x, y, x, y), (x, y)
        if kind in ("polygon", "polyline"):
            xs, ys = (np.asarray(shape[f"all_points_{axis}"], float) for axis in "xy")
            if len(xs) == len(ys) and len(xs):
                return (xs.min(), ys.min(), xs.max(), ys.max()), polygon_centre(xs, ys)
    except (KeyError, TypeError, ValueError):
        pass
    raise SpinecoreError(
        f"{name} holds a region that is no readable VIA shape ({kind!r}): export it from VIA 2 again"
    )


def _annotations(name: str, pictures: list[str], regions: Iterator[tuple[str, Any, Any]]) -> Annotations:
    rows, centres, has_id = [], [], True
    for filename, shape, attributes in regions:
        if not isinstance(shape, Mapping) or not isinstance(attributes, Mapping):
            raise SpinecoreError(
                f"{name} holds a region without shape or attributes: export it from VIA 2 again"
            )
        box, centre = _outline(name, shape)
        if not np.isfinite([*box, *centre]).all():
            raise SpinecoreError(
                f"{name} holds a region with an infinite or missing position: correct it in VIA"
            )
        stack, number = split_picture_name(filename)
        identity = next(
            (attributes[key] for key in ID_ATTRIBUTES if str(attributes.get(key, "")).strip()), None
        )
        has_id = has_id and identity is not None
        score = pd.to_numeric(attributes.get("score"), errors="coerce")
        rows.append(
            (
                stack,
                str(identity),
                number or 0,
                *(edge + CORNER_TO_CENTRE for edge in box),
                score,
                number is None,
            )
        )
        centres.append((centre[0] + CORNER_TO_CENTRE, centre[1] + CORNER_TO_CENTRE))
    columns = ["stack", "object_id", "slice", *EDGE_COLUMNS, "score", "single"]
    boxes = pd.DataFrame(rows, columns=columns).astype({"score": float, **dict.fromkeys(EDGE_COLUMNS, float)})
    single = boxes.pop("single").astype(bool)
    notes: tuple[str, ...] = ()
    if not has_id or not rows:
        boxes["object_id"] = np.arange(len(boxes))
        if len(rows) and not single.all():
            notes = (f"{name} carries no spine id in every region, so each box is an object of its own.",)
    objects = objects_of_boxes(boxes)
    if not has_id:
        objects[["x_px", "y_px"]] = np.array(centres, float).reshape(-1, 2)
    shares = bool(has_id and len(rows) and (boxes.groupby("object_id")["stack"].nunique() > 1).any())
    names = tuple(dict.fromkeys(split_picture_name(picture)[0] for picture in pictures))
    return Annotations(
        name, "VGG Image Annotator", objects, boxes=boxes, shares_ids=shares, stack_names=names, notes=notes
    )


def _parsed(name: str, text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise SpinecoreError(
            f"{name} holds a region that is not JSON ({str(text)[:40]}): export it again"
        ) from None


def read_via_csv(path: Path, table: pd.DataFrame) -> Annotations:
    """Read VIA's CSV export from its already parsed table; pictures without a region give no row.

    Raises
    ------
    SpinecoreError
        If a region cannot be understood.
    """
    name = path.name
    pictures = next((c for c in ("filename", "#filename") if c in table), None)
    if pictures is None:
        raise SpinecoreError(f"{name} has no filename column: export the annotations from VIA 2 as CSV again")
    attributes = table.get("region_attributes", pd.Series("{}", index=table.index)).fillna("{}")

    def regions() -> Iterator[tuple[str, Any, Any]]:
        shapes = table["region_shape_attributes"].fillna("{}")
        for picture, text, extra in zip(table[pictures], shapes, attributes, strict=True):
            shape = _parsed(name, text)
            if shape != {}:
                yield str(picture), shape, _parsed(name, extra)

    return _annotations(name, table[pictures].astype(str).to_list(), regions())


def read_via_json(path: Path) -> Annotations:
    """Read VIA's JSON export or a saved VIA 2 project.

    Raises
    ------
    SpinecoreError
        If the file is not JSON, or not VIA's.
    """
    name = path.name
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise SpinecoreError(f"{name} is not a JSON file: export the annotations from VIA 2 again") from None
    if isinstance(content, Mapping):
        content = content.get("_via_img_metadata", content)
    entries = list(content.values()) if isinstance(content, Mapping) else None
    if entries is None or not all(
        isinstance(e, Mapping) and "filename" in e and "regions" in e for e in entries
    ):
        raise SpinecoreError(
            f"{name} is JSON but no VIA 2 annotation file: export the annotations from VIA 2 as JSON"
        )

    def regions() -> Iterator[tuple[str, Any, Any]]:
        for entry in entries:
            listed = entry["regions"]
            for region in listed.values() if isinstance(listed, Mapping) else listed or []:
                if not isinstance(region, Mapping):
                    raise SpinecoreError(
                        f"{name} holds a region that is no VIA region: export it from VIA 2 again"
                    )
                yield (
                    str(entry["filename"]),
                    region.get("shape_attributes"),
                    region.get("region_attributes") or {},
                )

    return _annotations(name, [str(entry["filename"]) for entry in entries], regions())
