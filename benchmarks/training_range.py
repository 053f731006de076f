"""What the training data look like: `python -m benchmarks.training_range`.

Measures pixel size, slice step, noise, background and signal of the simulated volumes in runs/pool and of the
training images, writes the range of each on the cards of every method's weights, where the dashboard reads it
to warn about stacks that lie outside; recipes do the same for the model they make.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from spinecore.methods.trained_range import QUANTITIES
from spinecore.networks.zoo import MODELS_DIR
from spinecore.training.ranges import write_ranges
from spinecore.training.recipes import default_data


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--pool", type=Path, default=Path("runs/pool"))
    parser.add_argument("--models", type=Path, default=MODELS_DIR)
    args = parser.parse_args()
    for name, found in write_ranges(args.models, args.data, args.pool).items():
        for view in (v for v in ("image", "stack") if v in found):
            print(f"{name}, {view} (n = {found[view]['n']})")
            for quantity in (q for q in QUANTITIES if q in found[view]):
                low, high = found[view][quantity]
                print(f"  {quantity}: {low:g} to {high:g}")


if __name__ == "__main__":
    main()
