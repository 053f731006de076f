"""The samples that come with the program: a crop of a real stack with a person's marks, and a simulated one with its truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spinecore.simulation.sample import SAMPLE_DIR, SAMPLE_STACK, SAMPLE_TRUTH


@dataclass(frozen=True)
class BuiltInSample:
    """A stack whose spines are known.

    Parameters
    ----------
    origin : str
        How the workspace notes where the stack is from.
    stack, truth : Path
        The image, and the table of its spines.
    criterion : str
        How both are compared (`spinecore.evaluation.edges.CRITERIA`).
    kind : str
        "Real" or "Simulated".
    description : str
        One sentence about the stack.
    truth_name : str
        What its known spines are called.
    """

    origin: str
    stack: Path
    truth: Path
    criterion: str
    kind: str
    description: str
    truth_name: str


#: Cut by `python -m benchmarks.real_sample`.
REAL = BuiltInSample(
    "sample (real)",
    SAMPLE_DIR / "real" / "in_vivo_sample.tif",
    SAMPLE_DIR / "real" / "spines.csv",
    "mark",
    "Real",
    "The built-in sample: a stretch of dendrite in vivo, two-photon (mapmanager/PyMapManager-Data, MIT).",
    "the expert's marks",
)
SIMULATED = BuiltInSample(
    "sample (simulated)",
    SAMPLE_STACK,
    SAMPLE_TRUTH,
    "centre",
    "Simulated",
    "The simulated sample: a computer-generated stack, not a real recording.",
    "the true spines",
)
#: By the origin that the workspace notes; the first is shown first.
SAMPLES = {sample.origin: sample for sample in (REAL, SIMULATED)}
