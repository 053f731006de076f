"""Corrections applied: candidates that count whatever their score, others that do not, and added spines.

The number of a spine never changes: an added one gets the next that is free, also after an undo.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from spinecore.corrections.log import SpineStep, without_undone
from spinecore.detection.candidates import Candidates, Region


@dataclass(frozen=True)
class Counts:
    """What a person changed, as it now stands."""

    removed: int
    counted: int
    added: int

    @property
    def any(self) -> bool:
        """True when anything was changed."""
        return bool(self.removed or self.counted or self.added)

    @property
    def words(self) -> str:
        """The changes as words; empty without any.

        Examples
        --------
        >>> Counts(2, 0, 1).words
        '2 removed, 1 added'
        """
        parts = (
            (self.removed, "removed"),
            (self.counted, "counted below the threshold"),
            (self.added, "added"),
        )
        return ", ".join(f"{n} {text}" for n, text in parts if n)


def standing(steps: Iterable[SpineStep]) -> list[SpineStep]:
    """Return the steps that still stand: "undo" takes the last one back.

    Examples
    --------
    >>> [s.spine_id for s in standing([SpineStep("remove", 1), SpineStep("remove", 2), SpineStep("undo")])]
    [1]
    """
    return without_undone(steps, lambda step: step.action == "undo")


def apply_steps(detected: Candidates, steps: tuple[SpineStep, ...]) -> Candidates:
    """Return candidates with corrections applied; the same where there are none.

    Parameters
    ----------
    detected : Candidates
        As the detector found them.
    steps : tuple of SpineStep
    """
    if not steps:
        return detected
    added = [step for step in steps if step.action == "add"]
    regions = list(detected.regions)
    names = [str(number) for number in range(len(regions))]
    digests = []
    for number, step in enumerate(added, len(detected.scores)):
        if step.grown is not None:
            place = len(regions)
            regions.append(step.grown)
            names.append(_digest(step.grown))
        elif step.region is not None:
            place = step.region
            regions[place] = replace(regions[place], peaks=np.append(regions[place].peaks, number))
        else:
            raise ValueError(f"added spine {step.spine_id} has no voxels")
        digests.append(f"{names[place]} {step.centre_px} {step.untraced}")
    count = len(detected.scores) + len(added)
    verdicts = np.zeros(count, np.int8)
    for step in standing(steps):
        if step.spine_id is not None and 0 < step.spine_id <= count:
            verdicts[step.spine_id - 1] = -1 if step.action == "remove" else 1
    untraced = detected.untraced if len(detected.untraced) else np.zeros(len(detected.scores), bool)
    places = np.array([step.centre_px for step in added], float).reshape(-1, 3)
    return replace(
        detected,
        centres_px=np.concatenate([detected.centres_px.reshape(-1, 3), places]),
        scores=np.concatenate([detected.scores, np.full(len(added), np.nan)]),
        regions=tuple(regions),
        untraced=np.concatenate([untraced, np.array([step.untraced for step in added], bool)]),
        verdicts=verdicts,
        added=tuple(digests),
    )


def _digest(region: Region) -> str:
    """A short text that differs for regions with other voxels."""
    found = blake2b(repr((region.origin, region.mask.shape)).encode(), digest_size=16)
    for part in (region.mask, region.spine, region.dendrite, region.intensity):
        found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


def count_corrections(candidates: Candidates, threshold: float) -> Counts:
    """Count what a person's corrections change at a threshold."""
    if not len(candidates.verdicts):
        return Counts(0, 0, 0)
    by_hand = np.isnan(candidates.scores)
    above = np.nan_to_num(candidates.scores, nan=-1.0) >= threshold
    yes, no = candidates.verdicts > 0, candidates.verdicts < 0
    return Counts(int((no & above).sum()), int((yes & ~above & ~by_hand).sum()), int((yes & by_hand).sum()))
