"""Draw what was found and missed on real validation images: `python -m benchmarks.gallery FOLDER`.

One PNG per image of points2d/val: circles are marked spines (green found, red missed), yellow
squares are detections nobody marked. The last lines say how many of the unmarked ones sit on
dendrites on which nobody marked anything (within 2 um), and how many misses lie on the shaft itself.
The pictures stay where you put them; they are not part of the project.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial.distance import cdist

from benchmarks.detection import real_analyses
from spinecore.analysis.result import Analysis
from spinecore.evaluation.matching import match
from spinecore.figures.overview import to_grey
from spinecore.networks.intensity import intensity_range
from spinecore.training.recipes import default_data
from spinecore.training.samples import NOMINAL_UM

FOUND, MISSED, UNMARKED = (0, 158, 115), (230, 60, 60), (255, 176, 0)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--subset", default="findspines", choices=list(NOMINAL_UM))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    pixel = NOMINAL_UM[args.subset]
    totals = np.zeros(4, int)
    for name, analysis, truth in real_analyses(default_data(), args.images, (args.subset,))[args.subset]:
        shown = analysis.at_threshold(0.5).spines[["x_um", "y_um"]].to_numpy(float)
        marked = truth[["x_um", "y_um"]].to_numpy(float)
        i, j = match(marked, shown, "centre", 1.0).pairs.T
        projection = analysis.projections["xy"]
        grey = to_grey(projection, *intensity_range(projection[None]))
        picture = Image.fromarray(grey).convert("RGB").resize((2 * grey.shape[1], 2 * grey.shape[0]))
        draw = ImageDraw.Draw(picture)
        for points, matched, radius, colours in (
            (marked, set(i), 7, (FOUND, MISSED)),
            (shown, set(j), 5, (None, UNMARKED)),
        ):
            for k, (x, y) in enumerate(points / pixel * 2):
                colour = colours[0 if k in matched else 1]
                box = [x - radius, y - radius, x + radius, y + radius]
                if colour and points is marked:
                    draw.ellipse(box, outline=colour, width=2)
                elif colour:
                    draw.rectangle(box, outline=colour, width=2)
        picture.save(args.folder / f"{name}.png")
        ids = analysis.dendrite_labels[0]
        rows, columns = np.round(marked[:, ::-1] / pixel).astype(int).clip(0, np.array(ids.shape) - 1).T
        missed = ~np.isin(np.arange(len(marked)), i)
        lone = np.setdiff1d(np.arange(len(shown)), j)
        totals += (
            len(lone),
            _unmarked_dendrite(analysis, marked, lone),
            missed.sum(),
            (ids[rows, columns] > 0)[missed].sum(),
        )
        print(f"{name}: {len(marked)} marked, {len(shown)} found, {len(i)} agree")
    print(f"{totals[0]} detections nobody marked, {totals[1]} of them on dendrites without any marked spine")
    print(f"{totals[2]} marked spines not found, {totals[3]} of them on the shaft itself")


def _unmarked_dendrite(analysis: Analysis, marked: np.ndarray, lone: np.ndarray) -> int:
    """Count the detections `lone` whose dendrite branch has no marked spine within 2 um of its centre line."""
    lines = [b.points_um[:, [2, 1]] for d in analysis.candidates.dendrites for b in d.branches]
    used = [len(marked) > 0 and cdist(line, marked).min() <= 2.0 for line in lines]
    spines = analysis.at_threshold(0.5).spines[["x_um", "y_um"]].to_numpy(float)
    return sum(not used[int(np.argmin([cdist(line, spines[[k]]).min() for line in lines]))] for k in lone)


if __name__ == "__main__":
    main()
