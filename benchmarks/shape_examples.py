"""The labelled spines that the Shapes page compares with: `python -m benchmarks.shape_examples [--data DIR]`.

Draws them from classes2d/train by a fixed seed and writes spinecore/shapes/examples.npz.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np

from spinecore.files import write_atomic
from spinecore.shapes.classes import LABELS
from spinecore.shapes.examples import EXAMPLES, to_bytes
from spinecore.training.recipes import default_data
from spinecore.training.shape_augment import centre_crop
from spinecore.training.shape_samples import real_spines

#: Examples of a label at most.
PER_LABEL = 40


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default_data())
    spines = real_spines(parser.parse_args().data, "train")
    rng = np.random.default_rng(0)
    chosen = np.concatenate(
        [np.sort(rng.permutation(np.flatnonzero(spines.labels == k))[:PER_LABEL]) for k in range(len(LABELS))]
    )
    few = spines.take(chosen)
    out = io.BytesIO()
    labels = np.array([LABELS[k] for k in few.labels])
    np.savez_compressed(out, planes=to_bytes(centre_crop(few.patches).numpy()), labels=labels)
    write_atomic(EXAMPLES, out.getvalue())
    print(f"{len(chosen)} spines, {EXAMPLES.stat().st_size / 1000:.0f} kB: {EXAMPLES}")


if __name__ == "__main__":
    main()
