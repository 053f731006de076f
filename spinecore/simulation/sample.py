"""The built-in sample: one small simulated stack with its truth, committed beside this package."""

from __future__ import annotations

from pathlib import Path

#: Folder of the sample: `sample_stack.tif`, `truth_spines.csv`, `truth_dendrites.csv`, `truth_labels.tif`, `truth.swc`.
SAMPLE_DIR = Path(__file__).resolve().parent.parent / "sample"
SAMPLE_STACK = SAMPLE_DIR / "sample_stack.tif"
SAMPLE_TRUTH = SAMPLE_DIR / "truth_spines.csv"
#: How it was made: `python -m spinecore simulate` with these, then stack.tif renamed.
SAMPLE_SEED = 36
SAMPLE_PRESET = "confocal"
SAMPLE_SHAPE = (24, 320, 320)
SAMPLE_SPACING_UM = (0.3, 0.08, 0.08)
