"""Patches, classes in the table, corrections, heat maps and the command, with a small untrained network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from spinecore.cli.main import app
from spinecore.corrections.classes import ClassChange
from spinecore.corrections.log import read_corrections
from spinecore.corrections.old_logs import append_class_change
from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import build_network, save_network
from spinecore.shapes import classify, explain
from spinecore.shapes.classes import CLASSES, LABELS, four_way
from spinecore.shapes.classify import PROBABILITY_COLUMNS, SpineView, fill_classes, views_of_labels
from spinecore.shapes.patches import PATCH_PX, cut_patch
from spinecore.stack import Spacing, Stack


def scene(pixel_um: float = 0.1, turned: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A horizontal shaft with a mushroom above it, 3 slices; image, spine and shaft (Z, Y, X)."""
    n = round(8 / pixel_um)
    y, x = (np.mgrid[:n, :n] + 0.5) * pixel_um
    shaft = np.abs(y - 5.0) < 0.4
    spine = (np.hypot(y - 3.6, x - 4.0) < 0.35) | ((np.abs(x - 4.0) < 0.1) & (y > 3.6) & (y < 4.6))
    image = np.where(shaft, 900.0, np.where(spine, 600.0, 20.0))
    planes = [np.rot90(a, turned) for a in (image, spine, shaft)]
    return tuple(np.stack([p * (k == 1) for k in range(3)]) for p in planes)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder with an untrained network."""
    import torch

    torch.manual_seed(0)
    architecture = {"kind": "shape-focus", "width": 8, "fine": 8, "outputs": list(LABELS)}
    folder = tmp_path / "models"
    save_network(build_network(architecture), classify.DEFAULT_MODEL, {"architecture": architecture}, folder)
    return folder


def test_a_patch_is_turned_and_scaled_to_one_frame() -> None:
    image, mask, shaft = scene()
    reference = cut_patch(image, mask > 0, shaft > 0, (0.3, 0.1, 0.1))
    assert reference.planes.shape == (3, PATCH_PX, PATCH_PX)
    below = reference.image[PATCH_PX // 2 + 8 :].sum()
    above = reference.image[: PATCH_PX // 2 - 8].sum()
    assert below > 5 * max(above, 1e-3), "the dendrite lies below"
    for turned in (1, 2, 3):
        image, mask, shaft = scene(turned=turned)
        patch = cut_patch(image, mask > 0, shaft > 0, (0.3, 0.1, 0.1))
        agree = np.logical_and(patch.outline, reference.outline).sum()
        assert agree / np.logical_or(patch.outline, reference.outline).sum() > 0.85
    image, mask, shaft = scene(pixel_um=0.05)
    fine = cut_patch(image, mask > 0, shaft > 0, (0.3, 0.05, 0.05))
    assert fine.outline.sum() == pytest.approx(reference.outline.sum(), rel=0.15)
    assert fine.depth.max() == pytest.approx(0.3 / 2.0)
    flat = cut_patch(image[1:2], mask[1:2] > 0, shaft[1:2] > 0, (0.3, 0.05, 0.05))
    assert flat.depth.max() == 0


def test_brightness_does_not_matter_and_only_the_own_slices_count() -> None:
    image, mask, shaft = scene()
    one = cut_patch(image, mask > 0, shaft > 0, (0.3, 0.1, 0.1))
    other = image * 7 + 100
    other[0] = 60_000
    assert np.allclose(one.image, cut_patch(other, mask > 0, shaft > 0, (0.3, 0.1, 0.1)).image, atol=1e-4)


def test_patches_seen_before_are_not_asked_again(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask, shaft = scene()
    one = cut_patch(image, mask > 0, shaft > 0, (0.3, 0.1, 0.1))
    image, mask, shaft = scene(pixel_um=0.08)
    two = cut_patch(image, mask > 0, shaft > 0, (0.3, 0.08, 0.08))
    asked: list[int] = []
    ask = classify._ask

    def count(network: object, planes: list[np.ndarray], *rest: object) -> np.ndarray:
        asked.append(len(planes))
        return ask(network, planes, *rest)

    monkeypatch.setattr(classify, "_ask", count)
    classifier = classify.load_classifier(folder=models)
    first = classify.classify_patches([one, one], classifier)
    again = classify.classify_patches([two, one], classifier)
    assert asked == [1, 1], "one answer for twins, and only the new patch the second time"
    assert np.array_equal(first[0], first[1]) and np.array_equal(first[0], again[1])
    assert not np.array_equal(again[0], again[1])
    assert classify.classify_patches([], classifier).shape == (0, len(CLASSES))
    with pytest.raises(classify.SpinecoreError):
        classify.load_classifier("no-such-model", folder=models)


def test_several_heat_maps_go_back_on_one_projection() -> None:
    image, mask, shaft = scene(turned=1)
    view = SpineView(image, mask > 0, shaft > 0, (0.3, 0.1, 0.1))
    patch, flat = view.patch(), (mask > 0).any(0)
    n = image.shape[1]
    plane = explain.on_projection(
        np.stack([patch.outline, 0.5 * patch.outline, patch.outline]),
        [patch] * 3,
        [(0, 0), (0, n), (5000, 5000)],
        (n, 2 * n),
    )
    left, right = plane[:, :n], plane[:, n:]
    assert np.allclose(left, 2 * right, atol=1e-5), "the third lies outside"
    assert ((left > 0.5) & flat).sum() / ((left > 0.5) | flat).sum() > 0.75


def test_a_patch_goes_back_to_where_it_was() -> None:
    image, mask, shaft = scene(turned=1)
    view = SpineView(image, mask > 0, shaft > 0, (0.3, 0.1, 0.1))
    patch = view.patch()
    back = explain.to_source(patch.outline, patch, image.shape[1:]) > 0.5
    flat = (mask > 0).any(0)
    assert (back & flat).sum() / (back | flat).sum() > 0.75


def test_balls_count_as_mushrooms() -> None:
    five = np.array([[0.2, 0.3, 0.1, 0.1, 0.3]])
    assert four_way(five)[0].tolist() == pytest.approx([0.5, 0.3, 0.1, 0.1])


def test_the_table_holds_both_answers_and_the_correction_wins() -> None:
    table = pd.DataFrame(
        {
            "spine_id": [1, 2, 3],
            "length_um": [1.2, 0.5, 1.0],
            "head_width_um": [0.6, 0.6, np.nan],
            "neck_width_um": [0.2, np.nan, 0.1],
            "neck_width_um_flag": ["", "no neck", ""],
        }
    )
    chances = {1: np.array([0.7, 0.2, 0.1, 0.0]), 2: np.array([0.6, 0.1, 0.3, 0.0])}
    full = fill_classes(table, chances)
    assert full["class"].tolist()[:2] == ["mushroom", "mushroom"] and pd.isna(full["class"][2])
    assert full["class_probability"][0] == 0.7
    assert full["class_rule"][1] == "rodriguez: stubby, no neck and length/head < 2.5"
    assert full["class_disagrees"].tolist()[:2] == [False, True] and pd.isna(full["class_disagrees"][2])
    assert full["class_rule"][2] == "rodriguez: not decided: head width is missing"
    corrected = fill_classes(table, chances, corrections={2: "stubby"})
    assert corrected["class"][1] == "stubby" and corrected["class_probability"][1] == 0.3
    assert corrected["edited"].tolist() == [False, True, False]


def test_corrections_are_appended_and_can_be_taken_back(tmp_path: Path) -> None:
    assert read_corrections(tmp_path).class_of == {}
    append_class_change(tmp_path, ClassChange(4, "thin", before="mushroom"))
    append_class_change(tmp_path, ClassChange(5, "stubby"))
    append_class_change(tmp_path, ClassChange(4, None, before="thin"))
    with (tmp_path / "class_corrections.jsonl").open("a") as file:
        file.write('{"time": "cut o')
    found = read_corrections(tmp_path)
    assert found.class_of == {5: "stubby"}
    assert [c.before for c in found.classes] == ["mushroom", None, "thin"] and all(
        c.time for c in found.classes
    )
    with pytest.raises(SpinecoreError, match="choose one of"):
        ClassChange(4, "cup")


def test_probabilities_are_per_spine_and_add_up(models: Path) -> None:
    image, mask, shaft = scene()
    view = SpineView(image, mask > 0, shaft > 0, (0.3, 0.1, 0.1))
    found = classify.classify_spines([view, view], classify.load_classifier(folder=models))
    assert found.shape == (2, len(CLASSES)) and np.allclose(found.sum(1), 1, atol=1e-2)
    assert np.allclose(found[0], found[1], atol=1e-3)


@pytest.mark.parametrize("method", explain.METHODS)
def test_heat_maps_have_a_control_and_a_share(models: Path, method: str) -> None:
    image, mask, shaft = scene()
    patch = SpineView(image, mask > 0, shaft > 0, (0.3, 0.1, 0.1)).patch()
    classifier = classify.load_classifier(folder=models)
    heat = explain.explain([patch, patch], classifier, method)
    assert heat.maps.shape == heat.controls.shape == (2, PATCH_PX, PATCH_PX)
    assert heat.maps.min() >= 0 and heat.maps.max() <= 1
    assert np.nanmax(heat.inside) <= 1 and 0 < heat.area[0] < 0.3
    assert not np.allclose(heat.maps[0], heat.controls[0])
    rival = explain.explain([patch], classifier, method, name="thin", contrast=True)
    assert rival.classes == ("thin",) and rival.against[0] in CLASSES and rival.against[0] != "thin"
    with pytest.raises(ValueError, match="choose one of"):
        explain.explain([patch], classifier, "Guess")


def test_views_of_given_outlines_need_the_same_shape_and_a_scale() -> None:
    image, mask, _ = scene()
    stack = Stack(image.astype(np.uint16), Spacing(0.3, 0.1, 0.1, "file", ""), "s")
    views = views_of_labels(stack, (mask > 0).astype(np.int32) * 7)
    assert list(views) == [7]
    with pytest.raises(classify.SpinecoreError, match="same image"):
        views_of_labels(stack, np.zeros((3, 4, 4), np.int32))
    with pytest.raises(classify.SpinecoreError, match="every pixel is 0"):
        views_of_labels(stack, np.zeros(stack.shape, np.int32))
    unknown = Stack(stack.voxels, Spacing(), "s")
    with pytest.raises(classify.SpinecoreError, match="--pixel-size"):
        views_of_labels(unknown, (mask > 0).astype(np.int32))


def test_the_command_writes_one_row_per_label(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = classify.load_classifier
    monkeypatch.setattr(classify, "load_classifier", lambda *call, **more: load(*call, **more, folder=models))
    image, mask, _ = scene()
    labels = (mask > 0).max(0).astype(np.uint16) * 3
    tifffile.imwrite(tmp_path / "i.tif", image.max(0).astype(np.uint16))
    tifffile.imwrite(tmp_path / "l.tif", labels)
    call = ["classify", str(tmp_path / "i.tif"), "--labels", str(tmp_path / "l.tif")]
    out = tmp_path / "new" / "shapes.csv"
    done = CliRunner().invoke(app, [*call, "--pixel-size", "0.1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(out)
    assert table["spine_id"].tolist() == [3] and table["class"][0] in CLASSES
    assert table[list(PROBABILITY_COLUMNS)].to_numpy().sum() == pytest.approx(1, abs=0.01)
    without = CliRunner().invoke(app, [*call, "--out", str(out)])
    assert without.exit_code == 2 and "--pixel-size" in without.output
