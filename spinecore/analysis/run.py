"""From a stack to an `Analysis`: predict, find, measure, assemble."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

import spinecore
from spinecore.analysis.ahead import MeasuredCuts
from spinecore.analysis.checks import check_stack
from spinecore.analysis.cutter import Cutter, dendrite_table
from spinecore.analysis.owntracing import read_own_tracing
from spinecore.analysis.result import Analysis, Settings
from spinecore.corrections.log import Corrections
from spinecore.detection.belonging import DetectionRules
from spinecore.detection.calibration import calibration_for
from spinecore.detection.candidates import Candidates, find_candidates
from spinecore.detection.padding import cropped, data_box, embedded
from spinecore.errors import SpinecoreError
from spinecore.methods import get_method
from spinecore.methods.grid import AnalysisGrid
from spinecore.methods.prediction import Prediction
from spinecore.methods.trained_range import find_outside, measure_stack, trained_range
from spinecore.methods.weights import reads_maps_of
from spinecore.networks.device import describe_run
from spinecore.networks.zoo import Card, get_card
from spinecore.reading.blank import fill_padding, find_padding
from spinecore.shapes.classify import DEFAULT_MODEL as SHAPE_MODEL
from spinecore.shapes.classify import has_model
from spinecore.stack import Stack

#: Called with (stage, fraction 0..1 of the whole analysis); raising in it stops the analysis.
Progress = Callable[[str, float], None]
#: So many cuts are classified before an analysis that was stopped ends.
_CLASSIFIED_AT_ONCE = 64
_LIBRARIES = ("numpy", "scipy", "scikit-image", "torch", "tifffile", "pandas")


class StageClock:
    """Takes the time of each stage (s)."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Take the time of a block; blocks of one name are added up."""
        start = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


@dataclass(frozen=True)
class Plan:
    """What is known before anything is predicted.

    Parameters
    ----------
    stack : Stack
        With the voxel size that is used.
    seen : Stack
        What the networks look at: the same, with voxels that hold no data filled.
    empty : ndarray of bool, shape (Z, Y, X), or None
        Where nothing is traced or counted, since the stack holds no data there.
    settings : Settings
    rules : DetectionRules
    card : Card
        Of the weights that the method runs with.
    scorer : Card or None
        Of the user's own weights that score the heads of a stack.
    domain : dict
        See `Analysis.domain`.
    notes : tuple of str
    """

    stack: Stack
    seen: Stack
    empty: np.ndarray | None
    settings: Settings
    rules: DetectionRules
    card: Card
    scorer: Card | None
    domain: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def threshold(self) -> float:
        """The lowest score of a spine: the user's, else that of the weights' card."""
        chosen = self.settings.threshold
        return float((self.scorer or self.card).data["threshold"]) if chosen is None else chosen


@dataclass(frozen=True)
class Found:
    """What `find` makes of a prediction."""

    candidates: Candidates
    dendrite_ids: np.ndarray
    notes: tuple[str, ...]
    corrections: Corrections = field(default_factory=Corrections)


@dataclass(frozen=True)
class Measured:
    """What `measure` makes of candidates."""

    spines: pd.DataFrame
    dendrites: pd.DataFrame
    cuts: MeasuredCuts
    models: list[dict[str, Any]] = field(default_factory=list)


def analyse(
    stack: Stack,
    settings: Settings,
    progress: Progress | None = None,
    own_models: Path | None = None,
    rules: DetectionRules | None = None,
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
    rules : DetectionRules, optional
        Which heads count.

    Returns
    -------
    Analysis

    Raises
    ------
    SpinecoreError
        With one sentence for the user.
    """
    report = progress or (lambda stage, fraction: None)
    plan = prepare(stack, settings, own_models, rules or DetectionRules())
    clock = StageClock()
    with clock.stage("network"):
        prediction, device = predict(plan, report)
    with clock.stage("tracing"):
        report("Tracing dendrites", 0.73)
        found = find(plan, prediction)
    measured = measure(plan, prediction, found, report, clock)
    report("Writing", 0.98)
    return assemble(plan, found, measured, device, clock.seconds)


def prepare(stack: Stack, settings: Settings, own_models: Path | None, rules: DetectionRules) -> Plan:
    """Check a stack and the settings, and choose the weights.

    Raises
    ------
    SpinecoreError
        If the stack cannot be analysed so.
    """
    sizes = settings.pixel_um, settings.z_um, settings.pixel_y_um, settings.pixel_estimated
    stack = stack.with_spacing(stack.spacing.with_user(*sizes))
    notes = check_stack(stack)
    card, scorer = choose_cards(settings, stack.is_2d, own_models)
    seen, empty, blank = without_padding(stack)
    measured = measure_stack(seen)
    outside = find_outside(measured, trained_range((scorer or card).data, stack.is_2d))
    domain = {"measured": {k: float(f"{v:.4g}") for k, v in measured.items()}, "outside": outside}
    return Plan(
        stack, seen, empty, settings, rules, card, scorer, domain, (*notes, *blank, *outside.values())
    )


def without_padding(stack: Stack) -> tuple[Stack, np.ndarray | None, tuple[str, ...]]:
    """Return a stack with its blank voxels filled, where nothing may be traced, and what should be said about it."""
    padding = find_padding(stack.voxels)
    if padding is None:
        return stack, None, ()
    filled = fill_padding(stack.voxels, padding)
    words = filled.words
    return replace(stack, voxels=filled.voxels), filled.left_out, (words,) if words else ()


def predict(plan: Plan, report: Progress) -> tuple[Prediction, str]:
    """Run the method's networks over the stack; also return what they ran on, in words."""
    report("Finding spines", 0.02)
    method = get_method(plan.settings.method)
    weights = method.load(plan.stack.is_2d, plan.settings.device, plan.card, plan.scorer)
    box = None if plan.empty is None else data_box(plan.empty, AnalysisGrid(plan.seen).scale_yx)
    looked_at = plan.seen if box is None else cropped(plan.seen, box)
    options = {"everywhere": plan.settings.everywhere} if method.skips_empty else {}
    prediction = method.predict(
        looked_at, weights, lambda f: report("Finding spines", 0.02 + 0.7 * f), **options
    )
    if plan.empty is not None and box is not None:
        prediction = embedded(prediction, box, plan.seen, plan.empty)
    looked = (
        "" if prediction.looked_at == 1 else f", looked at {100 * prediction.looked_at:.0f} % of the stack"
    )
    return prediction, describe_run(weights.main.model) + looked


def find(plan: Plan, prediction: Prediction) -> Found:
    """Trace the dendrites, or take those of the user's tracing, and find every candidate spine."""
    if plan.settings.tracing is None:
        candidates, ids = find_candidates(prediction, None, plan.rules)
        return Found(candidates, ids, _without_dendrites(candidates))
    own = read_own_tracing(
        Path(plan.settings.tracing), plan.stack, prediction.spacing_zyx_um, plan.settings.tracing_units
    )
    candidates, ids = find_candidates(prediction, own.dendrites, plan.rules)
    return Found(
        candidates, ids, (*own.notes, *_without_dendrites(candidates)), Corrections(soma=own.soma_px)
    )


def _without_dendrites(candidates: Candidates) -> tuple[str, ...]:
    """What a person should know where no dendrite was traced; true at every threshold."""
    if candidates.dendrites:
        return ()
    if not np.isfinite(candidates.scores).any():
        return ("No dendrite was found, and no spine was detected.",)
    return (
        "No dendrite could be traced. Spines are reported without one, so they have no length and there is no density.",
    )


def measure(
    plan: Plan, prediction: Prediction, found: Found, report: Progress, clock: StageClock
) -> Measured:
    """Measure and classify the spines at the threshold, and as any other threshold would cut them.

    "classifying" is the time that was still to be waited for when all was measured.
    """
    stack, threshold = plan.stack, plan.threshold
    report("Measuring spines", 0.85)
    cuts = MeasuredCuts(found.candidates, stack.shape, stack.spacing)
    cutter = Cutter(
        found.candidates,
        stack.shape,
        stack.spacing,
        cuts,
        found.corrections,
        plan.settings.device,
        plan.settings.chosen_rules,
    )
    with _classified_beside(cutter) as finish:
        with clock.stage("measuring"):
            cutter.measure(threshold, lambda f: report("Measuring spines", 0.85 + 0.06 * f))
        with clock.stage("other thresholds"):
            every = cutter.every_cut()
            cutter.measure_cuts(every, lambda f: report("Measuring for other thresholds", 0.91 + 0.05 * f))
        with clock.stage("classifying"):
            report("Classifying spines", 0.96)
            finish()
    with clock.stage("measuring"):
        models = models_used(plan, prediction)
        spines = cutter.table(threshold)
        dendrites = dendrite_table(
            spines, found.candidates, stack.spacing, stack.is_2d, calibration_for(models)
        )
    return Measured(spines, dendrites, cuts, models)


@contextmanager
def _classified_beside(cutter: Cutter) -> Iterator[Callable[[], None]]:
    """Classify every cut while they are measured, which keeps one core busy; gives what waits for the end."""
    keys = cutter.every_cut()
    with ThreadPoolExecutor(1) as pool:
        blocks = [
            keys[first : first + _CLASSIFIED_AT_ONCE] for first in range(0, len(keys), _CLASSIFIED_AT_ONCE)
        ]
        futures = [pool.submit(cutter.classify_cuts, block) for block in blocks]

        def finish() -> None:
            for future in futures:
                future.result()

        try:
            yield finish
        finally:  # stopped half-way: what has not begun is left undone
            for future in futures:
                future.cancel()


def models_used(plan: Plan, prediction: Prediction) -> list[dict[str, Any]]:
    """Return name, sha256 and title of all weights used."""
    shapes = [get_card(SHAPE_MODEL)] if has_model() else []
    return [
        {"name": card.name, "sha256": card.sha256, "title": card.data.get("title", "")}
        for card in (plan.card, *prediction.heads_from, *shapes)
    ]


def assemble(
    plan: Plan, found: Found, measured: Measured, device: str, seconds: dict[str, float]
) -> Analysis:
    """Put everything together, with what is needed to repeat it."""
    stack = plan.stack
    return Analysis(
        name=stack.name,
        settings=plan.settings,
        spacing=stack.spacing,
        shape=stack.shape,
        threshold=plan.threshold,
        spines=measured.spines,
        dendrites=measured.dendrites,
        detected=found.candidates,
        detected_ids=found.dendrite_ids,
        projections={"xy": stack.voxels.max(0), "xz": stack.voxels.max(1), "yz": stack.voxels.max(2)},
        input={
            "name": stack.name,
            "path": None if stack.path is None else str(stack.path).replace("\\", "/").rsplit("/", 1)[-1],
            "dtype": str(stack.voxels.dtype),
            "channel": stack.channel,
            "time_point": stack.time_point,
            "channels": stack.channels,
            "time_points": stack.time_points,
        },
        models=measured.models,
        versions=library_versions() | {"device": device},
        corrections=found.corrections,
        rules=plan.rules,
        seconds={k: round(v, 3) for k, v in seconds.items()},
        notes=(*plan.notes, *found.notes),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        domain=plan.domain,
        cuts=measured.cuts,
    )


def library_versions() -> dict[str, str]:
    """Return the versions that matter for repeating an analysis."""
    found = {"spinecore": spinecore.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def choose_cards(settings: Settings, is_2d: bool, own_models: Path | None) -> tuple[Card, Card | None]:
    """Return the card of the weights that the method runs with, and that of the user's own that score the heads.

    The user's own weights take the place of the first, or are the second.

    Raises
    ------
    SpinecoreError
        If the method or the own weights do not exist, or these are for other images or read other maps.
    """
    method = get_method(settings.method)
    needed = method.model_for(is_2d)
    if settings.model is None:
        return get_card(needed), None
    if own_models is None:
        raise SpinecoreError(f"there are no own weights here, so {settings.model!r} cannot be used")
    card = get_card(settings.model, own_models)
    replaces = card.data.get("replaces")
    if replaces in method.roles(is_2d)[1:]:
        shipped = get_card(needed)
        if not reads_maps_of(card, shipped):
            raise SpinecoreError(
                f"the weights {settings.model} learned from the maps of another {needed} than the one of this version: "
                "fine-tune them again"
            )
        return shipped, card
    if replaces != needed:
        kind = "a single image" if is_2d else "a stack"
        raise SpinecoreError(
            f"the weights {settings.model} stand in for {replaces}, but {settings.method} reads "
            f"{kind} with {needed}: choose other weights"
        )
    return card, None
