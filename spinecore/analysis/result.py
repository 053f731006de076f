"""The nouns of an analysis: what a user chooses, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from spinecore.analysis.ahead import MeasuredCuts
from spinecore.analysis.cutter import Cutter, dendrite_table
from spinecore.corrections.log import Corrections
from spinecore.corrections.replay import Corrected, apply_corrections
from spinecore.detection.belonging import DetectionRules
from spinecore.detection.calibration import ScoreCalibration, calibration_for
from spinecore.detection.candidates import Candidates
from spinecore.methods import DEFAULT_METHOD
from spinecore.reading.choices import ReadingChoices
from spinecore.shapes.chosen_rules import ChosenRules
from spinecore.stack import Spacing


class Settings(BaseModel):
    """What a user chooses for one analysis.

    Parameters
    ----------
    method : str
        A name from `spinecore.methods.METHODS`.
    threshold : float or None
        Lowest score of a spine, 0.1..1; None takes the one on the model's card.
    channel, time_point : int
        Counted from 0.
    pixel_um, z_um : float or None
        Voxel size in um that replaces the file's.
    pixel_y_um : float or None
        Height of a pixel, where it is not as high as it is wide (`pixel_um`).
    pixel_estimated : bool
        `pixel_um` was estimated from the image and accepted by the user.
    reading : ReadingChoices
        How the file is read where it leaves that open or says it wrongly.
    device : str
        One of `spinecore.networks.device.DEVICES`.
    model : str or None
        Own weights that take the place of the method's (see `spinecore.workspace.own_models`).
    tracing : str or None
        Path of an SWC file whose centre lines take the place of those that would be traced, from the centre of the
        first voxel.
    tracing_units : str
        Of its positions: "um" or "pixels".
    marks : str or None
        Path of a person's own marks of spines (see `spinecore.marking`), each of which becomes a spine.
    marks_units : str or None
        Of their positions, where the file does not say it: "px" or "um".
    only_marked : bool
        Nothing but those marks counts as a spine.
    everywhere : bool
        The default method's network looks at all of a stack, also where nothing rises above the noise.
    shape_rules : dict or None
        Rule set and thresholds beside the network's classes (`spinecore.shapes.chosen_rules.ChosenRules.to_dict`); None
        takes those of Rodriguez et al.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = DEFAULT_METHOD
    threshold: float | None = Field(default=None, ge=0.1, le=1.0)
    channel: int = Field(default=0, ge=0)
    time_point: int = Field(default=0, ge=0)
    pixel_um: float | None = Field(default=None, gt=0)
    pixel_y_um: float | None = Field(default=None, gt=0)
    pixel_estimated: bool = False
    reading: ReadingChoices = ReadingChoices()
    z_um: float | None = Field(default=None, gt=0)
    device: str = "auto"
    model: str | None = None
    tracing: str | None = None
    tracing_units: Literal["um", "pixels"] = "um"
    marks: str | None = None
    marks_units: Literal["px", "um"] | None = None
    only_marked: bool = False
    everywhere: bool = False
    shape_rules: dict[str, Any] | None = None

    @property
    def chosen_rules(self) -> ChosenRules:
        """The rules that name classes beside the network.

        Raises
        ------
        SpinecoreError
            If they do not fit their rule set.
        """
        return ChosenRules() if self.shape_rules is None else ChosenRules.from_dict(self.shape_rules)


@dataclass(frozen=True, eq=False)
class Analysis:
    """The result of one analysis; another threshold or other corrections give another one.

    Parameters
    ----------
    name : str
        Name of the stack.
    settings : Settings
    spacing : Spacing
        Voxel size used.
    shape : tuple of int
        ZYX shape of the stack.
    threshold : float
        Lowest score used.
    spines, dendrites : DataFrame
        Columns as declared in `spinecore.morphometry.columns`.
    detected : Candidates
        Every possible spine as the detector found it.
    detected_ids : ndarray, uint16, shape (Z, Y, X) of the analysis grid
        Dendrite ids as they were traced.
    projections : mapping of str to ndarray
        Maximum-intensity projections of the stack: "xy" (Y, X), "xz" (Z, X), "yz" (Z, Y).
    input : mapping
        name, path, dtype, channel and time_point of the file.
    models : sequence of dict
        name, sha256 and title of the weights used.
    versions : mapping
        Library versions.
    corrections : Corrections
        What people said about it.
    rules : DetectionRules
        By which heads count.
    seconds : mapping
        Time per stage.
    notes : tuple of str
        Sentences that a person should see.
    created : str
        ISO time.
    domain : mapping
        What was measured of the stack ("measured"), and a sentence for each measure that lies outside what the
        model was trained on ("outside"); see `spinecore.methods.trained_range`.
    cuts : MeasuredCuts
        What was measured of `detected` so far, for this shape and spacing: a cache that other thresholds and
        corrections of the same analysis share.
    """

    name: str
    settings: Settings
    spacing: Spacing
    shape: tuple[int, int, int]
    threshold: float
    spines: pd.DataFrame
    dendrites: pd.DataFrame
    detected: Candidates
    detected_ids: np.ndarray
    projections: Mapping[str, np.ndarray]
    input: Mapping[str, Any]
    models: Sequence[dict[str, Any]]
    versions: Mapping[str, str]
    corrections: Corrections = field(default_factory=Corrections)
    rules: DetectionRules = field(default_factory=DetectionRules)
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    created: str = ""
    domain: Mapping[str, Any] = field(default_factory=dict)
    cuts: MeasuredCuts = field(default_factory=MeasuredCuts, repr=False)

    def __post_init__(self) -> None:
        """Begin with nothing measured where `cuts` are of other detections."""
        if not self.cuts.belong_to(self.detected, self.shape, self.spacing):
            object.__setattr__(self, "cuts", MeasuredCuts(self.detected, self.shape, self.spacing))

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields alone: what was derived from them is made again when needed."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def is_2d(self) -> bool:
        """True for a single image or projection."""
        return self.shape[0] == 1

    @cached_property
    def corrected(self) -> Corrected:
        """What was detected, with what people said about it applied."""
        history = self.corrections.history
        return apply_corrections(self.detected, self.detected_ids, history, self.rules, self.cuts.shafts)

    @property
    def candidates(self) -> Candidates:
        """Every possible spine, with what people said about spines and dendrites applied."""
        return self.corrected.candidates

    @property
    def dendrite_ids(self) -> np.ndarray:
        """Dendrite ids on the analysis grid, uint16 (Z, Y, X), with what people said about dendrites applied."""
        return self.corrected.dendrite_ids

    @cached_property
    def cutter(self) -> Cutter:
        """Cuts and measures these candidates."""
        return Cutter(
            self.candidates,
            self.shape,
            self.spacing,
            self.cuts,
            self.corrections,
            self.settings.device,
            self.settings.chosen_rules,
        )

    @cached_property
    def calibration(self) -> ScoreCalibration | None:
        """What the scores of the model used are worth; None where that was not measured, or no score decides."""
        if self.settings.only_marked:
            return None
        return calibration_for(self.models)

    def at_threshold(self, threshold: float) -> Analysis:
        """Return the same analysis with another score threshold; only changed regions are measured anew."""
        spines = self.cutter.table(threshold)
        found = replace(self, threshold=float(threshold), spines=spines, dendrites=self.dendrites_for(spines))
        vars(found)["corrected"] = self.corrected  # which no threshold changes
        return found

    def with_corrections(self, corrections: Corrections) -> Analysis:
        """Return the same analysis with these corrections in place of those that it has."""
        return replace(self, corrections=corrections).at_threshold(self.threshold)

    def dendrites_for(self, spines: pd.DataFrame) -> pd.DataFrame:
        """Return the dendrite table that goes with a spine table."""
        return dendrite_table(spines, self.candidates, self.spacing, self.is_2d, self.calibration)

    @cached_property
    def labels(self) -> np.ndarray:
        """Spine ids on the stack's own voxels, int32 (Z, Y, X); 0 = none."""
        return self.to_input_grid(self.cutter.label_volume(self.threshold))

    @cached_property
    def dendrite_labels(self) -> np.ndarray:
        """Dendrite ids on the stack's own voxels, uint16 (Z, Y, X); 0 = none."""
        return self.to_input_grid(self.dendrite_ids)

    def to_input_grid(self, ids: np.ndarray) -> np.ndarray:
        """Bring labels (..., Y, X) of the analysis grid to the stack's own pixels (nearest neighbour)."""
        height, width = self.shape[1:]
        if ids.shape[-2:] == (height, width):
            return ids
        rows = np.minimum(((np.arange(height) + 0.5) * ids.shape[-2] / height).astype(int), ids.shape[-2] - 1)
        columns = np.minimum(
            ((np.arange(width) + 0.5) * ids.shape[-1] / width).astype(int), ids.shape[-1] - 1
        )
        return ids[..., rows[:, None], columns[None, :]]
