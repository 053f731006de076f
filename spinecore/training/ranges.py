"""What the training data of a model look like, for the `trained_range` on its card.

Measured on the data before they are changed at random (`samples.augment_intensity`), so the networks have seen
somewhat more than the ranges say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spinecore.methods import METHODS
from spinecore.methods.trained_range import join_ranges, make_range, measure_network_planes, slice_step
from spinecore.networks.zoo import list_cards, write_card
from spinecore.training.pool import decode, load_volume, pool_files, seed_of, voxel_plan
from spinecore.training.samples import NOMINAL_UM, load_points, load_polygons

#: Pixel size at which classes2d is read (um), see `samples.load_polygons`.
_POLYGON_UM = 0.1
COMMAND = "python -m benchmarks.training_range"

Row = dict[str, float]


def pool_rows(pool: Path) -> Iterator[tuple[Row, Row]]:
    """Yield the measures of every simulated volume, as a stack and as its projection."""
    for path in pool_files(pool):
        volume = load_volume(path)
        pixel_um = voxel_plan(seed_of(path)).pixel_um
        planes = [decode(plane) for plane in volume.image[:: slice_step(len(volume.image))]]
        stack = {"pixel_um": pixel_um, "z_um": volume.z_um, **measure_network_planes(planes)}
        projection = decode(volume.image.max(0))
        yield stack, {"pixel_um": pixel_um, **measure_network_planes([projection])}


def point_rows(data: Path) -> list[Row]:
    """Return the measures of the training images of points2d (pixel sizes are nominal)."""
    if not (data / "points2d").is_dir():
        return []
    return [
        {"pixel_um": NOMINAL_UM[image.subset], **measure_network_planes([image.image])}
        for image in load_points(data, "train")
    ]


def polygon_rows(data: Path) -> list[Row]:
    """Return the measures of the training images of classes2d."""
    if not (data / "classes2d").is_dir():
        return []
    return [
        {"pixel_um": _POLYGON_UM, **measure_network_planes([image.image])}
        for image in load_polygons(data, "train", _POLYGON_UM)
    ]


def measure_training_data(data: Path, pool: Path) -> dict[str, dict[str, list[Row]]]:
    """Return the measures by view ("stack", "image") and data set, named as on the cards."""
    volumes = list(pool_rows(pool))
    return {
        "stack": {"simulation": [stack for stack, _ in volumes]},
        "image": {
            "points2d/train": point_rows(data),
            "classes2d/train": polygon_rows(data),
            "simulation": [projection for _, projection in volumes],
        },
    }


def views_of(name: str) -> set[str]:
    """Return what a model reads as the weights of a method: "image", "stack", both or neither."""
    views = {"image" for method in METHODS.values() if method.model_2d == name}
    return views | {"stack" for method in METHODS.values() if method.model_3d == name}


def write_ranges(folder: Path, data: Path, pool: Path, only: str | None = None) -> dict[str, dict[str, Any]]:
    """Measure the training data and write `trained_range` on the cards of a folder.

    Parameters
    ----------
    folder : Path
        Of weights and cards.
    data, pool : Path
        Labelled images, and simulated volumes.
    only : str, optional
        Name of the one card to write.

    Returns
    -------
    dict of str to dict
        What was written, by card.
    """
    cards = [c for c in list_cards(folder) if views_of(c.name) and only in (None, c.name)]
    measured = measure_training_data(data, pool) if cards else {}
    written = {}
    for card in cards:
        found = range_for(card.data, views_of(card.name), measured)
        if found:
            write_card(card.path, card.data | {"trained_range": found})
            written[card.name] = found
    return written


def range_for(card: dict[str, Any], views: set[str], measured: dict[str, Any]) -> dict[str, Any]:
    """Return the `trained_range` of a card from the data sets that it names under `trained_on`."""
    named = " ".join(card.get("trained_on", {}))
    if "spacing_zyx_um" in card.get("architecture", {}):
        views = views - {"image"}  # a network of volumes is not trained on projections
    out: dict[str, Any] = {}
    for view in sorted(views):
        # by data set, so that the tails of a small one are not cut by a large one
        for data, rows in measured[view].items():
            if data in named and rows:
                out[view] = join_ranges(out.get(view), make_range(rows))
    return out | {"command": COMMAND} if out else {}
