"""How many of the spines found in a single image are right, by their scores.

The share of right ones at each score was counted on real projections in which people marked the spines (`benchmarks.score_calibration
--real-marks`). One image's share is told as that of its scores: between images of one kind it differs for reasons that
scores do not show, such as how much the person marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from spinecore.detection.calibration import ScoreCalibration, stored_calibrations
from spinecore.networks.zoo import get_card

#: What was counted, in the form of the stored calibrations; not one of them, as marks of people leave spines out.
STORE = Path(__file__).resolve().parent / "real_marks.json"
#: An image of which fewer than this share is expected to be right is called doubtful.
DOUBTFUL = 2 / 3


@dataclass(frozen=True)
class Doubt:
    """What is expected of the spines of an image.

    Parameters
    ----------
    n_spines : int
        Those that nobody looked at.
    right : float
        How many of them are expected to be right.
    data : str
        What that rests on.
    """

    n_spines: int
    right: float
    data: str

    @property
    def share(self) -> float:
        """Share of them expected to be right."""
        return self.right / self.n_spines

    @property
    def doubtful(self) -> bool:
        """Whether the image should be named as doubtful."""
        return self.share < DOUBTFUL


def real_marks(models: Sequence[dict[str, Any]], path: Path = STORE) -> ScoreCalibration | None:
    """Return what was counted with the weights that an analysis was made with; None where nothing was."""
    known = stored_calibrations(path)
    for used in models:
        found = known.get(str(used.get("name")))
        if found is None or found.sha256 != used.get("sha256"):
            continue
        power = float(get_card(found.model).data.get("score_power", 1.0))
        return found if abs(power - found.score_power) < 1e-6 else None  # else scores were rescaled since
    return None


def doubt_of(spines: pd.DataFrame, counted: ScoreCalibration) -> Doubt | None:
    """Return what is expected of the spines of a table that nobody looked at; None where there are none.

    Parameters
    ----------
    spines : DataFrame
        With `score` and, where people looked at spines, `reviewed`.
    counted : ScoreCalibration
    """
    left = spines["score"].notna()
    if "reviewed" in spines:
        left &= ~spines["reviewed"].fillna(False).astype(bool)
    scores = spines.loc[left, "score"].to_numpy(float)
    if not len(scores):
        return None
    return Doubt(len(scores), float(counted.probability(scores).sum()), counted.data)
