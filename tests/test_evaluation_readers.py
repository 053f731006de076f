"""Annotation files of every supported kind, good and bad."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import roifile
import tifffile

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import split_picture_name
from spinecore.evaluation.readers import read_annotations
from spinecore.evaluation.readers_via import polygon_centre

SPINES = """spine_id,x_px,y_px,z_px,x_um,y_um,z_um,score,x_min_px,y_min_px,x_max_px,y_max_px,z_min_px,z_max_px,visible
4,10,20,3,1.0,2.0,1.5,0.9,8,18,12,22,2,4,True
9,30,40,5,3.0,4.0,2.5,0.4,30,40,30,40,5,5,False
"""
VIA_HEADER = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
)


def write(folder, name: str, text: str):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def via_regions() -> list[tuple[str, dict, dict]]:
    """One region of every VIA shape: (picture, shape, attributes)."""
    return [
        ("cell-03.png", {"name": "rect", "x": 10, "y": 20, "width": 4, "height": 6}, {"spine_id": "a"}),
        ("cell-04.png", {"name": "rect", "x": 12, "y": 22, "width": 4, "height": 6}, {"spine_id": "a"}),
        ("cell-04.png", {"name": "circle", "cx": 50, "cy": 60, "r": 5}, {"spine_id": "b"}),
        ("cell-04.png", {"name": "ellipse", "cx": 70, "cy": 80, "rx": 5, "ry": 2}, {"spine_id": "c"}),
        ("cell-05.png", {"name": "point", "cx": 7, "cy": 8}, {"spine_id": "d"}),
        (
            "cell-05.png",
            {"name": "polygon", "all_points_x": [0, 4, 4, 0], "all_points_y": [0, 0, 2, 2]},
            {"spine_id": "e", "score": "0.7"},
        ),
    ]


def test_spine_table(tmp_path):
    found = read_annotations(write(tmp_path, "truth_spines.csv", SPINES))
    rows = found.objects
    assert rows["object_id"].tolist() == [4, 9] and rows["visible"].tolist() == [True, False]
    assert rows[["z_um", "y_um", "x_um"]].to_numpy().tolist() == [[1.5, 2, 1], [2.5, 4, 3]]
    # Inclusive pixels become outer edges: a box of one pixel is one pixel wide.
    assert rows.loc[1, ["left_px", "right_px", "top_px", "bottom_px"]].tolist() == [29.5, 30.5, 39.5, 40.5]
    assert rows["first_slice"].tolist() == [2, 5] and found.stacks == ("",)


def test_spine_table_without_a_spine_is_still_a_stack(tmp_path):
    found = read_annotations(write(tmp_path, "spines.csv", SPINES.splitlines()[0] + "\n"))
    assert len(found.objects) == 0 and found.stacks == ("",)


def test_pixel_size_fills_only_what_is_missing(tmp_path):
    found = read_annotations(write(tmp_path, "a.csv", "x_px,y_px,z_px\n10,20,3\n"))
    assert found.objects["x_um"].isna().all()
    sized = found.with_pixel_size(0.1, 0.5).objects
    assert sized[["x_um", "y_um", "z_um"]].to_numpy() == pytest.approx(np.array([[1, 2, 1.5]]))
    known = read_annotations(write(tmp_path, "b.csv", SPINES)).with_pixel_size(7.0, 7.0)
    assert known.objects["x_um"].tolist() == [1.0, 3.0]
    with pytest.raises(SpinecoreError, match="positive number"):
        found.with_pixel_size(-1.0)


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        ("X (µm),Y (µm),Z (µm)", ["x_um", "y_um", "z_um"]),
        ("x [px],y [px],z [slices]", ["x_px", "y_px", "z_px"]),
        ("Position X,Position Y,Position Z,Unit", ["x_um", "y_um", "z_um"]),
    ],
)
def test_headings_that_say_their_unit(tmp_path, heading, columns):
    found = read_annotations(
        write(tmp_path, "a.csv", f"{heading}\n1.5,2.5,3{',um' if 'Unit' in heading else ''}\n")
    )
    assert found.objects.loc[0, columns].tolist() == [1.5, 2.5, 3]
    with pytest.raises(SpinecoreError, match="no columns that say where"):
        read_annotations(write(tmp_path, "a.csv", "X (mm),Y (mm)\n1,2\n"))


def test_centres_of_mass_of_imagej_and_masks_of_single_bits(tmp_path):
    found = read_annotations(write(tmp_path, "Results.csv", " ,Area,XM,YM,Slice\n1,4,10,20,3\n"), units="px")
    assert found.objects.loc[0, ["x_px", "y_px", "z_px"]].tolist() == [10, 20, 2]
    mask = np.zeros((4, 30, 40), bool)
    mask[1:3, 5:8, 5:8] = mask[1:3, 20:23, 30:33] = True
    tifffile.imwrite(tmp_path / "mask.tif", mask, metadata=None)
    found = read_annotations(tmp_path / "mask.tif")
    assert found.objects[["z_px", "y_px", "x_px"]].to_numpy().tolist() == [[1.5, 6, 6], [1.5, 21, 31]]


def test_visible_may_be_words_or_numbers(tmp_path):
    text = "x_px,y_px,visible\n1,1,0\n2,2,1\n3,3,\n4,4,no\n5,5,TRUE\n"
    found = read_annotations(write(tmp_path, "spines.csv", text))
    assert found.objects["visible"].tolist() == [False, True, True, False, True]


def test_box_csv_joins_slices_and_averages(tmp_path):
    text = (
        "id,filename,width,height,class,score,xmin,ymin,xmax,ymax\n"
        "0,s1-06.png,512,512,spine,0.8,10,20,20,30\n"
        "0,s1-08.png,512,512,spine,0.4,12,22,22,32\n"
        "1,s1-07.png,512,512,spine,0.9,50,50,60,60\n"
        "0,s2-01.png,512,512,spine,0.6,11,21,21,31\n"
    )
    found = read_annotations(write(tmp_path, "boxes.csv", text))
    assert found.stacks == ("s1", "s2") and found.shares_ids and len(found.boxes) == 4
    first = found.objects.iloc[0]
    assert (first["first_slice"], first["last_slice"]) == (6, 8)
    assert first["score"] == pytest.approx(0.6)
    assert first[["left_px", "top_px", "right_px", "bottom_px"]].tolist() == [10.5, 20.5, 20.5, 30.5]
    pooled = found.pooled()
    assert len(found.objects) == 3 and len(pooled.objects) == 2
    assert pooled.objects["first_slice"].tolist() == [1, 7]


def test_via_csv_and_json_agree(tmp_path):
    lines, pictures = [VIA_HEADER], {}
    for number, (picture, shape, attributes) in enumerate(via_regions()):
        cells = (json.dumps(value).replace('"', '""') for value in (shape, attributes))
        lines.append('{},100,"{{}}",1,{},"{}","{}"\n'.format(picture, number, *cells))
        entry = pictures.setdefault(picture + "100", {"filename": picture, "size": 100, "regions": []})
        entry["regions"].append({"shape_attributes": shape, "region_attributes": attributes})
    lines.append('empty.png,100,"{}",0,0,"{}","{}"\n')
    pictures["empty.png100"] = {"filename": "empty.png", "size": 100, "regions": {}}
    from_csv = read_annotations(write(tmp_path, "via.csv", "".join(lines)))
    from_json = read_annotations(write(tmp_path, "via.json", json.dumps(pictures)))
    project = read_annotations(write(tmp_path, "project.json", json.dumps({"_via_img_metadata": pictures})))
    pd.testing.assert_frame_equal(from_csv.objects, from_json.objects)
    pd.testing.assert_frame_equal(from_csv.objects, project.objects)
    assert from_csv.stacks == ("cell", "empty")
    rows = from_csv.objects.set_index("object_id")
    assert rows.loc["a", ["first_slice", "last_slice"]].tolist() == [3, 4]
    assert rows.loc["a", ["left_px", "top_px", "right_px", "bottom_px"]].tolist() == [10.5, 20.5, 14.5, 26.5]
    assert rows.loc["b", ["x_px", "y_px", "left_px", "right_px"]].tolist() == [49.5, 59.5, 44.5, 54.5]
    assert rows.loc["c", ["top_px", "bottom_px"]].tolist() == [77.5, 81.5]
    assert rows.loc["d", ["x_px", "y_px"]].tolist() == [6.5, 7.5]
    assert rows.loc["e", "score"] == 0.7 and not from_csv.notes


def test_via_without_ids_keeps_boxes_apart_and_says_so(tmp_path):
    triangle = {"name": "polygon", "all_points_x": [0, 6, 0], "all_points_y": [0, 0, 3]}
    entries = {
        name: {"filename": name, "regions": [{"shape_attributes": triangle, "region_attributes": {}}]}
        for name in ("cell-01.png", "cell-02.png")
    }
    found = read_annotations(write(tmp_path, "via.json", json.dumps(entries)))
    assert len(found.objects) == 2 and "object of its own" in found.notes[0]
    assert found.objects[["x_px", "y_px"]].to_numpy().tolist() == [[1.5, 0.5], [1.5, 0.5]]


def test_polygon_centre_without_area_is_the_mean_corner():
    assert polygon_centre(np.array([0.0, 2, 4]), np.array([1.0, 1, 1])) == (2, 1)


def test_label_tiff_with_imagej_spacing(tmp_path):
    labels = np.zeros((4, 10, 12), np.uint16)
    labels[1:3, 2:5, 6:9], labels[0, 9, 0] = 3, 8
    tifffile.imwrite(
        tmp_path / "labels.tif",
        labels,
        imagej=True,
        resolution=(10, 10),
        metadata={"axes": "ZYX", "spacing": 0.5, "unit": "um"},
    )
    found = read_annotations(tmp_path / "labels.tif")
    rows = found.objects.set_index("object_id")
    assert list(rows.index) == [3, 8] and found.labels[""].shape == (4, 10, 12)
    assert rows.loc[3, ["z_px", "y_px", "x_px"]].tolist() == [1.5, 3, 7]
    assert rows.loc[3, ["z_um", "y_um", "x_um"]].tolist() == pytest.approx([0.75, 0.3, 0.7])
    assert rows.loc[3, ["left_px", "right_px", "first_slice", "last_slice"]].tolist() == [5.5, 8.5, 1, 2]
    assert rows.loc[8, ["z_px", "y_px", "x_px"]].tolist() == [0, 9, 0]


@pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6), (1, 3, 1, 5, 6), (3, 1, 6)])
def test_label_tiff_keeps_z_y_x(tmp_path, shape):
    labels = np.ones(shape, np.int32)
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack", compression="zlib")
    found = read_annotations(tmp_path / "labels.tif").labels[""]
    assert found.ndim == 3 and found.shape[-2:] == shape[-2:] and found.size == labels.size


def test_empty_label_tiff_has_no_objects(tmp_path):
    tifffile.imwrite(tmp_path / "labels.tif", np.zeros((2, 5, 6), np.uint8), photometric="minisblack")
    assert len(read_annotations(tmp_path / "labels.tif").objects) == 0


def test_roi_zip_with_polygons_and_points(tmp_path):
    square = roifile.ImagejRoi.frompoints([[10, 20], [14, 20], [14, 26], [10, 26]])
    square.position = 4
    point = roifile.ImagejRoi.frompoints([[7.5, 8.5], [1.5, 2.5]])
    point.roitype = roifile.ROI_TYPE.POINT
    roifile.roiwrite(tmp_path / "rois.zip", [square, point])
    rows = read_annotations(tmp_path / "rois.zip").objects
    assert rows[["x_px", "y_px", "z_px"]].to_numpy().tolist() == [[11.5, 22.5, 3], [7, 8, 0], [1, 2, 0]]
    assert rows.loc[0, ["left_px", "right_px", "top_px", "bottom_px"]].tolist() == [9.5, 13.5, 19.5, 25.5]
    square.tofile(tmp_path / "one.roi")
    assert len(read_annotations(tmp_path / "one.roi").objects) == 1


def test_folder_of_analyses_is_one_stack_each(tmp_path):
    for name in ("s1", "s2"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "spines.csv", SPINES if name == "s1" else SPINES.splitlines()[0] + "\n")
    (tmp_path / "other").mkdir()
    found = read_annotations(tmp_path)
    assert found.stacks == ("s1", "s2") and found.objects["stack"].tolist() == ["s1", "s1"]
    one = read_annotations(tmp_path / "s1")
    assert one.name == "s1/spines.csv" and one.stacks == ("",)


def test_masks_are_found_beside_a_table(tmp_path):
    table = write(tmp_path, "truth_spines.csv", SPINES)
    with pytest.raises(SpinecoreError, match=r"no label image truth_labels\.tif"):
        read_annotations(table, with_labels=True)
    tifffile.imwrite(tmp_path / "truth_labels.tif", np.eye(6, dtype=np.uint8), photometric="minisblack")
    assert read_annotations(table, with_labels=True).labels[""].shape == (1, 6, 6)


def test_picture_names():
    assert split_picture_name("SR052N1D1day1stack1-06.png") == ("SR052N1D1day1stack1", 6)
    assert split_picture_name("folder\\a.tif") == ("a", None)


BAD = {
    "empty.csv": ("", "is empty"),
    "no_columns.csv": ("a,b\n1,2\n", "no columns that say where"),
    "text.csv": ("x_px,y_px\n1,2\nhere,4\n", "x_px in line 3 is 'here'"),
    "gap.csv": ("x_px,y_px\n1,2\n,4\n", "x_px in line 3"),
    "infinite.csv": ("x_px,y_px\n1,inf\n", "y_px in line 2"),
    "ragged.csv": ("x_px,y_px\n1,2\n1,2,3,4\n", "cannot be read as a table"),
    "visible.csv": ("x_px,y_px,visible\n1,2,perhaps\n", "visible must be"),
    "turned.csv": ("filename,xmin,ymin,xmax,ymax\na.png,5,5,1,9\n", "below its xmin"),
    "via.csv": (VIA_HEADER + 'a.png,1,"{}",1,0,"{bad","{}"\n', "not JSON"),
    "via_shape.csv": (VIA_HEADER + 'a.png,1,"{}",1,0,"{""name"":""star""}","{}"\n', "no readable VIA shape"),
    "half.json": ('{"a": ', "not a JSON file"),
    "other.json": ('{"a": 1}', "no VIA 2 annotation file"),
    "list.json": ("[1, 2]", "no VIA 2 annotation file"),
    "region.json": ('{"a": {"filename": "a.png", "regions": [3]}}', "no VIA region"),
    "labels.tif": ("this is no TIFF", "cannot be read as a TIFF"),
    "rois.zip": ("this is no zip", "cannot be read as ImageJ ROIs"),
    "notes.docx": ("text", "of no known kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_give_one_sentence(tmp_path, name):
    text, expected = BAD[name]
    with pytest.raises(SpinecoreError, match=expected) as caught:
        read_annotations(write(tmp_path, name, text))
    message = str(caught.value)
    assert name in message and "\n" not in message and len(message) < 300


def test_more_bad_images_and_archives(tmp_path):
    with pytest.raises(SpinecoreError, match="does not exist"):
        read_annotations(tmp_path / "absent.csv")
    with pytest.raises(SpinecoreError, match="holds no truth_spines"):
        read_annotations(tmp_path)
    tifffile.imwrite(tmp_path / "float.tif", np.full((2, 4, 4), 0.5, np.float32), photometric="minisblack")
    with pytest.raises(SpinecoreError, match="whole numbers"):
        read_annotations(tmp_path / "float.tif")
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(SpinecoreError, match="whole numbers"):
        read_annotations(tmp_path / "rgb.tif")
    tifffile.imwrite(tmp_path / "negative.tif", np.full((4, 4), -1, np.int16), photometric="minisblack")
    with pytest.raises(SpinecoreError, match="negative"):
        read_annotations(tmp_path / "negative.tif")
    tifffile.imwrite(tmp_path / "whole.tif", np.ones((20, 64, 64), np.uint16), photometric="minisblack")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "whole.tif").read_bytes()[:5000])
    with pytest.raises(SpinecoreError, match=r"cut\.tif"):
        read_annotations(tmp_path / "cut.tif")
    (tmp_path / "binary.csv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(SpinecoreError, match="UTF-8"):
        read_annotations(tmp_path / "binary.csv")
    with zipfile.ZipFile(tmp_path / "wrong.zip", "w") as packed:
        packed.writestr("a.roi", b"not a ROI")
    with pytest.raises(SpinecoreError, match="ImageJ ROIs"):
        read_annotations(tmp_path / "wrong.zip")
