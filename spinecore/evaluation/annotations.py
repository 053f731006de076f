"""What every annotation file becomes: a table of objects, and boxes per slice or label images where it has them.

Positions are in pixels counted from 0 at the centre of the first pixel, so a pixel i covers i - 0.5 to i + 0.5;
box edges (left, top, right, bottom) are the outer edges of the pixels. Slices are whole numbers, both ends included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError

#: Columns of `Annotations.objects`, one row per object.
OBJECT_COLUMNS = (
    "stack",
    "object_id",
    "x_px",
    "y_px",
    "z_px",
    "x_um",
    "y_um",
    "z_um",
    "base_x_um",
    "base_y_um",
    "base_z_um",
    "left_px",
    "top_px",
    "right_px",
    "bottom_px",
    "first_slice",
    "last_slice",
    "score",
    "visible",
)
#: Columns of `Annotations.boxes`, one row per object and slice.
BOX_COLUMNS = ("stack", "object_id", "slice", "left_px", "top_px", "right_px", "bottom_px", "score")
EDGE_COLUMNS = ("left_px", "top_px", "right_px", "bottom_px")
#: Name of the one stack that pooling makes of all.
POOLED = "all stacks pooled"
#: A picture that is one slice of a stack: "<stack>-<slice>.<suffix>".
SLICE_NAME = re.compile(r"^(?P<stack>.+)-(?P<slice>\d+)\.(png|jpe?g|tiff?|bmp)$", re.IGNORECASE)
PICTURE_SUFFIX = re.compile(r"(\.ome)?\.(png|jpe?g|tiff?|bmp|lsm)$", re.IGNORECASE)


@dataclass(frozen=True)
class Outline:
    """A line drawn round one object.

    Parameters
    ----------
    slice : float
        The slice that it was drawn in, from 0; NaN where that is not given.
    paths : tuple of ndarray, each of shape (n, 2)
        Closed paths, x and y in pixels; what lies inside an odd number of them is the object.
    """

    slice: float
    paths: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Annotations:
    """Objects read from one file (or folder).

    Parameters
    ----------
    name : str
        The file's name.
    kind : str
        The format, for people.
    objects : DataFrame
        One row per object with `OBJECT_COLUMNS`; what the file does not give is NaN.
    boxes : DataFrame or None
        One row per object and slice with `BOX_COLUMNS`, where the file has them.
    labels : mapping of str to ndarray
        Label image (ZYX) of every stack that has one; `object_id` is the label.
    outlines : mapping of object id to tuple of Outline
        The lines drawn round objects, where the file has them: one, or one a slice.
    shafts : mapping of str to ndarray
        Hand-traced centre lines of every stack that has them, shape (n, 3), z, y, x in um: only spines of these
        dendrites are marked.
    shares_ids : bool
        True when one object id runs through several stacks (they share one coordinate space).
    stack_names : tuple of str
        Stacks the file speaks of, also those without any object; "" for a file of one unnamed stack.
    notes : tuple of str
        Sentences a person should see.
    """

    name: str
    kind: str
    objects: pd.DataFrame
    boxes: pd.DataFrame | None = None
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    outlines: Mapping[Any, tuple[Outline, ...]] = field(default_factory=dict)
    shafts: Mapping[str, np.ndarray] = field(default_factory=dict)
    shares_ids: bool = False
    stack_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def stacks(self) -> tuple[str, ...]:
        """Names of all stacks the file speaks of."""
        return tuple(dict.fromkeys([*self.stack_names, *self.objects["stack"]]))

    def with_pixel_size(self, pixel_um: float | None, z_um: float | None = None) -> Annotations:
        """Return a copy whose missing um positions are computed from px, with sizes in um per pixel and slice."""
        table = self.objects.copy()
        for axis, size in (("x", pixel_um), ("y", pixel_um), ("z", z_um)):
            if size is None:
                continue
            if not (np.isfinite(size) and size > 0):
                raise SpinecoreError(f"the pixel size must be a positive number of micrometres, not {size}")
            table[f"{axis}_um"] = table[f"{axis}_um"].fillna(table[f"{axis}_px"] * size)
        return replace(self, objects=table)

    def pixel_size(self) -> tuple[float | None, float | None]:
        """Return (um per pixel, um per slice) as the positions imply where given in both; None where not."""
        sizes = []
        for px, um in (("x_px", "x_um"), ("z_px", "z_um")):
            known = self.objects[(self.objects[px] > 0) & (self.objects[um] > 0)]
            sizes.append(float((known[um] / known[px]).median()) if len(known) else None)
        return sizes[0], sizes[1]

    def only(self, stack: str) -> Annotations:
        """Return what is said of one stack."""

        def part(table: pd.DataFrame) -> pd.DataFrame:
            return table[table["stack"] == stack].reset_index(drop=True)

        return replace(
            self,
            objects=part(self.objects),
            boxes=None if self.boxes is None else part(self.boxes),
            labels={name: image for name, image in self.labels.items() if name == stack},
            shafts={name: points for name, points in self.shafts.items() if name == stack},
            stack_names=(stack,),
        )

    def pooled(self) -> Annotations:
        """Return the boxes joined by object id alone, as if all stacks were one.

        Raises
        ------
        SpinecoreError
            If the file has no boxes per slice.
        """
        if self.boxes is None:
            raise SpinecoreError(f"{self.name} holds no boxes per slice, so its stacks cannot be pooled")
        boxes = self.boxes.assign(stack=POOLED)
        objects = objects_of_boxes(boxes)
        return replace(self, objects=objects, boxes=boxes, shares_ids=False, stack_names=(POOLED,))


def empty_objects(rows: int) -> pd.DataFrame:
    """Return a table with `OBJECT_COLUMNS`, `rows` unnamed visible objects and everything else missing."""
    table = pd.DataFrame({name: np.full(rows, np.nan) for name in OBJECT_COLUMNS})
    return table.assign(stack="", object_id=np.arange(rows), visible=True)


def objects_of_boxes(boxes: pd.DataFrame) -> pd.DataFrame:
    """Join boxes per slice into objects: the mean box and score, the range of slices (Vogel et al. 2023).

    Parameters
    ----------
    boxes : DataFrame
        `BOX_COLUMNS`; joined by stack and object_id.
    """
    keys = ["stack", "object_id"]
    joined = boxes.groupby(keys, sort=False, as_index=False).agg(
        **{name: (name, "mean") for name in (*EDGE_COLUMNS, "score")},
        first_slice=("slice", "min"),
        last_slice=("slice", "max"),
    )
    table = empty_objects(len(joined))
    for name in joined.columns:
        table[name] = joined[name].to_numpy()
    table["x_px"] = (table["left_px"] + table["right_px"]) / 2
    table["y_px"] = (table["top_px"] + table["bottom_px"]) / 2
    table["z_px"] = (table["first_slice"] + table["last_slice"]) / 2
    return table


def picture_stem(name: str) -> str:
    """Return the name of the stack that a spine table's image column means: the file's name without folders and suffix.

    Examples
    --------
    >>> picture_stem("data/mouse-1-07.tif"), picture_stem("cell.3.ome.tif")
    ('mouse-1-07', 'cell.3')
    """
    return PICTURE_SUFFIX.sub("", str(name).replace("\\", "/").rsplit("/", 1)[-1])


def split_picture_name(name: str) -> tuple[str, int | None]:
    """Return the stack a picture belongs to and its slice, None where the name gives none.

    Examples
    --------
    >>> split_picture_name("cell1-07.png")
    ('cell1', 7)
    >>> split_picture_name("projection.ome.tif")
    ('projection', None)
    """
    base = str(name).replace("\\", "/").rsplit("/", 1)[-1]
    found = SLICE_NAME.match(base)
    if found:
        return found["stack"], int(found["slice"])
    return PICTURE_SUFFIX.sub("", base), None
