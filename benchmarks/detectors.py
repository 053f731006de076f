"""How well the two detector methods find spines: `python -m benchmarks.detectors`.

`faster-rcnn`: whole analyses of simulated stacks, F1-3D by IoM >= 0.5 (Vogel et al. 2023) and F1 by centres
within 1 um, in both modes. `panoptic`: IoU of spine and dendrite pixels of the panoptic map on projections
of simulated stacks, and whole analyses of stacks as above. Seeds start at 100.

`--tune` first chooses on seeds from 500: for `faster-rcnn` the confidence above which boxes are linked
and the score a track has to reach, for `panoptic` the confidence of an instance. A track's score is raised to
the power that takes the chosen score to 0.5. `--write-card` stores the results on the cards.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.detection import CALIBRATION_SEED, FIRST_SEED, FLOOR, SIMULATED, score
from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.evaluation.matching import Counts, match
from spinecore.methods.detect import detect_plane
from spinecore.methods.merging import MergeRule
from spinecore.methods.tracks import Detections, drop_large, link, suppress
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import CONTEXT_UM, context_planes
from spinecore.networks.zoo import Card, get_card, load_network, write_card
from spinecore.simulation import simulate
from spinecore.training.detection_samples import Instances, spine_instances
from spinecore.training.panoptic import (
    CONFIDENCES,
    DENDRITE_WEIGHTS,
    MASK_LEVELS,
    score_projections,
    simulated_projection,
)
from spinecore.training.pool import decode, to_volume

TUNED_ON = ("confocal", "twophoton", "confocal-oblique")
PROJECTIONS = ("confocal", "confocal-crowded", "twophoton")
LINKED = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
REACHED = np.round(np.arange(0.1, 0.96, 0.05), 2)


def detected(made: Instances, find: Callable[[np.ndarray], Detections], planes: int) -> list[Detections]:
    """Run a detector over every slice of a canonical volume; boxes above the area limit are dropped."""
    volume, n = made.volume, len(made.labels)
    found = []
    for index in range(n):
        wanted = context_planes(n, index, volume.z_um) if planes == len(CONTEXT_UM) else [(index, index, 0.0)]
        image = np.stack(
            [(1 - w) * decode(volume.image[a]) + w * decode(volume.image[b]) for a, b, w in wanted]
        )
        found.append(drop_large(find(image), CANONICAL_UM))
    return found


def tune_tracks(name: str, stacks: int) -> tuple[float, float]:
    """Choose (confidence of linked boxes, score of a track) by mean F1-3D over `TUNED_ON`, and set the card."""
    model = load_network(name)
    detector = model.spines if hasattr(model, "spines") else model
    total = np.zeros((len(LINKED), len(REACHED)))
    for kind in TUNED_ON:
        counts = np.full(total.shape, Counts(), object)
        for seed in range(CALIBRATION_SEED, CALIBRATION_SEED + stacks):
            preset, shape, spacing = SIMULATED[kind]
            simulated = simulate(seed, preset, shape, spacing)
            made = spine_instances(to_volume(simulated.stack.voxels, simulated))
            truth, visible = made.boxes3d()
            found = detected(made, lambda image: detect_plane(detector, image), detector.planes)
            for i, low in enumerate(LINKED):
                tracks = link([suppress(f.where(np.flatnonzero(f.scores >= low))) for f in found])
                rows = np.array([(*t.mean_box, t.first, t.last) for t in tracks]).reshape(-1, 6)
                scores = np.array([t.score for t in tracks])
                for j, reached in enumerate(REACHED):
                    result = match(truth, rows[scores >= reached], "box3d", visible=visible)
                    counts[i, j] = counts[i, j] + result.counts
        total += np.vectorize(lambda c: np.nan_to_num(c.f1))(counts) / len(TUNED_ON)
    i, j = np.unravel_index(int(total.argmax()), total.shape)
    low, reached = float(LINKED[i]), float(REACHED[j])
    print(f"{name}: boxes above {low}, tracks above {reached}: mean F1-3D {total[i, j]:.3f}")
    card = get_card(name)
    card.data.update(
        box_confidence=low,
        score_power=round(float(np.log(0.5) / np.log(reached)), 4),
        tuned_by=f"python -m benchmarks.detectors --tune {name}",
        tuned=f"seeds from {CALIBRATION_SEED}: mean F1-3D {total[i, j]:.4f}",
    )
    write(card)
    return low, reached


def projections(first: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Project `count` simulated stacks of each kind in `PROJECTIONS`."""
    out = []
    for kind in PROJECTIONS:
        preset, shape, spacing = SIMULATED[kind]
        for seed in range(first, first + count):
            made = simulate(seed, preset, shape, spacing)
            out.append(simulated_projection(to_volume(made.stack.voxels, made)))
    return out


def tune_pixels(count: int) -> MergeRule:
    """Choose the rule of merging by the IoU of spine and dendrite on projections, and set the card."""
    rules = [
        MergeRule(float(confidence), level, weight)
        for confidence in CONFIDENCES[:8]
        for level in MASK_LEVELS
        for weight in DENDRITE_WEIGHTS
    ]
    curve = score_projections(load_network("panoptic"), projections(CALIBRATION_SEED, count), rules)
    best = int(np.argmax([c["iou_spine"] + c["iou_dendrite"] for c in curve]))
    rule = rules[best]
    card = get_card("panoptic")
    card.data.update(
        pixel_confidence=rule.confidence, mask_level=rule.mask_level, dendrite_weight=rule.dendrite_weight
    )
    write(card)
    print(f"panoptic: {rule}, {curve[best]} on seeds from {CALIBRATION_SEED}")
    return rule


def write(card: Card) -> None:
    """Store a card's changed data."""
    write_card(card.path, card.data)


def stack_scores(method: str, kind: str, count: int, first: int) -> list[dict[str, Any]]:
    """Analyse simulated stacks with a method; F1-3D and F1 by centres at the threshold 0.5."""
    preset, shape, spacing = SIMULATED[kind]
    items = []
    for seed in range(first, first + count):
        made = simulate(seed, preset, shape, spacing)
        analysis = analyse(made.stack, Settings(method=method, threshold=FLOOR))
        items.append((f"{kind}_{seed}", analysis, made.spines))
    rows = []
    for criterion, measure in (("box3d", "F1-3D (IoM)"), ("centre", "F1 (centre within 1 um)")):
        result = score(items, 0.5, criterion)
        if "clutter" in kind:
            rows.append((("false spines per stack"), result["found"] / count, result))
            break
        rows.append((measure, result["f1"], result))
    return [{"data": f"simulated {kind}", "measure": m, "value": round(float(v), 4)} | r for m, v, r in rows]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="*", default=["faster-rcnn", "faster-rcnn-fast", "panoptic"])
    parser.add_argument("--kinds", nargs="*", default=["confocal", "twophoton"])
    parser.add_argument("--stacks", type=int, default=4, help="simulated stacks of each kind")
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--tune", nargs="*", default=[], help="names of models")
    parser.add_argument("--write-card", action="store_true")
    args = parser.parse_args()
    for name in args.tune:
        tune_tracks(name, args.stacks)
        if name == "panoptic":
            tune_pixels(args.stacks)
    command = f"python -m benchmarks.detectors --stacks {args.stacks}"
    results: dict[str, list[dict[str, Any]]] = {}
    for method in args.methods:
        model = "panoptic" if method == "panoptic" else "faster-rcnn"
        own = results.setdefault(model, [])
        mode = ", fast projection" if method.endswith("fast") else ""
        if method == "panoptic":
            rule = MergeRule.of(get_card(model).data)
            pixels = score_projections(load_network(model), projections(args.seed, args.stacks), [rule])[0]
            for kind in ("spine", "dendrite"):
                value = round(pixels[f"iou_{kind}"], 4)
                print(f"panoptic: IoU of {kind} on projections {value}", flush=True)
                own.append(
                    {
                        "data": "simulated projections",
                        "measure": f"IoU of {kind}",
                        "value": value,
                        "command": command,
                    }
                )
        for kind in args.kinds:
            for row in stack_scores(method, kind, args.stacks, args.seed):
                shown = {k: round(float(row[k]), 3) for k in ("precision", "recall", "low", "high")}
                print(f"{method}: {row['data']}: {row['measure']} {row['value']} {shown}", flush=True)
                own.append(
                    {
                        "data": row["data"] + mode,
                        "measure": row["measure"],
                        "value": row["value"],
                        "threshold": 0.5,
                        "command": command,
                    }
                )
    if args.write_card:
        for model, own in results.items():
            card = get_card(model)
            card.data["scores"] = own
            write(card)


if __name__ == "__main__":
    main()
