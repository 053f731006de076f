"""Do the heat maps of the shape classifiers explain? `python -m benchmarks.shape_heat [--models NAME ...] [--real 20] [--curves 60]`.
How long do they take? `python -m benchmarks.shape_heat --speed`.

Over classes2d/val and over the spines that the default method finds in real images of points2d/val (one image of a group): the
share of the heat on the spine and neck beside that of the control with random weights, how often the map beats it, and deletion
and insertion curves beside orders by chance and beside the outline alone (`spinecore.shapes.faithful`), the curves on some spines,
evenly taken, since they are slow. Nothing is trained or chosen here. `--speed` times the default's maps of the labelled spines that
come with the program: the first one as the page Shapes makes it (after its libraries were loaded in the background), and 100.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from spinecore.networks.engine import processor
from spinecore.networks.zoo import Network
from spinecore.paths import MODELS_DIR
from spinecore.shapes.classify import load_classifier
from spinecore.shapes.examples import read_examples
from spinecore.shapes.explain import METHODS, explain, warm_up
from spinecore.shapes.faithful import faithfulness
from spinecore.shapes.patches import Patch, cut_patch

#: Spines taken of one image at most, by score.
PER_IMAGE = 15


def validation_patches(data: Path) -> list[Patch]:
    """Return the patches of classes2d/val, outlines as given."""
    from PIL import Image
    from skimage.draw import polygon2mask

    from spinecore.shapes.patches import lit_pixels
    from spinecore.training.shape_samples import CLASSES2D_UM

    folder, found = data / "classes2d", []
    for entry in json.loads((folder / "polygons.json").read_text(encoding="utf-8")):
        if entry["split"] != "val":
            continue
        pixels = np.asarray(Image.open(folder / "images" / entry["image"]).convert("L"))
        masks = [
            polygon2mask(pixels.shape, np.array(s["polygon_px"])[:, ::-1] - 0.5) for s in entry["spines"]
        ]
        shaft = lit_pixels(pixels) & ~np.any(masks, axis=0)
        spacing = (1.0, CLASSES2D_UM, CLASSES2D_UM)
        found += [cut_patch(pixels[None], m[None], shaft[None], spacing) for m in masks if m.any()]
    return found


def real_patches(data: Path, images: int) -> Iterator[Patch]:
    """Yield the patches of spines detected in real images: one image a group, groups by a fixed seed."""
    import pandas as pd
    from PIL import Image

    from spinecore.analysis.result import Settings
    from spinecore.analysis.run import analyse
    from spinecore.stack import Spacing, Stack
    from spinecore.training.samples import NOMINAL_UM

    table = pd.read_csv(data / "points2d" / "images.csv")
    table = table[(table["split"] == "val") & (table["n_points"] > 3)]
    groups = table.drop_duplicates("group").sample(frac=1, random_state=0)
    for row in groups.head(images).itertuples():
        pixels = np.asarray(Image.open(data / "points2d" / "images" / row.image).convert("L"))
        pixel_um = NOMINAL_UM[row.subset]
        stack = Stack(pixels[None], Spacing(None, pixel_um, pixel_um, "assumed", ""), str(row.image))
        analysis = analyse(stack, Settings(device="cpu"))
        best = analysis.spines.sort_values("score", ascending=False)["spine_id"].head(PER_IMAGE)
        views = analysis.cutter.views(analysis.threshold, {int(i) for i in best})
        yield from (view.patch() for view in views.values())


def measure(patches: list[Patch], classifier: Network, curves_of: int = 60) -> dict[str, Any]:
    """Return what the Grad-CAM maps of some spines are worth: medians and shares."""
    heat = explain(patches, classifier)
    few = np.unique(np.linspace(0, len(patches) - 1, min(curves_of, len(patches))).round().astype(int))
    curves = faithfulness(
        heat.maps[few],
        np.stack([patches[k].planes for k in few]),
        tuple(heat.classes[k] for k in few),
        classifier,
    )
    inside = np.nan_to_num(heat.inside)
    return {
        "n": len(patches),
        "n_curves": len(few),
        "inside": float(np.median(inside)),
        "control": float(np.median(np.nan_to_num(heat.control_inside))),
        "area": float(np.median(heat.area)),
        "beats_control": float((inside > np.nan_to_num(heat.control_inside)).mean()),
        "mostly_inside": float((inside >= 0.6).mean()),
        "faithful": float(curves.faithful.mean()),
        **{
            name: float(np.mean(getattr(curves, name)))
            for name in (
                "deletion",
                "deletion_chance",
                "deletion_outline",
                "insertion",
                "insertion_chance",
                "insertion_outline",
            )
        },
    }


def _tell(what: str, action: Callable[[], object]) -> None:
    """Do something and print how long it took."""
    start, busy = perf_counter(), process_time()
    action()
    print(
        f"{what}: {perf_counter() - start:.2f} s, {process_time() - busy:.2f} s of the processor", flush=True
    )


def print_speed(count: int = 100) -> None:
    """Time one heat map with its control and curves, and many with their controls, with each method."""
    start = perf_counter()
    warm_up()
    load_classifier()
    print(f"libraries, weights and control loaded in {perf_counter() - start:.1f} s")
    examples = read_examples()
    if examples is None:
        raise SystemExit("there are no labelled spines: run `python -m benchmarks.shape_examples` first")
    classifier = load_classifier()
    patches = [Patch(*planes, np.eye(2), np.zeros(2)) for planes in examples.planes[: count + 1]]
    heats = []
    _tell("first heat map with control", lambda: heats.append(explain(patches[:1], classifier)))
    one = patches[0].planes[None]
    _tell(
        "its curves (faithful or not)",
        lambda: faithfulness(heats[0].maps, one, heats[0].classes, classifier),
    )
    for method in METHODS:
        few = patches[1:] if method in METHODS[:2] else patches[1:6]
        _tell(f"{len(few)} with controls, {method}", partial(explain, few, classifier, method))
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{os.cpu_count()} processors ({', '.join(processor()[1]) or 'no known features'}){load}")


def markdown(rows: list[tuple[str, str, dict[str, Any]]]) -> str:
    """Return the table as Markdown."""
    lines = [
        "| classifier | spines | n | heat on spine and neck, median (control; even map) | map beats its control | 60 % or more on the spine | "
        "deletion: heat, chance, outline (low is good) | insertion: heat, chance, outline (high is good) | faithful |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, data, r in rows:
        lines.append(
            f"| {name} | {data} | {r['n']} | {r['inside']:.0%} ({r['control']:.0%}; {r['area']:.0%}) | {r['beats_control']:.0%} "
            f"| {r['mostly_inside']:.0%} | {r['deletion']:.2f}, {r['deletion_chance']:.2f}, {r['deletion_outline']:.2f} "
            f"| {r['insertion']:.2f}, {r['insertion_chance']:.2f}, {r['insertion_outline']:.2f} | {r['faithful']:.0%} of {r['n_curves']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run."""
    from spinecore.training.recipes import default_data

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--models", nargs="+", default=["shape-focus", "shape-joint"])
    parser.add_argument("--folder", type=Path, default=MODELS_DIR, help="of the weights")
    parser.add_argument("--real", type=int, default=20, help="real images; 0 leaves them out")
    parser.add_argument("--curves", type=int, default=60, help="spines of a set whose curves are taken")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--speed", action="store_true", help="time the default's heat maps only")
    call = parser.parse_args()
    if call.speed:
        print_speed()
        return
    sets = {"classes2d/val": validation_patches(call.data)}
    if call.real:
        sets[f"detected, {call.real} real images"] = list(real_patches(call.data, call.real))
    rows = [
        (name, title, measure(patches, load_classifier(name, "cpu", call.folder), call.curves))
        for name in call.models
        for title, patches in sets.items()
    ]
    print(markdown(rows))
    if call.json:
        found = [{"classifier": name, "spines": title, **row} for name, title, row in rows]
        call.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
