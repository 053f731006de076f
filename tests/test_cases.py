"""Small files of public bug reports (`../shared/cases`): each gives what is right, or one sentence says what is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spinecore.cli.inputs import collect
from spinecore.errors import SpinecoreError
from spinecore.evaluation.report import evaluate_files
from spinecore.reading import open_stack, read_stack
from spinecore.reading.choices import ReadingChoices
from spinecore.reading.inspection import inspect_stack

DATA = Path(os.environ.get("SPINE_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
CASES = DATA.parent / "cases"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases (beside SPINE_DATA) is absent"),
]


@pytest.mark.parametrize(
    ("name", "shape", "zyx_um"),
    [
        ("06_scanimage_not_a_stack/time_series_one_plane.tif", (16, 1, 1), (None, 0.08, 0.08)),
        ("06_scanimage_not_a_stack/actualNumSlices_1_numSlices_8.tif", (16, 1, 1), (None, 0.08, 0.08)),
        ("08_bruker_binaryonly/ZSeries-001_Cycle00001_Ch1_000004.ome.tif", (1, 1, 6), (0.3, 0.08, 0.08)),
        (
            "09_bruker_full_ome_per_plane/ZSeries-002_Cycle00001_Ch1_000001.ome.tif",
            (1, 1, 6),
            (0.3, 0.08, 0.08),
        ),
        ("12_ome_dm_unit/z_in_decimetre.ome.tif", (1, 1, 8), (0.3, 0.08, 0.08)),
        ("15_ome_no_z_but_positions/positions_only.ome.tif", (1, 1, 8), (0.3, 0.08, 0.08)),
        ("16_metamorph_xml/metamorph.tif", (1, 1, 1), (None, 0.08, 0.08)),
        ("19_anisotropic_xy/y_twice_x.tif", (1, 1, 16), (0.3, 0.16, 0.08)),
        ("20_scifio_tif/scifio.tif", (1, 1, 8), (0.3, 0.08, 0.08)),
        ("22_rgb_overlay_stack/merge_stack.tif", (1, 3, 4), (None, 0.08, 0.08)),
        ("43_ome_three_images_label/raw_and_labels.ome.tif", (1, 1, 12), (0.3, 0.08, 0.08)),
        ("57_resolution_unit_micrometer/unit5.tif", (1, 1, 8), (None, 0.08, 0.08)),
    ],
)
def test_axes_and_sizes(name, shape, zyx_um):
    with open_stack(CASES / name) as file:
        assert file.shape_tczyx[:3] == shape
        spacing = file.spacing
    assert (spacing.z_um, spacing.y_um, spacing.x_um) == pytest.approx(zyx_um)


@pytest.mark.parametrize(
    ("name", "words", "option"),
    [
        ("01_fiji_z_as_frames/z_as_frames.tif", "16 time points of one slice", "--axes ZYX"),
        ("02_fiji_z_as_channels/z_as_channels.tif", "6 channels of one slice", "--axes ZYX"),
        ("20b_scifio_frames/scifio_null.tif", "8 time points of one slice", "--axes ZYX"),
        ("11_micromanager_two_positions_one_file/two_positions_MMStack.ome.tif", "Pos1", "--series"),
        ("19_anisotropic_xy/y_twice_x.tif", "0.08 um wide and 0.16 um high", "--pixel-size-y"),
        ("44_bidirectional_shift/odd_lines_shifted.tif", "shifted by 3 pixels", "--line-shift -3"),
        ("60_dropped_frame/blank_slice_in_middle.tif", "1 of 12 slices is blank (7) and is interpolated", ""),
    ],
)
def test_what_cannot_be_known_is_said_on_page_and_command_line(name, words, option):
    warnings = inspect_stack(CASES / name).warnings
    assert any(words in w and words in w.command and option in w.command for w in warnings), warnings


def test_z_saved_as_time_or_channels_is_repaired():
    for name, slices in (
        ("01_fiji_z_as_frames/z_as_frames.tif", 16),
        ("02_fiji_z_as_channels/z_as_channels.tif", 6),
    ):
        stack = read_stack(CASES / name, choices=ReadingChoices(axes="ZYX"))
        assert stack.shape[0] == slices
        assert stack.spacing.z_um == pytest.approx(0.3)


def test_the_channel_with_the_dendrite_is_suggested():
    assert inspect_stack(CASES / "41_two_channels_dendrite_second" / "psd_then_gfp.tif").channel == 1
    assert inspect_stack(CASES / "22_rgb_overlay_stack" / "merge.tif").channel_names[0] == "red"
    assert inspect_stack(CASES / "22_rgb_overlay_stack" / "merge.tif").channel == 0


def test_folders_of_slices_sets_and_foreign_files():
    said: list[str] = []
    with pytest.raises(SpinecoreError, match="8 numbered files of one slice"):
        collect([CASES / "10_image_sequence_folder"], join=False, separate=False, say=said.append)
    for folder in ("08_bruker_binaryonly", "09_bruker_full_ome_per_plane"):
        assert len(collect([CASES / folder], join=False, separate=False, say=said.append).stacks) == 1
    vendors = CASES / "61_vendor_formats"
    found = collect([vendors / "all"], join=False, separate=False, say=said.append)
    assert [stack.name for stack in found.stacks] == ["a", "b", "c", "d", "e"]
    assert ["Olympus OIR" in said[-2], "JPEG 2000" in said[-1]] == [True, True]
    collect([vendors / "zarr_folder"], join=False, separate=False, say=said.append)
    for name, words in (
        ("all/a.czi", "Zeiss CZI"),
        ("all/b.ims", "Imaris IMS"),
        ("all/c.nd2", "Nikon ND2"),
        ("all/d.lif", "Leica LIF"),
        ("all/e.oib", "Olympus OIB|Office"),
        ("all/f.oir", "Olympus OIR"),
        ("all/g.jpx", "JPEG 2000"),
        ("zarr_folder", "without an OME-Zarr image"),
    ):
        with pytest.raises(SpinecoreError, match=words):
            open_stack(vendors / name)


TRUTHS = CASES / "51_evaluate_truths"


@pytest.mark.parametrize(
    ("name", "units", "f1", "note"),
    [
        ("capitals.csv", None, 1.0, ""),
        ("semicolon_dot.csv", None, 1.0, ""),
        ("semicolon_decimal_comma.csv", None, 1.0, ""),
        ("tab.txt", None, 1.0, ""),
        ("utf16.csv", None, 1.0, ""),
        ("Results.csv", "um", 1.0, "taken as micrometres"),
        ("plain_xyz.csv", "px", 1.0, "taken as pixels"),
        ("napari_points.csv", None, 1.0, "pixels (z, y, x)"),
        ("CellCounter_sample.xml", None, 1.0, "pixels only"),
        ("labels_ome.ome.tif", None, 1.0, ""),
        ("labels_nm.tif", None, 1.0, ""),
        ("labels_neg_spacing.tif", None, 1.0, ""),
        ("labels_float.tif", None, 1.0, ""),
        ("labels_napari_no_scale.tif", None, 1.0, "pixels only"),
        ("labels_binary.tif", None, 0.95, "62 connected pieces"),
        ("hyperstack_czt.zip", None, 1.0, ""),
        ("two_channel_stack_index.zip", None, 1.0, "2 channels"),
        ("no_position_outlines.zip", None, 1.0, "no slice"),
        ("straight_lines.zip", None, 0.95, "at their middle"),
    ],
)
def test_truths_of_other_programs(name, units, f1, note):
    report = evaluate_files(TRUTHS / name, TRUTHS / "same.csv", units=units)
    assert report.f1 >= f1
    assert note in " ".join(report.shown.notes)


@pytest.mark.parametrize("name", ["Results.csv", "plain_xyz.csv"])
def test_tables_without_units_ask_for_them(name):
    with pytest.raises(SpinecoreError, match="without a unit") as caught:
        evaluate_files(TRUTHS / name, TRUTHS / "same.csv")
    assert "--units" not in str(caught.value) and "--units px or --units um" in caught.value.command
