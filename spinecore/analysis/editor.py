"""Every correction that a person can make of an analysis, by the places that are clicked.

Places are ZYX in the stack's own voxels, from 0, as the columns x_px, y_px and z_px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinecore.analysis import dendrite_edits, spine_edits
from spinecore.analysis.sitting import LOCK, Change, Sitting, new_session
from spinecore.corrections.edit import Edit
from spinecore.errors import SpinecoreError
from spinecore.shapes.chosen_rules import ChosenRules

__all__ = ["LOCK", "Change", "Editor", "Line", "new_session"]


@dataclass(frozen=True)
class Line:
    """One branch of a dendrite, to be drawn: points (n, 3) in the stack's voxels and radii (n,) in um."""

    dendrite_id: int
    branch: int
    points_px: np.ndarray
    radii_um: np.ndarray
    origin: str


class Editor(Sitting):
    """Corrects one analysis; see `Sitting` for what it is made with."""

    def remove(self, spine: int) -> Change:
        """Say that a detection is no spine, whatever its score."""
        return self._do(lambda: spine_edits.verdict(self.analysis, spine, "remove"))

    def count(self, candidate: int) -> Change:
        """Say that a candidate is a spine, whatever its score."""
        return self._do(lambda: spine_edits.verdict(self.analysis, candidate, "count"))

    def add(self, place: np.ndarray) -> Change:
        """Add a spine at a place; a candidate that lies there is counted, an outline is divided.

        A z of NaN is taken from what stands out above the place.
        """
        return self._do(lambda: spine_edits.add(self.analysis, self.image, self._with_depth(place)))

    def merge(self, spine: int, other: int) -> Change:
        """Make one spine of two; it keeps the first one's number."""
        return self._do(lambda: spine_edits.merge(self.analysis, self.image, spine, other))

    def set_class(self, spine: int, answer: str | None) -> Change:
        """Give a spine another class; None gives the network's back."""
        return self._do(lambda: spine_edits.set_class(self.analysis, spine, answer))

    def set_rules(self, chosen: ChosenRules | None) -> Change:
        """Choose the rules that name classes beside the network's; None gives the settings' back."""
        return self._do(lambda: spine_edits.set_rules(self.analysis, chosen))

    def set_branched(self, spine: int, yes: bool = True) -> Change:
        """Mark a spine as branched, or take the mark away."""
        return self._do(lambda: spine_edits.set_branched(self.analysis, spine, yes))

    def move_head(self, spine: int, place: np.ndarray) -> Change:
        """Move the head's centre of a spine."""
        return self._do(lambda: spine_edits.move(self.analysis, spine, "head", self._grid(place)))

    def move_base(self, spine: int, place: np.ndarray) -> Change:
        """Move the place where a spine leaves its shaft."""
        return self._do(lambda: spine_edits.move(self.analysis, spine, "base", self._grid(place)))

    def move_tip(self, spine: int, place: np.ndarray) -> Change:
        """Move the tip of a spine."""
        return self._do(lambda: spine_edits.move(self.analysis, spine, "tip", self._grid(place)))

    def attach(self, spine: int, dendrite_id: int) -> Change:
        """Let a spine belong to another dendrite."""
        return self._do(lambda: spine_edits.attach(self.analysis, spine, dendrite_id))

    def set_outline(self, spine: int, z: int, polygon: np.ndarray) -> Change:
        """Draw the outline of a spine anew in one slice; `polygon` (n, 2) holds y, x in the stack's pixels."""
        scale = np.array(self.analysis.candidates.scale_yx)
        corners = (np.asarray(polygon, float) + 0.5) * scale - 0.5
        return self._do(lambda: spine_edits.outline(self.analysis, self.image, spine, int(z), corners))

    def paint(self, spine: int, z: int, stroke: np.ndarray, width: float, erase: bool = False) -> Change:
        """Add to a spine, or erase of it, in one slice what a brush goes over.

        `stroke` (n, 2) holds y, x in the stack's pixels; `width` is the brush's, in its pixels along x.
        """
        scale = np.array(self.analysis.candidates.scale_yx)
        line = (np.asarray(stroke, float) + 0.5) * scale - 0.5
        wide = float(width) * float(scale[1])
        return self._do(
            lambda: spine_edits.paint(self.analysis, self.image, spine, int(z), line, wide, erase)
        )

    def grow(self, spine: int, level: float) -> Change:
        """Take for a spine what is connected to its head and brighter than a share of the head's height."""
        return self._do(lambda: spine_edits.grow(self.analysis, self.image, spine, level))

    def trace(self, points: Sequence[np.ndarray]) -> Change:
        """Trace a dendrite through two places or more."""
        return self._do(lambda: dendrite_edits.trace(self.analysis, self.image, self._um(points)))

    def extend(self, points: Sequence[np.ndarray]) -> Change:
        """Go on from the free end of a dendrite at the first place."""
        return self._do(lambda: dendrite_edits.extend(self.analysis, self.image, self._um(points)))

    def join(self, first: np.ndarray, second: np.ndarray) -> Change:
        """Make one dendrite of two."""
        a, b = self._um([first, second])
        return self._do(lambda: dendrite_edits.join(self.analysis, self.image, a, b))

    def redraw(self, points: Sequence[np.ndarray]) -> Change:
        """Draw the line between two places of one dendrite anew, through those between them."""
        return self._do(lambda: dendrite_edits.redraw(self.analysis, self.image, self._um(points)))

    def cut(self, place: np.ndarray) -> Change:
        """Cut a dendrite in two."""
        return self._do(lambda: dendrite_edits.cut(self.analysis, self._um([place])[0]))

    def delete_branch(self, place: np.ndarray) -> Change:
        """Take away the branch at a place."""
        return self._do(lambda: dendrite_edits.delete_branch(self.analysis, self._um([place])[0]))

    def delete_dendrite(self, dendrite_id: int) -> Change:
        """Take away a whole dendrite."""
        return self._do(lambda: dendrite_edits.delete_dendrite(self.analysis, dendrite_id))

    def take_tracing(self, path: Path, units: str = "um") -> Change:
        """Take the lines of an SWC file ("um" or "pixels" of the stack) in place of all that are there, and its soma."""
        return self._do(lambda: dendrite_edits.take_tracing(self.analysis, self.image, Path(path), units))

    def set_soma(self, place: Sequence[float] | None) -> Change:
        """Mark the soma, or take the mark away."""
        if place is not None and (len(place) != 3 or not np.isfinite(np.asarray(place, float)).all()):
            raise SpinecoreError("the soma needs three finite numbers: x, y and z in pixels")
        said = None if place is None else [float(v) for v in place]
        words = "take the soma's mark away" if said is None else "mark the soma"
        return self._do(lambda: Edit("soma", values={"zyx_px": said}, words=words))

    def check(self, candidate: int, answer: str | None) -> Change:
        """Answer "yes" (a spine), "no", or None (open again) to a candidate, for this person."""
        return self._do(lambda: spine_edits.answer(self.analysis, candidate, answer))

    def settle(self, candidate: int, answer: str | None) -> Change:
        """Say what holds where people differ."""
        return self._do(lambda: spine_edits.answer(self.analysis, candidate, answer, "settle"))

    def answers(self, by: str | None = None) -> dict[int, str]:
        """Return the answers of a person (this one's by default), by candidate."""
        who = self.by if by is None else by
        said = self.analysis.corrections.answers
        return {number: found.by[who] for number, found in said.items() if who in found.by}

    def preview(self, points: Sequence[np.ndarray]) -> np.ndarray:
        """Return the line (n, 3) that `trace` would draw through some places, in the stack's voxels."""
        path = dendrite_edits.line_between(self.analysis, self.image, self._um(points))
        return self._to_stack(path.points_um / self.analysis.candidates.spacing_zyx_um)

    def lines(self) -> list[Line]:
        """Return the centre lines."""
        spacing = np.array(self.analysis.candidates.spacing_zyx_um)
        return [
            Line(d.id, number, self._to_stack(b.points_um / spacing), b.radii_um, d.origin)
            for d in self.analysis.candidates.dendrites
            for number, b in enumerate(d.branches, 1)
        ]

    def path_px(self, spine: int) -> np.ndarray | None:
        """Return the path (n, 3) of a spine from base to tip, in the stack's voxels; None where it has none."""
        cutter = self.analysis.cutter
        crop, centre, _ = cutter.crop_of(spine, self.analysis.threshold)
        found = cutter.measurer.path_px(crop, centre)
        return None if found is None else self._to_stack(found)
