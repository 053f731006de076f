"""Pictures, outlines, colours and charts as pure functions."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import SCORES, drawn_analysis
from PIL import Image

from spinecore.analysis.result import Analysis
from spinecore.figures.class_colours import CLASS_COLOURS
from spinecore.figures.fonts import drawing_font
from spinecore.figures.surfaces import (
    Grid,
    grid_of,
)
from spinecore.morphometry.columns import SPINE_COLUMNS
from spinecore.stack import Spacing
from spinecore.ui.colours import (
    MAPS,
    MISSING,
    POSITION_ONLY_COLOUR,
    colour_choices,
    colour_spines,
    image_lut,
    map_colours,
    value_text,
)
from spinecore.ui.picturefiles import PNG_SCALE, scene_png, scene_svg
from spinecore.ui.planes import (
    LONGEST_SIDE,
    Window,
    contours,
    dendrite_outline,
    grid_index,
    make_picture,
    spine_outlines,
    whole_window,
    window_round,
)
from spinecore.ui.results import Filters, histogram_bins, histogram_figure, summarise
from spinecore.ui.scene import Scene, hover_texts, plane_figure


@pytest.fixture(scope="module")
def drawn() -> tuple[Analysis, np.ndarray]:
    return drawn_analysis()


def scene_of(
    analysis: Analysis, voxels: np.ndarray, plane: str = "xy", by: str = "score", chosen: int | None = None
):
    grid = grid_of(analysis.candidates, analysis.spacing)
    whole = whole_window(analysis.shape, analysis.spacing, plane)
    outlines = spine_outlines(analysis.cutter.cut(analysis.threshold), grid, plane)
    window = window_round(outlines[chosen], whole) if chosen else whole
    image = analysis.projections[plane]
    pixel = (0.1, 0.1) if plane == "xy" else (0.25, 0.1)
    return Scene(
        make_picture(image, pixel, window, (100, 1600), 0.7, image_lut("Grey")),
        window,
        outlines,
        dendrite_outline(analysis.dendrite_ids, grid, plane),
        colour_spines(analysis.spines, by),
        hover_texts(analysis.spines),
        {n: tuple(np.concatenate(lines).mean(axis=0)) for n, lines in outlines.items()},
        "drawn & cell",
        chosen,
    )


# --- planes ---------------------------------------------------------------------------------------


def test_contours_enclose_the_area_of_the_mask():
    mask = np.zeros((30, 40), bool)
    mask[5:15, 10:30] = True
    (line,) = contours(mask)
    assert np.allclose(line[0], line[-1])
    assert line.min(axis=0) == pytest.approx([4.5, 9.5]) and line.max(axis=0) == pytest.approx([14.5, 29.5])
    rows, columns = line.T
    area = 0.5 * abs(np.dot(rows[:-1], columns[1:]) - np.dot(rows[1:], columns[:-1]))
    assert area == pytest.approx(200, abs=1)
    assert len(line) <= 10


def test_contours_of_a_mask_at_the_edge_are_closed_and_an_empty_mask_has_none():
    assert np.allclose(contours(np.ones((4, 6), bool))[0][[0, -1]][0], contours(np.ones((4, 6), bool))[0][-1])
    assert contours(np.zeros((5, 5), bool)) == []


@pytest.mark.parametrize(
    ("plane", "across", "down"), [("xy", 2.0, 3.3), ("xz", 2.0, 1.75), ("yz", 3.3, 1.75)]
)
def test_outlines_lie_round_the_heads_in_um(drawn, plane, across, down):
    analysis, _ = drawn
    outlines = spine_outlines(analysis.cutter.cut(0.5), grid_of(analysis.candidates, analysis.spacing), plane)
    assert set(outlines) == {1, 2, 3, 4}
    points = np.concatenate(outlines[1])
    low, high = points.min(axis=0), points.max(axis=0)
    assert low[0] < across < high[0] and low[1] < down < high[1]


def test_a_slice_shows_only_the_spines_it_cuts(drawn):
    analysis, _ = drawn
    grid, cuts = grid_of(analysis.candidates, analysis.spacing), analysis.cutter.cut(0.5)
    assert set(spine_outlines(cuts, grid, "xy", 10)) == {4}
    assert set(spine_outlines(cuts, grid, "yz", 20)) == {1}
    assert spine_outlines(cuts, grid, "xy", 0) == {}
    assert dendrite_outline(analysis.dendrite_ids, grid, "xy", 0) == []


def test_outlines_follow_the_stack_where_the_analysis_grid_is_coarser():
    grid = Grid(np.array([0.3, 0.1, 0.1]), np.array([0.0, 0.025, 0.025]))
    mask = np.ones((1, 2, 2), bool)
    (line,) = spine_outlines([(1, (0, 4, 6), mask)], grid, "xy")[1]
    # grid pixels 6 and 7 are the input's 0.05 um pixels 12 to 15
    assert line[:, 0].min() == pytest.approx(11.5 * 0.05) and line[:, 0].max() == pytest.approx(15.5 * 0.05)
    assert [grid_index(i, 16, 8) for i in (0, 1, 2, 15)] == [0, 0, 1, 7]


def test_windows_are_square_and_stay_inside():
    whole = Window(0, 20, 0, 10)
    near_edge = window_round([np.array([[0.1, 0.1], [0.5, 0.4]])], whole)
    assert near_edge == Window(0, 6, 0, 6)
    flat = window_round([np.array([[10.0, 1.0]])], Window(0, 20, 0, 4))
    assert flat.width == pytest.approx(6) and flat.height == pytest.approx(4)


def test_a_picture_covers_its_window_and_keeps_the_scale():
    image = np.arange(80 * 100).reshape(80, 100).astype(np.uint16)
    window = Window(2.0, 4.0, 1.0, 3.0)
    picture = make_picture(image, (0.1, 0.1), window, (0, 8000), 1.0, image_lut("Grey"))
    seen = picture.window
    assert seen.left <= 2.0 and seen.right >= 4.0 and seen.top <= 1.0 and seen.bottom >= 3.0
    column = round((seen.left + 0.05) / 0.1)
    assert picture.rgb[0, 0, 0] == pytest.approx(
        image[round((seen.top + 0.05) / 0.1), column] / 8000 * 255, abs=1
    )


def test_a_huge_picture_is_averaged_and_says_so_in_its_pixel_size():
    image = np.zeros((40, 3 * LONGEST_SIDE), np.uint16)
    whole = whole_window((1, *image.shape), Spacing(None, 0.1, 0.1, "user"), "xy")
    picture = make_picture(image, (0.1, 0.1), whole, (0, 1), 1.0, image_lut("Grey"))
    assert max(picture.rgb.shape) == LONGEST_SIDE and picture.across_um == pytest.approx(0.3)
    assert picture.window.width == pytest.approx(whole.width)


# --- colours --------------------------------------------------------------------------------------


def test_colour_maps_get_lighter_all_along():
    for name in MAPS:
        rgb = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in map_colours(name)])
        light = rgb @ [0.2126, 0.7152, 0.0722]
        assert (np.diff(light) > -3).all() and light[0] > 35


def test_values_are_coloured_along_the_bar_and_missing_ones_are_grey():
    table = pd.DataFrame({"spine_id": [1, 2, 3, 4], "length_um": [0.5, 1.0, 2.0, np.nan]})
    colouring = colour_spines(table, "length_um", "Cividis")
    assert colouring.title == "Length (µm)" and colouring.colours[4] == MISSING
    assert colouring.colours[1] == colouring.scale[0] and colouring.colours[3] == colouring.scale[-1]
    assert colouring.entries == (("missing", MISSING),)


def test_classes_keep_their_colours():
    table = pd.DataFrame({"spine_id": [1, 2, 3], "class": ["thin", "mushroom", ""]})
    colouring = colour_spines(table, "class")
    assert colouring.colours[1] == CLASS_COLOURS["thin"] and colouring.colours[3] == MISSING
    assert [text for text, _ in colouring.entries] == ["M mushroom", "T thin", "not known"]


def test_choices_leave_out_what_is_nowhere_known(drawn):
    choices = colour_choices(drawn[0].spines.assign(**{"class": ""}))
    assert "length_um" in choices and "score" in choices
    assert "class" not in choices and "x_px" not in choices and "dendrite_id" not in choices


def test_values_are_told_with_units():
    assert value_text(1250.0, SPINE_COLUMNS["intensity_mean"]) == "1250"
    assert value_text(0.0123, SPINE_COLUMNS["volume_um3"]) == "0.0123 µm³"
    assert value_text(True, None) == "yes" and value_text("", None) == "–"


# --- figures and files ----------------------------------------------------------------------------


def test_the_figure_has_true_proportions_and_tells_measures(drawn):
    scene = scene_of(*drawn, plane="xz")
    figure = plane_figure(scene)
    assert figure.layout.yaxis.scaleanchor == "x" and figure.layout.yaxis.scaleratio == 1
    assert figure.data[0].dx == pytest.approx(0.1) and figure.data[0].dy == pytest.approx(0.25)
    heads = figure.data[-1]
    assert sorted(heads.customdata) == [1, 2, 3, 4]
    assert "Length: " in heads.text[0] and "µm" in heads.text[0] and "Volume: " in heads.text[0]
    bar = figure.layout.shapes[-1]
    assert bar.x1 - bar.x0 == pytest.approx(scene.bar_um)
    unknown = hover_texts(drawn[0].spines.assign(**{"class": "", "volume_um3": np.nan}))
    assert "Class" not in unknown[1] and "Volume" not in unknown[1]


def test_the_key_shows_a_head_without_an_outline_as_the_cross_that_is_drawn(drawn):
    scene = scene_of(*drawn)
    entries = (("missing", MISSING), ("position only", POSITION_ONLY_COLOUR))
    figure = plane_figure(replace(scene, colouring=replace(scene.colouring, entries=entries)), 500, "key")
    key = {trace.name: trace for trace in figure.data if trace.name in dict(entries)}
    assert key["position only"].mode == "markers" and key["position only"].marker.symbol == "x-thin"
    assert key["missing"].mode == "lines"


def test_a_chosen_spine_is_drawn_thicker(drawn):
    figure = plane_figure(scene_of(*drawn, chosen=2))
    outlines = [shape for shape in figure.layout.shapes if shape.type == "path"]
    assert max(shape.line.width for shape in outlines) > 4
    assert sum(shape.path.count("M") for shape in outlines) >= 4
    assert figure.layout.xaxis.range[1] - figure.layout.xaxis.range[0] == pytest.approx(6)


@pytest.mark.parametrize("by", ["plain", "score", "length_um"])
def test_svg_holds_every_outline_scale_and_key(drawn, by):
    scene = scene_of(*drawn, by=by)
    root = ElementTree.fromstring(scene_svg(scene))
    space = {"s": "http://www.w3.org/2000/svg"}
    outlines = [p for p in root.iterfind(".//s:path", space) if p.get("d", "").endswith("Z")]
    assert len(outlines) == 4 + 1
    texts = [t.text for t in root.iterfind(".//s:text", space)]
    assert f"{scene.bar_um:g} µm" in texts
    assert (scene.colouring.title in texts) == bool(scene.colouring.scale)
    assert root.find("s:title", space).text == "drawn & cell"


def test_png_has_the_drawing_s_size_and_its_colours(drawn):
    scene = scene_of(*drawn, by="plain")
    image = Image.open(io.BytesIO(scene_png(scene)))
    assert image.size == (1000 * PNG_SCALE, 750 * PNG_SCALE)
    assert "pixels per µm" in image.text["Scale"]
    pixels = np.asarray(image).reshape(-1, 3)
    orange = int((np.abs(pixels.astype(int) - (255, 176, 0)).sum(axis=1) < 12).sum())
    assert orange > 500


def test_the_font_has_the_signs_of_our_units():
    def drawn_as(sign: str) -> bytes:
        return bytes(drawing_font(40).getmask(sign))

    signs = [drawn_as(sign) for sign in "µ²³°×–"]
    assert len(set(signs)) == len(signs) and drawn_as("\ue123") not in signs


# --- results --------------------------------------------------------------------------------------


def test_filters_leave_out_what_does_not_pass(drawn):
    spines = drawn[0].spines
    assert not Filters().active and len(Filters().apply(spines)) == 4
    assert list(Filters(ranges={"score": (0.65, 0.85)}).apply(spines)["spine_id"]) == [2, 3]
    assert Filters(dendrites=(9,)).apply(spines).empty
    assert len(Filters(without_border=True).apply(spines)) == int(
        (~spines["touches_border"].astype(bool)).sum()
    )


def test_density_has_the_exact_interval(drawn):
    analysis, _ = drawn
    found = summarise(analysis.spines, analysis.dendrites)
    length = analysis.dendrites["path_length_um"].sum()
    assert found.n_spines == 4 and found.length_um == pytest.approx(length)
    # Garwood: 4 events, 95 %: 1.090 to 10.242
    assert [found.density_low * length, found.density_high * length] == pytest.approx(
        [1.0899, 10.2416], abs=1e-3
    )
    unknown = analysis.dendrites.assign(path_length_um=np.nan)
    assert np.isnan(summarise(analysis.spines, unknown).density)


def test_histograms_count_every_known_value(drawn):
    spines = drawn[0].spines
    figure = histogram_figure(spines, "length_um")
    assert sum(figure.data[0].y) == spines["length_um"].notna().sum()
    assert figure.layout.xaxis.title.text == "Length (µm)"
    assert len(histogram_bins(np.array([2.0, 2.0]))) == 2 and len(histogram_bins(np.array([np.nan]))) == 2
    classes = spines.assign(**{"class": ["thin", "thin", "stubby", ""]})
    stacked = histogram_figure(classes, "length_um", by_class=True)
    assert [bar.name for bar in stacked.data] == ["S stubby", "T thin", "not known"]


def test_the_drawn_scores_are_those_found(drawn):
    assert drawn[0].spines["score"].to_numpy() == pytest.approx(SCORES[:4], abs=0.004)
