"""What a person does to dendrites, as corrections that can be stored: clicks become lines here, with the stack at hand.

Each function looks at an analysis and returns an `Edit`; nothing is changed. Places are ZYX in um of the analysis grid
(voxel index times voxel size).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np
from scipy.spatial import cKDTree

from spinecore.analysis.gridimage import GridImage
from spinecore.analysis.owntracing import read_own_tracing
from spinecore.analysis.result import Analysis
from spinecore.corrections.edit import Edit
from spinecore.corrections.shafts import changed_lines, path_of, tracing_arrays
from spinecore.errors import SpinecoreError
from spinecore.tracing.editing import Nearest, Path, nearest_place, place_on_line
from spinecore.tracing.livewire import radii_along, snap_path
from spinecore.tracing.trace import Dendrite

#: A line that begins or ends this near to a shaft's surface begins or ends on that dendrite (um).
ON_SHAFT_UM = 0.3
#: An end is extended from a place up to this far from it (um). A click says less of depth, which counts this much.
NEAR_END_UM, DEPTH_COUNTS = 3.0, 1 / 3
#: Ends of two dendrites nearer to each other than this are joined by a straight line (um).
TOUCH_UM = 0.5
#: What a crop holds beyond its spine and the nearest point of a new shaft (um; z, y, x).
_PAD_UM = np.array([0.5, 0.8, 0.8])


def line_between(
    analysis: Analysis, image: GridImage, places_um: np.ndarray, fixed: tuple[bool, bool] = (False, False)
) -> Path:
    """Return the line of the shaft through some places."""
    return snap_path(
        image,
        analysis.candidates.spacing_zyx_um,
        np.asarray(places_um, float),
        _spine_voxels(analysis, places_um),
        fixed=fixed,
    )


def trace(analysis: Analysis, image: GridImage, places_um: np.ndarray) -> Edit:
    """Trace a dendrite through two places or more; an end that lies on a shaft begins or ends there."""
    places = _several(places_um)
    lines = analysis.candidates.dendrites
    ends = [nearest_place(lines, places[end]) for end in (0, -1)]
    on = [found is not None and found.gap_um <= ON_SHAFT_UM for found in ends]
    return _traced(analysis, image, places, ends, (on[0], on[1]))


def extend(analysis: Analysis, image: GridImage, places_um: np.ndarray) -> Edit:
    """Go on from the free end of a dendrite nearest to the first place, through the others."""
    places = _several(places_um)
    end = _free_end(analysis.candidates.dendrites, places[0])
    if end is None:
        raise SpinecoreError("no dendrite ends there: begin at the end of a line")
    places[0] = end.point_um
    last = nearest_place([d for d in analysis.candidates.dendrites if d.id != end.dendrite_id], places[-1])
    on = last is not None and last.gap_um <= ON_SHAFT_UM
    return _traced(analysis, image, places, [end, last], (True, on))


def join(analysis: Analysis, image: GridImage, first_um: np.ndarray, second_um: np.ndarray) -> Edit:
    """Make one dendrite of two, by the line between two places on them; a free end near a place is taken."""
    lines = analysis.candidates.dendrites
    first = place_on_line(lines, np.asarray(first_um, float))
    others = [d for d in lines if d.id != first.dendrite_id]
    near = nearest_place(others, np.asarray(second_um, float))
    again = nearest_place([d for d in lines if d.id == first.dendrite_id], np.asarray(second_um, float))
    if again is not None and again.gap_um <= ON_SHAFT_UM and (near is None or near.gap_um > again.gap_um):
        raise SpinecoreError(
            f"both places are on dendrite {first.dendrite_id}: click its end, and then the line of another dendrite"
        )
    second = place_on_line(others, np.asarray(second_um, float))
    ends = []
    for place, found in ((first_um, first), (second_um, second)):
        own = [d for d in lines if d.id == found.dendrite_id]
        ends.append(_free_end(own, np.asarray(place, float), 1.5) or found)
    return _traced(analysis, image, np.array([e.point_um for e in ends]), ends, (True, True))


def redraw(analysis: Analysis, image: GridImage, places_um: np.ndarray) -> Edit:
    """Draw the line between two places of one dendrite anew, through those between them."""
    places = _several(places_um)
    lines = analysis.candidates.dendrites
    first, last = (place_on_line(lines, places[end]) for end in (0, -1))
    places[0], places[-1] = first.point_um, last.point_um
    path = line_between(analysis, image, places, (True, True))
    number = first.dendrite_id
    return _finished(
        analysis, Edit("redraw", dendrite=number, words=f"redraw dendrite {number}"), path, image
    )


def take_tracing(analysis: Analysis, image: GridImage, path: FilePath, units: str) -> Edit:
    """Take the lines of a person's tracing (SWC) in place of all that are there, and its soma."""
    spacing = analysis.candidates.spacing_zyx_um
    own = read_own_tracing(path, analysis, spacing, units)
    lines = [
        replace(
            d,
            branches=tuple(replace(b, radii_um=radii_along(image, spacing, b.points_um)) for b in d.branches),
        )
        for d in own.dendrites
    ]
    values: dict[str, object] = {"file": path.name}
    if own.soma_px is not None:
        values["zyx_px"] = [round(float(v), 3) for v in own.soma_px]
    edit = Edit(
        "tracing", values=values, voxels=tracing_arrays(lines), words=f"take the lines of {path.name}"
    )
    edit, after = _numbered(analysis, edit)
    return replace(edit, voxels={**edit.voxels, **_crops_beside(analysis, image, path_of(edit), after)})


def cut(analysis: Analysis, place_um: np.ndarray) -> Edit:
    """Cut a dendrite in two."""
    return _at_place(analysis, "cut", "cut dendrite", place_um)


def delete_branch(analysis: Analysis, place_um: np.ndarray) -> Edit:
    """Take away the branch at a place."""
    return _at_place(analysis, "delete branch", "delete a branch of dendrite", place_um)


def delete_dendrite(analysis: Analysis, dendrite_id: int) -> Edit:
    """Take away a whole dendrite."""
    edit = Edit("delete dendrite", dendrite=int(dendrite_id), words=f"delete dendrite {dendrite_id}")
    return _numbered(analysis, edit)[0]


def _several(places_um: np.ndarray) -> np.ndarray:
    """Places of a line: two or more."""
    places = np.array(places_um, float)
    if len(places) < 2:
        raise SpinecoreError(
            "a line needs two places that are apart: click once more, farther along the dendrite"
        )
    return places


def _traced(
    analysis: Analysis,
    image: GridImage,
    places: np.ndarray,
    ends: Sequence[Nearest | None],
    on: tuple[bool, bool],
) -> Edit:
    """The correction that puts a line in, named by what comes of it."""
    joined = [end.dendrite_id for end, yes in zip(ends, on, strict=True) if end is not None and yes]
    if len(joined) == 2 and joined[0] == joined[1]:
        raise SpinecoreError(
            f"both ends lie on dendrite {joined[0]}: to draw a stretch of it anew choose “Redraw”"
        )
    for k, (end, yes) in enumerate(zip(ends, on, strict=True)):
        if end is not None and yes:
            places[-k] = end.point_um
    first, last = ends
    if (
        first is not None
        and last is not None
        and all(on)
        and np.linalg.norm(places[-1] - places[0]) < TOUCH_UM
    ):
        path = Path(places[[0, -1]], np.array([first.radius_um, last.radius_um]))
    else:
        path = line_between(analysis, image, places, on)
    edit = Edit("trace", values={"at_start": on[0], "at_end": on[1]})
    if len(joined) == 2:
        edit = replace(edit, dendrite=min(joined), words=f"join dendrites {joined[0]} and {joined[1]}")
    elif joined:
        edit = replace(edit, dendrite=joined[0], words=f"extend dendrite {joined[0]}")
    else:
        number = next_dendrite(analysis)
        edit = replace(edit, dendrite=number, words=f"trace dendrite {number}")
    return _finished(analysis, edit, path, image)


def _at_place(analysis: Analysis, kind: str, words: str, place_um: np.ndarray) -> Edit:
    found = place_on_line(analysis.candidates.dendrites, np.asarray(place_um, float))
    values = {"place_um": [round(float(v), 4) for v in found.point_um]}
    edit = Edit(kind, dendrite=found.dendrite_id, values=values, words=f"{words} {found.dendrite_id}")
    return _numbered(analysis, edit)[0]


def _finished(analysis: Analysis, edit: Edit, path: Path, image: GridImage) -> Edit:
    """A correction with its line, and with the crops of the spines that the line runs past."""
    voxels = {"path": np.column_stack([path.points_um, path.radii_um])}
    edit, after = _numbered(analysis, replace(edit, voxels=voxels))
    return replace(edit, voxels=voxels | _crops_beside(analysis, image, path, after))


def next_dendrite(analysis: Analysis) -> int:
    """Return the next number of a dendrite that was never used."""
    used = [d.id for d in (*analysis.detected.dendrites, *analysis.candidates.dendrites)]
    used += [int(e.values.get("last_number", 0)) for e in analysis.corrections.history]
    return 1 + max(used, default=0)


def _numbered(analysis: Analysis, edit: Edit) -> tuple[Edit, tuple[Dendrite, ...]]:
    """A correction that has been tried, with the numbers that it uses; and the dendrites after it."""
    number = next_dendrite(analysis)
    edit = replace(edit, values={**edit.values, "number": number})
    after = changed_lines(analysis.candidates.dendrites, edit, analysis.candidates.spacing_zyx_um)
    last = max([number - 1, *(d.id for d in after)])
    return replace(edit, values={**edit.values, "last_number": last}), after


def _free_end(
    lines: Iterable[Dendrite], place_um: np.ndarray, reach_um: float = NEAR_END_UM
) -> Nearest | None:
    """The free end of a line nearest to a place."""
    best: Nearest | None = None
    for dendrite in lines:
        nodes = [node for b in dendrite.branches for node in (b.start, b.end)]
        for number, b in enumerate(dendrite.branches):
            for node, index in ((b.start, 0), (b.end, len(b.points_um) - 1)):
                gap = float(np.linalg.norm((b.points_um[index] - place_um) * (DEPTH_COUNTS, 1, 1)))
                if nodes.count(node) == 1 and gap <= (reach_um if best is None else best.gap_um):
                    best = Nearest(
                        dendrite.id, number, index, b.points_um[index], float(b.radii_um[index]), gap
                    )
    return best


def _spine_voxels(analysis: Analysis, places_um: np.ndarray) -> np.ndarray:
    """The voxels of all spines near some places."""
    spacing = np.array(analysis.candidates.spacing_zyx_um)
    low, high = np.min(places_um, 0) / spacing - 60, np.max(places_um, 0) / spacing + 60
    found = [
        np.argwhere(mask) + origin
        for _, origin, mask in analysis.cutter.cut(analysis.threshold)
        if (np.array(origin) < high).all() and (np.array(origin) + mask.shape > low).all()
    ]
    return np.concatenate(found) if found else np.zeros((0, 3), int)


def _crops_beside(
    analysis: Analysis, image: GridImage, path: Path, after: tuple[Dendrite, ...]
) -> dict[str, np.ndarray]:
    """Wider crops of the spines near a new line whose crops do not reach it."""
    candidates = analysis.candidates
    spacing, shape = np.array(candidates.spacing_zyx_um), np.array(candidates.shape)
    tree = cKDTree(path.points_um)
    distance, nearest = tree.query(candidates.centres_px * spacing)
    near = distance - path.radii_um[nearest] <= analysis.rules.near_um
    pad = np.maximum(np.ceil(_PAD_UM / spacing).astype(int), 1)
    out = {}
    for place, region in enumerate(candidates.regions):
        peaks = region.peaks[near[region.peaks]]
        if not len(peaks):
            continue
        points = path.points_um[nearest[peaks]] / spacing
        start, stop = np.array(region.origin), np.array(region.origin) + region.mask.shape
        low = np.minimum(start, np.clip(np.floor(points.min(0)).astype(int) - pad, 0, shape - 1))
        high = np.maximum(stop, np.clip(np.ceil(points.max(0)).astype(int) + 1 + pad, 1, shape))
        if (low < start).any() or (high > stop).any():
            window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            out[f"at{place}"] = low
            out[f"crop{place}"] = np.array(image[window])
    return out
