"""The second look on real projections as thin stacks, of fields that it did not learn from: `python -m benchmarks.thin_stacks`.

Fields of the learning split of points2d that `spinecore.training.thin_stacks` leaves out; one image of each. F1 of heads within 1.0 um by the score
of the network alone (before the card's power), at each threshold. `--weights DIR` takes weights and card from another folder, to compare two.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from spinecore.methods.second_look import reads_two_scales
from spinecore.methods.weights import SCORER
from spinecore.networks.zoo import MODELS_DIR, get_card, load_network
from spinecore.training.head_score import count_heads, score_stack
from spinecore.training.labelled import READS, THRESHOLDS, LabelledCandidates, draw_maps
from spinecore.training.recipes import default_data
from spinecore.training.samples import RealImage, load_points
from spinecore.training.scoring import f1
from spinecore.training.thin_stacks import label_thin_stack, pick_images, thin_stack

#: Images of each subset.
IMAGES = {"findspines": 24, "flimage_max": 10}
SEED = 77


def fresh_images(data: Path) -> list[RealImage]:
    """Return images with more than three marks of fields that no weights learned from as thin stacks."""
    used = {image.group for image in pick_images(data)}
    rng = np.random.default_rng(SEED)
    left = [
        image for image in load_points(data, "train") if len(image.centres) > 3 and image.group not in used
    ]
    picked = []
    for subset, wanted in IMAGES.items():
        groups = sorted({image.group for image in left if image.subset == subset})
        for name in rng.permutation(groups)[:wanted]:
            picked.append(next(image for image in left if image.group == name))
    return picked


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--weights", type=Path, default=MODELS_DIR, help=f"folder with {SCORER}.json")
    args = parser.parse_args()
    network = load_network(READS, folded=True)
    scorer = load_network(SCORER, folder=args.weights)
    print(f"{SCORER} {get_card(SCORER, args.weights).sha256[:8]}")
    found: dict[str, list[LabelledCandidates]] = {}
    for number, image in enumerate(fresh_images(args.data or default_data())):
        volume = thin_stack(image, np.random.default_rng(1000 + number))
        found.setdefault(image.subset, []).append(
            label_thin_stack(volume, draw_maps(network, volume, reads_two_scales(scorer)))
        )
    for subset, stacks in found.items():
        curve = f1(count_heads(stacks, [score_stack(scorer, stack) for stack in stacks]))
        told = " ".join(f"{t:.2f}: {value:.3f}" for t, value in zip(THRESHOLDS, curve, strict=True))
        print(f"{subset}, {len(stacks)} stacks: F1 {told}")


if __name__ == "__main__":
    main()
