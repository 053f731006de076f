"""The card of a spine and the figures for a paper, from an analysis drawn by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import HEADS, drawn_analysis

from spinecore.export.spine_card import card_figure, spine_picture
from spinecore.figures.plots import distribution_figure, groups_of, profile_figure, scatter_figure
from spinecore.groups.figure import figure_bytes
from spinecore.ui.resultplots import measure_table, surface_figure


@pytest.fixture(scope="module")
def analysis():
    return drawn_analysis()[0]


def test_the_path_drawn_is_the_one_measured(analysis) -> None:
    for spine_id, row in analysis.spines.set_index("spine_id").iterrows():
        picture = spine_picture(analysis, spine_id)
        path_um = picture.path * picture.spacing_zyx_um
        length = np.linalg.norm(np.diff(path_um, axis=0), axis=1).sum()
        assert length == pytest.approx(row["length_um"], rel=0.02)
        tip = picture.path[-1] + picture.origin
        assert tip == pytest.approx(row[["tip_z_px", "tip_y_px", "tip_x_px"]].to_numpy(float), abs=1e-6)
        assert picture.mask.sum() * np.prod(picture.spacing_zyx_um) == pytest.approx(row["volume_um3"])
    with pytest.raises(KeyError):
        spine_picture(analysis, 99)


def test_the_card_shows_projection_and_three_planes_with_scale_bars(analysis) -> None:
    picture = spine_picture(analysis, 1)
    assert np.abs((picture.centre + picture.origin) - HEADS[0]).max() < 1.5
    figure = card_figure(picture)
    assert [a.get_title() for a in figure.axes] == [
        "projection",
        *(f"{p} through the head" for p in ("XY", "XZ", "YZ")),
    ]
    assert all(any("µm" in text.get_text() for text in a.texts) for a in figure.axes)
    svg = figure_bytes(figure, "svg").decode()
    assert "projection" in svg and figure_bytes(figure, "pdf").startswith(b"%PDF")
    names = {trace.name for trace in surface_figure(picture).data}
    assert names == {"dendrite", "spine", "path"}


def test_a_single_image_has_one_panel() -> None:
    flat = drawn_analysis(flat=True)[0]
    figure = card_figure(spine_picture(flat, int(flat.spines["spine_id"].iloc[0])))
    assert len(figure.axes) == 1


def test_the_cards_table_has_units_and_flags(analysis) -> None:
    row = analysis.spines.iloc[0].copy()
    row["neck_width_um_flag"] = "resolution-limited"
    table = measure_table(row).set_index("Measure")
    assert table.loc["Length", "Value"].endswith("µm") and "µm³" in table.loc["Volume", "Value"]
    assert table.loc["Neck width", "Note"] == "resolution-limited"


def test_figures_hold_what_they_say(analysis) -> None:
    spines = pd.concat([analysis.spines] * 3, ignore_index=True)
    spines["class"] = ["mushroom", "thin"] * (len(spines) // 2) + ["thin"] * (len(spines) % 2)
    assert list(groups_of(spines, "class")) == ["mushroom", "thin"]
    assert sum(len(g) for g in groups_of(spines, "dendrite_id").values()) == len(spines)
    with pytest.raises(ValueError, match="not 'side'"):
        groups_of(spines, "side")
    figure = distribution_figure(spines, "length_um", "class")
    texts = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert texts[0].startswith("M mushroom\nn = ") and figure.axes[0].get_ylabel() == "Length (µm)"
    for by in (None, "class", "volume_um3"):
        figure = scatter_figure(spines, "length_um", "head_width_um", by)
        assert figure.axes[0].get_xlabel() == "Length (µm)" and "n = " in figure.axes[0].get_title()
        if by == "class":
            drawn = {line.get_label(): (line.get_color(), line.get_marker()) for line in figure.axes[0].lines}
            assert drawn == {"M mushroom": ("#ffb000", "o"), "T thin": ("#785ef0", "^")}
    figure = profile_figure(analysis.spines, analysis.candidates.dendrites)
    line = figure.axes[0].lines[0]
    n, length = len(analysis.spines), analysis.dendrites["path_length_um"].iloc[0]
    assert np.mean(line.get_ydata()) == pytest.approx(n / length, rel=0.4)
