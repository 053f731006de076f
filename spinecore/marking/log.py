"""Placed marks as lines of the log of corrections: beside what the program found, or in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spinecore.analysis.result import Analysis
from spinecore.analysis.sitting import new_session
from spinecore.corrections.bound import now
from spinecore.corrections.edit import Edit
from spinecore.corrections.log import Corrections
from spinecore.corrections.regions import region_voxels
from spinecore.detection.candidates import Region


def as_one_sitting(analysis: Analysis, edits: Sequence[Edit]) -> Corrections:
    """The corrections of an analysis and these, as one sitting."""
    before = analysis.corrections
    first = 1 + max((e.n for e in before.edits), default=0)
    session, time = new_session(), now()
    numbered = (replace(e, n=first + k, session=session, time=time) for k, e in enumerate(edits))
    return replace(before, edits=(*before.edits, *numbered))


def only_marked(analysis: Analysis, edits: Sequence[Edit]) -> Analysis:
    """Return an analysis that holds nothing but the spines of some corrections, numbered in their order."""
    added = []
    for number, edit in enumerate(edits, start=1):
        spine = int(edit.spine or 0)
        crop, centre, _ = analysis.cutter.crop_of(spine, analysis.threshold)
        if crop.intensity is None:
            raise ValueError("a crop without intensities")
        probability = np.where(crop.mask | crop.others, 255, 0).astype(np.uint8)
        z, y, x = (int(v) for v in crop.origin)
        region = Region(
            (z, y, x), crop.mask, probability, crop.dendrite, crop.intensity, np.zeros(0, int), crop.outlined
        )
        zc, yc, xc = (round(float(v), 3) for v in centre)
        values = {
            "centre_px": (zc, yc, xc),
            "region": None,
            "untraced": crop.untraced,
            "mark": edit.values["mark"],
            "file": edit.values["file"],
        }
        if not crop.outlined:
            values["outlined"] = False
        if crop.by_hand.flat:
            values["flat"] = True
        added.append(Edit("add", spine=number, values=values, voxels=region_voxels(region), words=edit.words))
    none = np.zeros(0, bool)
    empty = replace(
        analysis.detected,
        centres_px=np.zeros((0, 3)),
        scores=np.zeros(0),
        regions=(),
        untraced=none,
        sizes=np.zeros((0, 3, 2)),
        far_scores=np.zeros(0),
    )
    start = replace(analysis, detected=empty, corrections=replace(analysis.corrections, edits=()))
    return start.with_corrections(as_one_sitting(start, added))
