"""Cut the real sample out of `real_stacks`: `python -m benchmarks.real_sample [--data DIR]`.

Writes `spinecore/sample/real`: a stretch of one dendrite in vivo (day tp3) with the marks of the person who traced it.
It is of the segment that weights and rules were chosen on, so what is found in it is no fair score.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from spinecore.evaluation.builtin import REAL
from spinecore.files import replacing
from spinecore.training.real_stacks import FOLDER, OWN_SEGMENT
from spinecore.training.recipes import default_data

DAY = "tp3"
#: Slices, rows and columns of the day's stack.
WINDOW = (slice(12, 40), slice(40, 190), slice(300, 660))
SPACING_UM = (1.0, 0.12, 0.12)
AXES = "zyx"


def cut(folder: Path) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Return voxels, marks and points of the traced line of the crop, with the crop's own coordinates."""
    voxels = tifffile.imread(folder / f"{DAY}.tif")[WINDOW]
    marks, line = (
        pd.read_csv(folder / name, dtype={"stack": str}) for name in ("spines.csv", "segments.csv")
    )
    marks, line = (
        table[(table["stack"] == DAY) & (table["segment"] == OWN_SEGMENT)].drop(columns=["stack", "segment"])
        for table in (marks, line)
    )
    for table in (marks, line):
        for axis, part, um in zip(AXES, WINDOW, SPACING_UM, strict=True):
            for column, unit in ((f"{axis}_um", um), (f"base_{axis}_um", um), (f"{axis}_px", 1.0)):
                if column in table:
                    table[column] = (table[column] - part.start * unit).round(3)
    return voxels, _inside(marks), _inside(line)


def _inside(table: pd.DataFrame) -> pd.DataFrame:
    inside = np.ones(len(table), bool)
    for axis, part, um in zip(AXES, WINDOW, SPACING_UM, strict=True):
        inside &= table[f"{axis}_um"].between(0, (part.stop - part.start - 1) * um).to_numpy()
    return table[inside].reset_index(drop=True)


def main() -> None:
    """Cut and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    source = (parser.parse_args().data or default_data()) / FOLDER
    voxels, marks, line = cut(source)
    out = REAL.stack.parent
    out.mkdir(exist_ok=True)
    with replacing(REAL.stack) as path:
        tifffile.imwrite(
            path,
            voxels,
            imagej=True,
            compression="zlib",
            predictor=True,
            resolution=(1 / SPACING_UM[2], 1 / SPACING_UM[1]),
            metadata={"axes": "ZYX", "spacing": SPACING_UM[0], "unit": "um"},
        )
    for table, name in ((marks, REAL.truth.name), (line, "segments.csv")):
        with replacing(out / name) as path:
            table.to_csv(path, index=False)
    (out / "LICENSE").write_bytes((source / "LICENSE").read_bytes())
    print(f"{REAL.stack}: {voxels.shape}, {REAL.stack.stat().st_size / 1e6:.1f} MB, {len(marks)} marks")


if __name__ == "__main__":
    main()
