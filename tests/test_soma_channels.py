"""Distance to the soma along a branched dendrite, and intensities in every channel, against closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn_analysis import SPACING, drawn_analysis
from typer.testing import CliRunner

from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.cli.main import app
from spinecore.errors import SpinecoreError
from spinecore.morphometry.channels import channel_columns, measure_channel
from spinecore.morphometry.soma import mark_soma, read_soma, soma_distances
from spinecore.tracing.trace import Branch, Dendrite


def line(start: tuple[float, float], end: tuple[float, float], a: int, b: int, from_um: float) -> Branch:
    points = np.zeros((50, 3))
    points[:, 1] = np.linspace(start[0], end[0], 50)
    points[:, 2] = np.linspace(start[1], end[1], 50)
    return Branch(points, np.full(50, 0.4), a, b, from_um, 0)


def test_path_runs_over_the_branch_point() -> None:
    # a stem of 10 um along x, then a branch of 6 um down and one of 8 um on; the soma lies 3 um beyond that last end
    dendrite = Dendrite(
        1,
        (
            line((0, 0), (0, 10), 0, 1, 0.0),
            line((0, 10), (6, 10), 1, 2, 10.0),
            line((0, 10), (0, 18), 1, 3, 10.0),
        ),
        (0.3, 0.1, 0.1),
    )
    spines = pd.DataFrame(
        {
            "dendrite_id": [1, 1, 1, np.nan],
            "branch": [1, 2, 3, np.nan],
            "position_along_dendrite_um": [4.0, 12.0, 17.0, np.nan],
        }
    )
    bases = np.array([[0, 0, 4.0], [0, 2, 10], [0, 0, 17], [np.nan] * 3])
    soma = np.array([0.0, 0.0, 21.0])
    found = soma_distances(spines, [dendrite], soma, bases)
    assert found["soma_path_um"].tolist() == pytest.approx([3 + 8 + 6, 3 + 8 + 2, 3 + 1, np.nan], nan_ok=True)
    assert found["soma_distance_um"].tolist()[:3] == pytest.approx([17, np.hypot(2, 11), 4])
    far = soma_distances(spines, [dendrite], np.array([0.0, 0.0, 51.0]), bases)
    assert far["soma_path_um"].isna().all() and far["soma_distance_um"].notna().sum() == 3


def test_mark_is_kept_taken_back_and_used(tmp_path: Path) -> None:
    analysis, _ = drawn_analysis()
    save_analysis(analysis, tmp_path)
    assert load_analysis(tmp_path).spines["soma_distance_um"].isna().all()
    result = CliRunner().invoke(app, ["soma", str(tmp_path), "--x", "0", "--y", "45", "--z", "7"])
    assert result.exit_code == 0, result.output
    loaded = load_analysis(tmp_path)
    row = loaded.spines.iloc[0]
    base = row[["base_z_px", "base_y_px", "base_x_px"]].to_numpy(float)
    assert row["soma_distance_um"] == pytest.approx(np.linalg.norm((base - (7, 45, 0)) * SPACING), rel=1e-4)
    assert row["soma_path_um"] == pytest.approx(row["base_x_px"] * 0.1, abs=0.5)
    assert loaded.at_threshold(0.35).spines["soma_path_um"].notna().all()
    stored = pd.read_csv(tmp_path / "spines.csv")
    assert stored["soma_path_um"].notna().all()
    mark_soma(tmp_path, None)
    assert read_soma(tmp_path) is None
    with pytest.raises(SpinecoreError):
        mark_soma(tmp_path, (0, float("nan"), 0))
    empty = tmp_path / "empty"
    empty.mkdir()
    result = CliRunner().invoke(app, ["soma", str(empty), "--x", "0", "--y", "0"])
    assert result.exit_code == 2 and not list(empty.iterdir())


def test_every_channel_is_measured_above_its_own_background(tmp_path: Path) -> None:
    analysis, voxels = drawn_analysis()
    labels, shafts = analysis.labels, analysis.dendrite_labels
    second = np.where(labels > 0, 700, 200).astype(np.uint16) + (shafts > 0) * np.uint16(300)
    table = measure_channel(labels, shafts, second, 2).set_index("spine_id")
    assert np.allclose(table["intensity_mean_ch2"], 500) and np.allclose(
        table["intensity_background_ch2"], 200
    )
    assert np.allclose(table["intensity_shaft_ch2"], 300)
    counts = pd.Series(np.bincount(labels.ravel())[table.index], table.index)
    assert np.allclose(table["intensity_integrated_ch2"], 500 * counts)
    with pytest.raises(SpinecoreError, match="shape"):
        measure_channel(labels, shafts, second[1:], 2)
    save_analysis(analysis, tmp_path / "out")
    path = tmp_path / "two.tif"
    both = np.stack([voxels, second], axis=1)
    tifffile.imwrite(
        path, both, imagej=True, resolution=(10, 10), metadata={"axes": "ZCYX", "spacing": 0.25, "unit": "um"}
    )
    result = CliRunner().invoke(app, ["channels", str(tmp_path / "out"), str(path)])
    assert result.exit_code == 0 and "2 channels" in result.output, result.output
    written = pd.read_csv(tmp_path / "out" / "channels.csv")
    assert list(written.columns) == list(channel_columns(["", ""]))
    own = analysis.spines.set_index("spine_id")["intensity_mean"]
    assert written.set_index("spine_id")["intensity_mean_ch1"].to_numpy() == pytest.approx(
        own.to_numpy(), rel=0.02
    )
