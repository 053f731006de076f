"""The files that page Results gives, compared with what page Correct shows."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import roifile
from canvas import Canvas
from playwright import sync_api as playwright
from skimage.measure import points_in_poly


def scene_spines(canvas: Canvas) -> dict[int, dict]:
    return {s["id"]: s for s in canvas.ask("JSON.parse(editor.sceneText).spines")}


def files_agree_with_the_page(canvas: Canvas) -> None:
    """The CSV and the ROIs that Results gives are what was on the screen."""
    page, spines, dendrites = canvas.page, scene_spines(canvas), canvas.ask("editor.scene.dendrites")
    grid = canvas.ask("editor.scene.grid")
    masks = {n: canvas.mask_of(n) for n, shown in spines.items() if not shown["bare"]}
    page.get_by_role("link", name="Results", exact=True).click()
    page.get_by_role("heading", name="Results").wait_for()
    csv = pd.read_csv(_downloaded(page, "CSV")).set_index("spine_id")
    assert csv.index.tolist() == list(spines)
    for number, shown in spines.items():
        row = csv.loc[number]
        assert np.allclose(row[["z_px", "y_px", "x_px"]].astype(float), shown["head"], atol=0.01)
        length = np.nan if shown["length"] is None else shown["length"]
        assert np.isclose(row["length_um"], length, atol=1e-3, equal_nan=True)
    with zipfile.ZipFile(_downloaded(page, "Everything (ZIP)")) as archive:
        outlines, lines = (
            _rois(archive, next(n for n in archive.namelist() if n.endswith(end) and (other not in n)))
            for end, other in (("_rois.zip", "_lines_rois"), ("_lines_rois.zip", "none"))
        )
    drawn = sum(len(d["lines"]) for d in dendrites)
    assert sum(roi.roitype == roifile.ROI_TYPE.POLYLINE for roi in lines) == drawn
    unlike = [n for n, (origin, mask) in masks.items() if _overlap(n, outlines, origin, mask, grid) < 0.8]
    assert not unlike, f"outlines of {unlike} are not those on the screen"
    page.get_by_role("link", name="Correct", exact=True).click()
    canvas.wait_for_voxels()


def _downloaded(page: playwright.Page, name: str) -> io.BytesIO:
    with page.expect_download() as found:
        page.get_by_role("button", name=name, exact=True).click()
    return io.BytesIO(Path(found.value.path()).read_bytes())


def _rois(archive: zipfile.ZipFile, name: str) -> list[roifile.ImagejRoi]:
    with zipfile.ZipFile(io.BytesIO(archive.read(name))) as inner:
        return [roifile.ImagejRoi.frombytes(inner.read(n)) for n in inner.namelist()]


def _overlap(spine: int, rois: list, origin: list[int], mask: np.ndarray, grid: dict) -> float:
    """Share of the voxels of an outline on the screen, or inside the ROIs of that spine, that are both."""
    both = either = 0
    own = [r for r in rois if r.name.startswith(f"spine_{spine:04d}_")]
    step, offset = np.array(grid["step"]), np.array(grid["offset"])
    pad = 3
    for z in range(mask.shape[0]):
        wide = np.pad(mask[z], pad)
        places = np.argwhere(np.ones_like(wide)) - pad + origin[1:]
        yx = places * step[1:] + offset[1:]
        here = round((z + origin[0]) * step[0] + offset[0])
        inside = np.zeros(len(yx), bool)
        for roi in own:
            if int(roi.name.split("_z")[1].split("_")[0]) - 1 == here:
                inside |= points_in_poly(yx[:, ::-1], roi.coordinates() - 0.5)
        both += int((inside & wide.ravel()).sum())
        either += int((inside | wide.ravel()).sum())
    return both / max(either, 1)
