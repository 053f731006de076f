"""Scores of the membrane methods on the validation sections of em_isbi2012, beside the publication's table.

    python -m benchmarks.membranes            # prints the table
    python -m benchmarks.membranes --write    # and writes it on the cards, from where the page shows it
    python -m benchmarks.membranes --errors   # where membrane-fast is wrong: by distance from an edge of the label
    python -m benchmarks.membranes --picture errors.png   # the same to look at; the terms of the images forbid to keep it here

Sections 20-24; each method at the level of its card, which was chosen on sections it learned from.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from spinecore.membranes.methods import METHODS, PUBLISHED
from spinecore.membranes.predict import JOINS, normalise_section, predict_maps
from spinecore.membranes.segment import VIEWS
from spinecore.membranes.truth import mean_scores, score_map
from spinecore.networks.zoo import Card, get_card, load_network, write_card
from spinecore.training.membrane_samples import TRAIN, VALIDATION, Section, load_sections
from spinecore.training.recipes import default_data

COMMAND = "python -m benchmarks.membranes --write"
#: Distances from an edge of the label (px).
EDGE_PX = ((0, 1.5), (1.5, 2.5), (2.5, 5), (5, float("inf")))
COLUMNS = ("iou", "dice", "pixel_error", "rand_error", "adapted_rand_error", "v_rand", "v_info")


@dataclass(frozen=True)
class Variant:
    """One way to use a method."""

    method: str
    name: str
    join: str = "average"
    views: int = 1


def variants() -> list[Variant]:
    """Return every method in one view, `unet-valid` with both joins, and the default with four views."""
    found = []
    for name in METHODS:
        if name == "unet-valid":
            found += [Variant(name, join, join) for join in JOINS]
        else:
            found.append(Variant(name, "1 view"))
        if name == "membrane-fast":
            found.append(Variant(name, "4 views", views=4))
    return found


def measure(variant: Variant, sections: list[Section]) -> dict[str, Any]:
    """Return mean scores over sections, the level they were taken at, and the seconds of one section."""
    card, model = get_card(variant.method), load_network(variant.method)
    level = float(card.data["threshold"])
    predict_maps(model, np.zeros((64, 64), np.float32))  # the first call is slow
    start = time.perf_counter()
    maps = [
        predict_maps(model, normalise_section(s.image), variant.join, VIEWS[variant.views])[0]
        for s in sections
    ]
    seconds = (time.perf_counter() - start) / len(sections)
    scores = mean_scores([score_map(s.interior, m, level) for s, m in zip(sections, maps, strict=True)])
    plain = mean_scores([score_map(s.interior, m, 0.5) for s, m in zip(sections, maps, strict=True)])
    return {
        **{key: round(value, 4) for key, value in scores.items()},
        "level": level,
        "at_level_0.5": {key: round(plain[key], 4) for key in COLUMNS[:4]},
        "seconds": round(seconds, 2),
    }


def write_on_card(card: Card, found: dict[str, dict[str, Any]]) -> None:
    """Write the scores of a method's variants on its card; the first variant's are its main scores."""
    main = next(iter(found.values()))
    scores = [
        {
            "data": "em_isbi2012 sections 20-24",
            "measure": key,
            "value": main[key],
            "threshold": main["level"],
            "command": COMMAND,
        }
        for key in COLUMNS
    ]
    write_card(card.path, card.data | {"scores": scores, "membrane_scores": found})


def print_errors(name: str, data: Path) -> None:
    """Print how often a method is wrong on sections it learned from and on others, by the distance from an edge of the label."""
    level, model = float(get_card(name).data["threshold"]), load_network(name)
    print(
        f"{name}, level {level:g}: share of pixels, and how many of them are wrong, by distance from an edge of the label"
    )
    for title, numbers in (("learned from", TRAIN), ("validation", VALIDATION)):
        wrong, away = [], []
        for section in load_sections(data, numbers):
            membrane = predict_maps(model, normalise_section(section.image))[0]
            wrong.append((membrane < level) != section.interior)
            inside = section.interior
            away.append(np.where(inside, distance_transform_edt(inside), distance_transform_edt(~inside)))
        errors, distance = np.concatenate(wrong).ravel(), np.concatenate(away).ravel()
        print(f"sections {title}: pixel error {errors.mean():.4f}")
        for low, high in EDGE_PX:
            own = (distance > low) & (distance <= high)
            print(
                f"  {low} to {high:g} px: {own.mean():.0%} of the pixels, {errors[own].mean():.0%} of them wrong, "
                f"{(errors & own).sum() / errors.sum():.0%} of all errors"
            )


def draw_errors(name: str, data: Path, path: Path) -> None:
    """Draw each validation section beside the same with its errors: orange where membrane is missed, cyan where cells are taken for it."""
    from PIL import Image

    level, model = float(get_card(name).data["threshold"]), load_network(name)
    rows = []
    for section in load_sections(data, VALIDATION):
        membrane = predict_maps(model, normalise_section(section.image))[0] >= level
        grey = np.repeat(section.image[..., None], 3, axis=-1).astype(np.uint8)
        marked = grey.copy()
        marked[~membrane & ~section.interior] = (230, 159, 0)
        marked[membrane & section.interior] = (0, 190, 220)
        rows.append(np.concatenate([grey, marked], axis=1))
    Image.fromarray(np.concatenate(rows)).save(path)
    print(f"sections {', '.join(map(str, VALIDATION))} -> {path}")


def main() -> None:
    """Print the table, and write it on the cards if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of labelled images")
    parser.add_argument("--write", action="store_true", help="write the scores on the cards")
    parser.add_argument("--errors", action="store_true", help="print where membrane-fast is wrong")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw where membrane-fast is wrong")
    options = parser.parse_args()
    if options.errors:
        print_errors("membrane-fast", options.data)
        return
    if options.picture:
        draw_errors("membrane-fast", options.data, options.picture)
        return
    sections = load_sections(options.data, VALIDATION)
    print("foreground: inside of cells (label 255); paper: IoU, Dice, pixel and Rand error of its own split")
    print(f"{'method':14} {'':8} {'level':>5} " + " ".join(f"{c[:11]:>11}" for c in COLUMNS) + "  s/section")
    by_method: dict[str, dict[str, dict[str, Any]]] = {}
    for variant in variants():
        row = measure(variant, sections)
        by_method.setdefault(variant.method, {})[variant.name] = row
        values = " ".join(f"{row[c]:11.4f}" for c in COLUMNS)
        print(f"{variant.method:14} {variant.name:8} {row['level']:5.2f} {values}  {row['seconds']:.2f}")
    for name, values in PUBLISHED.items():
        print(f"{name:14} {'paper':8} {'':5} " + " ".join(f"{v:11.4f}" for v in values))
    if options.write:
        for name, found in by_method.items():
            write_on_card(get_card(name), found)


if __name__ == "__main__":
    main()
