"""From a stack to an `Analysis`: settings, spine table, dendrite table, labels - and back from disk."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

import spinecore
from spinecore.analysis.cutter import Cutter, dendrite_table
from spinecore.detection.calibration import ScoreCalibration, calibration_for
from spinecore.detection.candidates import Candidates, find_candidates
from spinecore.errors import SpinecoreError
from spinecore.methods import DEFAULT_METHOD, get_method
from spinecore.methods.trained_range import find_outside, measure_stack, trained_range
from spinecore.networks.device import device_name, device_of
from spinecore.networks.zoo import Card, get_card
from spinecore.reading.choices import ReadingChoices
from spinecore.shapes.classify import DEFAULT_MODEL as SHAPE_MODEL
from spinecore.shapes.classify import has_model
from spinecore.stack import Spacing, Stack
from spinecore.tracing.swc import read_tracing

#: Called with (stage, fraction 0..1 of the whole analysis); raising in it stops the analysis.
Progress = Callable[[str, float], None]
_LIBRARIES = ("numpy", "scipy", "scikit-image", "torch", "tifffile", "pandas")


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
        Path of an SWC file whose centre lines take the place of those that would be traced; um, from the centre of
        the first voxel.
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


@dataclass(frozen=True)
class Analysis:
    """The result of one analysis.

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
        Columns as declared in `spinecore.tables.columns`.
    candidates : Candidates
        Everything needed to cut the spines at another threshold.
    dendrite_ids : ndarray, uint16, shape (Z, Y, X) of the analysis grid
        Dendrite ids.
    projections : dict of str to ndarray
        Maximum-intensity projections of the stack: "xy" (Y, X), "xz" (Z, X), "yz" (Z, Y).
    input : dict
        name, sha256, dtype and notes of the file.
    models : list of dict
        name, sha256 and title of the weights used.
    versions : dict
        Library versions.
    seconds : dict
        Time per stage.
    notes : tuple of str
        Sentences that a person should see.
    created : str
        ISO time.
    domain : dict
        What was measured of the stack ("measured"), and a sentence for each measure that lies outside what the
        model was trained on ("outside"); see `spinecore.methods.trained_range`.
    """

    name: str
    settings: Settings
    spacing: Spacing
    shape: tuple[int, int, int]
    threshold: float
    spines: pd.DataFrame
    dendrites: pd.DataFrame
    candidates: Candidates
    dendrite_ids: np.ndarray
    projections: dict[str, np.ndarray]
    input: dict[str, Any]
    models: list[dict[str, Any]]
    versions: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    created: str = ""
    domain: dict[str, Any] = field(default_factory=dict)

    @property
    def is_2d(self) -> bool:
        """True for a single image or projection."""
        return self.shape[0] == 1

    @cached_property
    def cutter(self) -> Cutter:
        """Cuts and measures; remembers what it has measured, so that thresholds change fast."""
        return Cutter(self.candidates, self.shape, self.spacing, self.settings.device)

    @cached_property
    def calibration(self) -> ScoreCalibration | None:
        """What the scores of the model used are worth; None where that was not measured."""
        return calibration_for(self.models)

    def at_threshold(self, threshold: float) -> Analysis:
        """Return the same analysis with another score threshold; only changed regions are measured anew."""
        spines = self.cutter.table(threshold)
        dendrites = dendrite_table(spines, self.candidates, self.spacing, self.is_2d, self.calibration)
        changed = replace(self, threshold=float(threshold), spines=spines, dendrites=dendrites)
        changed.__dict__["cutter"] = self.cutter
        return changed

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


def library_versions() -> dict[str, str]:
    """Return the versions that matter for repeating an analysis."""
    found = {"spinecore": spinecore.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_stack(stack: Stack) -> list[str]:
    """Return notes about a stack that can be analysed.

    Raises
    ------
    SpinecoreError
        If it cannot: unknown or impossible pixel size, too small, or without contrast.
    """
    pixel = stack.spacing.pixel_um
    if pixel is None:
        raise SpinecoreError(
            f"the pixel size of {stack.name} is unknown: give it with --pixel-size or in the voxel-size field of the Upload page"
        )
    if not 0.01 <= pixel <= 1.0:
        raise SpinecoreError(
            f"a pixel size of {pixel:g} um cannot show spines (0.02 to 0.3 um can): correct it with --pixel-size or on the Upload page"
        )
    ratio = stack.spacing.y_um / stack.spacing.x_um
    if not 0.2 < ratio < 5:
        raise SpinecoreError(
            f"pixels of {stack.spacing.y_um:g} x {stack.spacing.x_um:g} um are not plausible: correct the voxel size"
        )
    if min(stack.shape[1:]) * pixel < 1.5 or min(stack.shape[1:]) < 16:
        raise SpinecoreError(
            f"the image is only {stack.shape[2]} x {stack.shape[1]} pixels: choose one that shows at least 2 x 2 um"
        )
    sample = stack.voxels[:, :: max(1, stack.shape[1] // 256), :: max(1, stack.shape[2] // 256)]
    if float(sample.max()) == float(sample.min()) and float(stack.voxels.max()) == float(stack.voxels.min()):
        raise SpinecoreError(
            f"every voxel of this channel has the value {float(sample.max()):g}: choose another channel or file"
        )
    notes = list(stack.notes)
    if not stack.is_2d and not stack.spacing.known_z:
        raise SpinecoreError(
            f"the distance between the slices of {stack.name} is unknown: give it with --z-step or in the voxel-size field of the Upload page"
        )
    return notes


def choose_card(settings: Settings, is_2d: bool, own_models: Path | None) -> Card:
    """Return the card of the weights that the method runs with: its own, or the user's in their place.

    Raises
    ------
    SpinecoreError
        If the method or the own weights do not exist, or these are for other images.
    """
    needed = get_method(settings.method).model_for(is_2d)
    if settings.model is None:
        return get_card(needed)
    if own_models is None:
        raise SpinecoreError(f"there are no own weights here, so {settings.model!r} cannot be used")
    card = get_card(settings.model, own_models)
    if card.data.get("replaces") != needed:
        kind = "a single image" if is_2d else "a stack"
        raise SpinecoreError(
            f"the weights {settings.model} stand in for {card.data.get('replaces')}, but {settings.method} reads "
            f"{kind} with {needed}: choose other weights"
        )
    return card


def analyse(
    stack: Stack, settings: Settings, progress: Progress | None = None, own_models: Path | None = None
) -> Analysis:
    """Find, cut and measure the spines and dendrites of a stack.

    Parameters
    ----------
    stack : Stack
        Its spacing is replaced where the settings give sizes.
    settings : Settings
    progress : callable, optional
        Called with (stage, fraction); an exception raised in it stops the analysis.
    own_models : Path, optional
        Folder of the user's own weights, for `settings.model`.

    Returns
    -------
    Analysis

    Raises
    ------
    SpinecoreError
        With one sentence for the user.
    """

    tell = progress or (lambda stage, fraction: None)
    stack = stack.with_spacing(
        stack.spacing.with_user(
            settings.pixel_um, settings.z_um, settings.pixel_y_um, settings.pixel_estimated
        )
    )
    notes = check_stack(stack)
    method = get_method(settings.method)
    card = choose_card(settings, stack.is_2d, own_models)
    measured = measure_stack(stack)
    outside = find_outside(measured, trained_range(card.data, stack.is_2d))
    notes += outside.values()
    seconds: dict[str, float] = {}
    clock = perf_counter()

    def lap(stage: str) -> None:
        nonlocal clock
        now = perf_counter()
        seconds[stage], clock = now - clock, now

    tell("Finding spines", 0.02)
    weights = method.load(stack.is_2d, settings.device, card)
    prediction = method.predict(stack, weights, lambda f: tell("Finding spines", 0.02 + 0.7 * f))
    lap("network")
    tell("Tracing dendrites", 0.73)
    tracing = None
    if settings.tracing is not None:
        tracing = read_tracing(Path(settings.tracing), prediction.dendrite.shape, prediction.spacing_zyx_um)
        notes.append(f"Dendrites are those of the tracing {Path(settings.tracing).name}.")
    candidates, ids = find_candidates(prediction, tracing)
    lap("tracing")
    tell("Measuring spines", 0.85)
    threshold = settings.threshold if settings.threshold is not None else float(card.data["threshold"])
    cutter = Cutter(candidates, stack.shape, stack.spacing, settings.device)
    spines = cutter.table(threshold, lambda f: tell("Measuring spines", 0.85 + 0.08 * f))
    models = [
        {"name": used.name, "sha256": used.sha256, "title": used.data.get("title", "")}
        for used in (
            card,
            *prediction.heads_from,
            *([get_card(SHAPE_MODEL)] if has_model() else []),
        )
    ]
    dendrites = dendrite_table(spines, candidates, stack.spacing, stack.is_2d, calibration_for(models))
    lap("measuring")
    seconds["classifying"] = cutter.classifying_s
    seconds["measuring"] -= cutter.classifying_s
    cutter.precompute_cuts(lambda f: tell("Measuring for other thresholds", 0.93 + 0.05 * f))
    lap("other thresholds")
    tell("Writing", 0.98)
    if not candidates.dendrites:
        notes.append("No dendrite was found, so no spine is reported.")
    analysis = Analysis(
        name=stack.name,
        settings=settings,
        spacing=stack.spacing,
        shape=stack.shape,
        threshold=threshold,
        spines=spines,
        dendrites=dendrites,
        candidates=candidates,
        dendrite_ids=ids,
        projections={"xy": stack.voxels.max(0), "xz": stack.voxels.max(1), "yz": stack.voxels.max(2)},
        input={
            "name": stack.name,
            "path": None if stack.path is None else str(stack.path).replace("\\", "/").rsplit("/", 1)[-1],
            "dtype": str(stack.voxels.dtype),
            "channel": stack.channel,
            "time_point": stack.time_point,
        },
        models=models,
        versions=library_versions() | {"device": device_name(device_of(weights.main.model).type)},
        seconds={k: round(v, 3) for k, v in seconds.items()},
        notes=tuple(notes),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        domain={"measured": {k: float(f"{v:.4g}") for k, v in measured.items()}, "outside": outside},
    )
    analysis.__dict__["cutter"] = cutter
    return analysis


def save_analysis(analysis: Analysis, folder: Any) -> None:
    """Write an analysis; see `spinecore.analysis.storage.save_analysis`."""
    from spinecore.analysis.storage import save_analysis as save

    save(analysis, folder)


def load_analysis(folder: Any) -> Analysis:
    """Read an analysis back; see `spinecore.analysis.storage.load_analysis`."""
    from spinecore.analysis.storage import load_analysis as load

    return load(folder)
