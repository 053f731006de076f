"""The poster's table on our data: train and validation accuracy per classifier, ablation, cross-validation, heat on the spine.

    python -m benchmarks.shape_table [--data DIR] [--work runs] [--models NAME ...] [--folds 5] [--fresh | --finished] [--publish]
    python -m benchmarks.shape_table --shipped [--models NAME ...] [--real]

A training that is finished in the work folder is used again unless `--fresh` is given; the whole table takes about an hour
on two CPU cores. Results are printed as Markdown and written to WORK/shape_table.json; `--publish` puts them where the Shapes
page shows them. `--shipped` trains nothing: it scores the classifiers in `models/`, each with its own temperature, on classes2d/val
(outlines as given and tight) and on the simulated stacks. Heat maps: `python -m benchmarks.shape_heat`.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinecore.shapes.comparison import COMPARISON, gains

if TYPE_CHECKING:
    from spinecore.networks.zoo import Card

#: Simulated stacks that the scores are reported on; no training and no choice saw them.
TEST_SEED, TEST_STACKS = 100, 72
#: Share of the fine-tuning that each fold gets.
FOLD_LENGTH = 0.25


@dataclass(frozen=True)
class Row:
    """One line of the table: recipe, where it starts, its name, and the poster's accuracies in %, if any."""

    recipe: str
    start: str
    title: str
    poster_train: float | None = None
    poster_test: float | None = None


ROWS = (
    Row("shape-joint", "simulation", "joint: image + outline, pretrained", None, 92.72),
    Row("shape-focus", "simulation", "focus: read only where the spine is drawn, pretrained"),
    Row("shape-resnet18", "simulation", "ResNet-18, pretrained", 78.00, 67.19),
    Row("shape-resnet18-masked", "simulation", "ResNet-18 pretrained, no background"),
    Row("shape-resnet18", "none", "ResNet-18, from scratch", 65.23, 63.67),
    Row("shape-resnet50", "none", "ResNet-50, from scratch", 63.91, 62.47),
    Row("shape-resnet50", "simulation", "ResNet-50, pretrained", 79.79, 66.64),
    Row("shape-streams-short", "simulation", "two streams, class alone, short"),
    Row("shape-joint-short", "simulation", "two streams, joint, short"),
)


def train_and_score(row: Row, data: Path, work: Path) -> dict[str, Any]:
    """Train one classifier (or use a finished training) and score it on training, validation and simulated spines."""
    from spinecore.training.shape_samples import preset_of, real_spines, simulated_pool
    from spinecore.training.shape_scores import predict, score
    from spinecore.training.shapes import PLANS, fit_temperature, train_shape

    train, held = real_spines(data, "train"), real_spines(data, "val")
    model = train_shape(row.recipe, train, work, row.start, resume=True)
    simulated = simulated_pool(work / "shape-pool-test", TEST_SEED, TEST_STACKS)
    temperature = fit_temperature(model, held)

    def answer(spines: Any, outlines: str = "given") -> np.ndarray:
        return predict(model, spines, outlines=outlines, temperature=temperature)

    chance = answer(simulated)
    confocal = np.array([preset_of(int(seed)).startswith("confocal") for seed in simulated.groups])
    plan = PLANS[row.recipe]
    return {
        "recipe": row.recipe,
        "start": row.start,
        "title": row.title,
        "poster_train": row.poster_train,
        "poster_test": row.poster_test,
        "steps": plan.after + (plan.before if row.start == "simulation" else 0),
        "parameters": sum(p.numel() for p in model.parameters()),
        "train": score(answer(train), train.labels, train.groups),
        "val": score(answer(held), held.labels, held.groups),
        "val_tight": score(answer(held, "tight"), held.labels, held.groups),
        "simulated": score(chance, simulated.labels, simulated.groups),
        "simulated_confocal": score(chance[confocal], simulated.labels[confocal]),
        "simulated_twophoton": score(chance[~confocal], simulated.labels[~confocal]),
        "heat": heat_shares(model, held),
    }


def shipped_cards(only: list[str] | None = None) -> list[Card]:
    """Return the cards of the classifiers in `models/`."""
    from spinecore.networks.zoo import list_cards

    named = [card for card in list_cards() if card.name.startswith("shape-")]
    return [card for card in named if not only or card.name in only]


def shipped_scores(work: Path, only: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """Score the classifiers in `models/` on the simulated stacks; by name, each with its two kinds of stacks apart."""
    from spinecore.networks.zoo import load_network
    from spinecore.training.shape_samples import preset_of, simulated_pool
    from spinecore.training.shape_scores import predict, score

    spines = simulated_pool(work / "shape-pool-test", TEST_SEED, TEST_STACKS)
    confocal = np.array([preset_of(int(seed)).startswith("confocal") for seed in spines.groups])
    found: dict[str, dict[str, Any]] = {}
    for card in shipped_cards(only):
        chance = predict(load_network(card.name), spines, temperature=float(card.data["temperature"]))
        found[card.name] = score(chance, spines.labels, spines.groups) | {
            kind: score(chance[own], spines.labels[own])["balanced_accuracy_four_way"]
            for kind, own in (("confocal", confocal), ("twophoton", ~confocal))
        }
    return found


def shipped_scores_real(data: Path, only: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """Score the classifiers in `models/` on classes2d/val: by name, with outlines as given ("val") and tight ("val_tight")."""
    from spinecore.networks.zoo import load_network
    from spinecore.training.shape_samples import real_spines
    from spinecore.training.shape_scores import predict, score

    if not (data / "classes2d").is_dir():
        return {}
    held = real_spines(data, "val")
    found: dict[str, dict[str, Any]] = {}
    for card in shipped_cards(only):
        model, temperature = load_network(card.name), float(card.data["temperature"])
        found[card.name] = {
            key: score(predict(model, held, outlines, temperature), held.labels, held.groups)
            for key, outlines in (("val", "given"), ("val_tight", "tight"))
        }
    return found


def heat_shares(model: Any, spines: Any) -> dict[str, float]:
    """Median share of Grad-CAM heat on the spine over validation spines, of its control, and of an even map."""
    import copy

    import torch
    from scipy.ndimage import binary_dilation

    from spinecore.shapes.classes import CLASSES, four_way
    from spinecore.shapes.explain import RIM_PX, ClassScore, heat_maps, randomised, share_inside
    from spinecore.training.shape_augment import centre_crop

    model = copy.deepcopy(model).float().eval()
    planes = centre_crop(spines.patches)
    with torch.inference_mode():
        found = four_way(model(planes).softmax(1).numpy()).argmax(1)
    targets = [ClassScore(CLASSES[k], None) for k in found]
    masks = np.stack([binary_dilation(m > 0, iterations=RIM_PX) for m in planes[:, 1].numpy()])
    inside = share_inside(heat_maps(model, planes, targets, "Grad-CAM"), masks)
    control = share_inside(heat_maps(randomised(model), planes, targets, "Grad-CAM"), masks)
    return {
        "inside": float(np.nanmedian(inside)),
        "control": float(np.nanmedian(control)),
        "area": float(np.median(masks.mean((1, 2)))),
    }


def cross_validate(data: Path, work: Path, folds: int, finished: bool = False) -> dict[str, Any] | None:
    """Score the joint classifier on spines of image groups that its training did not see, over train + val.

    With `finished`, only folds that need no training any more are scored; None if there is none.
    """
    from spinecore.training.shape_samples import Spines, real_spines
    from spinecore.training.shape_scores import predict, score
    from spinecore.training.shapes import is_finished, train_shape

    spines = Spines.join([real_spines(data, "train"), real_spines(data, "val")])
    groups = np.random.default_rng(0).permutation(np.unique(spines.groups))
    fold_of = {int(group): k % folds for k, group in enumerate(groups)}
    fold = np.array([fold_of[int(g)] for g in spines.groups])
    given = np.zeros((len(spines), 5))
    tight = np.zeros((len(spines), 5))
    tags = {k: f"-fold{k}of{folds}" for k in range(folds)}
    if finished:
        tags = {
            k: tag for k, tag in tags.items() if is_finished("shape-joint", work, after=FOLD_LENGTH, tag=tag)
        }
    if not tags:
        return None
    for k, tag in tags.items():
        model = train_shape(
            "shape-joint",
            spines.take(fold != k),
            work,
            after=FOLD_LENGTH,
            resume=True,
            tag=tag,
        )
        given[fold == k] = predict(model, spines.take(fold == k))
        tight[fold == k] = predict(model, spines.take(fold == k), outlines="tight")
    each = [score(given[fold == k], spines.labels[fold == k])["accuracy_four_way"] for k in tags]
    seen = np.isin(fold, list(tags))
    labels, groups = spines.labels[seen], spines.groups[seen]
    return {
        "of": folds,
        "folds": each,
        "given": score(given[seen], labels, groups),
        "tight": score(tight[seen], labels, groups),
    }


def markdown(rows: list[dict[str, Any]], folds: dict[str, Any] | None) -> str:
    """Return the table and the joint classifier's details as Markdown."""
    lines = [
        f"{date.today().isoformat()}, {platform.machine()}, CPU; `python -m benchmarks.shape_table`",
        "",
        "| classifier | parameters | steps | train | val | val, tight outlines | val, balanced | val, five-way | "
        "simulated, balanced (confocal / two-photon) | heat on spine (control, area) | poster: train | poster: test |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        heat = r["heat"]
        lines.append(
            f"| {r['title']} | {r['parameters'] / 1e6:.1f} M | {r['steps']} "
            f"| {_percent(r['train']['accuracy_four_way'])} | {_percent(r['val']['accuracy_four_way'])} "
            f"| {_percent(r['val_tight']['accuracy_four_way'])} "
            f"| {_percent(r['val']['balanced_accuracy_four_way'])} | {_percent(r['val']['accuracy_five_way'])} "
            f"| {_percent(r['simulated']['balanced_accuracy_four_way'])} "
            f"({_percent(r['simulated_confocal']['balanced_accuracy_four_way'])} / "
            f"{_percent(r['simulated_twophoton']['balanced_accuracy_four_way'])}) "
            f"| {heat['inside']:.0%} ({heat['control']:.0%}, {heat['area']:.0%}) "
            f"| {_poster(r['poster_train'])} | {_poster(r['poster_test'])} |"
        )
    lines += ["", "Gains, before -> after:", ""]
    for gain in gains(rows):
        changes = "; ".join(
            f"{name} {100 * a:.1f} -> {100 * b:.1f} %" for name, (a, b) in gain.changes.items()
        )
        lines.append(f"- {gain.title}: {changes}")
    for r in rows[:1]:
        lines += ["", f"Details of {r['title']}:", *_details("classes2d/val", r["val"])]
        lines += _details("simulated, unseen seeds", r["simulated"])
    if folds:
        each = ", ".join(_percent(v) for v in folds["folds"])
        count = f"{len(folds['folds'])} of {folds['of']} folds"
        lines += [
            "",
            f"Cross-validation of the joint classifier by image group (train + val, {count}): {each}",
        ]
        lines += _details("finished folds, outlines as given", folds["given"])
        lines += _details("finished folds, tight outlines", folds["tight"])
    return "\n".join(lines)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _poster(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} %"


def _details(name: str, scores: dict[str, Any]) -> list[str]:
    from spinecore.shapes.classes import CLASSES

    low, high = scores["balanced_interval_four_way"]
    lines = [
        "",
        f"**{name}**: n = {scores['n']}, four-way {_percent(scores['accuracy_four_way'])}, balanced "
        f"{_percent(scores['balanced_accuracy_four_way'])} (95 % interval {_percent(low)} to {_percent(high)}), five-way {_percent(scores['accuracy_five_way'])}, "
        f"calibration error {scores['calibration_error']:.3f} (right probabilities would show {scores['calibration_by_chance'][0]:.3f}, "
        f"and up to {scores['calibration_by_chance'][1]:.3f} in 19 of 20 samples of this size)",
        "",
        f"| truth | n | recall | precision | {' | '.join(f'named {c}' for c in CLASSES)} |",
        "|---|---|---|---|" + "---|" * len(CLASSES),
    ]
    for name_of_class, counts in zip(CLASSES, scores["confusion_four_way"], strict=True):
        own = scores["per_class"][name_of_class]
        recall, precision = ("–" if own[k] is None else f"{own[k]:.2f}" for k in ("recall", "precision"))
        lines.append(
            f"| {name_of_class} | {own['n']} | {recall} | {precision} | {' | '.join(map(str, counts))} |"
        )
    return lines


def main() -> None:
    """Run the table."""
    from spinecore.training.recipes import default_data
    from spinecore.training.shapes import is_finished

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--work", type=Path, default=Path("runs"))
    parser.add_argument("--models", nargs="*", help="recipes to run (default: all)")
    parser.add_argument("--folds", type=int, default=5, help="0 leaves cross-validation out")
    parser.add_argument("--publish", action="store_true", help=f"write {COMPARISON.name} for the Shapes page")
    parser.add_argument("--fresh", action="store_true", help="repeat every training")
    parser.add_argument(
        "--finished", action="store_true", help="train nothing, leave out what is not trained"
    )
    parser.add_argument(
        "--shipped", action="store_true", help="score what is in models/, on real and simulated spines"
    )
    parser.add_argument("--real", action="store_true", help="with --shipped: on real spines only")
    call = parser.parse_args()
    if call.shipped:
        real = shipped_scores_real(call.data, call.models)
        for name, scores in real.items():
            for part, title in (("val", "classes2d/val"), ("val_tight", "classes2d/val, tight outlines")):
                print("\n".join(_details(f"{name}, {title}", scores[part])))
        if call.real:
            return
        found = shipped_scores(call.work, call.models)
        for name, scores in found.items():
            print("\n".join(_details(f"{name}, simulated", scores)))
            print(f"\nbalanced: confocal {scores['confocal']:.3f}, two-photon {scores['twophoton']:.3f}")
            found[name] = scores | real.get(name, {})
        if call.publish:
            published = json.loads(COMPARISON.read_text(encoding="utf-8"))
            before = published.get("shipped_on_simulation", {}).get("scores", {})
            published["shipped_on_simulation"] = {"date": date.today().isoformat(), "scores": before | found}
            COMPARISON.write_text(json.dumps(published, indent=1) + "\n", encoding="utf-8")
        return
    if call.fresh:
        for recipe in {row.recipe for row in ROWS}:
            shutil.rmtree(call.work / recipe, ignore_errors=True)
    rows: list[dict[str, Any]] = []
    folds = None
    chosen = [row for row in ROWS if not call.models or row.recipe in call.models]
    if call.finished:
        chosen = [row for row in chosen if is_finished(row.recipe, call.work, row.start)]
    for row in chosen:
        rows.append(train_and_score(row, call.data, call.work))
        report(call.work, rows, folds)
    if call.folds:
        folds = cross_validate(call.data, call.work, call.folds, call.finished)
    report(call.work, rows, folds)
    if call.publish:
        publish(rows, folds)
    print(markdown(rows, folds))


def publish(rows: list[dict[str, Any]], folds: dict[str, Any] | None) -> None:
    """Put rows, and the cross-validation if there is one, into what the Shapes page shows; others stay."""
    published = json.loads(COMPARISON.read_text(encoding="utf-8")) if COMPARISON.exists() else {"rows": []}
    new = {(row["recipe"], row["start"]): row for row in rows}
    kept = [new.pop((row["recipe"], row["start"]), row) for row in published["rows"]]
    if "date" not in published or not any(
        row in published["rows"] for row in kept
    ):  # the date of the oldest row
        published["date"] = date.today().isoformat()
    published["rows"] = [*kept, *new.values()]
    published["cross_validation"] = folds or published.get("cross_validation")
    COMPARISON.write_text(json.dumps(published, indent=1) + "\n", encoding="utf-8")


def report(work: Path, rows: list[dict[str, Any]], folds: dict[str, Any] | None) -> None:
    """Write what is known so far."""
    text = json.dumps({"date": date.today().isoformat(), "rows": rows, "cross_validation": folds}, indent=1)
    (work / "shape_table.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
